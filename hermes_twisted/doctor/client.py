"""The checks from outside: layer by layer, as the UI connects, until one fails."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from . import http, link, node, reach, refusals, trust
from .findings import Failed, Finding, Report, ok, problem, warning
from .identity import Identity, Peer, identify, readiness
from .messages import Messages
from .network import Address, Network, Stream, exchange, read_body
from .target import Target

#: Servers that are often found at a port instead of HTTP: first bytes, name, what to do.
_OTHER_SERVERS: Final = (
    (b"SSH-", "An SSH server", "Write the port of hermes-attach, or tunnel to it with ssh -L."),
    (b"\x15\x03", "A server with TLS", ""),
    (b"\x05", "A SOCKS proxy", "Write the server's own port."),
)
_PINGS_A_SECOND: Final = 5
#: Seconds. Short, because a plain HTTP server takes a TLS hello for half a request and waits.
_TLS_TIMEOUT: Final = 5.0


@dataclass(frozen=True)
class ClientTools:
    """Access to the network, to Node.js and the clock, for the checks."""

    network: Network
    run_node: node.RunNode
    environ: Mapping[str, str]
    utc_now: Callable[[], datetime] = trust.utc_now


class Examination:
    """The checks of one *target*; `run` adds the findings to *report*.

    *timeout*: seconds for each step. *seconds*: how long round trips are measured.
    """

    def __init__(
        self, target: Target, tools: ClientTools, report: Report, *, timeout: float, seconds: float
    ) -> None:
        self._target = target
        self._network = tools.network
        self._tools = tools
        self._report = report
        self._timeout = timeout
        self._seconds = seconds
        self._address: Address | None = None
        self._context: ssl.SSLContext | None = None

    def run(self) -> None:
        """Check all layers from the bottom upwards, until one fails."""
        try:
            addresses = reach.resolve(self._network, self._target, self._report)
            self._address, stream = reach.connect(
                self._network, addresses, self._target.port, self._timeout, self._report
            )
            if self._target.encrypted:
                stream = self._secure(stream)
            with contextlib.closing(stream):
                self._attach(stream)
        except Failed as failed:
            self._report.add(*failed.findings)

    # TLS.

    def _secure(self, stream: Stream) -> Stream:
        trusted, findings = trust.client_trust(self._tools.run_node, self._tools.environ)
        self._report.add(*findings)
        name = self._target.host
        stream.settimeout(min(self._timeout, _TLS_TIMEOUT))
        try:
            secured = self._network.secure(stream, name, trusted.context)
        except ssl.SSLCertVerificationError as error:
            stream.close()
            raise Failed(*self._distrusted(error, trusted)) from None
        except OSError as error:
            stream.close()
            raise Failed(self._no_tls(error)) from None
        self._context = trusted.context
        encoded = secured.getpeercert(binary_form=True)
        assert encoded is not None
        certificate = x509.load_der_x509_certificate(encoded)
        version = secured.version() or "TLS"
        self._report.add(*trust.accepted(certificate, version, now=self._tools.utc_now()))
        return secured

    def _distrusted(
        self, error: ssl.SSLCertVerificationError, trusted: trust.Trust
    ) -> list[Finding]:
        encoded = self._try_tls(trust.unchecked())
        certificate = x509.load_der_x509_certificate(encoded) if encoded else None
        bundle = trust.system_bundle()
        known_to = None
        if bundle is not None and trusted.whose == "Node.js":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cafile=bundle)
            known_to = bundle if self._try_tls(context) is not None else None
        return trust.explain(
            error,
            certificate,
            self._target.host,
            trusted,
            now=self._tools.utc_now(),
            known_to=known_to,
        )

    def _try_tls(self, context: ssl.SSLContext) -> bytes | None:
        """Return the certificate (DER) after a TLS handshake on a new connection, None if it fails.

        Sends nothing over it.
        """
        assert self._address is not None
        try:
            stream = self._network.connect(self._address, self._timeout)
            with contextlib.closing(stream):
                secured = self._network.secure(stream, self._target.host, context)
                with contextlib.closing(secured):
                    return secured.getpeercert(binary_form=True)
        except OSError:
            return None

    def _no_tls(self, error: OSError) -> Finding:
        if self._speaks_plain():
            return problem(
                "tls",
                "The port does not speak TLS, but plain HTTP.",
                "The address begins with wss://, and the server listens without TLS.",
                f"Write ws:// in front of {self._target.authority}, over a tunnel or on loopback; "
                "or give the server a certificate.",
            )
        if isinstance(error, TimeoutError):
            why = "The program that listens does not speak TLS, or is stalled."
        elif isinstance(error, ssl.SSLError):
            why = f"OpenSSL says: {(error.reason or 'error').replace('_', ' ').lower()}."
        else:
            why = "The connection was closed during the handshake."
        return problem(
            "tls",
            "The TLS handshake fails.",
            why,
            "Check the port; if it is the right one, look into the log of the server there.",
        )

    def _speaks_plain(self) -> bool:
        """Return whether the port speaks HTTP without TLS."""
        assert self._address is not None
        try:
            stream = self._network.connect(self._address, self._timeout)
            with contextlib.closing(stream):
                # A page that needs no key: this connection is not encrypted.
                exchange(stream, http.get(self._target.authority, "/health", "*/*"))
        except (OSError, http.NotHttp):
            return False
        return True

    # HTTP and the WebSocket.

    def _dial(self) -> Stream:
        assert self._address is not None
        stream = self._network.connect(self._address, self._timeout)
        if self._context is None:
            return stream
        return self._network.secure(stream, self._target.host, self._context)

    def _identify(self) -> Identity:
        target = self._target
        return identify(self._dial, target.authority, target.base, target.public_query)

    def _readiness(self) -> str | None:
        target = self._target
        return readiness(self._dial, target.authority, target.base, target.public_query)

    def _attach(self, stream: Stream) -> None:
        nonce = http.new_nonce()
        request = http.upgrade(self._target.authority, self._target.request_target, nonce)
        stream.settimeout(self._timeout)
        try:
            response, rest = exchange(stream, request)
        except http.NotHttp as other:
            raise Failed(self._not_http(other.start)) from None
        except OSError as error:
            raise Failed(self._no_answer(error)) from None
        if response.status != 101:
            identity = self._identify()
            response = read_body(stream, response, rest)
            raise Failed(refusals.explain(response, identity, self._target))
        if response.header("sec-websocket-accept") != http.accept_of(nonce):
            raise Failed(
                problem(
                    "websocket",
                    "The answer to the upgrade is wrong (Sec-WebSocket-Accept).",
                    "A cache or a proxy answers for the server.",
                    "Let it pass /api/ws unchanged.",
                )
            )
        self._use(stream, response, rest)

    def _use(self, stream: Stream, response: http.HttpResponse, rest: bytes) -> None:
        identity = self._identify()
        messages = Messages(response.header("sec-websocket-extensions"))
        self._report.add(*_upgraded(identity, response))
        if messages.deflate:
            ours = identity.peer is Peer.ATTACH
            self._report.add(node.check_deflate(self._tools.run_node, ours=ours))
        connection = link.ClientLink(self._network, stream, messages, rest)
        try:
            began = self._network.now()
            if connection.wait_for("gateway.ready", self._timeout):
                took = self._network.now() - began
                self._report.add(ok("ready", f"gateway.ready after {took:.1f} s"))
            else:
                self._report.add(link.not_ready(self._timeout, self._readiness()))
            count = max(1, round(self._seconds * _PINGS_A_SECOND))
            pings = connection.measure(count, 1 / _PINGS_A_SECOND, min(5.0, self._timeout))
            self._report.add(link.judge(pings))
        except link.Ended as how:
            self._report.add(link.ended(str(how)))
        finally:
            connection.close()

    def _not_http(self, start: bytes) -> Finding:
        for prefix, what, then in _OTHER_SERVERS:
            if start.startswith(prefix):
                if not then:
                    return self._needs_tls()
                return problem(
                    "http", f"{what} answers.", "The port is that of another program.", then
                )
        return problem(
            "http",
            "The program that answers does not speak HTTP.",
            "The port is that of another program.",
            "Write the port of hermes-attach: 8643, unless it was started with another.",
        )

    def _no_answer(self, error: OSError) -> Finding:
        if not self._target.encrypted and self._try_tls(trust.unchecked()) is not None:
            return self._needs_tls()
        if isinstance(error, TimeoutError):
            return problem(
                "http",
                f"The request is not answered within {self._timeout:g} s.",
                "The program that listens does not speak HTTP, or is stalled; a listener for the "
                "PROXY protocol waits for its first line.",
                "Check the port; on the server: hermes-attach doctor.",
            )
        return problem(
            "http",
            "The connection is closed without an answer.",
            "The program that listens does not speak HTTP, wants TLS or the PROXY protocol, or "
            "refuses this address; a tunnel's far end may have nothing to connect to.",
            "Check the port, and the other end of the tunnel if there is one; on the server: "
            "hermes-attach doctor.",
        )

    def _needs_tls(self) -> Finding:
        return problem(
            "http",
            "The port speaks TLS, and the address says it does not.",
            "The address begins with ws://.",
            f"Write wss:// in front of {self._target.authority}.",
        )


def _upgraded(identity: Identity, response: http.HttpResponse) -> list[Finding]:
    extensions = response.header("sec-websocket-extensions") or "no extensions"
    software = f", through {identity.software}" if identity.software else ""
    if identity.peer is Peer.ATTACH:
        return [ok("websocket", f"upgraded by hermes-attach{software}, {extensions}")]
    if identity.peer is Peer.DASHBOARD:
        return [
            warning(
                "websocket",
                f"This is Hermes' dashboard, not hermes-attach ({extensions}).",
                "It lets the UI attach, but its token ends with its process, it runs the agent in "
                "the process that has the socket, and the UI does not survive its restart.",
                "Attach to hermes-attach instead: port 8643 by default.",
            )
        ]
    return [
        warning(
            "websocket",
            f"Upgraded, by a server that does not identify itself as hermes-attach ({extensions}).",
            "Its other pages cannot be reached at this address, or it is another server.",
            "If a proxy passes /api/ws alone, nothing is wrong; else check host and port.",
        )
    ]
