"""The attach service: what is started, in order, and stopped, in reverse."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from .. import __version__
from ..access.admission import Gate
from ..access.keys import Keyring
from ..access.rules import Admitted, HostRule, Rules
from ..http.site import FrontSite
from ..http.upgrade import AttachResource
from ..listen.endpoints import Listener, is_local, port_number
from ..listen.peers import peer_name
from ..listen.ports import open_port
from ..listen.tls import TLS
from ..meter import Meter, NullMeter
from ..operate.metrics import Metrics
from ..seats.directory import Seats
from ..seats.journal import Audit, Journal, NullAudit
from ..seats.notices import StateNotices
from ..seats.ports import Backend, BackendState
from ..seats.seat import Seat
from ..shared.problem import Problem
from ..websocket.keepalive import Links
from ..websocket.link import AttachFactory, AttachProtocol
from ..websocket.waiting_room import WaitingRoom
from .key_watch import KeyWatch
from .operations import Operations
from .settings import Settings

#: How often a stop looks whether the clients have got what waits for them, in seconds.
DRAIN_POLL: Final = 0.05

STOPPING_NOTICE: Final = "The attach server is stopping; this terminal will be disconnected."
STOPPING_REASON: Final = "the server is stopping"

#: Makes the keyring; the first moment at which a new key may be written.
MakeKeyring = Callable[[], Keyring]
#: Told the listening ports, once they are open.
Announce = Callable[[list[IListeningPort]], None]


class AttachService(Service):
    """Listens, admits, seats clients before a backend. Knows nothing of its home.

    `startService` is the first moment: nothing is opened, started or imported from
    Hermes before it, because twistd forks between it and `makeService`.
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
        self._seats = Seats()
        self.operations = Operations(reactor, settings, backend, self._meter)
        self._links = Links(reactor, settings.limits, self._meter, self._journal.settle)
        self._news = StateNotices(backend, self._seats, self._meter)
        self._ports: list[IListeningPort] = []
        self._waiting_room: WaitingRoom | None = None
        self._gate = Gate(
            settings.limits,
            reactor.seconds,
            self._meter,
            readers_need_key=settings.metrics_need_key,
        )
        self._key_watch = KeyWatch(reactor, self._seats)
        self._empty: Deferred[None] | None = None

    def startService(self) -> None:
        """Listen and start the backend. Raises `Problem`, so that twistd notices."""
        if self._settings.courtesy_hold:
            self._waiting_room = WaitingRoom(self._reactor, self._settings.limits, self._meter)
        factory = AttachFactory(
            self._reactor, self._settings.limits, self._open_seat, self._close_seat, self._meter
        )
        site = FrontSite(
            self._reactor,
            self._settings.limits,
            AttachResource(factory, self._gate.decide, self._waiting_room, self._journal),
            self.operations.overview.readiness,
            self._journal,
            self._settings.proxies,
            self.operations.pages(self._metrics, self._gate.may_read),
            self._meter,
        )
        try:
            for listener in self._settings.listeners:
                self._ports.append(self._listen(listener, site))
            self._start_tls()
            # Not before: a key that is made now is shown once, and only if all went well.
            keyring = self._make_keyring()
        except Problem:
            self._close_ports()
            raise
        self._gate.open(self._rules(keyring))
        super().startService()  # type: ignore[no-untyped-call]
        self._backend.start(self._news.changed)
        self._links.start()
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
        """Tell the clients, let requests finish, close, and end Hermes in order."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.operations.stopping()
        self._gate.close()
        if self._waiting_room is not None:
            self._waiting_room.close()
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> None:
        """Take up what has changed in files; nobody is disconnected."""
        self._log.info("reloading")
        if self._tls is not None:
            self._tls.reload()
        self._key_watch.look(anew=True)

    async def _stop(self) -> None:
        closing = self._close_ports()
        if self._tls is not None:
            self._tls.stop()
        self._links.stop()
        self._key_watch.stop()
        for seat in self._seats:
            seat.tell(STOPPING_NOTICE)
        deadline = self._reactor.seconds() + self._settings.drain
        if self._backend.state is BackendState.READY:  # Turns run on without their clients, too.
            finished = await self._backend.drain(self._settings.drain)
            if not finished:
                self._log.warn("requests were still running when the drain time was over")
        while any(seat.unsent for seat in self._seats) and self._reactor.seconds() < deadline:
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
        """Close 1001; a link that does not answer is dropped by its own timer."""
        if not len(self._seats):
            return
        self._empty = Deferred()
        for seat in self._seats:
            seat.end(STOPPING_REASON)
        guard = self._reactor.callLater(self._settings.limits.close + 1, self._links.abort)
        await self._empty
        if guard.active():
            guard.cancel()

    # Listening.

    def _listen(self, listener: Listener, site: FrontSite) -> IListeningPort:
        factory = self._tls.wrap(site) if listener.tls and self._tls is not None else site
        return open_port(
            self._reactor, listener, factory, allow_plaintext=self._settings.allow_plaintext
        )

    def _start_tls(self) -> None:
        """Before the first connection: those come in a later turn of the loop."""
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

    def _rules(self, keyring: Keyring) -> Rules:
        limits = self._settings.limits
        return Rules(
            keyring,
            self._host_rule(),
            self._settings.origins,
            links=limits.connections,
            links_of_source=limits.connections_of_source,
        )

    # Seats.

    def _open_seat(self, link: AttachProtocol, admitted: Admitted) -> Seat:
        number = self._seats.next_number()
        seat = Seat(
            number,
            link,
            self._settings.limits,
            lambda wake: self._backend.open(number, wake),
            key=admitted.key,
            peer=link.peer_name,
            meter=self._meter,
        )
        self._seats.add(seat)
        self._links.add(link)
        self.operations.roster.enter(link, seat)
        self._gate.entered(link.source)
        self._log.info(
            "seat {seat} attached from {peer} with key {key}",
            seat=number,
            peer=seat.peer,
            key=seat.key.name,
        )
        self._journal.opened(seat)
        self._news.for_a_new_seat(seat)
        return seat

    def _close_seat(self, link: AttachProtocol, seat: Seat) -> None:
        self._seats.remove(seat)
        self._links.remove(link)
        self.operations.roster.leave(seat)
        self._gate.left(link.source)
        self._log.info("seat {seat} detached", seat=seat.number)
        self._journal.closed(seat, link)
        if not len(self._seats) and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)
