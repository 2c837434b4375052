"""Fakes for tests of what serves a terminal: a connection in memory, a backend played by hand.

Public API. Nothing of the package imports this.
"""

from __future__ import annotations

from .audit import MemoryAudit
from .backend import FakeBackend, FakeChannel
from .wire import MemoryWire

__all__ = ["FakeBackend", "FakeChannel", "MemoryAudit", "MemoryWire"]
