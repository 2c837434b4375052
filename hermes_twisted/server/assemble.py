"""Put the pieces together: settings in, a service out. Opens and starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IListeningPort

from ..access import api_server
from ..access.keyring import FIRST_NAME, ServerKeys, former_key
from ..access.keys import Keyring
from ..access.plaintext import Secret
from ..backends.inprocess import InProcessBackend, load_in_gateway
from ..backends.locate import Hermes, locate, worker_environment
from ..backends.scripted import BadScript, Script, ScriptedBackend
from ..backends.worker import WorkerBackend
from ..config.environment import read_environment
from ..listen.tls import TLS, OwnCredentials, build_loader
from ..operate.audit import AuditLog
from ..operate.metrics import Metrics
from ..seats.journal import Audit, NullAudit
from ..seats.ports import Backend
from ..shared.problem import Problem
from . import attach_lines
from .service import AttachService
from .settings import Settings

#: Hermes' own name for `--session-grace`; who has set it there meant it.
SESSION_GRACE: Final = "HERMES_TUI_WS_ORPHAN_REAP_GRACE_S"


def build_keys(
    settings: Settings, environ: Mapping[str, str], tell: Callable[[str], None]
) -> ServerKeys:
    """The keys that *settings* name; nothing is read yet. *tell*: see `ServerKeys`."""
    return ServerKeys(
        settings.home,
        environ,
        key_file=settings.key_file,
        accept_api_server_key=settings.accept_api_server_key,
        tell=tell,
    )


def build_service(
    reactor: AsyncioSelectorReactor,
    settings: Settings,
    keys: ServerKeys,
    backend: Backend,
) -> AttachService:
    """The service before *backend*. The first key is made when it starts."""
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
    """TLS as *settings* have it; nothing is read or written yet."""
    choice = settings.tls
    if choice is None:
        return None
    return TLS(reactor, build_loader(choice, settings.home), choice.client_ca)


def check_tls(reactor: AsyncioSelectorReactor, settings: Settings) -> None:
    """Read certificate and key where a mistake can still be shown. Raises `Problem`."""
    tls = build_tls(reactor, settings)
    if tls is not None:
        tls.check()


def build_audit(settings: Settings) -> Audit:
    """The audit log that *settings* name."""
    if settings.audit_file is None:
        return NullAudit()
    return AuditLog(
        settings.audit_file, max_bytes=settings.audit_max_bytes, keep=settings.audit_keep
    )


def build_backend(
    reactor: AsyncioSelectorReactor,
    settings: Settings,
    script: Script | None,
    *,
    umask: int,
    core_limit: int | None = None,
) -> Backend:
    """The backend that *settings* name.

    *umask* and *core_limit* are those of the user's files and programs, for Hermes.
    """
    if script is not None:
        return ScriptedBackend(reactor, settings.limits, script, pace=1.0)
    if settings.backend == "inprocess":
        return InProcessBackend(reactor, settings.limits, settings.home, own_process=True)
    environ = dict(read_environment())
    if settings.accept_api_server_key:
        environ.pop(api_server.VARIABLE, None)  # It is one of our secrets now.

    def find() -> Hermes:
        return locate(settings.hermes_python, environ)

    environment = worker_environment(environ, settings.home)
    environment.setdefault(SESSION_GRACE, f"{settings.session_grace:g}")
    return WorkerBackend(
        reactor, settings.limits, find, environment, umask=umask, core_limit=core_limit
    )


def find_hermes_python(environ: Mapping[str, str]) -> Path:
    """Hermes' interpreter, where it is looked for by itself. Raises `Problem`."""
    return locate(None, environ).python


async def build_gateway_backend(reactor: AsyncioSelectorReactor, settings: Settings) -> Backend:
    """Hermes in this process, a gateway's, whose loop calls this. Raises `Problem`.

    Before that Hermes is loaded, off the loop, and what protects the gateway is tried.
    """
    return await load_in_gateway(reactor, settings.limits, settings.home)


def read_script(settings: Settings) -> Script | None:
    """The recording that the scripted backend plays. Raises `Problem`."""
    if settings.backend != "scripted" or settings.script is None:
        return None
    return _parse(settings.script)


def _parse(path: Path) -> Script:
    try:
        return Script.parse(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise Problem(f"--script {path} cannot be read: {error.strerror}.") from None
    except (BadScript, UnicodeDecodeError) as error:
        raise Problem(f"--script {path}: {error}.") from None
