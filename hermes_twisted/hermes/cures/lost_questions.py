"""Open questions of Hermes, for clients that were not there when they were asked.

Up to 0.19 a question (approval, clarify, sudo, secret) is sent once: who takes a
session over while its turn waits for an answer never learns of it, and the turn waits
until it gives up. Later releases hand their `open_requests` over themselves.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import OrderedDict, deque
from types import ModuleType
from typing import Any, Final

from ..codec import encode

_log = logging.getLogger(__name__)

#: Events that ask something end like this, in all releases up to 0.19.
SUFFIX: Final = ".request"
APPROVAL: Final = "approval.request"
#: Ends a turn, and with it what it asked.
TURN_END: Final = "message.complete"
#: What a result has where Hermes tells of its questions itself.
NATIVE: Final = "open_requests"

#: Sessions whose questions are kept, and questions of one session.
SESSIONS: Final = 256
PER_SESSION: Final = 16

#: Kind, request id (empty for approvals) and frame.
Question = tuple[str, str, bytes]


class Questions:
    """The latest questions of each session; which of them still wait, Hermes knows."""

    def __init__(self, server: ModuleType) -> None:
        self._server = server
        self._asked: OrderedDict[str, deque[Question]] = OrderedDict()
        self._lock = threading.Lock()

    def notice(self, params: dict[str, Any], text: bytes) -> None:
        """An event went to a client, or to nobody. Called by any thread."""
        kind, sid = params.get("type"), params.get("session_id")
        if not isinstance(kind, str) or not isinstance(sid, str) or not sid:
            return
        if kind == TURN_END:
            with self._lock:
                self._asked.pop(sid, None)
        elif kind.endswith(SUFFIX):
            payload = params.get("payload")
            request = payload.get("request_id") if isinstance(payload, dict) else None
            with self._lock:
                asked = self._asked.setdefault(sid, deque(maxlen=PER_SESSION))
                self._asked.move_to_end(sid)
                asked.append((kind, request if isinstance(request, str) else "", text))
                if len(self._asked) > SESSIONS:
                    self._asked.popitem(last=False)

    def lost(self, obj: dict[str, Any]) -> None:
        """A frame came to nobody; if it asks something, somebody may still come to answer."""
        params = obj.get("params")
        if isinstance(params, dict) and str(params.get("type")).endswith(SUFFIX):
            try:
                text = encode(obj)
            except Exception:
                _log.error("a question of Hermes cannot be put in JSON: left out")
                return
            self.notice(params, text)

    def to_repeat(self, response: Any) -> list[bytes]:
        """What whoever got this answer, and with it a session, should be asked again."""
        result = response.get("result") if isinstance(response, dict) else None
        if not isinstance(result, dict) or NATIVE in result:
            return []
        sid = result.get("session_id")
        with self._lock:
            asked = list(self._asked.get(sid, ())) if isinstance(sid, str) else []
        if not asked:
            return []
        approvals = [text for kind, _request, text in asked if kind == APPROVAL]
        waiting = self._approvals(str(sid))
        pending = getattr(self._server, "_pending", {})
        others = [text for _kind, request, text in asked if request and request in pending]
        return [*approvals[-waiting:], *others] if waiting else others

    def _approvals(self, sid: str) -> int:
        """How many approvals this session waits for: Hermes keeps them by stored key."""
        key = (self._server._sessions.get(sid) or {}).get("session_key")
        queues = getattr(sys.modules.get("tools.approval"), "_gateway_queues", {})
        return min(len(queues.get(key) or ()), PER_SESSION)
