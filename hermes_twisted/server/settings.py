"""The settings of a server, from the command line, the environment and a file.

Each option is a field, here, in `Limits`, or in the options of a backend. `options` puts them
together in one table, from which come the command lines, the names in the environment and in
files, the help and docs/reference/options.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ..access import plaintext
from ..backends import registry
from ..config import gathering
from ..config.environment import default_home
from ..config.gathering import Given
from ..config.kinds import (
    COUNT,
    ENDPOINT,
    HOST,
    HOST_NAME,
    LOG_FORMAT,
    LOG_LEVEL,
    ORIGIN,
    PATH,
    PORT,
    SIZE,
    TIME,
    TLS,
    choice,
)
from ..config.option import Group, Kind, flag, option, optional, options_of, repeated, required
from ..config.table import Table
from ..limits import MIB, Limits
from ..listen import peers
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
from . import contradictions

__all__ = ["DEFAULT_PORT", "NO_OPTIONS", "Settings", "options"]

DEFAULT_PORT: Final = 8643
#: The audit log below the Hermes home, unless the operator names another.
AUDIT: Final = Path("attach", "audit.jsonl")
#: Variables with the prefix of the options' that are no options.
NO_OPTIONS: Final = frozenset({plaintext.VARIABLE})

_PROXY: Final[Kind[str]] = Kind("PROXY", peers.parse_proxy)
_BACKEND: Final = choice("BACKEND", registry.choices)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a server. `gather` makes and checks them; tests may name fields directly."""

    port: int = option(
        DEFAULT_PORT,
        PORT,
        group=Group.LISTENING,
        short="p",
        help="TCP port on 127.0.0.1 to listen on; 0 for any free one",
    )
    listen: tuple[str, ...] = repeated(
        ENDPOINT,
        group=Group.LISTENING,
        short="l",
        help="Endpoint to listen on instead of --port, in Twisted's syntax, such as "
        "unix:/run/hermes/attach.sock:mode=600 or "
        "ssl:8643:privateKey=key.pem:certKey=cert.pem",
    )
    allow_host: tuple[str, ...] = repeated(
        HOST,
        group=Group.LISTENING,
        help="Another name by which clients may address this server, with any port; a server on "
        "loopback refuses other names",
    )
    allow_origin: tuple[str, ...] = repeated(
        ORIGIN,
        group=Group.LISTENING,
        help="Origin of a web page that may attach; others are refused",
    )
    trust_forwarded_from: tuple[str, ...] = repeated(
        _PROXY,
        group=Group.LISTENING,
        help="Proxy (address, network, or unix) whose X-Forwarded-For header is trusted as the "
        "client's address, in logs and limits",
    )
    allow_plaintext: bool = flag(
        group=Group.LISTENING,
        help="Listen without TLS beyond loopback: keys and conversations can be read on the way",
    )

    tls: str | None = optional(
        TLS, group=Group.TLS, help="Speak TLS with a certificate that the server makes itself"
    )
    tls_cert: Path | None = optional(
        PATH,
        group=Group.TLS,
        help="Speak TLS with this PEM file: the server's certificate first, then its chain",
    )
    tls_key: Path | None = optional(
        PATH,
        group=Group.TLS,
        help="PEM file with the private key of --tls-cert, readable by its owner alone",
        default_text="in --tls-cert",
    )
    tls_name: tuple[str, ...] = repeated(
        HOST_NAME,
        group=Group.TLS,
        help="Another name or address of this server, for the certificate of --tls self",
    )
    tls_client_ca: Path | None = optional(
        PATH,
        group=Group.TLS,
        help="PEM file with certificate authorities; only clients with a certificate from one of "
        "them may connect",
    )

    key_file: Path | None = optional(
        PATH,
        group=Group.KEYS,
        help="File with one more key, readable by its owner alone, such as a systemd credential",
    )
    accept_api_server_key: bool = flag(
        group=Group.KEYS,
        help="Accept the key of Hermes' API server, too: all programs that have it can then attach",
    )

    backend: str = option("worker", _BACKEND, group=Group.HERMES, help="Where Hermes runs")
    hermes_home: Path = required(
        PATH,
        group=Group.HERMES,
        help="The Hermes home: directory with Hermes' configuration and this server's keys",
        default_text="$HERMES_HOME, or ~/.hermes",
    )

    drain: float = option(
        10.0,
        TIME,
        group=Group.CONNECTIONS,
        help="Time that a stop waits for running requests and turns; then they are cut off",
    )

    log_format: str | None = optional(
        LOG_FORMAT,
        group=Group.OPERATION,
        help="Format of the log, for people or for programs",
        default_text="text",
    )
    log_level: str | None = optional(
        LOG_LEVEL,
        group=Group.OPERATION,
        help="Lowest level that is logged",
        default_text="info",
    )
    audit_file: Path | None = optional(
        PATH,
        group=Group.OPERATION,
        help="File of the audit log",
        default_text=f"{AUDIT} in the Hermes home",
    )
    no_audit: bool = flag(group=Group.OPERATION, help="Keep no audit log")
    audit_max_bytes: int = option(
        10 * MIB,
        SIZE,
        group=Group.OPERATION,
        help="Bytes of the audit log's file at which a new file is begun",
    )
    audit_keep: int = option(
        5, COUNT, group=Group.OPERATION, help="Earlier files of the audit log to keep"
    )
    metrics_need_key: bool = flag(
        group=Group.OPERATION,
        help="Require a key for /metrics. Otherwise programs on this machine need none",
    )
    control: Path | None = optional(
        PATH,
        group=Group.OPERATION,
        help="Control socket, on which `hermes-attach status`, top and kick talk to the server",
        default_text=f"{CONTROL} in the Hermes home",
    )
    no_control: bool = flag(group=Group.OPERATION, help="Open no control socket")

    no_courtesy_hold: bool = flag(
        group=Group.BEFORE_ADMISSION,
        help="Refuse terminal UIs over HTTP alone. Otherwise a few refused ones are held in a "
        "waiting room, where their users read what is wrong",
    )

    config: Path | None = optional(
        PATH, group=Group.FILE, help="TOML file with any of these settings"
    )

    limits: Limits = field(default_factory=Limits)
    backend_options: object = None
    """The options of the backend, an instance of its `BackendSpec.options`."""

    @classmethod
    def gather(
        cls,
        given: Mapping[str, Any],
        environ: Mapping[str, str],
        more: Mapping[str, Any] | None = None,
        where: str = "",
    ) -> Settings:
        """Return the settings given on the command line, in the environment and in files.

        *given*, *more* and *where* are those of `gathering.collect`. Raises `Problem` for what
        cannot be used, and for settings that contradict each other.
        """
        found = gathering.collect(options(), given, environ, more, where)
        contradictions.check(found)
        values = {name: value.value for name, value in found.items()}
        home = values.get("hermes-home") or default_home(environ)
        limits = _limits(values)
        contradictions.check_limits(limits, found)
        own = _fields_of(cls, values)
        own |= {"hermes_home": home, "audit_file": _audit(values, home)}
        own |= {"control": _control(values, home), "limits": limits}
        settings = cls(**own, backend_options=_backend_options(found))
        settings.listeners  # noqa: B018  (Raises.)
        return settings

    @property
    def home(self) -> Path:
        """The Hermes home."""
        return self.hermes_home

    @cached_property
    def tls_choice(self) -> TLSChoice | None:
        """TLS as it was chosen; None for no TLS. Raises `Problem` for a contradiction."""
        return choose_tls(self.tls, self.tls_cert, self.tls_key, self.tls_name, self.tls_client_ca)

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """Where to listen. Raises `Problem` for what cannot be an endpoint."""
        described = self.listen or (f"tcp:{self.port}:interface=127.0.0.1:backlog=1024",)
        listeners = tuple(map(parse_listener, described))
        return listeners if self.tls_choice is None else with_tls(listeners)

    @property
    def hosts(self) -> frozenset[str]:
        """More names that clients use for this server."""
        return frozenset(self.allow_host)

    @property
    def origins(self) -> frozenset[bytes]:
        """Origins of web pages that may attach."""
        return frozenset(origin.encode() for origin in self.allow_origin)

    @cached_property
    def proxies(self) -> TrustedProxies:
        """Proxies whose `X-Forwarded-For` is trusted."""
        return TrustedProxies.parse(self.trust_forwarded_from)

    @property
    def courtesy_hold(self) -> bool:
        """Whether refused terminal UIs may be let into the waiting room."""
        return not self.no_courtesy_hold


def options() -> Table:
    """Return every option of the server: its own, the limits, and those of all backends."""
    return Table((Settings, Limits, *(spec.options for spec in registry.specs())))


def _fields_of(owner: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the *values* of the options that *owner* declares, by its fields' names."""
    return {
        declared.field: values[declared.name]
        for declared in options_of(owner)
        if declared.name in values
    }


def _limits(values: Mapping[str, Any]) -> Limits:
    given = _fields_of(Limits, values)
    threads = given.get("max_threads", Limits.max_threads)
    dead_after = given.get("dead_after", Limits.dead_after)
    # Of two that depend on each other, one that was not given follows the other.
    given.setdefault("urgent_threads", min(Limits.urgent_threads, max(1, threads // 4)))
    given.setdefault("ping_interval", min(Limits.ping_interval, dead_after / 2))
    return Limits(**given)


def _backend_options(found: Mapping[str, Given]) -> object:
    """Return the options of the chosen backend. Raises `Problem`, as `check_backend` does."""
    spec = registry.find(found["backend"].value if "backend" in found else Settings.backend)
    contradictions.check_backend(spec, registry.specs(), found)
    return spec.options(
        **_fields_of(spec.options, {name: given.value for name, given in found.items()})
    )


def _audit(values: Mapping[str, Any], home: Path) -> Path | None:
    named: Path | None = values.get("audit-file")
    return None if values.get("no-audit") else named or home / AUDIT


def _control(values: Mapping[str, Any], home: Path) -> Path | None:
    if values.get("no-control"):
        return None
    named: Path | None = values.get("control")
    if named is not None and (problem := socket_path_problem(named)):
        raise Problem(f"--control {problem.what}", problem.advice)
    return named or home / CONTROL
