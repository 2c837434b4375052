"""Open questions of Hermes, for clients that were not there when they were asked.

A question (approval, clarify, sudo, secret) is sent once. A client that takes a session over
while its turn waits for an answer never gets it, and the turn waits until it gives up.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from types import ModuleType
from typing import Any, Final

from ...shared.bounded_map import BoundedMap
from ..codec import encode
from ..methods import TURN_END, Response
from .cure import Cure

_log = logging.getLogger(__name__)

CURE: Final = Cure(
    name="lost_questions",
    what="A question (approval, clarify, sudo, secret) is sent once: a client that takes the "
    "session over never gets it, and the turn waits until it gives up.",
    releases="up to 0.19",
    found="the answer to `session.resume` or `session.activate` has no `open_requests`, with which "
    "later releases hand their questions over",
    cured="Questions that wait are asked again behind that answer, also those that were asked "
    "while no client was there: from 0.17 on, the transport of such sessions "
    "(`_detached_ws_transport`) is replaced for that.",
)

#: Events that ask something end like this, in all releases up to 0.19.
SUFFIX: Final = ".request"
APPROVAL: Final = "approval.request"
#: The field of a result in which Hermes hands its questions over itself.
NATIVE: Final = "open_requests"

#: Sessions whose questions are kept, and questions of one session.
SESSIONS: Final = 256
PER_SESSION: Final = 16

#: Kind, request id (empty for approvals) and frame.
Question = tuple[str, str, bytes]


class Questions:
    """Keeps the latest questions of each session. Thread-safe.

    Which of them still wait is read from Hermes when they are repeated.
    """

    def __init__(self, server: ModuleType) -> None:
        self._server = server
        self._asked: BoundedMap[str, deque[Question]] = BoundedMap(SESSIONS)
        self._lock = threading.Lock()

    def notice(self, params: dict[str, Any], text: bytes) -> None:
        """Follow an event, in JSON *text*, whether or not a client gets it."""
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
                asked = self._asked.get(sid)
                if asked is None:
                    asked = deque(maxlen=PER_SESSION)
                asked.append((kind, request if isinstance(request, str) else "", text))
                self._asked[sid] = asked

    def lost(self, obj: dict[str, Any]) -> None:
        """Keep a frame that has no client, if it is a question: a client may still come."""
        params = obj.get("params")
        if isinstance(params, dict) and str(params.get("type")).endswith(SUFFIX):
            try:
                text = encode(obj)
            except Exception:
                _log.error("left out a question of Hermes: it cannot be put in JSON")
                return
            self.notice(params, text)

    def to_repeat(self, response: Response) -> list[bytes]:
        """Return the questions to ask again behind the answer that gave a client a session."""
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
        """Return how many approvals the session waits for. Hermes keeps them by stored key."""
        key = (self._server._sessions.get(sid) or {}).get("session_key")
        queues = getattr(sys.modules.get("tools.approval"), "_gateway_queues", {})
        return min(len(queues.get(key) or ()), PER_SESSION)
