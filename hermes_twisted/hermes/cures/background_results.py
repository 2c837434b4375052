"""Background results of chats and of terminals, kept apart in one gateway process.

Hermes has one queue in a process for the results of background work. In a gateway it has two
kinds of readers that do not know of each other: the gateway's own, which serves the chats,
and one thread for each terminal session. Each discards or answers what belongs to the other.
`SplitResults` takes the queue's place and shows each kind of reader its own results.
"""

from __future__ import annotations

import importlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from ...shared.bounded_map import BoundedMap
from .cure import Cure
from .trials import hook_absent, trial_failed

_log = logging.getLogger(__name__)

CURE: Final = Cure(
    name="background_results",
    what="Inside a gateway, results of background work that a chat has begun go to a terminal "
    "(0.16 to 0.18) or vanish (0.19) while one is attached; the gateway's own readers throw away "
    "those of busy terminals.",
    releases="0.16 and later; earlier ones have no hook for the cure and are refused in a gateway",
    found="the methods of `tools.process_registry.process_registry.completion_queue`, and that "
    "`_notification_poller_loop` reads it",
    cured="The queue has two sides, and each kind of reader sees its own.",
)

#: Keys of terminal sessions that are remembered: a session's key changes when its
#: history is compressed, and work that was begun before still carries the old one.
KEYS: Final = 4096
#: Results for terminal sessions that are kept while no session reads them.
WAITING: Final = 1024
#: The methods of its queue that Hermes uses.
METHODS: Final = ("put", "get", "get_nowait", "empty", "qsize")

#: A chat's result of no real work, for the trial.
_CHAT: Final = {"type": "hermes-attach-trial", "session_key": "agent:trial"}

Event = dict[str, Any]


class SplitResults:
    """A queue with two sides: one for the gateway's readers, one for terminals'. Thread-safe.

    *is_gateway* tells, in the thread that calls, whether the caller is one of the gateway's.
    """

    def __init__(
        self, sessions: Mapping[str, Mapping[str, Any]], is_gateway: Callable[[], bool]
    ) -> None:
        self._sessions = sessions
        self._is_gateway = is_gateway
        self._chats: queue.Queue[Event] = queue.Queue()
        self._terminals: queue.Queue[Event] = queue.Queue()
        self._keys: BoundedMap[str, None] = BoundedMap(KEYS)
        self._lock = threading.Lock()

    def put(self, event: Event, block: bool = True, timeout: float | None = None) -> None:
        """Queue one result for the side that it belongs to."""
        if not self._is_for_terminals(event):
            self._chats.put(event)
            return
        if self._terminals.qsize() >= WAITING:
            self._terminals.get_nowait()
            _log.warning("left out a background result: too many wait for ended terminal sessions")
        self._terminals.put(event)

    def get(self, block: bool = True, timeout: float | None = None) -> Event:
        """Return the next result for the side that asks. Raises `queue.Empty`."""
        self._learn_keys()
        return self._side.get(block, timeout)

    def get_nowait(self) -> Event:
        """Return the next result without waiting. Raises `queue.Empty`."""
        return self.get(block=False)

    def put_nowait(self, event: Event) -> None:
        """Queue one result for the side that it belongs to."""
        self.put(event)

    def empty(self) -> bool:
        """Return whether nothing waits for the side that asks."""
        return self._side.empty()

    def qsize(self) -> int:
        """Return how many results wait for the side that asks."""
        return self._side.qsize()

    @property
    def _side(self) -> queue.Queue[Event]:
        return self._chats if self._is_gateway() else self._terminals

    def _is_for_terminals(self, event: Event) -> bool:
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


def keep_apart(server: ModuleType, is_gateway: Callable[[], bool]) -> None:
    """Give chats their background results, and terminals theirs. Raises `Problem`."""
    harm = "a terminal session would take the background results of chats"
    try:
        registry = importlib.import_module("tools.process_registry").process_registry
    except (ImportError, AttributeError):
        raise hook_absent("tools.process_registry", harm) from None
    poller: Any = getattr(server, "_notification_poller_loop", None)
    names = getattr(getattr(poller, "__code__", None), "co_names", ())
    results = getattr(registry, "completion_queue", None)
    missing = [name for name in METHODS if not callable(getattr(results, name, None))]
    if missing or "completion_queue" not in names:
        raise hook_absent("queue of background results that terminal sessions read", harm)
    split_results(server, registry, is_gateway)
    trial = SplitResults(server._sessions, lambda: False)
    trial.put(dict(_CHAT))
    if not trial.empty() or not isinstance(registry.completion_queue, SplitResults):
        raise trial_failed(harm)


def split_results(server: ModuleType, registry: Any, is_gateway: Callable[[], bool]) -> None:
    """Put a `SplitResults` in the place of the registry's queue, with the results in it."""
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
