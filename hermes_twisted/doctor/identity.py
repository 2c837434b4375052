"""Identifies the program at a port: this server, Hermes' API server, Hermes' dashboard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from . import http
from .network import Dial, fetch


class Peer(Enum):
    """The program that answers; the value is its name in a sentence."""

    ATTACH = "hermes-attach"
    API_SERVER = "Hermes' API server"
    DASHBOARD = "Hermes' dashboard"
    OTHER = "another program"


@dataclass(frozen=True)
class Identity:
    """The program that answers, and its `Server` header."""

    peer: Peer
    software: str = ""
    """The `Server` header: often a proxy's."""

    def __str__(self) -> str:
        if self.peer is Peer.OTHER and self.software:
            return f"{self.peer.value} ({self.software})"
        return self.peer.value


def identify(dial: Dial, host: str, base: str = "", query: str = "") -> Identity:
    """Identify the program by its pages, below a proxy's prefix *base* and with its *query*."""
    query = query and f"?{query}"
    index = fetch(dial, host, f"{base}/{query}", "text/plain")
    if index is not None and index.body.startswith(b"hermes-attach:"):
        return Identity(Peer.ATTACH, index.header("server"))
    health = fetch(dial, host, f"{base}/health{query}")
    if health is not None and _json(health).get("platform") == "hermes-agent":
        return Identity(Peer.API_SERVER, health.header("server"))
    status = fetch(dial, host, f"{base}/api/status{query}")
    if status is not None and {"gateway_running", "version"} <= _json(status).keys():
        return Identity(Peer.DASHBOARD, status.header("server"))
    if index is not None and b"<title>Hermes Agent - Dashboard</title>" in index.body:
        return Identity(Peer.DASHBOARD, index.header("server"))
    seen = index or health or status
    return Identity(Peer.OTHER, _printable(seen.header("server")) if seen is not None else "")


def readiness(dial: Dial, host: str, base: str = "", query: str = "") -> str | None:
    """Return the state in /ready of this server; None if it is ready, or another program."""
    page = fetch(dial, host, f"{base}/ready{query and f'?{query}'}")
    if page is None or page.status != 503:
        return None
    status = _json(page).get("status")
    return status if isinstance(status, str) else None


def problem_code(response: http.HttpResponse) -> str:
    """Return the code of this server's refusal (RFC 9457), empty for other responses."""
    if response.kind != "application/problem+json":
        return ""
    code = _json(response).get("code")
    return code if isinstance(code, str) else ""


def _json(response: http.HttpResponse) -> dict[str, Any]:
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:60]
