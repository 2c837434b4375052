"""Parses the UI's address, and explains what is wrong with it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ..access.handshake import PATH
from .findings import Finding, ok, problem, warning

CHECK: Final = "url"
_SYNTAX: Final = "ws://HOST:PORT/api/ws?token=KEY (wss:// with TLS)"
_PORTS: Final = {"ws": 80, "wss": 443}
_WEB: Final = {"http": "ws", "https": "wss"}
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
#: Characters that come along with a paste: quotes of all kinds, blanks, angle brackets.
_QUOTES: Final = re.compile(r"[\s\"'<>\u2018\u2019\u201c\u201d]")
#: Placeholders for a key in documents.
_PLACEHOLDERS: Final = frozenset({"KEY", "<KEY>", "TOKEN", "hat_…", "…", "..."})
#: Parameters of a query that have keys, of this server or of Hermes' dashboard.
CREDENTIALS: Final = ("token", "ticket", "internal")


@dataclass(frozen=True)
class Target:
    """A parsed address."""

    encrypted: bool
    host: str
    port: int
    path: str
    query: str = field(default="", repr=False)
    """Not decoded. The key may be in it."""

    @property
    def scheme(self) -> str:
        """`ws` or `wss`."""
        return "wss" if self.encrypted else "ws"

    @property
    def authority(self) -> str:
        """The `Host` header as the UI writes it, without the scheme's default port."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def address(self) -> str:
        """The URL without its query."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def request_target(self) -> str:
        """Path and query for the request, with the key."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def public_query(self) -> str:
        """The query without keys, for other pages: a proxy may select the server by it."""
        parts = self.query.split("&")
        kept = [part for part in parts if unquote(part.partition("=")[0]) not in CREDENTIALS]
        return "&".join(filter(None, kept))

    @property
    def base(self) -> str:
        """The path before `/api/ws`: a proxy's prefix, or nothing."""
        return self.path.removesuffix(PATH.decode())

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys in the query, both percent-encoded and decoded. They must not be shown."""
        found = []
        for part in self.query.split("&"):
            name, _, value = part.partition("=")
            if unquote(name) in CREDENTIALS and value:
                found += [value, unquote(value)]
        return tuple(dict.fromkeys(found))


def parse(text: str, key: str | None = None) -> tuple[Target | None, list[Finding]]:
    """Parse an address; *key* is added if it has none. No target if it cannot be used."""
    given = text.strip()
    findings = []
    if given != text or _QUOTES.search(given):
        return None, [_bad("The address has quotes or blanks in it.", "Paste it without them")]
    try:
        parts = urlsplit(given)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:  # Raised for an invalid IDNA name, too.
        return None, [_bad("The address has no valid host and port.", "Write")]
    scheme = parts.scheme.lower()
    if scheme in _WEB:
        return None, [_bad(f"The address begins with {scheme}://.", f"Write {_WEB[scheme]}://")]
    if scheme not in _PORTS:
        return None, [_bad("The address does not begin with ws:// or wss://.", "Write it so")]
    if not _is_host(host):
        return None, [_bad("The address names no valid host.", "Write")]
    if parts.fragment:
        return None, [_bad("The address has a # in it.", "Write a # in the key as %23")]
    if port == 0:
        return None, [_bad("Port 0 is no port to connect to.", "Write the server's port")]
    if parts.username is not None:
        findings.append(
            warning(
                CHECK,
                "The address has a user name in front of the host.",
                "The terminal UI does not send it.",
                "Take it out; a proxy's own login cannot be passed.",
            )
        )
    target = Target(scheme == "wss", host, port or _PORTS[scheme], parts.path or "/", parts.query)
    if key is not None and not target.secrets:
        query = "&".join(filter(None, [f"token={quote(key, safe='')}", parts.query]))
        target = replace(target, query=query)
    findings += _remarks(target)
    if not findings:
        findings.append(ok(CHECK, f"{target.address} is well-formed"))
    return target, findings


def _remarks(target: Target) -> list[Finding]:
    found = []
    if not target.path.endswith(PATH.decode()):
        found.append(
            warning(
                CHECK,
                f"The path is {target.path}.",
                "Terminals attach at /api/ws; only a proxy may put something in front of it.",
                f"Write {target.scheme}://{target.authority}{PATH.decode()}?token=KEY.",
            )
        )
    if not target.secrets:
        found.append(
            warning(
                CHECK,
                "There is no key.",
                "The address has no token parameter, and no key was given otherwise.",
                "Append ?token=KEY, or name the file with it: --key-file.",
            )
        )
    elif not _PLACEHOLDERS.isdisjoint(target.secrets):
        found.append(
            warning(
                CHECK,
                "The key is a placeholder.",
                "It was copied from a document.",
                "Put the real key there: hermes-attach url, on the server, prints the whole line.",
            )
        )
    return found


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return len(host) <= 253 and _NAME.fullmatch(host) is not None
    return True


def _bad(what: str, start: str) -> Finding:
    return problem(CHECK, what, "The terminal UI cannot use it.", f"{start}: {_SYNTAX}.")
