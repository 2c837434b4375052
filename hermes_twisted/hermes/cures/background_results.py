"""Background results of chats and of terminals, kept apart in one gateway process.

Hermes has one queue a process for what background work brings. In a gateway it has two
kinds of readers that do not know of each other: the gateway's own, which serves the
chats, and one thread for each terminal session. Each discards or answers what belongs
to the other. `SplitResults` takes the queue's place and shows each kind its own.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

_log = logging.getLogger(__name__)

#: Keys of terminal sessions that are remembered: a session's key changes when its
#: history is compressed, and work that was begun before still carries the old one.
KEYS: Final = 4096
#: Results for terminal sessions that are kept while nobody reads them.
WAITING: Final = 1024
#: What Hermes uses of its queue.
METHODS: Final = ("put", "get", "get_nowait", "empty", "qsize")

Event = dict[str, Any]


class SplitResults:
    """A queue with two sides; who asks decides which one is meant. Thread-safe."""

    def __init__(
        self, sessions: Mapping[str, Mapping[str, Any]], is_gateway: Callable[[], bool]
    ) -> None:
        self._sessions = sessions
        self._is_gateway = is_gateway
        self._chats: queue.Queue[Event] = queue.Queue()
        self._terminals: queue.Queue[Event] = queue.Queue()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, event: Event, block: bool = True, timeout: float | None = None) -> None:
        """Queue one result for the side that it belongs to."""
        if not self._is_a_terminals(event):
            self._chats.put(event)
            return
        if self._terminals.qsize() >= WAITING:
            self._terminals.get_nowait()
            _log.warning("results of ended terminal sessions are too many: one is left out")
        self._terminals.put(event)

    def get(self, block: bool = True, timeout: float | None = None) -> Event:
        """The next result for the side that asks. Raises `queue.Empty`."""
        self._learn_keys()
        return self._side.get(block, timeout)

    def get_nowait(self) -> Event:
        """The same, at once."""
        return self.get(block=False)

    def put_nowait(self, event: Event) -> None:
        """The same as `put`, which never waits."""
        self.put(event)

    def empty(self) -> bool:
        """Whether nothing waits for the side that asks."""
        return self._side.empty()

    def qsize(self) -> int:
        """How much waits for the side that asks."""
        return self._side.qsize()

    @property
    def _side(self) -> queue.Queue[Event]:
        return self._chats if self._is_gateway() else self._terminals

    def _is_a_terminals(self, event: Event) -> bool:
        # Only a terminal session's work carries the first; chats, REST calls and cron
        # have keys that no terminal session has, or none.
        if event.get("origin_ui_session_id"):
            return True
        self._learn_keys()
        with self._lock:
            return str(event.get("session_key") or "") in self._keys

    def _learn_keys(self) -> None:
        found = []
        for session in list(self._sessions.values()):
            found += [session.get("session_key"), getattr(session.get("agent"), "session_id", "")]
        with self._lock:
            for key in found:
                if key and isinstance(key, str):
                    self._keys[key] = None
                    self._keys.move_to_end(key)
            while len(self._keys) > KEYS:
                self._keys.popitem(last=False)


def split_results(server: ModuleType, registry: Any, is_gateway: Callable[[], bool]) -> None:
    """Put a `SplitResults` in the place of the registry's queue, with what waits there."""
    former = registry.completion_queue
    if isinstance(former, SplitResults):
        return
    results = SplitResults(server._sessions, is_gateway)
    registry.completion_queue = results
    while True:
        try:
            results.put(former.get_nowait())
        except queue.Empty:
            return
