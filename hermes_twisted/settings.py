"""What the operator decides: from options, environment and a file, into one `Settings`.

Every option has one entry in `OPTIONS`, from which come the command line, the name
in the environment (`HERMES_ATTACH_` and the name in capitals), the key in the TOML
file and the help. The command line wins over the environment, the environment over
the file, the file over the default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import parsing
from .core.forwarded import TrustedProxies
from .core.limits import MIB, Limits
from .listeners import (
    Listener,
    TLSChoice,
    choose_tls,
    parse_listener,
    socket_path_problem,
    with_tls,
)

ENVIRONMENT_PREFIX: Final = "HERMES_ATTACH_"
DEFAULT_PORT: Final = 8643
AUDIT_MAX_BYTES: Final = 10 * MIB
AUDIT_KEEP: Final = 5
#: The control socket, in Hermes' home.
CONTROL: Final = Path("attach", "control.sock")
#: Levels of JSON that every Python reads, with room for those who walk through them.
DEEPEST: Final = 500


class BadSetting(Exception):
    """A setting that cannot be used; the text says which, why, and what to do."""


@dataclass(frozen=True)
class Option:
    """One thing to decide."""

    name: str
    help: str
    convert: Callable[[str], Any] = parsing.text
    short: str | None = None
    default: Any = None
    repeated: bool = False
    flag: bool = False


_LIMITS: Final = Limits()

OPTIONS: Final = (
    Option("port", "Port to listen on, on 127.0.0.1", parsing.port, "p", DEFAULT_PORT),
    Option(
        "listen",
        "Endpoint to listen on instead, in Twisted's syntax, such as "
        "unix:/run/hermes/attach.sock:mode=600 or "
        "ssl:8643:privateKey=key.pem:certKey=cert.pem. May be repeated",
        short="l",
        repeated=True,
    ),
    Option(
        "allow-plaintext",
        "Listen without TLS beyond loopback: keys and conversations can be read on the way",
        parsing.flag,
        default=False,
        flag=True,
    ),
    Option("tls", "Speak TLS with a certificate of the server's own making: self", parsing.tls),
    Option("tls-cert", "Speak TLS with this certificate: PEM file with the chain, the server's "
           "own first", parsing.path),
    Option("tls-key", "Its private key: PEM file, readable by you alone (default: in --tls-cert)",
           parsing.path),
    Option("tls-name", "Another name or address of this server, for the certificate of "
           "--tls self. May be repeated", parsing.host_name, repeated=True),
    Option("tls-client-ca", "Only clients with a certificate from an authority in this PEM file",
           parsing.path),
    Option("allow-host", "Another name that clients use for this server, with any port. "
           "May be repeated", parsing.host, repeated=True),
    Option("allow-origin", "Origin of a web page that may attach. May be repeated",
           parsing.origin, repeated=True),
    Option("trust-forwarded-from", "Proxy (address, network, or unix) whose X-Forwarded-For tells "
           "the client's address, for logs and limits. May be repeated", parsing.proxy,
           repeated=True),
    Option("key-file", "File with one more key, readable by you alone, such as a credential of "
           "systemd", parsing.path),
    Option("accept-api-server-key", "Admit with the key of Hermes' API server, too: whoever has "
           "that one can then attach", parsing.flag, default=False, flag=True),
    Option("backend", "Where Hermes runs: worker, inprocess or scripted", parsing.backend,
           default="worker"),
    Option("script", "Recording that the scripted backend plays", parsing.path),
    Option("hermes-home", "Hermes' home directory (default: $HERMES_HOME, or ~/.hermes)",
           parsing.path),
    Option("hermes-python", "The Python that Hermes is installed in (default: found)",
           parsing.path),
    Option("drain", "How long a stop waits for what runs", parsing.seconds, default=10.0),
    Option("ping-interval", "Pause between two pings of a client, which keep its connection known "
           "to proxies and routers", parsing.some_seconds, default=_LIMITS.ping_interval),
    Option("session-grace", "How long Hermes (0.16 and later) keeps the idle session of a terminal "
           "that has gone, so that it can be resumed as it was; 0 for ever",
           parsing.seconds, default=300.0),
    Option("dead-after", "Silence after which a client counts as gone", parsing.some_seconds,
           default=_LIMITS.dead_after),
    Option("max-connections", "Terminals attached at once", parsing.count,
           default=_LIMITS.connections),
    Option("max-connections-per-address", "The same, from one address (of IPv6: one /64 network)",
           parsing.count, default=_LIMITS.connections_of_source),
    Option("max-failures", "Wrong keys of one address in --failure-period, after which further "
           "ones are refused with 429; a right one is always let in", parsing.count,
           default=_LIMITS.failures),
    Option("failure-period", "Time in which wrong keys of one address add up",
           parsing.some_seconds, default=_LIMITS.failure_period),
    Option("max-failure-sources", "Addresses for which wrong keys are counted", parsing.count,
           default=_LIMITS.failure_sources),
    Option("no-courtesy-hold", "Refuse terminal UIs over HTTP alone. Else a few are let into a "
           "waiting room without any function, where their users read what is wrong",
           parsing.flag, default=False, flag=True),
    Option("max-held", "Refused terminal UIs in the waiting room", parsing.count,
           default=_LIMITS.held),
    Option("max-held-per-address", "The same, from one address", parsing.count,
           default=_LIMITS.held_of_source),
    Option("hold-time", "How long each stays there", parsing.some_seconds, default=_LIMITS.hold),
    Option("max-pending", "Sockets without a key at once", parsing.count, default=_LIMITS.pending),
    Option("max-message", "Bytes of one message from a client", parsing.size,
           default=_LIMITS.max_message),
    Option("max-unfinished", "Bytes of unfinished messages of all clients together",
           parsing.size, default=_LIMITS.unfinished),
    Option("max-fragments", "Fragments of one message from a client", parsing.count,
           default=_LIMITS.max_fragments),
    Option("compress", "Compress frames of 1 KiB to 1 MiB for clients that offer it",
           parsing.flag, default=False, flag=True),
    Option("max-depth", "Levels that the JSON of one message may nest", parsing.count,
           default=_LIMITS.max_depth),
    Option("max-containers", "Lists and objects in one message", parsing.count,
           default=_LIMITS.max_containers),
    Option("max-waiting-requests", "Requests of one client that wait", parsing.count,
           default=_LIMITS.waiting_requests),
    Option("max-waiting-bytes", "Their bytes", parsing.size, default=_LIMITS.waiting_bytes),
    Option("max-unread", "Bytes that a client may leave unread before its requests wait",
           parsing.size, default=_LIMITS.hold_above),
    Option("max-queued-soft", "Bytes queued for a slow client before live text is thinned out",
           parsing.size, default=_LIMITS.soft),
    Option("max-queued-hard", "Bytes queued for a slow client before it is disconnected",
           parsing.size, default=_LIMITS.hard),
    Option("max-queued-total", "Bytes queued for all clients before those with the most are "
           "disconnected", parsing.size, default=_LIMITS.queued_total),
    Option("max-threads", "Threads that run requests", parsing.count, default=_LIMITS.threads),
    Option("handshake-timeout", "Time for a request's head", parsing.some_seconds,
           default=_LIMITS.handshake),
    Option("log-format", "Lines of the log: text, for people, or json, for programs "
           "(default: text)",
           parsing.log_format),
    Option("log-level", "What is logged, from this level upwards: debug, info, warn or error "
           "(default: info)", parsing.log_level),
    Option("audit-file", "Audit log (default: attach/audit.jsonl in Hermes' home)", parsing.path),
    Option("no-audit", "Keep no audit log", parsing.flag, default=False, flag=True),
    Option("audit-max-bytes", "Bytes of the audit log's file before the next is begun",
           parsing.size, default=AUDIT_MAX_BYTES),
    Option("audit-keep", "Earlier files of the audit log that are kept", parsing.count,
           default=AUDIT_KEEP),
    Option("metrics-need-key", "Show /metrics to nobody without a key. Else programs on this "
           "machine need none", parsing.flag, default=False, flag=True),
    Option("control", "Socket on which `hermes-attach status` talks to the server (default: "
           "attach/control.sock in Hermes' home)", parsing.path),
    Option("no-control", "Open no such socket", parsing.flag, default=False, flag=True),
    Option("max-header", "Bytes of a request's head", parsing.size, default=_LIMITS.header),
    Option("max-header-lines", "Lines of a request's head", parsing.count,
           default=_LIMITS.header_lines),
    Option("max-body", "Bytes of a request's body", parsing.size, default=_LIMITS.body),
    Option("close-timeout", "Time that a client has to answer a close, and to take what was "
           "sent before it", parsing.some_seconds, default=_LIMITS.close),
    Option("config", "TOML file with any of these settings", parsing.path),
)  # fmt: skip

REPEATED: Final = tuple(option for option in OPTIONS if option.repeated)
_BY_NAME: Final = {option.name: option for option in OPTIONS}


@dataclass(frozen=True)
class Settings:
    """Everything that was decided, checked."""

    listeners: tuple[Listener, ...]
    home: Path
    """Hermes' home directory."""
    allow_plaintext: bool = False
    tls: TLSChoice | None = None
    hosts: frozenset[str] = frozenset()
    origins: frozenset[bytes] = frozenset()
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    courtesy_hold: bool = True
    key_file: Path | None = None
    accept_api_server_key: bool = False
    backend: str = "worker"
    script: Path | None = None
    hermes_python: Path | None = None
    drain: float = 10.0
    log_format: str | None = None
    log_level: str | None = None
    """None where the operator has not decided: `twist` has options of its own."""
    session_grace: float = 300.0
    audit_file: Path | None = None
    """Where the audit log is kept; None for none."""
    audit_max_bytes: int = AUDIT_MAX_BYTES
    audit_keep: int = AUDIT_KEEP
    metrics_need_key: bool = False
    control: Path | None = None
    """Where the control socket is; None for none."""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def gather(
        cls,
        given: Mapping[str, Any],
        environ: Mapping[str, str],
        table: Mapping[str, Any] | None = None,
        where: str = "",
    ) -> Settings:
        """From the options *given* (text, or lists of text), and the rest. Raises `BadSetting`.

        *table* is more of what a file may hold, from another file, named by *where*.
        """
        values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
        config = given.get("config") or environ.get(_variable("config"))
        if config:
            values.update(_from_file(_convert(_BY_NAME["config"], config, "--config")))
        values.update(_from_table(table or {}, where))
        values.update(_from_environment(environ))
        for name, value in given.items():
            if value not in (None, []):
                values[name] = _convert(_BY_NAME[name], value, f"--{name}")
        return cls._of(values, environ)

    @classmethod
    def _of(cls, values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        if values["backend"] == "scripted" and values["script"] is None:
            raise BadSetting("--backend scripted needs --script, the recording to play.")
        if values["max-queued-soft"] > values["max-queued-hard"]:
            raise BadSetting("--max-queued-soft must not be above --max-queued-hard.")
        if values["max-message"] > values["max-unfinished"]:
            raise BadSetting(
                "--max-message must not be above --max-unfinished, which all clients share."
            )
        if values["max-queued-hard"] > values["max-queued-total"]:
            raise BadSetting("--max-queued-hard must not be above --max-queued-total.")
        if values["max-depth"] > DEEPEST:
            raise BadSetting(f"--max-depth must be {DEEPEST} or less: Python reads no deeper.")
        if values["max-threads"] < 2:
            raise BadSetting("--max-threads must be 2 or more: one is kept for urgent requests.")
        tls = _tls(values)
        described = values["listen"] or [f"tcp:{values['port']}:interface=127.0.0.1:backlog=1024"]
        threads = values["max-threads"]
        home = values["hermes-home"] or default_home(environ)
        audit_file = values["audit-file"] or home / "attach" / "audit.jsonl"
        return cls(
            listeners=_listeners(described, tls),
            home=home,
            allow_plaintext=values["allow-plaintext"],
            tls=tls,
            hosts=frozenset(name.lower() for name in values["allow-host"] or ()),
            origins=frozenset(origin.encode() for origin in values["allow-origin"] or ()),
            proxies=TrustedProxies.parse(values["trust-forwarded-from"] or ()),
            courtesy_hold=not values["no-courtesy-hold"],
            key_file=values["key-file"],
            accept_api_server_key=values["accept-api-server-key"],
            backend=values["backend"],
            script=values["script"],
            hermes_python=values["hermes-python"],
            drain=values["drain"],
            log_format=values["log-format"],
            log_level=values["log-level"],
            session_grace=values["session-grace"],
            audit_file=None if values["no-audit"] else audit_file,
            audit_max_bytes=values["audit-max-bytes"],
            audit_keep=values["audit-keep"],
            metrics_need_key=values["metrics-need-key"],
            control=_control(values, home),
            limits=Limits(
                max_message=values["max-message"],
                max_fragments=values["max-fragments"],
                unfinished=values["max-unfinished"],
                compress=values["compress"],
                waiting_requests=values["max-waiting-requests"],
                waiting_bytes=values["max-waiting-bytes"],
                max_depth=values["max-depth"],
                max_containers=values["max-containers"],
                hold_above=values["max-unread"],
                soft=values["max-queued-soft"],
                hard=values["max-queued-hard"],
                queued_total=values["max-queued-total"],
                threads=threads,
                urgent_threads=min(_LIMITS.urgent_threads, max(1, threads // 4)),
                connections=values["max-connections"],
                connections_of_source=values["max-connections-per-address"],
                failures=values["max-failures"],
                failure_period=values["failure-period"],
                failure_sources=values["max-failure-sources"],
                held=values["max-held"],
                held_of_source=values["max-held-per-address"],
                hold=values["hold-time"],
                pending=values["max-pending"],
                handshake=values["handshake-timeout"],
                ping_interval=values["ping-interval"],
                header=values["max-header"],
                header_lines=values["max-header-lines"],
                body=values["max-body"],
                close=values["close-timeout"],
                dead_after=values["dead-after"],
            ),
        )


def default_home(environ: Mapping[str, str]) -> Path:
    """Hermes' own rule: `HERMES_HOME`, else `~/.hermes`. Raises `BadSetting`."""
    named = environ.get("HERMES_HOME") or "~/.hermes"
    try:
        return parsing.path(named)
    except ValueError as error:
        raise BadSetting(f"Hermes' home {named!r} {error}. Name it with --hermes-home.") from None


def _control(values: Mapping[str, Any], home: Path) -> Path | None:
    if values["no-control"]:
        return None
    path: Path = values["control"] or home / CONTROL
    if values["control"] is not None and (problem := socket_path_problem(path)):
        raise BadSetting(f"--control {problem}")
    return path


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")


def _listener(text: str) -> Listener:
    try:
        return parse_listener(text)
    except ValueError as error:
        raise BadSetting(f"--listen {text}: {error}") from None


def _listeners(described: Sequence[str], tls: TLSChoice | None) -> tuple[Listener, ...]:
    listeners = tuple(_listener(text) for text in described)
    try:
        return listeners if tls is None else with_tls(listeners)
    except ValueError as error:
        raise BadSetting(str(error)) from None


def _tls(values: Mapping[str, Any]) -> TLSChoice | None:
    names = ("tls", "tls-cert", "tls-key", "tls-name", "tls-client-ca")
    kind, certificate, key, more, client_ca = (values[name] for name in names)
    try:
        return choose_tls(kind, certificate, key, more or (), client_ca)
    except ValueError as error:
        raise BadSetting(str(error)) from None


def _convert(option: Option, value: Any, source: str) -> Any:
    try:
        if option.repeated:
            return [option.convert(item) for item in value]
        return option.convert(value) if isinstance(value, str) else option.convert(str(value))
    except ValueError as error:
        raise BadSetting(f"{source} {value!r}: {error}.") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for option in OPTIONS:
        variable = _variable(option.name)
        text = environ.get(variable)
        if text:
            value: Any = text.split() if option.repeated else text
            found[option.name] = _convert(option, value, variable)
    return found


def _from_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"--config {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"--config {path} is not valid TOML: {error}.") from None
    return _from_table(content, f"--config {path}")


def _from_table(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = {}
    for name, value in content.items():
        option = _BY_NAME.get(name)
        if option is None or name == "config":
            raise BadSetting(
                f"{where}: there is no setting {name!r}. `twistd hermes-attach --help` "
                "lists them; names are as there, without the dashes in front."
            )
        if not _fits(option, value):
            raise BadSetting(f"{where}: {name} has a value of the wrong type.")
        found[name] = _convert(option, value, f"{where}: {name} =")
    return found


def _fits(option: Option, value: Any) -> bool:
    """Whether a value of a file is of a type that *option* takes."""
    if option.repeated:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | bool)


def read_environment() -> Mapping[str, str]:
    """The process's environment; the one place that asks for it."""
    return os.environ


def usage_rows() -> tuple[Sequence[Sequence[Any]], Sequence[Sequence[Any]]]:
    """`optParameters` and `optFlags` for `twisted.python.usage`."""
    parameters = [
        [option.name, option.short, None, _help(option)]
        for option in OPTIONS
        if not (option.flag or option.repeated)
    ]
    flags = [[option.name, option.short, option.help + "."] for option in OPTIONS if option.flag]
    return parameters, flags


def _help(option: Option) -> str:
    return option.help + (f" (default: {option.default})." if option.default is not None else ".")
