from __future__ import annotations

import atexit
import dataclasses
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest
import txaio
from twisted.internet.address import IPv4Address
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from zope.interface import implementer

from hermes_twisted.access.keys import Key, Keyring, Scope
from hermes_twisted.limits import Limits
from hermes_twisted.listen.tls import TLS
from hermes_twisted.operate.metrics import Metrics
from hermes_twisted.server.service import AttachService
from hermes_twisted.server.settings import Settings
from hermes_twisted.testing import Tally
from hermes_twisted.testing.audit import MemoryAudit
from hermes_twisted.testing.backend import FakeBackend, FakeChannel
from hermes_twisted.testing.wire import MemoryWire

# The same examples in every run: a failure is the change's, not the dice's.
hypothesis.settings.register_profile(
    "wire",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.data_too_large,
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.large_base_example,
    ],
)
hypothesis.settings.load_profile("wire")

#: Where the servers of the tests listen.
ENDPOINT = "tcp:8643:interface=127.0.0.1"
KEY = "hat_0123456789abcdefghijklmnopqrstuvwxyz"

LogEvent = dict[str, Any]


@pytest.fixture
def log() -> Iterator[list[LogEvent]]:
    """Every log event of the test."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def forgiven() -> list[type[BaseException]]:
    """Exceptions that the test provokes and that are logged, rightly, as critical."""
    return []


@pytest.fixture(scope="session")
def frozen() -> Iterator[None]:
    """What the modules made is left out of the collections: they are many."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left(
    frozen: None, log: list[LogEvent], forgiven: list[type[BaseException]]
) -> Iterator[None]:
    """No timer, no failure that nobody has seen."""
    from twisted.internet import reactor  # Not before pytest-twisted has installed it.

    clock = cast("IReactorTime", reactor)
    before = set(clock.getDelayedCalls())
    yield
    gc.collect()
    left = [str(call) for call in clock.getDelayedCalls() if call not in before]
    critical = [
        event
        for event in log
        if event["log_level"] is LogLevel.critical
        and not ("log_failure" in event and event["log_failure"].check(*forgiven))
    ]
    assert not left
    assert not critical, critical[0].get("log_failure", critical[0])


@implementer(IListeningPort)
class MemoryPort:
    """Listens to nobody."""

    def __init__(self, factory: ServerFactory, address: IPv4Address) -> None:
        self._factory = factory
        self._address = address

    def startListening(self) -> None:  # noqa: N802
        self._factory.doStart()

    def stopListening(self) -> None:  # noqa: N802
        self._factory.doStop()

    def getHost(self) -> IPv4Address:  # noqa: N802
        return self._address


class MemoryLoop(MemoryReactorClock):
    """A reactor without sockets, whose time is the test's."""

    site: ServerFactory

    def listenTCP(  # noqa: N802
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> MemoryPort:
        self.site = factory
        listening = MemoryPort(factory, IPv4Address("TCP", interface, port))
        listening.startListening()
        return listening


class Server:
    """The whole front before a `FakeBackend`; `wire` connects a client to it."""

    key = KEY

    def __init__(
        self,
        loop: MemoryLoop,
        settings: Settings,
        keyring: Keyring | None = None,
        tls: TLS | None = None,
        scope: Scope = Scope.FULL,
        metrics: Metrics | None = None,
    ) -> None:
        self.loop = loop
        self.backend = FakeBackend(loop, settings.limits)
        self.wires: list[MemoryWire] = []
        self.audit = MemoryAudit()
        self.meter = Tally()
        self.service = AttachService(
            cast("AsyncioSelectorReactor", loop),
            settings,
            self.backend,
            lambda: keyring or Key.of("main", KEY, scope),
            tls=tls,
            audit=self.audit,
            meter=self.meter if metrics is None else None,
            metrics=metrics,
        )
        self.service.startService()

    def wire(self, **options: Any) -> MemoryWire:
        wire = MemoryWire(self.loop.site.buildProtocol, self.loop, **options)
        self.wires.append(wire)
        return wire

    def attach(self, *, key: str = KEY, **options: Any) -> tuple[MemoryWire, FakeChannel]:
        """A client with a seat, and the backend's end of it."""
        wire = self.wire(**options)
        assert wire.upgrade(key).status == 101
        return wire, self.backend.channels[-1]

    def stop(self) -> Deferred[None]:
        return self.service.stopService()

    def struck(self, limit: str) -> int:
        """How often the limit of this name was counted."""
        return self.meter.counts["limit", limit]

    def end(self) -> None:
        """Every client goes, and the service stops."""
        for wire in self.wires:
            wire.hang_up()
        self.wires.clear()
        if self.service.running:
            self.stop()


Start = Callable[..., Server]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MemoryLoop:
    """The loop of the server; Autobahn's timers go by it as well."""
    loop = MemoryLoop()
    monkeypatch.setattr(txaio.config, "loop", loop)
    return loop


@pytest.fixture
def start(clock: MemoryLoop, tmp_path: Path) -> Iterator[Start]:
    """Starts servers with other limits and settings than the default ones."""
    servers: list[Server] = []

    def start(
        settings: dict[str, Any] | None = None,
        tls: TLS | None = None,
        keyring: Keyring | None = None,
        scope: Scope = Scope.FULL,
        metrics: Metrics | None = None,
        **limits: Any,
    ) -> Server:
        usual = Settings(listen=(ENDPOINT,), hermes_home=tmp_path, drain=0.0)
        changed = dataclasses.replace(usual, limits=Limits(**limits), **(settings or {}))
        servers.append(Server(clock, changed, keyring, tls, scope, metrics))
        return servers[-1]

    yield start
    for server in servers:
        server.end()
    # Autobahn forgets the timer of a closing handshake only when its time comes.
    clock.advance(Limits().close_timeout)
    assert not [str(call) for call in clock.getDelayedCalls()]


@pytest.fixture
def server(start: Start) -> Server:
    """A server with the default limits."""
    return start()


def _is_hermes(name: str) -> bool:
    return name.partition(".")[0] in ("tui_gateway", "hermes_cli", "yaml")


@pytest.fixture
def hermes_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Makes the Hermes in a folder, such as the stub, the one that is imported here."""
    monkeypatch.setenv("HERMES_HOME", "")  # The backend sets it; this restores it.
    for name in filter(_is_hermes, list(sys.modules)):
        monkeypatch.delitem(sys.modules, name)

    def prepend(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()

    yield prepend
    for name in filter(_is_hermes, list(sys.modules)):
        module = sys.modules.pop(name)
        if hasattr(module, "_pool"):
            module._pool.shutdown(cancel_futures=True)
            atexit.unregister(module._shutdown_sessions)
