"""The attach service: what is started, in order, and stopped, in reverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from .backends import Backend, Problem, State
from .core.admission import Admitted, HostRule, Rules
from .core.keys import Keyring
from .core.meter import Meter, NullMeter
from .core.seats import Seat, Seats
from .gate import Gate
from .listeners import Listener, is_local, port_number
from .protocol import AttachFactory, AttachProtocol
from .settings import Settings
from .waiting_room import WaitingRoom
from .web import AttachResource, FrontSite, peer_name

#: How often silent clients are pinged, in seconds: proxies and routers forget quiet
#: connections after a minute or so.
PING_INTERVAL: Final = 20.0

#: How often a stop looks whether the clients have got what waits for them, in seconds.
DRAIN_POLL: Final = 0.05

STOPPING_NOTICE: Final = "The attach server is stopping; this terminal will be disconnected."
STOPPING_REASON: Final = "the server is stopping"

#: Makes the keyring; the first moment at which a new key may be written.
MakeKeyring = Callable[[], Keyring]
#: Told the listening ports, once they are open.
Announce = Callable[[list[IListeningPort]], None]


class CannotStart(Exception):
    """The service cannot be started: what is wrong, and what to do."""


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
        meter: Meter | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._backend = backend
        self._make_keyring = make_keyring
        self._announce = announce
        self._meter = meter or NullMeter()
        self._seats = Seats()
        self._links: dict[AttachProtocol, None] = {}
        self._suspects: set[AttachProtocol] = set()
        self._ports: list[IListeningPort] = []
        self._waiting_room: WaitingRoom | None = None
        self._gate = Gate(settings.limits, reactor.seconds, self._meter)
        self._pings = LoopingCall(self._ping_all)
        self._pings.clock = reactor
        self._stopping = False
        self._reported: Problem | None = None
        self._empty: Deferred[None] | None = None

    def startService(self) -> None:
        """Listen and start the backend. Raises `CannotStart`, so that twistd notices."""
        keyring = self._make_keyring()
        if self._settings.courtesy_hold:
            self._waiting_room = WaitingRoom(self._reactor, self._settings.limits, self._meter)
        factory = AttachFactory(
            self._reactor, self._settings.limits, self._open_seat, self._close_seat
        )
        site = FrontSite(
            self._reactor,
            self._settings.limits,
            AttachResource(factory, self._gate.decide, self._waiting_room),
            self._readiness,
            self._settings.proxies,
        )
        try:
            for listener in self._settings.listeners:
                self._ports.append(self._listen(listener, site))
        except CannotStart:
            self._close_ports()
            raise
        self._gate.open(self._rules(keyring))
        self._stopping = False
        super().startService()  # type: ignore[no-untyped-call]
        self._backend.start(self._backend_changed)
        self._pings.start(PING_INTERVAL, now=False)
        for port in self._ports:
            self._log.info("listening on {where}", where=peer_name(port.getHost()))
        self._announce(self._ports)

    def stopService(self) -> Deferred[None]:
        """Tell the clients, let requests finish, close, and end Hermes in order."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        self._gate.close()
        if self._waiting_room is not None:
            self._waiting_room.close()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        closing = self._close_ports()
        if self._pings.running:
            self._pings.stop()
        for seat in self._seats:
            seat.tell(STOPPING_NOTICE)
        deadline = self._reactor.seconds() + self._settings.drain
        if self._backend.state is State.READY and len(self._seats):
            finished = await self._backend.drain(self._settings.drain)
            if not finished:
                self._log.warn("requests were still running when the drain time was over")
        while any(seat.unsent for seat in self._seats) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, DRAIN_POLL, lambda: None)
        await self._close_links()
        await self._backend.stop()
        await closing

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
        guard = self._reactor.callLater(self._settings.limits.close + 1, self._drop_links)
        await self._empty
        if guard.active():
            guard.cancel()

    def _drop_links(self) -> None:
        for link in list(self._links):
            link.abort()

    # Listening.

    def _listen(self, listener: Listener, site: FrontSite) -> IListeningPort:
        opened: list[IListeningPort] = []
        failed: list[Failure] = []
        try:
            endpoint = serverFromString(self._reactor, listener.description)
            endpoint.listen(site).addCallbacks(opened.append, failed.append)
        except Exception as error:
            # Endpoint plugins raise whatever they like: IndexError, KeyError, ValueError.
            failed.append(Failure(error))
        if failed:
            raise _cannot_listen(listener, failed[0])
        if not opened:
            raise CannotStart(
                f"{listener.description} does not open at once; that is not supported."
            )
        port = opened[0]
        if not (listener.encrypted or self._settings.allow_plaintext or is_local(port.getHost())):
            maybeDeferred(port.stopListening).addErrback(lambda _failure: None)
            raise CannotStart(
                f"{listener.description} would carry keys and conversations in the clear beyond "
                "this machine. Use an ssl: endpoint, an SSH tunnel or Tailscale to a loopback "
                "port, or a proxy with TLS; --allow-plaintext listens all the same."
            )
        return port

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

    def _readiness(self) -> tuple[bool, dict[str, Any]]:
        state = self._backend.state
        return state is State.READY and not self._stopping, {"status": state.value}

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
        )
        self._seats.add(seat)
        self._links[link] = None
        self._gate.entered(link.source)
        self._log.info(
            "seat {seat} attached from {peer} with key {key}",
            seat=number,
            peer=seat.peer,
            key=seat.key.name,
        )
        if self._backend.state is State.BROKEN:
            seat.tell(_explain(self._backend.problem))
        return seat

    def _close_seat(self, link: AttachProtocol, seat: Seat) -> None:
        self._seats.remove(seat)
        self._links.pop(link, None)
        self._gate.left(link.source)
        self._suspects.discard(link)
        self._log.info("seat {seat} detached", seat=seat.number)
        if not len(self._seats) and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def _backend_changed(self, state: State, problem: Problem | None) -> None:
        if state is State.READY:
            self._reported = None
            found = self._backend.findings
            self._log.info(
                "Hermes is ready: {version}, {methods} methods",
                version=found.get("version"),
                methods=found.get("methods"),
                found=found,
            )
        elif state is State.BROKEN:
            # Said once, however often another start fails in the same way.
            if problem != self._reported:
                self._log.error("Hermes cannot be served: {problem}", problem=problem)
                self._tell_all(_explain(problem))
            self._reported = problem
        elif state is State.RESTARTING:
            self._log.error("{problem} It is started again.", problem=problem)
            self._tell_all(f"{problem.problem if problem else ''} It is being started again.")

    def _tell_all(self, message: str) -> None:
        for seat in self._seats:
            seat.tell(message)

    # Liveness.

    def _ping_all(self) -> None:
        """Ping everyone; a client silent for too long is looked at once more, then dropped.

        Once more, because after a stall of this process the timer runs before the
        sockets have been read: what looks like silence may lie in their buffers.
        """
        limit = self._reactor.seconds() - self._settings.limits.dead_after
        suspects, self._suspects = self._suspects, set()
        for link in list(self._links):
            if link.last_heard > limit:
                link.ping()
            elif link in suspects:
                self._log.info(
                    "seat {seat} has been silent for too long",
                    seat=link.seat.number if link.seat else 0,
                )
                link.abort()
            else:
                self._suspects.add(link)
                link.ping()


def _cannot_listen(listener: Listener, failure: Failure) -> CannotStart:
    error = failure.value
    if isinstance(error, CannotListenError):
        # The gist first: twistd shows a hundred characters of a daemon's failure.
        return CannotStart(
            f"port {error.port}: {getattr(error.socketError, 'strerror', error.socketError)}. "
            f"Cannot listen on {listener.description}: is another server there already? "
            "Choose another port or endpoint."
        )
    return CannotStart(
        f"Cannot listen on {listener.description}: {failure.getErrorMessage()} "
        f"({failure.type.__name__ if failure.type else 'error'}). Check the endpoint's syntax."
    )


def _explain(problem: Problem | None) -> str:
    return f"Hermes cannot be served. {problem}" if problem else "Hermes cannot be served."
