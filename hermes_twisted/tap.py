"""Options and `makeService` for `twistd hermes-attach`."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from twisted.application.service import IService, MultiService
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.logger import LogLevel
from twisted.python import usage

from . import __version__
from .access import keyring, plaintext
from .access.keyring import ServerKeys
from .backends.scripted import Script
from .config.environment import read_environment
from .config.option import Option
from .operate import logs, redaction
from .server import attach_lines, process
from .server.assemble import build_backend, build_keys, build_service, check_tls, read_script
from .server.options import REPEATED, usage_rows
from .server.reactor import WrongReactor, ensure_asyncio
from .server.settings import Settings
from .server.signals import EndAtOnce, ReloadOnHangup
from .server.systemd import Manager, Reporter
from .shared import tuning
from .shared.problem import Problem

_PARAMETERS, _FLAGS = usage_rows()

KEY_IS_NO_OPTION: Final = (
    "A key is never an option: everyone on this machine could read it. Take it for known, "
    "make another with `hermes-attach key new NAME`, or give one with --key-file."
)


class Options(usage.Options):
    """Everything is checked here, before the fork, where an error can still be shown."""

    synopsis = "[options]"
    longdesc = (
        "Serve Hermes Agent's terminal UI over a WebSocket at /api/ws. Every option can "
        "also be set in the environment, as HERMES_ATTACH_ and its name in capitals, or in "
        "a TOML file named with --config. A key is never an option: `hermes-attach key` makes "
        "and ends keys, and so does the first start in a terminal; --key-file and "
        "HERMES_ATTACH_KEY give one more."
    )
    optParameters = _PARAMETERS
    optFlags = _FLAGS

    reactor: AsyncioSelectorReactor
    settings: Settings
    server_keys: ServerKeys
    script: Script | None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._repeated: dict[str, list[str]] = {option.name: [] for option in REPEATED}

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Refuse what looks like a key; `usage` would take it for the beginning of --key-file,
        and quote it."""
        if any(word.partition("=")[0] in ("--key", "--token") for word in options or ()):
            raise usage.UsageError(KEY_IS_NO_OPTION)
        super().parseOptions(options)  # type: ignore[no-untyped-call]

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"hermes-twisted {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Install the reactor, gather the settings, find the keys."""
        try:
            self.reactor = ensure_asyncio()
            given = {name: value for name, value in self.items() if value not in (None, 0)}
            self.settings = Settings.gather({**given, **self._repeated}, read_environment())
            self.server_keys = build_keys(self.settings, read_environment(), redaction.know)
            # Whatever we start shall not inherit it, and nobody read it in /proc.
            process.forget_variable(plaintext.VARIABLE)
            self.script = read_script(self.settings)
            check_tls(self.reactor, self.settings)
            self.server_keys.load()
            makes_first = (
                self.server_keys.is_first_start and not self.daemon and attach_lines.is_there()
            )
            if not (self.server_keys.admits or makes_first):
                raise keyring.no_key(self.settings.home, read_environment())
            self._plan_log()
        except WrongReactor as wrong:
            raise usage.UsageError(self._advise(wrong)) from None
        except Problem as problem:
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
        if self._parent_option("syslog") or self._own_logger:
            return None
        name = self._parent_option("logfile") or ("twistd.log" if self.daemon else "-")
        return None if name == "-" else str(name)

    @property
    def _own_logger(self) -> bool:
        """Whether the operator has chosen another log than ours, with twistd's --logger."""
        # A name, until twistd has imported it.
        return self._parent_option("logger") not in (None, logs.FACTORY, logs.observer)

    def _plan_log(self) -> None:
        """Have twistd, or twist, write its log in our form. Raises `Problem`."""
        parent, settings = self.parent, self.settings
        given = settings.log_format or settings.log_level
        if parent is None:
            return
        plan = logs.LogPlan(settings.log_format or "text", settings.log_level or "info")
        if "nodaemon" not in parent:
            # twist has options of this kind, too: ours win where they are given.
            if given:
                parent["fileLogObserverFactory"] = plan.to
                parent["logLevel"] = LogLevel.levelWithName(plan.level)
        elif self._own_logger:
            if given:
                raise Problem(
                    "--log-format and --log-level are not for a log of your own: drop them, or "
                    "twistd's --logger."
                )
        elif self._parent_option("syslog"):
            if plan.format == "json":
                raise Problem("--log-format json is not for --syslog: drop one of them.")
            prefix = self._parent_option("prefix") or ""
            self._use(dataclasses.replace(plan, syslog=prefix))
        elif not self.daemon or self._parent_option("logfile") != "-":
            # A daemon that logs to standard output is left to twistd, which refuses it.
            self._use(dataclasses.replace(plan, file=self.log_file))

    def _use(self, plan: logs.LogPlan) -> None:
        assert self.parent is not None
        logs.adopt(plan)
        self.parent["logger"] = logs.FACTORY

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
        except Problem as problem:
            raise SystemExit(f"hermes-attach: {problem}") from None


def makeService(options: Options) -> IService:
    """Build the service; nothing is opened or started yet."""
    # Read before twistd sets its own: files that the agent makes follow the user's.
    umask = os.umask(0o077)
    os.umask(umask)
    # Before twistd opens its log, which is what follows.
    redaction.install()
    if options.log_file is not None:
        process.keep_private(options.log_file)
    # Where Hermes runs in this process, the limit is the one of its programs too.
    in_process = options.settings.backend == "inprocess"
    core_limit = None if in_process else process.forbid_core_files()
    backend = build_backend(
        options.reactor, options.settings, options.script, umask=umask, core_limit=core_limit
    )
    service = build_service(options.reactor, options.settings, options.server_keys, backend)
    # A daemon's launcher waits for the exception, and shows it.
    home = MultiService() if options.daemon else ForegroundService()  # type: ignore[no-untyped-call]
    service.setServiceParent(home)  # type: ignore[no-untyped-call]
    reload = service.reload
    if (manager := Manager.take(os.environ, os.getpid())) is not None:
        reporter = Reporter(options.reactor, manager, options.settings.drain)
        reporter.setServiceParent(home)  # type: ignore[no-untyped-call]
        reload = partial(reporter.reloading, reload)
    ReloadOnHangup(options.reactor, reload).setServiceParent(home)  # type: ignore[no-untyped-call]
    EndAtOnce().setServiceParent(home)  # type: ignore[no-untyped-call]
    options.reactor.callWhenRunning(tuning.freeze)
    return home
