"""`Options` and `makeService` for `twistd hermes-attach`."""

from __future__ import annotations

import dataclasses
import getopt
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from twisted.application.service import IService, MultiService
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.logger import Logger, LogLevel
from twisted.python import usage

from . import __version__
from .access import keyring, plaintext
from .access.keyring import ServerKeys
from .backends import registry
from .config.environment import read_environment
from .config.gathering import KEY_IS_NO_OPTION, KEY_OPTIONS, SEE_HELP
from .config.help_text import Formatter, write_groups
from .config.table import did_you_mean
from .operate import logs, redaction
from .server import attach_lines, process, settings
from .server.assemble import build_backend, build_keys, build_service, check_backend, check_tls
from .server.reactor import WrongReactor, ensure_asyncio
from .server.settings import NO_OPTIONS, Settings
from .server.signals import EndAtOnce, ReloadOnHangup
from .server.systemd import Manager, Reporter
from .shared import tuning
from .shared.problem import Problem

DESCRIPTION: Final = (
    "Serve Hermes Agent's terminal UI over a WebSocket at /api/ws. Every option can "
    "also be set in the environment, as HERMES_ATTACH_ and its name in capitals, or in "
    "a TOML file named with --config. A key is never an option: `hermes-attach key` makes "
    "and ends keys, and so does the first start in a terminal; --key-file and "
    "HERMES_ATTACH_KEY give one more."
)
#: What twistd exits with when its usage is wrong, and what twist does (sysexits.h).
TWISTD_USAGE: Final = 1
TWIST_USAGE: Final = 64
_MAX_WIDTH: Final = 100

_log = Logger()


class Collector:
    """Collects the values of an option that may be repeated."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def __call__(self, value: str) -> tuple[str, ...]:
        """Return all values so far, *value* the last."""
        self._values += (value,)
        return self._values


class Rows:
    """Rows for `usage.Options`, made anew for each parser from the options as they are then."""

    def __init__(self, *, flags: bool) -> None:
        self._flags = flags

    def __iter__(self) -> Iterator[list[Any]]:
        for option in settings.options():
            if option.flag and self._flags:
                yield [option.name, option.short, option.help_text]
            elif not (option.flag or self._flags):
                collect = [Collector()] if option.repeated else []
                yield [option.name, option.short, None, option.help_text, *collect]


class Options(usage.Options):
    """The options of `twistd hermes-attach`.

    All are checked before the fork, while a mistake can still be shown.
    """

    synopsis = "[options]"
    longdesc = DESCRIPTION
    optParameters: Any = Rows(flags=False)
    optFlags: Any = Rows(flags=True)

    reactor: AsyncioSelectorReactor
    settings: Settings
    server_keys: ServerKeys

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; a mistake is one line.

        Below twistd or twist it is written to standard error, and the process exits: both
        would print all of their help. Without them it is a `usage.UsageError`.
        """
        try:
            self._parse(list(sys.argv[1:] if options is None else options))
        except usage.UsageError as wrong:
            if self.parent is None:
                raise
            print(f"hermes-attach: {wrong}", file=sys.stderr)
            raise SystemExit(TWISTD_USAGE if self._below_twistd else TWIST_USAGE) from None

    def _parse(self, words: list[str]) -> None:
        if any(word.partition("=")[0] in KEY_OPTIONS for word in words):
            # `usage` would take it for the beginning of --key-file, and quote it.
            raise usage.UsageError(KEY_IS_NO_OPTION)
        try:
            super().parseOptions(words)  # type: ignore[no-untyped-call]
        except usage.UsageError as wrong:
            if isinstance(wrong.__context__, getopt.GetoptError):
                raise usage.UsageError(_explain(wrong.__context__)) from None
            raise

    def parseArgs(self, *surplus: str) -> None:
        """Refuse arguments. They are not quoted: a key may be among them."""
        if surplus:
            raise usage.UsageError(f"There are options only, no arguments. {SEE_HELP}")

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"hermes-twisted {__version__}")
        sys.exit(0)

    def getUsage(self, width: int | None = None) -> str:
        """Return the help, with the options in groups."""
        formatter = Formatter(width=width, max_width=_MAX_WIDTH)
        formatter.write_paragraph()
        formatter.write_text(DESCRIPTION)
        write_groups(formatter, settings.options().groups())
        with formatter.section("Other options"):
            formatter.write_dl(
                [
                    ("--help", "Show this help and exit."),
                    ("--version", "Show the version and exit."),
                ]
            )
        return formatter.getvalue()

    def postOptions(self) -> None:
        """Install the reactor, gather the settings, find the keys."""
        try:
            self.reactor = ensure_asyncio()
            environ = read_environment()
            given = {name: value for name, value in self.items() if value not in (None, 0)}
            self.settings = Settings.gather(given, environ)
            for line in settings.options().unknown_variables(environ, NO_OPTIONS):
                _log.warn("{line}", line=line)
            self.server_keys = build_keys(self.settings, environ, redaction.know)
            # So that no child inherits it, and no other process reads it in /proc.
            process.forget_variable(plaintext.VARIABLE)
            check_backend(self.settings)
            check_tls(self.reactor, self.settings)
            self.server_keys.load()
            makes_first = (
                self.server_keys.is_first_start and not self.daemon and attach_lines.has_terminal()
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
    def _below_twistd(self) -> bool:
        return self.parent is not None and "nodaemon" in self.parent

    @property
    def daemon(self) -> bool:
        """Whether twistd will daemonise; `twist` and `hermes-attach serve` never do."""
        return self._below_twistd and not self._parent_option("nodaemon")

    @property
    def log_file(self) -> str | None:
        """The file that twistd is going to log to; None if there is none, or without twistd."""
        if not self._below_twistd or self._parent_option("syslog") or self._own_logger:
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
        if not self._below_twistd:
            # twist has such options, too: ours win where they are given.
            if given:
                parent["fileLogObserverFactory"] = plan.to
                parent["logLevel"] = LogLevel.levelWithName(plan.level)
        elif self._own_logger:
            if given:
                raise Problem(
                    "--log-format and --log-level do not apply to twistd's --logger.",
                    "Drop them, or --logger.",
                )
        elif self._parent_option("syslog"):
            if plan.format == "json":
                raise Problem("--log-format json does not apply to --syslog.", "Drop one of them.")
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
            advice = f"drop --reactor {chosen}: hermes-attach chooses the asyncio reactor itself."
        else:
            advice = (
                "another Twisted plugin has installed it. Start with `hermes-attach serve`, or "
                "run `twistd --help` once as the owner of this environment to warm its "
                "plugin cache."
            )
        return f"hermes-attach needs the asyncio reactor, but found {wrong.found}: {advice}"


def _explain(error: getopt.GetoptError) -> str:
    """Return one line about an option that `getopt` refuses. Its value is not quoted."""
    if "not recognized" not in error.msg:
        return f"{error.msg[0].upper()}{error.msg[1:]}. {SEE_HELP}"
    if len(error.opt) == 1:
        return f"There is no option -{error.opt}. {SEE_HELP}"
    meant = settings.options().nearest(error.opt)
    return f"There is no option --{error.opt}{did_you_mean(meant and f'--{meant}')} {SEE_HELP}"


class ForegroundService(MultiService):
    """The service of a server in the foreground: a refusal to start is one line, no traceback."""

    def startService(self) -> None:
        """Start. Exits with 1, and one line, for a `Problem`."""
        try:
            super().startService()  # type: ignore[no-untyped-call]
        except Problem as problem:
            raise SystemExit(f"hermes-attach: {problem}") from None


def makeService(options: Options) -> IService:
    """Return the service; nothing is opened or started yet."""
    # Read before twistd sets its own: files that the agent makes follow the user's.
    umask = os.umask(0o077)
    os.umask(umask)
    # Before twistd opens its log, which is what follows.
    redaction.install()
    if options.log_file is not None:
        process.keep_private(options.log_file)
    # Where Hermes runs in this process, the limit is the one of its programs too.
    in_process = registry.find(options.settings.backend).in_process
    core_limit = None if in_process else process.forbid_core_files()
    backend = build_backend(options.reactor, options.settings, umask=umask, core_limit=core_limit)
    service = build_service(options.reactor, options.settings, options.server_keys, backend)
    # A daemon's launcher waits for the exception, and shows it.
    parent = MultiService() if options.daemon else ForegroundService()  # type: ignore[no-untyped-call]
    service.setServiceParent(parent)  # type: ignore[no-untyped-call]
    reload: Callable[[], Any] = service.reload
    if (manager := Manager.take(os.environ, os.getpid())) is not None:
        reporter = Reporter(options.reactor, manager, options.settings.drain)
        reporter.setServiceParent(parent)  # type: ignore[no-untyped-call]
        reload = partial(reporter.reloading, reload)
    ReloadOnHangup(options.reactor, reload).setServiceParent(parent)  # type: ignore[no-untyped-call]
    EndAtOnce().setServiceParent(parent)  # type: ignore[no-untyped-call]
    options.reactor.callWhenRunning(tuning.freeze)
    return parent
