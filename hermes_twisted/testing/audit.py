"""An audit log in memory."""

from __future__ import annotations

from ..seats.journal import Value


class MemoryAudit:
    """An `Audit` that keeps its events in a list."""

    def __init__(self) -> None:
        self.events: list[dict[str, Value]] = []
        self.closed = False

    def record(self, event: str, **fields: Value) -> None:
        """Append one event. Fields that are None are left out, as in the audit log."""
        assert not self.closed
        known = {name: value for name, value in fields.items() if value is not None}
        self.events.append({"event": event, **known})

    def close(self) -> None:
        """Set `closed`: a later event is a mistake."""
        self.closed = True

    def of(self, event: str) -> list[dict[str, Value]]:
        """Return the events of one kind."""
        return [noted for noted in self.events if noted["event"] == event]
