"""The attach server as a platform, which a gateway connects and disconnects.

It carries no chat: terminals have sessions of their own. Needs the gateway's own classes, so
it can be imported only there.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gateway.config import Platform
from gateway.platforms.base import BasePlatformAdapter, SendResult
from gateway.status import write_runtime_status

if TYPE_CHECKING:
    from .hosted import Hosted


#: So that the lines are in the gateway's log, and at its level.
_log = logging.getLogger("gateway.attach")

#: Seconds that a gateway waits for `disconnect`, unless its environment says otherwise.
PATIENCE: Final = 5.0
#: Seconds after a failed start when its reason is written to the gateway's status once more.
REPORT_DELAY: Final = 1.0
PATIENCE_VARIABLE: Final = "HERMES_GATEWAY_ADAPTER_DISCONNECT_TIMEOUT"


class AttachAdapter(BasePlatformAdapter):  # type: ignore[misc]
    """Starts and stops the attach server with the gateway."""

    supports_async_delivery = False
    _reported: ClassVar[str] = ""

    def __init__(self, config: Any, name: str) -> None:
        """*name* is the platform's, as the plugin registered it."""
        super().__init__(config, Platform(name))
        self._name = name
        self._hosted: Hosted | None = None

    async def connect(self, *, is_reconnect: bool = False) -> bool:
        """Start the server. Return False if it cannot start; `hermes gateway status` shows why."""
        # Off the loop, which has chats to serve meanwhile; it installs no reactor.
        hosted = await asyncio.to_thread(importlib.import_module, "hermes_twisted.gateway.hosted")
        try:
            self._hosted = await hosted.Hosted.start(self._given(), _home(), _patience())
        except hosted.CannotStart as refused:
            self._refuse(f"attach_{refused.code}", str(refused))
            return False
        AttachAdapter._reported = ""
        self._mark_connected()
        return True

    def _refuse(self, code: str, message: str) -> None:
        message += " The gateway tries again by itself."
        # Once: it does so every few minutes.
        if message != AttachAdapter._reported:
            AttachAdapter._reported = message
            _log.error("the attach server cannot be started: %s", message)
        # "Retryable", whatever it is: Hermes ends a gateway whose only platform has
        # failed for good, and chats, REST clients and cron jobs are not to pay for
        # this. And much of it heals: a port is freed, a key file is made.
        self._set_fatal_error(code, message, retryable=True)
        # Hermes changes that to "retrying" next, which `hermes gateway status` does not show.
        report = {"platform_state": "fatal", "error_code": code, "error_message": message}
        asyncio.get_running_loop().call_later(
            REPORT_DELAY, lambda: write_runtime_status(platform=self._name, **report)
        )

    async def disconnect(self) -> None:
        """Stop the server; may be called twice, and after a failed `connect`."""
        self._mark_disconnected()
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            # A gateway whose time limit is over cancels this; the stop itself goes on.
            await asyncio.shield(hosted.stop())

    async def send(
        self, chat_id: str, content: str, reply_to: Any = None, metadata: Any = None
    ) -> Any:
        """Refuse: no chat is carried here."""
        return SendResult(success=False, error="this platform carries no chats")

    async def get_chat_info(self, chat_id: str) -> dict[str, Any]:
        """Return a fixed description: no chat is carried here."""
        return {"name": "Terminal attach", "type": "api"}

    def _given(self) -> dict[str, Any]:
        extra = self.config.extra
        return dict(extra) if isinstance(extra, Mapping) else {}


def _home() -> Path:
    constants = importlib.import_module("hermes_constants")
    return Path(constants.get_hermes_home())


def _patience() -> float:
    try:
        return max(0.0, float(os.environ.get(PATIENCE_VARIABLE) or PATIENCE))
    except ValueError:
        return PATIENCE
