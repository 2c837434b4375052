"""The courtesy hold: a person whose key is refused reads why, in the terminal UI itself.

The stock UI shows the same empty error for every HTTP refusal, and turns a WebSocket
that is closed at once into a storm of new ones. So a few refused UIs are let through
the upgrade, into a waiting room: they are told what is wrong, and that is all.
"""

from __future__ import annotations

from typing import Final

from .. import rpc
from ..access.handshake import Head
from ..access.refusals import Refused
from ..access.sources import Tenants
from ..limits import Limits

#: What the UI's WebSocket library calls itself: Node's own, or the one in the bundle.
_USER_AGENTS: Final = frozenset({b"node", b"undici"})
#: The text is shown until this is cleared or replaced.
NOTICE_KEY: Final = "hermes-attach.refused"


def looks_like_terminal(head: Head) -> bool:
    """Whether the stock UI asks: every browser sends an `Origin`, and other clients their name."""
    agent = head.one(b"user-agent") or b""
    return b"origin" not in head.headers and agent.lower() in _USER_AGENTS


def explanation(refused: Refused) -> list[bytes]:
    """The frames that tell the UI's user: a line that stays, and one in the transcript."""
    text = f"{refused.title} {refused.advice}"
    notice = {
        "id": NOTICE_KEY,
        "key": NOTICE_KEY,
        "kind": "sticky",
        "level": "error",
        "text": f"Not attached: {refused.title}",
        "ttl_ms": None,
    }
    return [rpc.event("notification.show", notice), rpc.notice(f"Not attached. {text}")]


def reply(text: bytes) -> bytes:
    """The answer to whatever a held client asks: nothing, politely."""
    try:
        return rpc.result(rpc.parse(text).id, {})
    except rpc.BadFrame as bad:
        return bad.answer


class Places:
    """The waiting room's places: few in all, fewer for one source."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._tenants = Tenants()

    def take(self, source: str) -> bool:
        """Whether there is a place, which is then taken."""
        if self._taken >= self._limits.held:
            return False
        if self._tenants.of(source) >= self._limits.held_of_source:
            return False
        self._taken += 1
        self._tenants.enter(source)
        return True

    def leave(self, source: str) -> None:
        """The place is free again."""
        self._taken -= 1
        self._tenants.leave(source)
