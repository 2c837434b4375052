"""Notes to the front about a seat's sessions, in order with its frames.

The front keeps the latest note in its session ledger. If this worker dies, the next one
restores the sessions from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ..shared.outbox import NOTE, Outbox
from ..shared.schema import RestoredSession, SavedSession, SessionNote, encode


class SessionNotes:
    """Notes which sessions a seat has and which of them run a turn. Thread-safe.

    *sessions* lists the seat's sessions, by the live ids that its client knows; its
    argument are Hermes' live ids of those that run a turn.
    """

    def __init__(
        self, outbox: Outbox, sessions: Callable[[frozenset[str]], Iterable[SavedSession]]
    ) -> None:
        self._outbox = outbox
        self._sessions = sessions
        self._turns: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._noted: tuple[SavedSession, ...] | None = None

    def turn_started(self, live_id: str) -> None:
        """Note, before the first event of a turn, that it runs."""
        with self._lock:
            self._turns |= {live_id}
            self._queue()

    def turn_ended(self, live_id: str) -> None:
        """Count the turn as ended; the note goes out with the next `put`."""
        with self._lock:
            self._turns -= {live_id}

    def put(self, text: bytes, kind: int, tag: int = 0) -> bool:
        """Queue a frame and, in one piece with it, a note of what it has changed.

        In one piece, so that no end of the worker comes between the two. Returns False
        if the client is gone.
        """
        with self._lock:
            return self._outbox.put(text, kind, tag, self._new_note())

    def update(self) -> None:
        """Queue a note if the sessions differ from those noted last."""
        with self._lock:
            self._queue()

    def restored(self, sessions: tuple[RestoredSession, ...]) -> None:
        """Note that these sessions were restored."""
        with self._lock:
            self._noted = tuple(self._sessions(self._turns))
            self._outbox.put(encode(SessionNote(self._noted, sessions)), NOTE)

    def _queue(self) -> None:
        if note := self._new_note():
            self._outbox.put(note, NOTE)

    def _new_note(self) -> bytes:
        """Return a note if sessions have changed, else nothing. Call it with the lock."""
        sessions = tuple(self._sessions(self._turns))
        if sessions == self._noted:
            return b""
        self._noted = sessions
        return encode(SessionNote(sessions))
