"""One client in the host: its transport towards Hermes and its requests, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from ..shared.schema import SavedSession
from ..shared.settlements import Settlements
from .answers import Answers
from .live_ids import LiveIds
from .methods import Request, Response
from .outgoing import Outgoing
from .own_requests import OwnRequests
from .requests import MethodTraits, Requests
from .session_notes import SessionNotes
from .transport import Transport

#: Returns Hermes' sessions whose events go to a transport: live id and session.
Sessions = Callable[[Transport], Iterable[tuple[str, dict[str, Any]]]]


class HostSeat:
    """One client's parts in the host. `Host` makes and ends it."""

    def __init__(
        self,
        outbox: Outbox,
        settlements: Settlements,
        lanes: LanePool,
        *,
        dispatch: Callable[[Any, Transport], Response | None],
        traits: MethodTraits,
        pool_share: int,
        sessions_of: Sessions,
        on_event: Callable[[dict[str, Any], bytes], None],
        on_lost: Callable[[dict[str, Any]], None],
        notes: bool,
    ) -> None:
        """*notes*: report the client's sessions to the front, in the outbox."""
        self._outbox = outbox
        self._settlements = settlements
        self._lane = lanes.lane()
        self._dispatch = dispatch
        self._sessions_of = sessions_of
        self._own_requests = OwnRequests()
        self.live_ids = LiveIds()
        self.notes = SessionNotes(outbox, self._saved_sessions) if notes else None
        """None in one process with the front, where sessions cannot be restored."""
        outgoing = Outgoing(outbox, self.live_ids, self.notes, on_event)
        answers = Answers(outgoing, pool_share, self._lane.resume)
        self.transport = Transport(outgoing, answers, self._own_requests, on_lost)
        self.requests = Requests(
            self._lane,
            lanes.lane(urgent=True),
            settlements,
            self.transport,
            answers,
            self.live_ids,
            traits,
            dispatch,
        )

    def run_first(self, job: Callable[[], None]) -> None:
        """Run *job* in the lane, before the requests that come from now on."""
        self._lane.put(job)

    def ask(self, request: Request, timeout: float) -> Response | None:
        """Return the answer to a request of the host's own; None after *timeout* seconds.

        Blocks, so call it in a thread that Hermes does not answer from.
        """
        return self._own_requests.ask(
            str(request["id"]), lambda: self._dispatch(request, self.transport), timeout
        )

    @property
    def owes(self) -> bool:
        """Whether a request has no answer yet, or frames have not gone out."""
        gone = self.requests.ended
        return not gone and (self.requests.pending or self._outbox.size > 0)

    def end(self, then: Callable[[], None]) -> None:
        """Drop what waits: the client is gone. *then* runs behind the request that runs now."""
        self.transport.mark_closed()
        self._outbox.close()
        self._settlements.close()
        # That request may be about to bind a session to the transport.
        self.requests.end(then)

    def _saved_sessions(self, running: frozenset[str]) -> list[SavedSession]:
        """Return the client's sessions; *running* are Hermes' live ids of those in a turn."""
        found = []
        for live_id, session in self._sessions_of(self.transport):
            key, cols = session.get("session_key"), session.get("cols")
            found.append(
                SavedSession(
                    self.live_ids.of_client(live_id),
                    key if isinstance(key, str) else None,
                    cols if isinstance(cols, int) else None,
                    live_id in running,
                )
            )
        return found
