"""The attach service in a gateway's process, on the event loop that runs there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger, STDLibLogObserver, globalLogBeginner

from ..access import keyring, plaintext
from ..access.keyring import ServerKeys
from ..config.environment import read_environment
from ..config.table import Table
from ..operate import redaction
from ..server import attach_lines, process, settings
from ..server.assemble import build_gateway_backend, build_keys, build_service, check_tls
from ..server.reactor import WrongReactor, adopt_running_loop
from ..server.service import AttachService
from ..server.settings import NO_OPTIONS, Settings
from ..shared.problem import Problem

#: Where the settings are, for messages.
WHERE: Final = "platforms.attach.extra in config.yaml"
#: Options that the gateway decides, not its operator.
FIXED: Final = ("backend", "config", "hermes-home", "hermes-python", "script")
#: The backend: Hermes runs in this process.
BACKEND: Final = "inprocess"
#: Seconds of a gateway's time limit for a stop that closing and finalising may need.
CLOSING: Final = 3.0

_log = Logger()


class CannotStart(Exception):
    """The server cannot be started in this gateway. The text says what is wrong and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def _fails_as(code: str) -> Iterator[None]:
    """Turn a `Problem` into a `CannotStart` with *code*, which names the stage of the start."""
    try:
        yield
    except Problem as problem:
        raise CannotStart(code, str(problem)) from None


class Hosted:
    """The attach server of this process, of which there is one, from its start to its stop."""

    _running: ClassVar[Hosted | None] = None
    #: The key from the environment, kept for the next start: it is removed from there.
    _taken: ClassVar[str] = ""
    _logging: ClassVar[bool] = False

    def __init__(self) -> None:
        self._service: AttachService | None = None

    @classmethod
    async def start(
        cls,
        given: Mapping[str, Any],
        home: Path,
        patience: float,
    ) -> Hosted:
        """Listen and serve, with the settings in *given*. Raises `CannotStart`.

        *patience* is how many seconds a stop may take. Called on the gateway's loop.
        """
        if cls._running is not None:
            raise CannotStart(
                "second",
                "This gateway has an attach server already, for the profile that it was "
                "started with. Disable the platform in the other profiles.",
            )
        hosted = cls._running = cls()
        try:
            await hosted._start(given, home, patience)
        except BaseException:
            cls._running = None
            raise
        return hosted

    async def _start(
        self,
        given: Mapping[str, Any],
        home: Path,
        patience: float,
    ) -> None:
        with _fails_as("settings"):
            chosen = read_settings(given, read_environment(), home)
            # The whole stop has to fit into *patience*.
            chosen = replace(chosen, drain=min(chosen.drain, max(0.0, patience - CLOSING)))
        try:
            reactor = adopt_running_loop()
        except WrongReactor as wrong:
            raise CannotStart(
                "reactor",
                f"Another plugin has brought Twisted into this gateway first: {wrong}. A process "
                "has one reactor for good; disable that plugin, or serve terminals beside this "
                "gateway with `hermes-attach serve`.",
            ) from None
        self._begin_logging()
        with _fails_as("settings"):
            check_tls(reactor, chosen)
        with _fails_as("start"):
            loading = Deferred.fromCoroutine(build_gateway_backend(reactor, chosen))
            backend = await loading.asFuture(asyncio.get_running_loop())
        with _fails_as("key"):
            # After that: loading Hermes reads its .env file once more.
            keys = find_keys(chosen, self._take_key(read_environment()))
        with _fails_as("start"):
            service = build_service(reactor, chosen, keys, backend)
            service.startService()
        self._service = service

    def stop(self) -> asyncio.Future[None]:
        """Tell the clients, close, finalise Hermes' sessions. Fires when that is done.

        The gateway's loop goes on.
        """
        service, self._service = self._service, None
        stopped = maybeDeferred(service.stopService) if service is not None else succeed(None)

        def forget(outcome: Any) -> Any:
            if Hosted._running is self:
                Hosted._running = None
            return outcome

        return stopped.addBoth(forget).asFuture(asyncio.get_running_loop())

    @classmethod
    def _take_key(cls, environ: Mapping[str, str]) -> Mapping[str, str]:
        cls._taken = os.environ.get(plaintext.VARIABLE, "") or cls._taken
        process.forget_variable(plaintext.VARIABLE)
        taken = {plaintext.VARIABLE: cls._taken} if cls._taken else {}
        return {**environ, **taken}

    @classmethod
    def _begin_logging(cls) -> None:
        """Have Twisted's events logged where the gateway's own are. Done once."""
        if not cls._logging:
            cls._logging = True
            redaction.install()
            observer = STDLibLogObserver(name="gateway.attach")
            globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def read_settings(given: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> Settings:
    """Return the settings of the server for this Hermes home. Raises `Problem`.

    The environment wins over what was *given*, as it wins over a file elsewhere.
    """
    table = settings.options()
    ours = _ours(given, table)
    for name in FIXED:
        if name in ours:
            raise Problem(f"{WHERE}: {name} has no meaning inside a gateway.", "Remove it.")
    fixed = {table[name].variable for name in FIXED}
    kept = {name: value for name, value in environ.items() if name not in fixed}
    for line in table.unknown_variables(kept, NO_OPTIONS):
        _log.warn("{line}", line=line)
    decided = {"hermes-home": str(home), "backend": BACKEND}
    return Settings.gather(decided, kept, ours, WHERE)


def _ours(given: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Return the settings without Hermes' own for every platform, whose names have underscores.

    Raises `Problem` for one of ours with underscores.
    """
    for name in map(str, given):
        if "_" in name and (meant := name.replace("_", "-")) in table:
            raise Problem(f"{WHERE}: there is no setting {name!r}.", f"Write {meant}.")
    return {str(name): value for name, value in given.items() if "_" not in str(name)}


def find_keys(chosen: Settings, environ: Mapping[str, str]) -> ServerKeys:
    """Return all keys that admit, by the rules of a standalone server. Raises `Problem` if none do.

    The first key is made only where it can be shown: by a gateway in a terminal.
    """
    keys = build_keys(chosen, environ, redaction.know)
    keys.load()
    if not (keys.admits or (keys.is_first_start and attach_lines.has_terminal())):
        raise keyring.no_key(chosen.home, environ)
    return keys
