"""Options and `makeService` for `twistd hermes-attach`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.python import usage

from . import __version__, hardening, keystore, redaction
from .backends.scripted import Script
from .build import build_backend, build_service, read_script
from .reactors import WrongReactor, ensure_asyncio
from .service import CannotStart
from .settings import REPEATED, BadSetting, Option, Settings, read_environment, usage_rows

_PARAMETERS, _FLAGS = usage_rows()


class Options(usage.Options):
    """Everything is checked here, before the fork, where an error can still be shown."""

    synopsis = "[options]"
    longdesc = (
        "Serve Hermes Agent's terminal UI over a WebSocket at /api/ws. Every option can "
        "also be set in the environment, as HERMES_ATTACH_ and its name in capitals, or in "
        "a TOML file named with --config. The key is never an option: it comes from "
        "--key-file, from HERMES_ATTACH_KEY, or is made on the first start in a terminal."
    )
    optParameters = _PARAMETERS
    optFlags = _FLAGS

    reactor: AsyncioSelectorReactor
    settings: Settings
    secret: keystore.Secret | None
    script: Script | None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._repeated: dict[str, list[str]] = {option.name: [] for option in REPEATED}

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"hermes-twisted {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Install the reactor, gather the settings, find the key."""
        try:
            self.reactor = ensure_asyncio()
            given = {name: value for name, value in self.items() if value not in (None, 0)}
            self.settings = Settings.gather({**given, **self._repeated}, read_environment())
            self.secret = keystore.find(
                self.settings.key_file, read_environment(), self.settings.home
            )
            # Whatever we start shall not inherit it, and nobody read it in /proc.
            hardening.forget_variable(keystore.VARIABLE)
            self.script = read_script(self.settings)
            if self.secret is not None:
                self.secret.keyring()
            elif self.daemon:
                raise BadSetting(
                    "There is no key yet, and a daemon cannot show one. Start once in a "
                    "terminal with --nodaemon, or give a key with --key-file."
                )
        except WrongReactor as wrong:
            raise usage.UsageError(self._advise(wrong)) from None
        except (BadSetting, keystore.BadKey) as problem:
            raise usage.UsageError(str(problem)) from None

    def _parent_option(self, name: str) -> Any:
        parent = self.parent
        return parent.get(name) if parent is not None else None

    @property
    def daemon(self) -> bool:
        """Whether twistd will daemonise; `twist` and our own launcher never do."""
        parent = self.parent
        return parent is not None and "nodaemon" in parent and not parent["nodaemon"]

    @property
    def log_file(self) -> str | None:
        """The file that twistd is going to log to; None if it is none, or not twistd."""
        if self.parent is None or "nodaemon" not in self.parent:
            return None
        if self._parent_option("syslog") or self._parent_option("logger"):
            return None
        name = self._parent_option("logfile") or ("twistd.log" if self.daemon else "-")
        return None if name == "-" else str(name)

    def _advise(self, wrong: WrongReactor) -> str:
        # twistd keeps the name in `reactor`; twist the reactor there, the name beside it.
        chosen = self._parent_option("reactorName") or self._parent_option("reactor")
        if isinstance(chosen, str) and chosen != "default":
            cure = f"drop --reactor {chosen}: hermes-attach chooses the asyncio reactor itself."
        else:
            cure = (
                "another Twisted plugin has installed it. Start with `hermes-attach serve`, or "
                "run `twistd --help` once as the owner of this environment to warm its "
                "plugin cache."
            )
        return f"hermes-attach needs the asyncio reactor, but found {wrong.found}: {cure}"


def _collector(option: Option) -> Callable[[Options, str], None]:
    def collect(self: Options, value: str) -> None:
        self._repeated[option.name].append(value)

    collect.__doc__ = option.help + "."
    return collect


# `usage` has no parameters that may be repeated, but it finds methods by their names.
for _option in REPEATED:
    _collect = _collector(_option)
    for _name in filter(None, (_option.name.replace("-", "_"), _option.short)):
        setattr(Options, f"opt_{_name}", _collect)


class ForegroundService(MultiService):
    """What a person starts in a terminal: a refusal to start is one line, not a traceback."""

    def startService(self) -> None:
        """Start; exits with 1 when that cannot be."""
        try:
            super().startService()  # type: ignore[no-untyped-call]
        except CannotStart as problem:
            raise SystemExit(f"hermes-attach: {problem}") from None


def makeService(options: Options) -> IService:
    """Build the service; nothing is opened or started yet."""
    # Read before twistd sets its own: files that the agent makes follow the user's.
    umask = os.umask(0o077)
    os.umask(umask)
    # Before twistd opens its log, which is what follows.
    redaction.install([options.secret.text] if options.secret is not None else [])
    if options.log_file is not None:
        hardening.keep_private(options.log_file)
    # Where Hermes runs in this process, the limit is the one of its programs too.
    in_process = options.settings.backend == "inprocess"
    core_limit = None if in_process else hardening.forbid_core_files()
    backend = build_backend(
        options.reactor, options.settings, options.script, umask=umask, core_limit=core_limit
    )
    service = build_service(options.reactor, options.settings, options.secret, backend)
    if options.daemon:
        return service  # Its launcher waits for the exception, and shows it.
    foreground = ForegroundService()  # type: ignore[no-untyped-call]
    service.setServiceParent(foreground)  # type: ignore[no-untyped-call]
    return foreground
