"""Put the pieces together: settings in, a service out. Opens and starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IListeningPort

from . import apiserver, terminal
from .backends import Backend
from .backends.inprocess import InProcessBackend
from .backends.scripted import BadScript, Script, ScriptedBackend
from .backends.worker import WorkerBackend
from .core.keys import Keyring
from .hermes.locate import Hermes, locate, worker_environment
from .keyring import FIRST_NAME, ServerKeys, former_key
from .plainkey import Secret
from .private import BadKey
from .service import AttachService, CannotStart
from .settings import BadSetting, Settings, read_environment


def build_keys(settings: Settings, environ: Mapping[str, str]) -> ServerKeys:
    """The keys that *settings* name; nothing is read yet."""
    return ServerKeys(
        settings.home,
        environ,
        key_file=settings.key_file,
        api_server=settings.accept_api_server_key,
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

    def make_keyring() -> Keyring:
        nonlocal made, first
        try:
            if keys.is_first_start:
                first = (
                    f"This is the first key, {FIRST_NAME!r}. It is shown this once; hermes-attach "
                    f"key makes, lists and ends keys.{former_key(settings.home)}\n\n"
                )
                made = keys.make_first()
        except BadKey as bad:
            raise CannotStart(str(bad)) from None
        return keys

    def announce(ports: list[IListeningPort]) -> None:
        nonlocal made
        terminal.show_attach_lines(
            settings.listeners[0], ports[0].getHost(), made or keys.take_secret(), first=first
        )
        made = None

    return AttachService(reactor, settings, backend, make_keyring, announce)


def build_backend(
    reactor: AsyncioSelectorReactor, settings: Settings, script: Script | None, *, umask: int
) -> Backend:
    """The backend that *settings* name; *umask* is the one that Hermes' files get."""
    if script is not None:
        return ScriptedBackend(reactor, settings.limits, script, pace=1.0)
    if settings.backend == "inprocess":
        return InProcessBackend(reactor, settings.limits, settings.home)
    environ = dict(read_environment())
    if settings.accept_api_server_key:
        environ.pop(apiserver.VARIABLE, None)  # It is one of our secrets now.

    def find() -> Hermes:
        return locate(settings.hermes_python, environ)

    environment = worker_environment(environ, settings.home)
    return WorkerBackend(reactor, settings.limits, find, environment, umask=umask)


def read_script(settings: Settings) -> Script | None:
    """The recording that the scripted backend plays. Raises `BadSetting`."""
    if settings.backend != "scripted" or settings.script is None:
        return None
    return _parse(settings.script)


def _parse(path: Path) -> Script:
    try:
        return Script.parse(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise BadSetting(f"--script {path} cannot be read: {error.strerror}.") from None
    except (BadScript, UnicodeDecodeError) as error:
        raise BadSetting(f"--script {path}: {error}.") from None
