"""For tests of what serves a terminal: a connection in memory, a backend that is played by hand.

Nothing of the package imports this. The wire behaves as Twisted's TCP does where that
matters: a connection ends in a later turn of the loop, a paused one keeps what comes.
"""

from __future__ import annotations

from ..seats.journal import Value


class MemoryAudit:
    """An `Audit` that can be read."""

    def __init__(self) -> None:
        self.events: list[dict[str, Value]] = []
        self.closed = False

    def record(self, event: str, **fields: Value) -> None:
        """See `Audit`."""
        assert not self.closed
        known = {name: value for name, value in fields.items() if value is not None}
        self.events.append({"event": event, **known})

    def close(self) -> None:
        """See `Audit`."""
        self.closed = True

    def of(self, event: str) -> list[dict[str, Value]]:
        """The events of one kind."""
        return [noted for noted in self.events if noted["event"] == event]
