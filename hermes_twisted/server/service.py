"""The attach service: it listens, admits clients, and gives them seats before a backend."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from .. import __version__
from ..access.admission import Admission
from ..access.keys import Keyring
from ..access.rules import AdmissionRules, HostRule
from ..http.site import FrontSite
from ..http.upgrade import AttachResource
from ..listen.endpoints import Listener, is_local, port_number
from ..listen.peers import peer_name
from ..listen.ports import open_port
from ..listen.tls import TLS
from ..meter import Meter, NullMeter
from ..operate.metrics import Metrics
from ..seats.attachment import Attachment
from ..seats.directory import Directory, SeatObserver
from ..seats.journal import Audit, Journal, NullAudit
from ..seats.notices import StateNotices
from ..seats.ports import Backend, BackendState
from ..seats.seat import Seat
from ..shared.problem import Problem
from ..websocket.keepalive import Keepalive
from ..websocket.link import AttachFactory
from ..websocket.waiting_room import WaitingRoom
from .key_watch import KeyWatch
from .operations import Operations
from .settings import Settings

__all__ = ["Announce", "AttachService", "MakeKeyring"]

#: Seconds between two entries in the audit log on refusals that were only counted.
SUMMARY_INTERVAL: Final = 20.0
#: Seconds between two checks, in a stop, whether all queued frames have gone out.
DRAIN_POLL: Final = 0.05

STOPPING_NOTICE: Final = "The attach server is stopping; this terminal will be disconnected."
STOPPING_REASON: Final = "the server is stopping"

#: Makes the keyring, when a new key may be written: in `startService`, not before.
MakeKeyring = Callable[[], Keyring]
#: Called with the listening ports once all of them are open.
Announce = Callable[[list[IListeningPort]], None]


class AttachService(Service):
    """The server: the same under twistd, under twist, and inside a gateway.

    Nothing is opened, started or imported from Hermes before `startService`, because
    twistd forks between `makeService` and it.
    """

    name = "hermes-attach"
    _log = Logger()

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        settings: Settings,
        backend: Backend,
        make_keyring: MakeKeyring,
        announce: Announce = lambda ports: None,
        tls: TLS | None = None,
        *,
        meter: Meter | None = None,
        metrics: Metrics | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._backend = backend
        self._make_keyring = make_keyring
        self._announce = announce
        self._journal = Journal(audit or NullAudit(), reactor.seconds)
        self._metrics = metrics
        self._meter = meter or metrics or NullMeter()
        self._tls = tls
        self._ports: list[IListeningPort] = []
        self._waiting_room: WaitingRoom | None = None
        self._admission = Admission(
            settings.limits,
            reactor.seconds,
            self._meter,
            readers_need_key=settings.metrics_need_key,
        )
        self._directory = Directory(settings.limits, backend.open, self._meter)
        self._keepalive = Keepalive(reactor, settings.limits, self._meter)
        self._notices = StateNotices(backend, self._directory, self._meter)
        self._directory.observe(
            _LinkCounter(self._admission), self._keepalive, self._journal, self._notices
        )
        self.operations = Operations(reactor, settings, backend, self._directory, self._meter)
        self._key_watch = KeyWatch(reactor, self._directory)
        self._summaries = LoopingCall(self._journal.settle)
        self._summaries.clock = reactor

    def startService(self) -> None:
        """Listen and start the backend. Raises `Problem`, which ends twistd's start."""
        if self._settings.courtesy_hold:
            self._waiting_room = WaitingRoom(self._reactor, self._settings.limits, self._meter)
        factory = AttachFactory(self._reactor, self._settings.limits, self._directory, self._meter)
        site = FrontSite(
            self._reactor,
            self._settings.limits,
            AttachResource(factory, self._admission.decide, self._waiting_room, self._journal),
            self.operations.overview.readiness,
            self._journal,
            self._settings.proxies,
            self.operations.pages(self._metrics, self._admission.may_read),
            self._meter,
        )
        try:
            for listener in self._settings.listeners:
                self._ports.append(self._listen(listener, site))
            self._start_tls()
            # Only now: a key that is made here is shown once, so nothing may fail after it.
            keyring = self._make_keyring()
        except Problem:
            self._close_ports()
            raise
        self._admission.open(self._rules(keyring))
        super().startService()  # type: ignore[no-untyped-call]
        self._backend.start(self._notices.changed, self._meter)
        self._keepalive.start()
        self._summaries.start(SUMMARY_INTERVAL, now=False)
        self._key_watch.start(keyring)
        places = [peer_name(port.getHost()) for port in self._ports]
        self.operations.start(
            places,
            pending_connections=lambda: len(site.pending),
            waiting_room=lambda: len(self._waiting_room or ()),
        )
        for place in places:
            self._log.info("listening on {where}", where=place)
        self._journal.started(version=__version__, pid=os.getpid(), listening=" ".join(places))
        self._announce(self._ports)

    def stopService(self) -> Deferred[None]:
        """Notify the clients, drain, close the links and end Hermes. Fires when all is done."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.operations.stopping()
        self._admission.close()
        if self._waiting_room is not None:
            self._waiting_room.close()
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> None:
        """Read keys and certificates again. Disconnects nobody."""
        self._log.info("reloading")
        if self._tls is not None:
            self._tls.reload()
        self._key_watch.check(anew=True)

    async def _stop(self) -> None:
        closing = self._close_ports()
        if self._tls is not None:
            self._tls.stop()
        self._keepalive.stop()
        if self._summaries.running:
            self._summaries.stop()
        self._key_watch.stop()
        for seat in self._directory:
            seat.notify(STOPPING_NOTICE)
        deadline = self._reactor.seconds() + self._settings.drain
        if self._backend.state is BackendState.READY:  # Turns run on without their clients, too.
            finished = await self._backend.drain(self._settings.drain)
            if not finished:
                self._log.warn("requests were still running when the drain time was over")
        while any(seat.unsent for seat in self._directory) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, DRAIN_POLL, lambda: None)
        await self._close_links()
        await self._backend.stop()
        await closing
        await self.operations.stop()
        self._journal.stopped(pid=os.getpid())

    def _close_ports(self) -> Deferred[Any]:
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    async def _close_links(self) -> None:
        """Close every link with 1001; a client that does not answer is dropped by its own timer."""
        if not len(self._directory):
            return
        for seat in self._directory:
            seat.end(STOPPING_REASON)
        guard = self._reactor.callLater(
            self._settings.limits.close_timeout + 1, self._keepalive.abort_all
        )
        await self._directory.when_empty()
        if guard.active():
            guard.cancel()

    # Listening.

    def _listen(self, listener: Listener, site: FrontSite) -> IListeningPort:
        factory = self._tls.wrap(site) if listener.tls and self._tls is not None else site
        return open_port(
            self._reactor, listener, factory, allow_plaintext=self._settings.allow_plaintext
        )

    def _start_tls(self) -> None:
        """Load the certificate. Connections come in a later turn of the loop."""
        if self._tls is None:
            return
        hosts = [
            getattr(port.getHost(), "host", "")
            for listener, port in zip(self._settings.listeners, self._ports, strict=True)
            if listener.tls
        ]
        self._tls.start(hosts)

    def _host_rule(self) -> HostRule:
        beyond = any(not is_local(port.getHost()) for port in self._ports)
        numbers = {port_number(port) for port in self._ports}
        ports = frozenset() if None in numbers else frozenset(n for n in numbers if n)
        return HostRule(any_host=beyond, names=self._settings.hosts, ports=ports)

    # Admission.

    def _rules(self, keyring: Keyring) -> AdmissionRules:
        limits = self._settings.limits
        return AdmissionRules(
            keyring,
            self._host_rule(),
            self._settings.origins,
            links=limits.max_connections,
            links_of_source=limits.max_connections_per_address,
        )


class _LinkCounter(SeatObserver):
    """Reports links to admission, which decides whether there is room for another."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Count one more link of its source."""
        self._admission.entered(attachment.source)

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """Count one link less of its source."""
        self._admission.left(attachment.source)
