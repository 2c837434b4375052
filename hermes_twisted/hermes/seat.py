"""One client as Hermes sees it: the transport object of its sessions."""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from ..core.lanes import LanePool
from ..core.outbox import ANSWER, DELTA, EVENT, NOTE, Outbox
from .aliases import Aliases
from .encode import encode
from .questions import Questions

_log = logging.getLogger(__name__)

#: Events that repeat, token by token, what a later event carries whole.
DELTA_EVENTS: Final = frozenset({"message.delta", "reasoning.delta", "thinking.delta"})

#: Events that begin a turn and end it.
TURN_START: Final = "message.start"
TURN_ENDS: Final = frozenset({"message.complete", "error"})

#: A session of a client as it was when last heard of: `id`, the live id that the client
#: knows, `key`, the stored one, `cols`, its width, and `running`, whether a turn ran.
Former = dict[str, Any]

PARSE_ERROR: Final = {"code": -32700, "message": "parse error"}
INTERNAL_ERROR: Final = {"code": -32603, "message": "internal error"}


class Dispatcher(Protocol):
    """What a seat needs of its host."""

    lanes: LanePool
    questions: Questions

    def greet(self, seat: HostSeat, former: list[Former]) -> None:
        """Send `gateway.ready`, or give the *former* sessions back instead."""

    def sessions_of(self, seat: HostSeat) -> list[Former]:
        """The sessions whose events go to *seat*, by Hermes' live ids."""

    def dispatch(self, request: Any, seat: HostSeat) -> dict[str, Any] | None:
        """Run one request; None means that the answer comes through `HostSeat.write`."""

    def release(self, seat: HostSeat) -> None:
        """The client is gone."""


class HostSeat:
    """A transport in the sense of `tui_gateway.transport`.

    Hermes calls `write` from any of its threads and compares transports by
    identity; it reads `_closed` to tell a client that is gone.
    """

    def __init__(self, host: Dispatcher, outbox: Outbox, *, notes: bool = False) -> None:
        """*notes*: tell the front, in the outbox, which sessions there are."""
        self._host = host
        self._outbox = outbox
        self._notes = notes
        self._notes_lock = threading.Lock()
        self._last_note = b""
        self._turns: set[str] = set()
        self._asked: dict[str, SimpleQueue[dict[str, Any]]] = {}
        self.aliases = Aliases()
        self._lane = host.lanes.lane()
        self._urgent = host.lanes.lane(urgent=True)
        self._tags_lock = threading.Lock()
        self._tags: defaultdict[str | tuple[str], deque[int]] = defaultdict(deque)
        self._followed: dict[str | tuple[str], Callable[[Any], None]] = {}
        self._closed = False

    def write(self, obj: dict[str, Any]) -> bool:
        """Queue one frame, serialised now; False only if the client is gone. Never blocks."""
        if self._closed:
            self._host.questions.lost(obj)
            return False
        if "method" not in obj:
            if self._asked and (waiting := self._asked.get(str(obj.get("id")))) is not None:
                waiting.put(obj)
                return True
            return self.answer(obj, self._take_tag(obj.get("id")))
        params = obj.get("params")
        if not isinstance(params, dict):
            params = {}
        kind = params.get("type")
        if self._notes and kind == TURN_START:
            self._turns.add(str(params.get("session_id")))
            self.note_sessions()
        queued = self._put_event(obj, params, kind)
        if self._notes and kind in TURN_ENDS:
            self._turns.discard(str(params.get("session_id")))
            self.note_sessions()
        return queued

    def _put_event(self, obj: dict[str, Any], params: dict[str, Any], kind: Any) -> bool:
        try:
            text = encode(self.aliases.outward(obj) if self.aliases else obj)
        except Exception:  # Hermes' objects may raise anything when they are asked for a text.
            _log.error("an event of type %.64s cannot be put in JSON: left out", kind)
            return True
        if kind in DELTA_EVENTS:
            return self._outbox.put(text, DELTA)
        self._host.questions.notice(params, text)
        return self._outbox.put(text, EVENT)

    def answer(self, response: dict[str, Any], tag: int) -> bool:
        """Queue the answer to the request *tag*, and do what was to follow it."""
        queued = self._put_answer(self.aliases.outward(response) if self.aliases else response, tag)
        if self._notes and isinstance(response.get("result"), dict):
            self._note_after(response["result"])
        if self._followed and (follow := self._followed.pop(_id_key(response.get("id")), None)):
            follow(response)
        return queued

    def _put_answer(self, response: dict[str, Any], tag: int) -> bool:
        try:
            text = encode(response)
        except Exception:
            _log.error("an answer cannot be put in JSON: replaced by an error")
            text = _internal_error(response.get("id"))
        return self._outbox.put(text, ANSWER, tag)

    def close(self) -> None:
        """Hermes may call this; the front decides when a client ends."""

    def note_sessions(self) -> None:
        """Tell the front which sessions this client has, if that is another set now."""
        with self._notes_lock:
            sessions = [
                {
                    **session,
                    "id": self.aliases.known(session["id"]),
                    "running": session["id"] in self._turns,
                }
                for session in self._host.sessions_of(self)
            ]
            note = encode({"sessions": sessions})
            if note != self._last_note:
                self._last_note = note
                self._outbox.put(note, NOTE)

    def note(self, note: dict[str, Any]) -> None:
        """Tell the front something else."""
        self._outbox.put(encode(note), NOTE)

    def _note_after(self, result: dict[str, Any]) -> None:
        """An answer that tells of a session may have given it to this client, or taken it."""
        if "session_id" in result or "closed" in result:
            self.note_sessions()

    # The host's side.

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any] | None:
        """The answer to a request of our own, in the client's name; None after *timeout* s.

        Blocks, so: off the threads that Hermes answers from.
        """
        identity = str(request["id"])
        waiting = self._asked[identity] = SimpleQueue()
        try:
            return self._host.dispatch(request, self) or waiting.get(timeout=timeout)
        except Empty:
            return None
        finally:
            del self._asked[identity]

    def when_answered(self, identity: Any, follow: Callable[[Any], None]) -> None:
        """Call *follow* with the answer to this request, behind it."""
        self._followed[_id_key(identity)] = follow

    def repeat(self, text: bytes) -> None:
        """Queue an event that Hermes has written before, to this client or another."""
        self._outbox.put(text, EVENT)

    @property
    def owes(self) -> bool:
        """Whether a request is unanswered, or something that was written has not gone."""
        return not self._closed and (bool(self._tags) or self._outbox.size > 0)

    def submit(self, tag: int, text: bytes, *, urgent: bool) -> None:
        """Run one request of the client, after its earlier ones. Never blocks."""
        lane = self._urgent if urgent else self._lane
        lane.put(lambda: self._run(tag, text))

    def detach(self) -> None:
        """The client is gone: forget what waits, and let Hermes know in a thread."""
        self._closed = True
        self._outbox.close()
        self._lane.clear()
        self._urgent.clear()
        # Behind a running job, which may be about to give this seat a session.
        self._lane.put(lambda: self._host.release(self))

    def welcome(self, former: list[Former]) -> None:
        """Send `gateway.ready`, or resume what was, before anything else runs for this client."""
        self._lane.put(lambda: self._host.greet(self, former))

    def _run(self, tag: int, text: bytes) -> None:
        self._outbox.settle(len(text))
        if not self._closed:
            self._dispatch(tag, text)

    def _dispatch(self, tag: int, text: bytes) -> None:
        try:
            request = json.loads(text.decode())
        except (ValueError, RecursionError):
            self.answer({"jsonrpc": "2.0", "error": PARSE_ERROR, "id": None}, tag)
            return
        identity = request.get("id") if isinstance(request, dict) else None
        # Long handlers answer through `write`, perhaps before `dispatch` returns.
        self._note_tag(identity, tag)
        try:
            if self.aliases:
                request = self.aliases.inward(request)
            response = self._host.dispatch(request, self)
        except BaseException:  # A handler must not take the client's lane with it.
            _log.exception("a request handler of Hermes failed")
            response = {"jsonrpc": "2.0", "error": INTERNAL_ERROR, "id": identity}
        if response is not None:
            self._take_tag(identity, tag)
            self.answer(response, tag)

    def _note_tag(self, identity: Any, tag: int) -> None:
        with self._tags_lock:
            self._tags[_id_key(identity)].append(tag)

    def _take_tag(self, identity: Any, tag: int | None = None) -> int:
        """Forget and return *tag*, or the oldest tag that waits under this id (0: none)."""
        key = _id_key(identity)
        with self._tags_lock:
            waiting = self._tags.get(key)
            if not waiting:
                return 0
            if tag is None:
                tag = waiting.popleft()
            elif tag in waiting:
                waiting.remove(tag)
            if not waiting:
                del self._tags[key]
            return tag


def _internal_error(identity: Any) -> bytes:
    """In place of an answer; without the id if that is what cannot be put in JSON."""
    try:
        return encode({"jsonrpc": "2.0", "id": identity, "error": INTERNAL_ERROR})
    except Exception:
        return encode({"jsonrpc": "2.0", "id": None, "error": INTERNAL_ERROR})


def _id_key(identity: Any) -> str | tuple[str]:
    """JSON-RPC ids may be of any JSON type; 1, 1.0, true and "1" are four ids."""
    return identity if type(identity) is str else (repr(identity),)
