"""Make the service, and its parts, from settings. Opens and starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IListeningPort

from ..access import api_server
from ..access.keyring import FIRST_NAME, ServerKeys, former_key
from ..access.keys import Keyring
from ..access.plaintext import Secret
from ..backends import registry
from ..backends.inprocess import load_in_gateway
from ..backends.locate import locate
from ..backends.spec import Surroundings
from ..config.environment import read_environment
from ..listen.tls import TLS, OwnCredentials, build_loader
from ..operate.audit import AuditLog
from ..operate.metrics import Metrics
from ..seats.journal import Audit, NullAudit
from ..seats.ports import Backend
from . import attach_lines
from .service import AttachService
from .settings import Settings


def build_keys(
    settings: Settings, environ: Mapping[str, str], tell: Callable[[str], None]
) -> ServerKeys:
    """Return the keys that *settings* name; nothing is read yet.

    *tell* is called with each secret that becomes known, so that logs can hide it.
    """
    return ServerKeys(
        settings.home,
        environ,
        key_file=settings.key_file,
        accept_api_server_key=settings.accept_api_server_key,
        on_secret=tell,
    )


def build_service(
    reactor: AsyncioSelectorReactor,
    settings: Settings,
    keys: ServerKeys,
    backend: Backend,
) -> AttachService:
    """Return the service in front of *backend*. The first key is made when it starts."""
    made: Secret | None = None
    first: str | None = None
    tls = build_tls(reactor, settings)

    def make_keyring() -> Keyring:
        nonlocal made, first
        if keys.is_first_start:
            first = (
                f"This is the first key, {FIRST_NAME!r}. It is shown this once; hermes-attach "
                f"key makes, lists and ends keys.{former_key(settings.home)}\n\n"
            )
            made = keys.make_first()
        return keys

    def announce(ports: list[IListeningPort]) -> None:
        nonlocal made
        attach_lines.show_attach_lines(
            settings.listeners[0], ports[0].getHost(), made or keys.take_secret(), first=first
        )
        made = None
        if tls is not None and isinstance(tls.loader, OwnCredentials):
            attach_lines.show_authority_lines(tls.loader.authority.certificate, tls.pin)

    return AttachService(
        reactor,
        settings,
        backend,
        make_keyring,
        announce,
        tls,
        audit=build_audit(settings),
        metrics=Metrics(),
    )


def build_tls(reactor: AsyncioSelectorReactor, settings: Settings) -> TLS | None:
    """Return TLS as *settings* have it, or None for none; nothing is read or written yet."""
    choice = settings.tls_choice
    if choice is None:
        return None
    return TLS(reactor, build_loader(choice, settings.home), choice.client_ca)


def check_tls(reactor: AsyncioSelectorReactor, settings: Settings) -> None:
    """Read certificate and private key. Raises `Problem` if they cannot be used."""
    tls = build_tls(reactor, settings)
    if tls is not None:
        tls.check()


def build_audit(settings: Settings) -> Audit:
    """Return the audit log that *settings* name; nothing is opened yet."""
    if settings.audit_file is None:
        return NullAudit()
    return AuditLog(
        settings.audit_file, max_bytes=settings.audit_max_bytes, keep=settings.audit_keep
    )


def build_backend(
    reactor: AsyncioSelectorReactor,
    settings: Settings,
    *,
    umask: int,
    core_limit: int | None = None,
) -> Backend:
    """Return the backend that *settings* name.

    *umask* and *core_limit* are the user's own, for Hermes: see `Surroundings`. Raises `Problem`.
    """
    environ = dict(read_environment())
    if settings.accept_api_server_key:
        environ.pop(api_server.VARIABLE, None)  # It is one of our secrets now.
    surroundings = Surroundings(
        reactor, settings.limits, settings.home, environ, umask=umask, core_limit=core_limit
    )
    return registry.find(settings.backend).build(surroundings, settings.backend_options)


def check_backend(settings: Settings) -> None:
    """Raise `Problem` for options of the backend that it cannot use."""
    registry.find(settings.backend).validate(settings.backend_options)


def find_hermes_python(environ: Mapping[str, str]) -> Path:
    """Return the Python interpreter that Hermes is found in. Raises `Problem` if there is none."""
    return locate(None, environ).python


async def build_gateway_backend(reactor: AsyncioSelectorReactor, settings: Settings) -> Backend:
    """Return the backend for a gateway's process, on whose loop this is called.

    Loads Hermes off the loop, and tries the cures that protect the gateway. Raises `Problem`.
    """
    return await load_in_gateway(reactor, settings.limits, settings.home)
