"""Every option of the server: one table, for the command line, environment, file and help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..config import parsing
from ..config.option import Option
from ..limits import MIB, Limits
from ..listen import peers

DEFAULT_PORT: Final = 8643
AUDIT_MAX_BYTES: Final = 10 * MIB
AUDIT_KEEP: Final = 5


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
           "the client's address, for logs and limits. May be repeated", peers.parse_proxy,
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
           default=_LIMITS.max_connections),
    Option("max-connections-per-address", "The same, from one address (of IPv6: one /64 network)",
           parsing.count, default=_LIMITS.max_connections_per_address),
    Option("max-failures", "Wrong keys of one address in --failure-period, after which further "
           "ones are refused with 429; a right one is always let in", parsing.count,
           default=_LIMITS.max_failures),
    Option("failure-period", "Time in which wrong keys of one address add up",
           parsing.some_seconds, default=_LIMITS.failure_period),
    Option("max-failure-sources", "Addresses for which wrong keys are counted", parsing.count,
           default=_LIMITS.max_failure_sources),
    Option("no-courtesy-hold", "Refuse terminal UIs over HTTP alone. Else a few are let into a "
           "waiting room without any function, where their users read what is wrong",
           parsing.flag, default=False, flag=True),
    Option("max-held", "Refused terminal UIs in the waiting room", parsing.count,
           default=_LIMITS.max_held),
    Option("max-held-per-address", "The same, from one address", parsing.count,
           default=_LIMITS.max_held_per_address),
    Option("hold-time", "How long each stays there", parsing.some_seconds,
           default=_LIMITS.hold_time),
    Option("max-pending", "Sockets without a key at once", parsing.count,
           default=_LIMITS.max_pending),
    Option("max-message", "Bytes of one message from a client", parsing.size,
           default=_LIMITS.max_message),
    Option("max-unfinished", "Bytes of unfinished messages of all clients together",
           parsing.size, default=_LIMITS.max_unfinished),
    Option("max-fragments", "Fragments of one message from a client", parsing.count,
           default=_LIMITS.max_fragments),
    Option("compress", "Compress frames of 1 KiB to 1 MiB for clients that offer it",
           parsing.flag, default=False, flag=True),
    Option("max-depth", "Levels that the JSON of one message may nest", parsing.count,
           default=_LIMITS.max_depth),
    Option("max-containers", "Lists and objects in one message", parsing.count,
           default=_LIMITS.max_containers),
    Option("max-waiting-requests", "Requests of one client that wait", parsing.count,
           default=_LIMITS.max_waiting_requests),
    Option("max-waiting-bytes", "Their bytes", parsing.size, default=_LIMITS.max_waiting_bytes),
    Option("max-unread", "Bytes that a client may leave unread before its requests wait",
           parsing.size, default=_LIMITS.max_unread),
    Option("max-queued-soft", "Bytes queued for a slow client before live text is thinned out",
           parsing.size, default=_LIMITS.max_queued_soft),
    Option("max-queued-hard", "Bytes queued for a slow client before it is disconnected",
           parsing.size, default=_LIMITS.max_queued_hard),
    Option("max-queued-total", "Bytes queued for all clients before those with the most are "
           "disconnected", parsing.size, default=_LIMITS.max_queued_total),
    Option("max-threads", "Threads that run requests", parsing.count, default=_LIMITS.max_threads),
    Option("handshake-timeout", "Time for a request's head", parsing.some_seconds,
           default=_LIMITS.handshake_timeout),
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
    Option("max-header", "Bytes of a request's head", parsing.size, default=_LIMITS.max_header),
    Option("max-header-lines", "Lines of a request's head", parsing.count,
           default=_LIMITS.max_header_lines),
    Option("max-body", "Bytes of a request's body", parsing.size, default=_LIMITS.max_body),
    Option("close-timeout", "Time that a client has to answer a close, and to take what was "
           "sent before it", parsing.some_seconds, default=_LIMITS.close_timeout),
    Option("config", "TOML file with any of these settings", parsing.path),
)  # fmt: skip

REPEATED: Final = tuple(option for option in OPTIONS if option.repeated)
BY_NAME: Final = {option.name: option for option in OPTIONS}


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
