"""A client in the host, before a Hermes whose handlers the test writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from hermes_twisted.hermes.cures.lost_questions import Questions
from hermes_twisted.hermes.requests import MethodTraits
from hermes_twisted.hermes.seat import HostSeat
from hermes_twisted.hermes.transport import Transport
from hermes_twisted.shared.outbox import ANSWER, Item, Outbox
from hermes_twisted.shared.settlements import Settlements

#: Only a broken host makes a test wait that long.
GUARD = 60.0
EVERYTHING = 2**40
#: Places in Hermes' pool that one client has.
POOL_SHARE = 2

Handler = Callable[[Any, Transport], dict[str, Any] | None]


def echo(request: Any, transport: Transport) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": {}}


class LongMethods(frozenset[str]):
    """The methods that Hermes runs in its pool: all that begin with `long.`."""

    on_look: Callable[[], None] = staticmethod(lambda: None)

    def __contains__(self, method: object) -> bool:
        self.on_look()
        return isinstance(method, str) and method.startswith("long.")


class Client:
    """A seat and its outbox; each request goes to *handler*."""

    def __init__(self, lanes: Any, handler: Handler = echo, *, notes: bool = False) -> None:
        self.lanes = lanes
        self.handler = handler
        self.log: list[Any] = []
        self.sessions: dict[str, dict[str, Any]] = {}
        self.questions = Questions(ModuleType("tui_gateway.server"))
        self.long_methods = LongMethods()
        self.outbox = Outbox(lambda: None)
        self.settlements = Settlements(lambda: None, count=1)
        self.seat = HostSeat(
            self.outbox,
            self.settlements,
            lanes,
            dispatch=self.dispatch,
            traits=MethodTraits(self.long_methods, {"follow": self.follow_up}),
            pool_share=POOL_SHARE,
            sessions_of=lambda transport: self.sessions.items(),
            on_event=self.questions.notice,
            on_lost=self.questions.lost,
            notes=notes,
        )

    def dispatch(self, request: Any, transport: Transport) -> dict[str, Any] | None:
        self.log.append(request)
        return self.handler(request, transport)

    def follow_up(self, response: dict[str, Any]) -> Iterable[bytes]:
        return [json.dumps({"behind": response["id"]}).encode()]

    def write(self, obj: dict[str, Any]) -> bool:
        return self.seat.transport.write(obj)

    def ask(self, tag: int, request: Any, *, urgent: bool = False) -> None:
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.seat.requests.submit(tag, text, urgent=urgent)

    def end(self) -> None:
        self.seat.end(lambda: self.log.append("released"))

    def note_sessions(self) -> None:
        assert self.seat.notes is not None
        self.seat.notes.update()

    def items(self) -> list[Item]:
        assert self.lanes.wait_quiet(GUARD)
        return self.outbox.take(EVERYTHING)

    def answers(self) -> list[tuple[int, Any]]:
        """Tags and answers that went out."""
        return [(tag, json.loads(text)) for kind, tag, text in self.items() if kind == ANSWER]


def event(kind: Any, **payload: Any) -> dict[str, Any]:
    params = {"type": kind, "session_id": "s", "payload": payload}
    return {"jsonrpc": "2.0", "method": "event", "params": params}


def answer(identity: Any, result: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": result}
