from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hermes_twisted.access import refusals as admission_refusals
from hermes_twisted.access.refusals import Refusal
from hermes_twisted.doctor import refusals
from hermes_twisted.doctor.findings import Finding
from hermes_twisted.doctor.http import HttpResponse
from hermes_twisted.doctor.identity import Identity, Peer
from hermes_twisted.doctor.target import parse
from hermes_twisted.http import pages

TARGET, _ = parse("ws://attach.example:8643/api/ws?token=hat_AAAAbbbbCCCCdddd")


def explain(status: int, peer: Peer, body: bytes = b"", **headers: str) -> Finding:
    assert TARGET is not None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusals.explain(HttpResponse(status, "Phrase", named, body), Identity(peer), TARGET)


def all_refusals() -> Iterator[Refusal]:
    for module in (admission_refusals, pages):
        yield from (value for value in vars(module).values() if isinstance(value, Refusal))
    yield admission_refusals.too_many_failures(5)


@pytest.mark.parametrize(
    "refused",
    [refused for refused in all_refusals() if refused.code != "method"],
    ids=lambda refused: refused.code,
)
def test_every_refusal_of_ours_is_known(refused: Refusal) -> None:
    """Each reason that this server gives is explained by that reason, not by its status."""
    body = json.dumps({"code": refused.code}).encode()

    found = explain(refused.status, Peer.ATTACH, body, content_type="application/problem+json")

    why, _then = refusals._OURS[refused.code]
    assert found.why == why
    assert found.next
    assert found.what == f"hermes-attach answers {refused.status} Phrase instead of upgrading."


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 426, 429, 500, 501, 502, 503, 504])
@pytest.mark.parametrize("peer", list(Peer))
def test_every_status_has_a_meaning(status: int, peer: Peer) -> None:
    """Whoever answers what: there is a reason and a next step, and the peer is named."""
    found = explain(status, peer)

    assert peer.value in found.what
    assert found.why
    assert found.next


@pytest.mark.parametrize(
    ("status", "peer", "word"),
    [
        (404, Peer.API_SERVER, "API server has no /api/ws"),
        (401, Peer.API_SERVER, "API_SERVER_KEY"),
        (403, Peer.DASHBOARD, "HERMES_DASHBOARD_SESSION_TOKEN"),
        (401, Peer.DASHBOARD, "without its upgrade"),
        (426, Peer.ATTACH, "a proxy changes it"),
        (403, Peer.ATTACH, "proxy or firewall in front"),
        (502, Peer.OTHER, "cannot reach hermes-attach"),
        (503, Peer.OTHER, "no hermes-attach behind it"),
        (200, Peer.OTHER, "as if a page had been requested"),
        (418, Peer.OTHER, "not hermes-attach"),
    ],
)
def test_who_answers_decides(status: int, peer: Peer, word: str) -> None:
    """The same status means one thing here, another on Hermes' own ports or at a proxy."""
    assert word in explain(status, peer).why


def test_basic_authentication() -> None:
    """A proxy that wants a password is told from a wrong key."""
    found = explain(401, Peer.OTHER, www_authenticate='Basic realm="x"')

    assert "Basic" in found.why


def test_plain_http_at_a_tls_port() -> None:
    """nginx says it with 400, others by closing: the cure is the same."""
    found = explain(400, Peer.OTHER, b"The plain HTTP request was sent to HTTPS port")

    assert "wss://" in found.next


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("text/plain; charset=utf-8", b"No such gateway.\nName one.", True),
        ("text/plain", b"x" * 200, False),
        ("text/html", b"<p>no", False),
    ],
)
def test_a_few_words_are_passed_on(kind: str, body: bytes, shown: bool) -> None:
    """What the proxy's operator wrote for people is shown; pages are not."""
    found = explain(404, Peer.OTHER, body, content_type=kind)

    assert ("It says: " in found.why) is shown
    assert ("No such gateway. Name one." in found.why) is shown


@pytest.mark.parametrize(
    ("location", "why", "then"),
    [
        ("https://attach.example/api/ws", "redirects clients to the one with TLS", "Write wss://"),
        ("https://team.example/cdn-cgi/access/login?r=x", "login page", "Exempt /api/ws"),
        ("/signin?next=/api/ws", "login page", "Exempt /api/ws"),
        ("http://other.example/api/ws", "follows no redirects", "ws:// or wss://"),
        ("", "follows no redirects", "ws:// or wss://"),
    ],
)
def test_redirects(location: str, why: str, then: str) -> None:
    """To TLS, to a login, or elsewhere; with the cure for each."""
    found = explain(302, Peer.OTHER, location=location)

    assert why in found.why
    assert then in found.next


def test_a_redirect_is_shown_without_its_secrets() -> None:
    """Login pages get the address that was asked for, key and all, in their query."""
    found = explain(302, Peer.OTHER, location="https://u:p@sso.example/login?rd=token%3Dhat_x#t")

    assert "to https://sso.example/login." in found.what
