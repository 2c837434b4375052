"""Put the pieces together: settings in, a service out. Opens and starts nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort

from . import keystore, terminal
from .backends import Backend
from .backends.inprocess import InProcessBackend
from .backends.scripted import BadScript, Script, ScriptedBackend
from .backends.worker import WorkerBackend
from .core.keys import Keyring
from .hermes.cures import check_gateway, gateway_cures
from .hermes.host import Host
from .hermes.locate import Hermes, locate, worker_environment
from .hermes.problem import HostProblem
from .service import AttachService, CannotStart
from .settings import BadSetting, Settings, read_environment
from .threads import in_thread


def build_service(
    reactor: AsyncioSelectorReactor,
    settings: Settings,
    secret: keystore.Secret | None,
    backend: Backend,
) -> AttachService:
    """The service before *backend*. A missing *secret* is made when it starts."""
    known = secret

    def make_keyring() -> Keyring:
        nonlocal known
        try:
            known = known or keystore.make(settings.home)
            return known.keyring()
        except keystore.BadKey as bad:
            raise CannotStart(str(bad)) from None

    def announce(ports: list[IListeningPort]) -> None:
        assert known is not None
        terminal.show_attach_lines(settings.listeners[0], ports[0].getHost(), known)

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

    def find() -> Hermes:
        return locate(settings.hermes_python, environ)

    environment = worker_environment(environ, settings.home)
    return WorkerBackend(reactor, settings.limits, find, environment, umask=umask)


async def build_gateway_backend(reactor: AsyncioSelectorReactor, settings: Settings) -> Backend:
    """Hermes in this process, a gateway's, whose loop calls this. Raises `CannotStart`.

    Before that Hermes is loaded, off the loop, and what protects the gateway is tried.
    """
    cures = gateway_cures(threading.get_ident())
    loading: Deferred[None] = in_thread(reactor, lambda: check_gateway(cures), "hermes-check")
    try:
        await loading
    except HostProblem as problem:
        raise CannotStart(str(problem)) from None
    return InProcessBackend(
        reactor, settings.limits, settings.home, lambda lanes: Host.load(lanes, cures)
    )


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
