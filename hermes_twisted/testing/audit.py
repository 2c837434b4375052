"""An audit log in memory, for tests."""

from __future__ import annotations

from ..seats.journal import Value


class MemoryAudit:
    """An `Audit` that keeps its events in the list `events`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Value]] = []
        self.closed = False

    def record(self, event: str, **fields: Value) -> None:
        """Append one event, without fields that are None, as in the audit log."""
        assert not self.closed
        known = {name: value for name, value in fields.items() if value is not None}
        self.events.append({"event": event, **known})

    def close(self) -> None:
        """Set `closed`; a later `record` fails."""
        self.closed = True

    def of(self, event: str) -> list[dict[str, Value]]:
        """Return the events named *event*."""
        return [noted for noted in self.events if noted["event"] == event]
