"""What the operator decides: from options, environment and a file, into one `Settings`.

Every option has one entry in `options.OPTIONS`, from which come the command line, the name
in the environment (`HERMES_ATTACH_` and the name in capitals), the key in the TOML
file and the help. The command line wins over the environment, the environment over
the file, the file over the default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..config.environment import default_home
from ..config.option import Option, variable
from ..limits import Limits
from ..listen.endpoints import (
    Listener,
    TLSChoice,
    choose_tls,
    parse_listener,
    socket_path_problem,
    with_tls,
)
from ..listen.peers import TrustedProxies
from ..operate.control import CONTROL
from ..shared.problem import Problem
from .options import AUDIT_KEEP, AUDIT_MAX_BYTES, BY_NAME, OPTIONS

#: Levels of JSON that every Python reads, with room for those who walk through them.
DEEPEST: Final = 500


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
        """From the options *given* (text, or lists of text), and the rest. Raises `Problem`.

        *table* is more of what a file may hold, from another file, named by *where*.
        """
        values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
        config = given.get("config") or environ.get(variable("config"))
        if config:
            values.update(_from_file(_convert(BY_NAME["config"], config, "--config")))
        values.update(_from_table(table or {}, where))
        values.update(_from_environment(environ))
        for name, value in given.items():
            if value not in (None, []):
                values[name] = _convert(BY_NAME[name], value, f"--{name}")
        return cls._of(values, environ)

    @classmethod
    def _of(cls, values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        if values["backend"] == "scripted" and values["script"] is None:
            raise Problem("--backend scripted needs --script, the recording to play.")
        if values["max-queued-soft"] > values["max-queued-hard"]:
            raise Problem("--max-queued-soft must not be above --max-queued-hard.")
        if values["max-message"] > values["max-unfinished"]:
            raise Problem(
                "--max-message must not be above --max-unfinished, which all clients share."
            )
        if values["max-queued-hard"] > values["max-queued-total"]:
            raise Problem("--max-queued-hard must not be above --max-queued-total.")
        if values["max-depth"] > DEEPEST:
            raise Problem(f"--max-depth must be {DEEPEST} or less: Python reads no deeper.")
        if values["max-threads"] < 2:
            raise Problem("--max-threads must be 2 or more: one is kept for urgent requests.")
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
                max_unfinished=values["max-unfinished"],
                compress=values["compress"],
                max_waiting_requests=values["max-waiting-requests"],
                max_waiting_bytes=values["max-waiting-bytes"],
                max_depth=values["max-depth"],
                max_containers=values["max-containers"],
                max_unread=values["max-unread"],
                max_queued_soft=values["max-queued-soft"],
                max_queued_hard=values["max-queued-hard"],
                max_queued_total=values["max-queued-total"],
                max_threads=threads,
                urgent_threads=min(Limits.urgent_threads, max(1, threads // 4)),
                max_connections=values["max-connections"],
                max_connections_per_address=values["max-connections-per-address"],
                max_failures=values["max-failures"],
                failure_period=values["failure-period"],
                max_failure_sources=values["max-failure-sources"],
                max_held=values["max-held"],
                max_held_per_address=values["max-held-per-address"],
                hold_time=values["hold-time"],
                max_pending=values["max-pending"],
                handshake_timeout=values["handshake-timeout"],
                ping_interval=values["ping-interval"],
                max_header=values["max-header"],
                max_header_lines=values["max-header-lines"],
                max_body=values["max-body"],
                close_timeout=values["close-timeout"],
                dead_after=values["dead-after"],
            ),
        )


def _control(values: Mapping[str, Any], home: Path) -> Path | None:
    if values["no-control"]:
        return None
    path: Path = values["control"] or home / CONTROL
    if values["control"] is not None and (problem := socket_path_problem(path)):
        raise Problem(f"--control {problem}")
    return path


def _listener(text: str) -> Listener:
    try:
        return parse_listener(text)
    except ValueError as error:
        raise Problem(f"--listen {text}: {error}") from None


def _listeners(described: Sequence[str], tls: TLSChoice | None) -> tuple[Listener, ...]:
    listeners = tuple(_listener(text) for text in described)
    try:
        return listeners if tls is None else with_tls(listeners)
    except ValueError as error:
        raise Problem(str(error)) from None


def _tls(values: Mapping[str, Any]) -> TLSChoice | None:
    names = ("tls", "tls-cert", "tls-key", "tls-name", "tls-client-ca")
    kind, certificate, key, more, client_ca = (values[name] for name in names)
    try:
        return choose_tls(kind, certificate, key, more or (), client_ca)
    except ValueError as error:
        raise Problem(str(error)) from None


def _convert(option: Option, value: Any, source: str) -> Any:
    try:
        if option.repeated:
            return [option.convert(item) for item in value]
        return option.convert(value) if isinstance(value, str) else option.convert(str(value))
    except ValueError as error:
        raise Problem(f"{source} {value!r}: {error}.") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for option in OPTIONS:
        name = variable(option.name)
        text = environ.get(name)
        if text:
            value: Any = text.split() if option.repeated else text
            found[option.name] = _convert(option, value, name)
    return found


def _from_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"--config {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(f"--config {path} is not valid TOML: {error}.") from None
    return _from_table(content, f"--config {path}")


def _from_table(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = {}
    for name, value in content.items():
        option = BY_NAME.get(name)
        if option is None or name == "config":
            raise Problem(
                f"{where}: there is no setting {name!r}. `twistd hermes-attach --help` "
                "lists them; names are as there, without the dashes in front."
            )
        if not _fits(option, value):
            raise Problem(f"{where}: {name} has a value of the wrong type.")
        found[name] = _convert(option, value, f"{where}: {name} =")
    return found


def _fits(option: Option, value: Any) -> bool:
    """Whether a value of a file is of a type that *option* takes."""
    if option.repeated:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | bool)
