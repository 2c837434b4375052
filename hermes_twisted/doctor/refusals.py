"""Explains responses other than 101, from this server and from others at its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin, urlsplit

from .findings import Finding, problem
from .http import HttpResponse
from .identity import Identity, Peer, problem_code
from .target import Target

CHECK: Final = "http"
_LOGIN: Final = ("login", "signin", "sign-in", "auth", "sso", "saml", "access", "account")

_UPGRADE_LINES: Final = (
    "Let the proxy pass the upgrade: nginx needs proxy_http_version 1.1 and "
    'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; Caddy and '
    "HAProxy do it by themselves. docs/deploy.md has whole examples."
)
_OTHER_SERVER: Final = (
    "Attach to hermes-attach: port 8643, unless it was started with another. On the server, "
    "hermes-attach url prints the line to paste."
)

#: By the code of a refusal of ours: what it means, and what to do.
_OURS: Final = {
    "key-missing": (
        "This server needs a key, and the address has none.",
        "Append ?token=KEY; hermes-attach url, on the server, prints the whole line.",
    ),
    "key-wrong": (
        "This server does not know the key: it is another server's, mistyped, or has ended.",
        "On the server, hermes-attach key list shows what is valid; key new NAME makes another.",
    ),
    "key-ambiguous": (
        "The key was given more than once.",
        "Leave one token parameter in the address; a proxy must not add its own Authorization.",
    ),
    "too-many-failures": (
        "Too many wrong keys came from this address, this one among them.",
        "Check the key: a correct one is accepted at once. Behind a proxy all clients have one "
        "address, unless the server has it in --trust-forwarded-from.",
    ),
    "origin": (
        "An Origin header came, which the terminal UI does not send: something adds it.",
        "Let the proxy remove it, or name it with --allow-origin on the server.",
    ),
    "host": (
        "The Host header names another server: the DNS-rebinding defence of a loopback listener.",
        "Let the proxy pass Host as it came, and name it on the server with --allow-host NAME "
        "(for a tunnel from another port: --allow-host 127.0.0.1).",
    ),
    "full": (
        "As many terminals are attached as the server allows.",
        "Close one, or raise --max-connections on the server.",
    ),
    "source-full": (
        "As many terminals are attached from this address as the server allows.",
        "Close one, or raise --max-connections-per-address; behind a proxy, name it with "
        "--trust-forwarded-from.",
    ),
    "stopping": ("The server is stopping, or starts again.", "Try again in a moment."),
    "handshake": (
        "The handshake does not arrive as it was sent: a proxy changes it, such as to HTTP/1.0.",
        _UPGRADE_LINES,
    ),
    "upgrade-required": ("The request arrives without its upgrade: a proxy drops it.", ""),
    "version": (
        "The WebSocket version does not arrive as it was sent: a proxy changes it.",
        _UPGRADE_LINES,
    ),
    "not-found": (
        "There is nothing at this path; terminals attach at /api/ws exactly.",
        "End the address with /api/ws?token=KEY. Where a proxy puts a prefix in front, it must "
        "take it off again.",
    ),
}


def explain(response: HttpResponse, identity: Identity, target: Target) -> Finding:
    """Return why the server did not upgrade."""
    status = response.status
    if 300 <= status < 400:
        return _redirect(response, target)
    if identity.peer is Peer.ATTACH and (known := _OURS.get(problem_code(response))):
        why, then = known
        return problem(CHECK, _line(response, identity), why, then or _UPGRADE_LINES)
    explainer = _BY_PEER.get(identity.peer, _other)
    why, then = explainer(status, response, target)
    return problem(CHECK, _line(response, identity), why + _said(response), then)


def _line(response: HttpResponse, identity: Identity) -> str:
    phrase = f" {response.phrase}" if response.phrase.isprintable() and response.phrase else ""
    return f"{identity} answers {response.status}{phrase[:60]} instead of upgrading."


def _said(response: HttpResponse) -> str:
    """Quote a short plain text that a proxy wrote for people."""
    text = " ".join(response.body.decode("utf-8", "replace").split())
    return f" It says: {text}" if response.kind == "text/plain" and 0 < len(text) < 200 else ""


def _redirect(response: HttpResponse, target: Target) -> Finding:
    """Explain a redirect, which the UI does not follow. Leave out its query: it may have keys."""
    there = urlsplit(urljoin(f"{target.address}", response.header("location")))
    shown = f"{there.scheme}://{there.netloc.rpartition('@')[2]}{there.path}"
    what = f"The server redirects, with {response.status}, to {shown}."
    same = there.hostname in (None, target.host)
    if same and there.scheme in ("https", "wss") and not target.encrypted:
        why = "The port without TLS only redirects clients to the one with TLS."
        return problem(CHECK, what, why, f"Write wss:// and the port of {there.netloc}.")
    place = f"{there.netloc}{there.path}".lower()
    if any(word in place for word in _LOGIN):
        return problem(
            CHECK,
            what,
            "That looks like a login page: a proxy wants its users to log in with a browser, "
            "which the terminal UI cannot do.",
            "Exempt /api/ws from the login (the key of hermes-attach guards it), or attach past "
            "the proxy: over SSH or Tailscale.",
        )
    return problem(
        CHECK,
        what,
        "The terminal UI follows no redirects.",
        "Use the address that it leads to, with ws:// or wss:// in front, or let the proxy serve "
        "/api/ws itself.",
    )


def _attach(status: int, response: HttpResponse, target: Target) -> tuple[str, str]:
    if status in (400, 426):
        return "The handshake does not arrive as it was sent: a proxy changes it.", _UPGRADE_LINES
    # The pages are ours, but this answer is not: something in front refuses.
    return _other(status, response, target)


def _api_server(status: int, response: HttpResponse, target: Target) -> tuple[str, str]:
    why = {
        404: "Hermes' API server has no /api/ws: it speaks HTTP alone (port 8642 by default).",
        401: "Hermes' API server wants API_SERVER_KEY, as a header; terminals cannot attach there.",
        403: "Hermes' API server refuses the origin; terminals cannot attach there anyway.",
        429: "Hermes' API server runs as much as it may; terminals cannot attach there anyway.",
    }.get(status, "This is Hermes' API server (port 8642 by default), which has no /api/ws.")
    return why, _OTHER_SERVER


def _dashboard(status: int, response: HttpResponse, target: Target) -> tuple[str, str]:
    if status == 403:
        return (
            "This is Hermes' dashboard (port 9119 by default). It has an /api/ws of its own, for "
            "its web page: its token is another at every start unless "
            "HERMES_DASHBOARD_SESSION_TOKEN sets it, where it asks for a login it takes single-use "
            "tickets instead, and on loopback it takes clients and Host names of loopback only.",
            _OTHER_SERVER,
        )
    if status == 401:
        return (
            "This is Hermes' dashboard (port 9119 by default), and the request reached it without "
            "its upgrade, as a page that needs a login: a proxy drops the upgrade.",
            _OTHER_SERVER,
        )
    if status == 404:
        return (
            "This is Hermes' dashboard (port 9119 by default), without its embedded chat or with "
            "no WebSocket support.",
            _OTHER_SERVER,
        )
    return "This is Hermes' dashboard (port 9119 by default).", _OTHER_SERVER


def _other(status: int, response: HttpResponse, target: Target) -> tuple[str, str]:
    challenge = response.header("www-authenticate")
    if status == 401 and challenge.lower().startswith("basic"):
        return (
            "A proxy wants a name and a password (Basic), which the terminal UI cannot send.",
            "Exempt /api/ws from it: the key of hermes-attach guards that path.",
        )
    if "plain http" in response.body.decode("latin-1").lower():
        return (
            "The port speaks TLS, and the address says it does not.",
            f"Write wss:// in front of {target.authority}.",
        )
    return _BY_STATUS.get(status) or (
        ("The server answered as if a page had been requested.", _UPGRADE_LINES)
        if status < 400
        else (
            "The server that answers is not hermes-attach, or a proxy in front of it refuses.",
            "Look at the host and the port, and into the proxy's log.",
        )
    )


_BY_STATUS: Final = {
    400: (
        "The server that answers rejects the handshake: a proxy changes it, or the Host header is "
        "not one that it knows.",
        "Check the host and port; behind a proxy, its server name and its upgrade settings.",
    ),
    401: (
        "The server that answers wants other credentials than this key.",
        "Check the host and port; a proxy must not ask for a login at /api/ws.",
    ),
    403: (
        "A proxy or firewall in front refuses, before hermes-attach is asked.",
        "Look into its log; allow WebSockets at /api/ws, without an Origin and from this address.",
    ),
    404: (
        "The server that answers has nothing at this path.",
        "Check host, port and path (/api/ws); behind a proxy, that its rule for the path matches.",
    ),
    413: ("A proxy finds the request too large.", "Let it accept requests without a body."),
    426: (
        "The server that answers wants an upgrade, and got none: a proxy drops it.",
        _UPGRADE_LINES,
    ),
    429: (
        "A proxy limits the number of requests.",
        "Wait; then exempt /api/ws: hermes-attach has limits of its own.",
    ),
    500: ("The server that answers has failed.", "Look into its log."),
    501: ("The server that answers cannot upgrade.", _UPGRADE_LINES),
    502: (
        "A proxy answers, and cannot reach hermes-attach behind it.",
        "On the server: hermes-attach doctor. Then compare the proxy's upstream address with it.",
    ),
    503: (
        "A proxy answers, and takes no hermes-attach behind it for healthy.",
        "On the server: hermes-attach doctor; and the proxy's health checks: /ready answers 200 "
        "when Hermes can be used.",
    ),
    504: (
        "A proxy answers, and hermes-attach behind it did not in time.",
        "On the server: hermes-attach doctor; a firewall between the two, perhaps.",
    ),
}

_BY_PEER: Final[dict[Peer, Callable[[int, HttpResponse, Target], tuple[str, str]]]] = {
    Peer.ATTACH: _attach,
    Peer.API_SERVER: _api_server,
    Peer.DASHBOARD: _dashboard,
}
