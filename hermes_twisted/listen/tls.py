"""TLS of the listeners: its configuration, and the reloading of credentials while it runs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from ..config.parsing import host_name
from ..quota import Quota
from ..shared.problem import Problem
from .authority import Authority
from .endpoints import TLSChoice
from .pem import Credentials, pin, read_certificates, read_credentials

#: Mozilla's intermediate configuration for TLS 1.2 without finite-field Diffie-Hellman:
#: forward secrecy and authenticated encryption only, as always in TLS 1.3.
CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
#: Seconds between two checks whether the certificate must be renewed.
RENEWAL_CHECK: Final = 3600.0
#: The remaining validity below which a warning is logged for a certificate that we do not renew.
EXPIRY_WARNING: Final = timedelta(days=14)

#: Hosts that mean all addresses of the machine.
_ANY: Final = ("0.0.0.0", "::", "")  # noqa: S104  (for comparison)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

#: Returns the current time in UTC.
Now = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class CredentialLoader(Protocol):
    """Loads the server's credentials."""

    renews: bool
    """Whether `load` renews them before they expire."""

    def load(self, hosts: Iterable[str], now: datetime) -> Credentials:
        """Return credentials for a server that listens on *hosts*. Raises `Problem`."""
        ...


@dataclass(frozen=True)
class FileCredentials:
    """Loads the operator's certificate and key from files."""

    certificate: Path
    key: Path | None
    renews = False

    def load(self, hosts: Iterable[str], now: datetime) -> Credentials:
        """Read the files. Raises `Problem`, also if the certificate is not valid now."""
        found = read_credentials(self.certificate, self.key)
        found.check_time(now, self.certificate)
        return found


@dataclass(frozen=True)
class OwnCredentials:
    """Makes credentials with the server's own authority, for the hosts and further *names*."""

    authority: Authority
    names: Sequence[str] = ()
    renews = True

    def load(self, hosts: Iterable[str], now: datetime) -> Credentials:
        """Return credentials for *hosts*, the loopback names and `names`. Raises `Problem`."""
        names = {*_LOOPBACK, *self.names}
        for host in hosts:
            for name in _machine_names() if host in _ANY else [host]:
                with suppress(ValueError):  # The machine's name may be invalid in DNS.
                    names.add(host_name(name))
        return self.authority.credentials(names, now)


def build_loader(choice: TLSChoice, home: Path) -> CredentialLoader:
    """Return the loader for the operator's choice."""
    if choice.certificate is not None:
        return FileCredentials(choice.certificate, choice.key)
    return OwnCredentials(Authority(home / "attach" / "tls"), choice.names)


@implementer(IOpenSSLServerConnectionCreator)
class TLS:
    """TLS of all listeners. New connections use the current credentials, old ones keep theirs."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        loader: CredentialLoader,
        client_ca: Path | None,
        now: Now = utc_now,
    ) -> None:
        self.loader = loader
        self._clock = clock
        self._client_ca = client_ca
        self._now = now
        self._hosts: list[str] = []
        self._credentials: Credentials | None = None
        self._context: SSL.Context | None = None
        self._warnings = Quota(1, 86400.0, clock.seconds)
        self._checks = LoopingCall(self._check)
        self._checks.clock = clock

    @property
    def pin(self) -> str:
        """The fingerprint of the current public key, as `pem.pin` returns it."""
        assert self._credentials is not None
        return pin(self._credentials.leaf)

    def wrap(self, factory: IProtocolFactory) -> IProtocolFactory:
        """Return *factory* wrapped in TLS."""
        wrapped: IProtocolFactory = TLSMemoryBIOFactory(
            self,
            isClient=False,
            wrappedFactory=factory,
            clock=self._clock,
        )
        return wrapped

    def check(self) -> None:
        """Check the operator's files before the start, without writing any. Raises `Problem`."""
        credentials = None if self.loader.renews else self.loader.load((), self._now())
        _make_context(credentials, self._client_ca)

    def start(self, hosts: Iterable[str]) -> None:
        """Load credentials for *hosts*, and start the renewal checks. Raises `Problem`."""
        self._hosts = sorted(set(hosts))
        self._load()
        self._checks.start(RENEWAL_CHECK, now=False)

    def stop(self) -> None:
        """Stop the renewal checks. Open connections are not affected."""
        if self._checks.running:
            self._checks.stop()

    def reload(self) -> None:
        """Reload the credentials. If that fails, log it and keep the current ones."""
        try:
            self._load()
        except Problem as bad:
            self._log.error(
                "the TLS certificate was not reloaded, the current one stays in use: {problem}",
                problem=str(bad),
            )

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return the TLS of a new connection, with the current credentials."""
        assert self._context is not None, "connections come after the start"
        return SSL.Connection(self._context, None)

    def _load(self) -> None:
        """Load the credentials, and use them for new connections. Raises `Problem`."""
        credentials = self.loader.load(self._hosts, self._now())
        # The clients' authorities may be new even if our certificate is not.
        self._context = _make_context(credentials, self._client_ca)
        if self._credentials is None or credentials.leaf != self._credentials.leaf:
            self._log.info(
                "TLS certificate {subject}, valid until {date} UTC, SPKI {pin}",
                subject=_names_of(credentials.leaf),
                date=f"{credentials.leaf.not_valid_after_utc:%Y-%m-%d %H:%M}",
                pin=pin(credentials.leaf),
            )
        self._credentials = credentials

    def _check(self) -> None:
        """Renew the certificate if it is due, or warn that it expires."""
        if self.loader.renews:
            try:
                self.reload()
            except Exception:
                # A bug must not end the checks.
                self._log.failure("certificate renewal check failed")
            return
        assert self._credentials is not None
        last = self._credentials.leaf.not_valid_after_utc
        if last - self._now() < EXPIRY_WARNING and self._warnings.spend():
            self._log.warn(
                "the TLS certificate expires on {date} UTC: renew it, then send SIGHUP",
                date=f"{last:%Y-%m-%d %H:%M}",
            )


def _make_context(credentials: Credentials | None, client_ca: Path | None) -> SSL.Context:
    """Return an OpenSSL context with secure options. Raises `Problem`."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    # No tickets and no cache: every connection is authenticated with the current certificates.
    # Links last for hours, so resumed TLS sessions would save nothing.
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_NO_TICKET
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"hermes-attach")
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if client_ca is not None:
        _require_client_certificates(context, client_ca)
    if credentials is not None:
        try:
            context.use_certificate(credentials.leaf)
            for certificate in credentials.chain[1:]:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(credentials.key)
            context.check_privatekey()
        except SSL.Error as error:
            reasons = ", ".join(str(part[-1]) for part in error.args[0])
            raise Problem(
                f"OpenSSL refuses the certificate or its key: {reasons}.",
                "Get a certificate with a stronger key, or use --tls self.",
            ) from None
    return context


def _require_client_certificates(context: SSL.Context, client_ca: Path) -> None:
    """Accept only clients with a certificate of an authority in *client_ca*. Raises `Problem`."""
    store = context.get_cert_store()
    assert store is not None
    for authority in read_certificates(client_ca, "client authority"):
        store.add_cert(X509.from_cryptography(authority))
        context.add_client_ca(authority)
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        lambda _connection, _certificate, _error, _depth, verified: bool(verified),
    )


def _names_of(leaf: x509.Certificate) -> str:
    """Return a certificate's names, or its subject, for the log."""
    with suppress(x509.ExtensionNotFound, ValueError):
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return "for " + ", ".join(str(name.value) for name in names)
    return leaf.subject.rfc4514_string()


def _machine_names() -> list[str]:
    """Return this machine's host name, and its addresses on the default routes."""
    found = [name] if (name := socket.gethostname()) else []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # `connect` of a datagram socket sends nothing, but selects the local address.
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            found.append(probe.getsockname()[0])
    return found
