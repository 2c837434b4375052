"""One client as Hermes sees it: the transport object of its sessions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from ..shared.lanes import LATER, LanePool
from ..shared.outbox import ANSWER, DELTA, EVENT, NOTE, Outbox
from .codec import decode, encode
from .cures.lost_questions import Questions
from .live_ids import Aliases

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

    pool_share: int
    """How many requests of one client may run in Hermes' own pool at once."""

    def is_pooled(self, request: Any) -> bool:
        """Whether Hermes runs *request* in its own pool of threads."""

    def greet(self, seat: HostSeat, former: list[Former]) -> None:
        """Send `gateway.ready`, or give the *former* sessions back instead."""

    def sessions_of(self, seat: HostSeat) -> list[Former]:
        """The sessions whose events go to *seat*, by Hermes' live ids."""

    def dispatch(self, request: Any, seat: HostSeat) -> dict[str, Any] | None:
        """Run one request; None means that the answer comes through `HostSeat.write`."""

    def release(self, seat: HostSeat) -> None:
        """The client is gone."""

    def noticed(self, params: dict[str, Any], text: bytes) -> None:
        """An event, other than a delta, goes to a client."""


class _Job:
    """One request in a lane; it may have to wait there after it was taken apart."""

    __slots__ = ("_request", "_seat", "_tag", "_text", "_urgent")

    def __init__(self, seat: HostSeat, tag: int, text: bytes, urgent: bool) -> None:
        self._seat = seat
        self._tag = tag
        self._text = text
        self._urgent = urgent
        self._request: Any = _UNREAD

    def __call__(self) -> object:
        if self._request is _UNREAD:
            self._request = _read(self._text)
        return self._seat.run(self._tag, self._request, len(self._text), limited=not self._urgent)


#: In the place of a request: one that has not been read, and one that cannot be.
_UNREAD: Final = object()
_UNREADABLE: Final = object()


def _read(text: bytes) -> Any:
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return _UNREADABLE


@dataclass(eq=False, slots=True)
class _Asked:
    """A request that is not answered yet."""

    key: str | tuple[str]
    tag: int
    pooled: bool


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
        self._own: dict[str, SimpleQueue[dict[str, Any]]] = {}
        self.aliases = Aliases()
        self._lane = host.lanes.lane()
        self._urgent = host.lanes.lane(urgent=True)
        self._lock = threading.Lock()
        self._asked: dict[str | tuple[str], list[_Asked]] = {}
        self._followed: dict[str | tuple[str], Callable[[Any], None]] = {}
        self._pooled = 0
        self._closed = False

    def write(self, obj: dict[str, Any]) -> bool:
        """Queue one frame, serialised now; False only if the client is gone. Never blocks."""
        if self._closed:
            self._host.questions.lost(obj)
            return False
        if "method" not in obj:
            if self._own and (waiting := self._own.get(str(obj.get("id")))) is not None:
                waiting.put(obj)
                return True
            return self._answer_later(obj)
        params = obj.get("params")
        if not isinstance(params, dict):
            params = {}
        kind = params.get("type")
        if self._notes and kind == TURN_START:
            self._turns.add(str(params.get("session_id")))
            self.note_sessions()
        ends = self._notes and kind in TURN_ENDS
        if ends:
            self._turns.discard(str(params.get("session_id")))
        return self._put_event(obj, params, kind, noting=ends)

    def _put_event(
        self, obj: dict[str, Any], params: dict[str, Any], kind: Any, *, noting: bool
    ) -> bool:
        try:
            text = encode(self.aliases.outward(obj) if self.aliases else obj)
        except Exception:  # Hermes' objects may raise anything when they are asked for a text.
            _log.error("an event of type %.64s cannot be put in JSON: left out", kind)
            if noting:
                self.note_sessions()
            return True
        if kind in DELTA_EVENTS:
            return self._outbox.put(text, DELTA)
        self._host.noticed(params, text)
        return self._put(text, EVENT, noting=noting)

    def answer(self, response: dict[str, Any], tag: int) -> bool:
        """Queue the answer to the request *tag*, and do what was to follow it."""
        queued = self._put_answer(response, tag)
        if self._followed and (follow := self._followed.pop(_id_key(response.get("id")), None)):
            follow(response)
        return queued

    def _put_answer(self, response: dict[str, Any], tag: int) -> bool:
        try:
            text = encode(self.aliases.outward(response) if self.aliases else response)
        except Exception:
            _log.error("an answer cannot be put in JSON: replaced by an error")
            text = _internal_error(response.get("id"))
        return self._put(text, ANSWER, tag, noting=self._notes and _tells_of_session(response))

    def _put(self, text: bytes, kind: int, tag: int = 0, *, noting: bool) -> bool:
        """Queue a frame, and with it, if *noting*, what it means for the sessions."""
        if not noting:
            return self._outbox.put(text, kind, tag)
        with self._notes_lock:
            return self._outbox.put(text, kind, tag, self._new_note())

    def close(self) -> None:
        """Hermes may call this; the front decides when a client ends."""

    def note_sessions(self) -> None:
        """Tell the front which sessions this client has, if that is another set now."""
        with self._notes_lock:
            if note := self._new_note():
                self._outbox.put(note, NOTE)

    def _new_note(self) -> bytes:
        """What the front does not know yet; empty if it knows all. With the lock held."""
        sessions = [
            {
                **session,
                "id": self.aliases.known(session["id"]),
                "running": session["id"] in self._turns,
            }
            for session in self._host.sessions_of(self)
        ]
        note = encode({"sessions": sessions})
        if note == self._last_note:
            return b""
        self._last_note = note
        return note

    def note(self, note: dict[str, Any]) -> None:
        """Tell the front something else."""
        self._outbox.put(encode(note), NOTE)

    # The host's side.

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any] | None:
        """The answer to a request of our own, in the client's name; None after *timeout* s.

        Blocks, so: off the threads that Hermes answers from.
        """
        identity = str(request["id"])
        waiting = self._own[identity] = SimpleQueue()
        try:
            return self._host.dispatch(request, self) or waiting.get(timeout=timeout)
        except Empty:
            return None
        finally:
            del self._own[identity]

    def when_answered(self, identity: Any, follow: Callable[[Any], None]) -> None:
        """Call *follow* with the answer to this request, behind it."""
        self._followed[_id_key(identity)] = follow

    def repeat(self, text: bytes) -> None:
        """Queue an event that Hermes has written before, to this client or another."""
        self._outbox.put(text, EVENT)

    @property
    def owes(self) -> bool:
        """Whether a request is unanswered, or something that was written has not gone."""
        unanswered = bool(self._asked) or self._lane.waits
        return not self._closed and (unanswered or self._outbox.size > 0)

    def submit(self, tag: int, text: bytes, *, urgent: bool) -> None:
        """Run one request of the client, after its earlier ones. Never blocks."""
        lane = self._urgent if urgent else self._lane
        lane.put(_Job(self, tag, text, urgent))

    def detach(self) -> None:
        """The client is gone: forget what waits, and let Hermes know in a thread."""
        self._closed = True
        self._outbox.close()
        self._lane.clear()
        self._urgent.clear()
        # Behind a running job, which may be about to give this seat a session.
        self._lane.put(lambda: self._host.release(self))
        self._lane.resume()

    def welcome(self, former: list[Former]) -> None:
        """Send `gateway.ready`, or resume what was, before anything else runs for this client."""
        self._lane.put(lambda: self._host.greet(self, former))

    def run(self, tag: int, request: Any, size: int, *, limited: bool) -> object:
        """Run a request of *size* bytes; `LATER` if this client's share of the pool is in use."""
        pooled = limited and not self._closed and self._host.is_pooled(request)
        if pooled and not self._enter_pool():
            return LATER
        self._outbox.settle(size)
        if request is _UNREADABLE:
            self.answer({"jsonrpc": "2.0", "error": PARSE_ERROR, "id": None}, tag)
        elif not self._closed:
            identity = request.get("id") if isinstance(request, dict) else None
            self._dispatch(_Asked(_id_key(identity), tag, pooled), request, identity)
        return None

    def _dispatch(self, asked: _Asked, request: Any, identity: Any) -> None:
        # Long handlers answer through `write`, perhaps before `dispatch` returns. The
        # client's own response to a question is answered by nobody.
        if not isinstance(request, dict) or "method" in request:
            with self._lock:
                self._asked.setdefault(asked.key, []).append(asked)
        try:
            if self.aliases:
                request = self.aliases.inward(request)
            response = self._host.dispatch(request, self)
        except BaseException:  # A handler must not take the client's lane with it.
            _log.exception("a request handler of Hermes failed")
            response = {"jsonrpc": "2.0", "error": INTERNAL_ERROR, "id": identity}
        if response is not None:
            with self._lock:
                self._forget(asked)
            self.answer(response, asked.tag)
            self._leave_pool(asked)

    def _answer_later(self, response: dict[str, Any]) -> bool:
        """An answer that did not come from `dispatch`: from Hermes' pool."""
        asked = self._likely(_id_key(response.get("id")))
        accepted = self.answer(response, asked.tag if asked is not None else 0)
        if asked is not None:
            self._leave_pool(asked)
        return accepted

    def _likely(self, key: str | tuple[str]) -> _Asked | None:
        """Forget and return the request that is likely to be answered under this id.

        A client may use one id for several requests at once.
        """
        with self._lock:
            waiting = self._asked.get(key)
            if not waiting:
                return None
            asked = next((one for one in waiting if one.pooled), waiting[0])
            self._forget(asked)
            return asked

    def _forget(self, asked: _Asked) -> None:
        waiting = self._asked.get(asked.key)
        if waiting and asked in waiting:
            waiting.remove(asked)
            if not waiting:
                del self._asked[asked.key]

    def _enter_pool(self) -> bool:
        with self._lock:
            if self._pooled >= self._host.pool_share:
                return False
            self._pooled += 1
            return True

    def _leave_pool(self, asked: _Asked) -> None:
        if asked.pooled:
            with self._lock:
                self._pooled -= 1
            self._lane.resume()


def _tells_of_session(response: dict[str, Any]) -> bool:
    """Whether an answer may have given the client a session, or taken one away."""
    result = response.get("result")
    return isinstance(result, dict) and ("session_id" in result or "closed" in result)


def _internal_error(identity: Any) -> bytes:
    """In place of an answer; without the id if that is what cannot be put in JSON."""
    try:
        return encode({"jsonrpc": "2.0", "id": identity, "error": INTERNAL_ERROR})
    except Exception:
        return encode({"jsonrpc": "2.0", "id": None, "error": INTERNAL_ERROR})


def _id_key(identity: Any) -> str | tuple[str]:
    """JSON-RPC ids may be of any JSON type; 1, 1.0, true and "1" are four ids."""
    return identity if type(identity) is str else (repr(identity),)
