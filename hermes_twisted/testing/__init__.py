"""Fakes for tests: a client's connection in memory, a backend, a meter, and an audit log.

Public API. No other package imports this one.
"""

from __future__ import annotations

from .audit import MemoryAudit
from .backend import FakeBackend, FakeChannel
from .meter import Tally
from .wire import MemoryWire

__all__ = ["FakeBackend", "FakeChannel", "MemoryAudit", "MemoryWire", "Tally"]
