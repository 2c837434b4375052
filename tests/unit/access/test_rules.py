from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hermes_twisted.access.handshake import Head
from hermes_twisted.access.keys import Key
from hermes_twisted.access.refusals import (
    AMBIGUOUS_TOKEN,
    BAD_HANDSHAKE,
    HOST_REFUSED,
    KEY_MISSING,
    KEY_WRONG,
    METHOD_NOT_ALLOWED,
    ORIGIN_REFUSED,
    UPGRADE_REQUIRED,
    WRONG_VERSION,
    Refusal,
)
from hermes_twisted.access.rules import AdmissionRules, Admitted, HostRule, admit

SECRET = b"hat_AAAAbbbbCCCCddddEEEE-ffff_gggg"
OTHER = b"hat_zzzzyyyyXXXXwwwwVVVV-uuuu_tttt"
TARGET = b"/api/ws?token=" + SECRET
BEARER = b"Bearer " + SECRET
LAPTOP = Key.of("laptop", SECRET.decode())
ADMITTED = Admitted(LAPTOP)

RULES = AdmissionRules(
    LAPTOP,
    HostRule(names=frozenset({"attach.example"}), ports=frozenset({8643})),
    frozenset({b"https://mine.example"}),
)

GOOD: dict[bytes, list[bytes]] = {
    b"host": [b"127.0.0.1:8643"],
    b"upgrade": [b"websocket"],
    b"connection": [b"Upgrade"],
    b"sec-websocket-key": [b"dGhlIHNhbXBsZSBub25jZQ=="],
    b"sec-websocket-version": [b"13"],
}


def head(
    target: bytes = TARGET,
    *,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    **headers: list[bytes] | bytes | None,
) -> Head:
    """A good handshake, but for what is named; None takes a header away."""
    merged = dict(GOOD)
    for name, value in headers.items():
        raw = name.replace("_", "-").encode()
        if value is None:
            merged.pop(raw, None)
        else:
            merged[raw] = [value] if isinstance(value, bytes) else value
    return Head(method, target, version, merged)


def test_the_stock_client() -> None:
    """What the stock client sends is let in, under the key's name."""
    assert admit(head(), RULES) == ADMITTED


TOKENS = [
    # Nothing, or nothing that counts.
    (b"/api/ws", None, KEY_MISSING),
    (b"/api/ws?", None, KEY_MISSING),
    (b"/api/ws?&&&", None, KEY_MISSING),
    (b"/api/ws?Token=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?TOKEN=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?key=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?xtoken=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?token[]=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?+token=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?" + SECRET, None, KEY_MISSING),
    (b"/api/ws;token=" + SECRET, None, KEY_MISSING),
    (b"/api/ws&token=" + SECRET, None, KEY_MISSING),
    (b"/api/ws?a=b;token=" + SECRET, None, KEY_MISSING),
    (b"/api/ws", b"Basic " + SECRET, KEY_MISSING),
    (b"/api/ws", SECRET, KEY_MISSING),
    (b"/api/ws", b"Bearer\t" + SECRET, KEY_MISSING),
    (b"/api/ws", b"", KEY_MISSING),
    # Empty.
    (b"/api/ws?token", None, KEY_WRONG),
    (b"/api/ws?token=", None, KEY_WRONG),
    (b"/api/ws", b"Bearer", KEY_WRONG),
    (b"/api/ws", b"Bearer ", KEY_WRONG),
    # Wrong.
    (b"/api/ws?token=" + OTHER, None, KEY_WRONG),
    (b"/api/ws?token=" + SECRET[:-1], None, KEY_WRONG),
    (TARGET + b"x", None, KEY_WRONG),
    (TARGET + b"#", None, KEY_WRONG),
    (TARGET + b"/", None, KEY_WRONG),
    (TARGET + b"%00", None, KEY_WRONG),
    (TARGET + b"%0a", None, KEY_WRONG),
    (TARGET + b"%", None, KEY_WRONG),
    (TARGET + b"+", None, KEY_WRONG),
    (TARGET + b";x=1", None, KEY_WRONG),
    (b"/api/ws?token==" + SECRET, None, KEY_WRONG),
    (b"/api/ws?token=%20" + SECRET, None, KEY_WRONG),
    (b"/api/ws?token=" + SECRET.lower(), None, KEY_WRONG),
    (b"/api/ws?token=" + SECRET.replace(b"-", b"%252d"), None, KEY_WRONG),
    (b"/api/ws?token=\xff\xfe", None, KEY_WRONG),
    (b"/api/ws?token=" + OTHER + b"?token=" + SECRET, None, KEY_WRONG),
    (b"/api/ws", b"Bearer " + OTHER, KEY_WRONG),
    (b"/api/ws", b"Bearer " + SECRET + b"," + SECRET, KEY_WRONG),
    (b"/api/ws", b"Bearer Bearer " + SECRET, KEY_WRONG),
    (b"/api/ws", b"Bearer " + SECRET.replace(b"-", b"%2d"), KEY_WRONG),
    (b"/api/ws", b'Bearer "' + SECRET + b'"', KEY_WRONG),
    # More than one, the right one among them or not.
    (TARGET + b"&token=" + SECRET, None, AMBIGUOUS_TOKEN),
    (TARGET + b"&token=" + OTHER, None, AMBIGUOUS_TOKEN),
    (b"/api/ws?token=" + OTHER + b"&token=" + SECRET, None, AMBIGUOUS_TOKEN),
    (TARGET + b"&token=", None, AMBIGUOUS_TOKEN),
    (TARGET + b"&token", None, AMBIGUOUS_TOKEN),
    (b"/api/ws?token&token=" + SECRET, None, AMBIGUOUS_TOKEN),
    (TARGET + b"&t%6fken=" + OTHER, None, AMBIGUOUS_TOKEN),
    (TARGET + b"&%74%6f%6b%65%6e=" + SECRET, None, AMBIGUOUS_TOKEN),
    (TARGET, BEARER, AMBIGUOUS_TOKEN),
    (TARGET, b"Bearer " + OTHER, AMBIGUOUS_TOKEN),
    (TARGET, b"Bearer", AMBIGUOUS_TOKEN),
    (b"/api/ws?token=", BEARER, AMBIGUOUS_TOKEN),
    (b"/api/ws?token", BEARER, AMBIGUOUS_TOKEN),
    # Just one, and right.
    (b"/api/ws?a=1&token=" + SECRET + b"&b=2", None, ADMITTED),
    (b"/api/ws?&token=" + SECRET + b"&", None, ADMITTED),
    (b"/api/ws?Token=" + OTHER + b"&token=" + SECRET, None, ADMITTED),
    (b"/api/ws?t%6Fken=" + SECRET, None, ADMITTED),
    (b"/api/ws?token=" + SECRET.replace(b"-", b"%2D"), None, ADMITTED),
    (b"/api/ws?token=" + b"".join(b"%%%02x" % byte for byte in SECRET), None, ADMITTED),
    (b"/api/ws", BEARER, ADMITTED),
    (b"/api/ws", b"bearer " + SECRET, ADMITTED),
    (b"/api/ws", b"BEARER   " + SECRET + b"  ", ADMITTED),
    (b"/api/ws?session=abc", BEARER, ADMITTED),
    (TARGET, b"Basic dXNlcjpwYXNz", ADMITTED),
]


@pytest.mark.parametrize(("target", "authorization", "decision"), TOKENS)
def test_tokens(target: bytes, authorization: bytes | None, decision: Admitted | Refusal) -> None:
    """Exactly one key is shown, percent-decoded once in the query, and it is the right one."""
    assert admit(head(target, authorization=authorization), RULES) == decision


def test_two_authorizations() -> None:
    """Two Authorization headers are refused, whatever is in them."""
    assert admit(head(b"/api/ws", authorization=[BEARER, BEARER]), RULES) == BAD_HANDSHAKE


@pytest.mark.parametrize(
    ("origin", "decision"),
    [
        (None, ADMITTED),
        (b"https://mine.example", ADMITTED),
        (b"", ORIGIN_REFUSED),
        (b"null", ORIGIN_REFUSED),
        (b"*", ORIGIN_REFUSED),
        (b"https://evil.example", ORIGIN_REFUSED),
        (b"http://mine.example", ORIGIN_REFUSED),
        (b"https://mine.example:443", ORIGIN_REFUSED),
        (b"https://mine.example/", ORIGIN_REFUSED),
        (b"https://MINE.example", ORIGIN_REFUSED),
        (b"https://mine.example.evil.example", ORIGIN_REFUSED),
        (b"https://evil.example#https://mine.example", ORIGIN_REFUSED),
        (b"https://mine.example https://mine.example", ORIGIN_REFUSED),
        (b"http://127.0.0.1:8643", ORIGIN_REFUSED),
        (b"http://localhost:8643", ORIGIN_REFUSED),
        (b"file://", ORIGIN_REFUSED),
        ([b"https://mine.example", b"https://mine.example"], BAD_HANDSHAKE),
        ([b"https://mine.example", b"https://evil.example"], BAD_HANDSHAKE),
    ],
)
def test_origins(origin: list[bytes] | bytes | None, decision: Admitted | Refusal) -> None:
    """A request that names an origin is refused, unless just that origin is allowed."""
    assert admit(head(origin=origin), RULES) == decision


HOSTS = [
    (b"127.0.0.1:8643", True),
    (b"127.0.0.1", True),
    (b"localhost", True),
    (b"localhost:8643", True),
    (b"LocalHost:8643", True),
    (b"[::1]", True),
    (b"[::1]:8643", True),
    (b"attach.example", True),
    (b"ATTACH.example:8643", True),
    (b"127.0.0.1:08643", True),
    (b"", False),
    (b":8643", False),
    (b"127.0.0.1:", False),
    (b"127.0.0.1:9", False),
    (b"127.0.0.1:0", False),
    (b"127.0.0.1:86430", False),
    (b"127.0.0.1:999999", False),
    (b"127.0.0.1:evil", False),
    (b"127.0.0.1:9@evil", False),
    (b"127.0.0.1:8643@evil", False),
    (b"evil@127.0.0.1:8643", False),
    (b"127.0.0.1:8643:8643", False),
    (b"127.0.0.1:-8643", False),
    (b"127.0.0.1:+8643", False),
    (b"127.0.0.1: 8643", False),
    (b" 127.0.0.1:8643", False),
    (b"127.0.0.1:8643 ", False),
    (b"127.0.0.1:8643\n", False),
    (b"127.0.0.1:8643/", False),
    (b"127.0.0.1:8643,evil", False),
    (b"127.0.0.1,evil.example", False),
    (b"127.0.0.1.evil.example", False),
    (b"127.0.0.1.", False),
    (b"127.0.0.2", False),
    (b"127.1", False),
    (b"0.0.0.0:8643", False),
    (b"2130706433:8643", False),
    (b"0x7f000001", False),
    (b"localhost.", False),
    (b"localhost.evil.example", False),
    (b"evil.example:8643", False),
    (b"evil-attach.example", False),
    (b"http://127.0.0.1:8643", False),
    (b"::1", False),
    (b"[::1", False),
    (b"[::1]evil", False),
    (b"[::1]:9", False),
    (b"[0:0:0:0:0:0:0:1]:8643", False),
    (b"[::ffff:127.0.0.1]:8643", False),
    (b"[::1%25lo]:8643", False),
    (b"[127.0.0.1]:8643", False),
    (b"*", False),
    (b"\xff\xfe", False),
    ("127.0.0.1:\u0668\u0666\u0664\u0663".encode(), False),
    ("loc\u0430lhost".encode(), False),
]


@pytest.mark.parametrize(("host", "ours"), HOSTS)
def test_hosts(host: bytes, ours: bool) -> None:
    """On loopback the Host header is one of our names with our port or none, matched whole."""
    assert admit(head(host=host), RULES) == (ADMITTED if ours else HOST_REFUSED)


def test_no_host() -> None:
    """A request without a Host header names nobody."""
    assert admit(head(host=None), RULES) == HOST_REFUSED


def test_two_hosts() -> None:
    """Two Host headers are a malformed request."""
    twice = [b"127.0.0.1:8643", b"evil.example"]

    assert admit(head(host=twice), RULES) == BAD_HANDSHAKE


@pytest.mark.parametrize("port", [b"", b":1", b":8643", b":65535"])
def test_no_ports_no_check(port: bytes) -> None:
    """Behind a Unix socket there is no port to compare."""
    assert HostRule().allows(b"localhost" + port)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"anything.example:1", True),
        (b"203.0.113.5", True),
        (b"[2001:db8::1]:443", True),
        (b"a b", False),
        (b"evil@host", False),
        (b"", False),
        (None, False),
    ],
)
def test_any_host(host: bytes | None, allowed: bool) -> None:
    """Beyond loopback any name will do, but it has to be a name."""
    assert HostRule(any_host=True).allows(host) is allowed


HANDSHAKES = [
    ({"method": b"POST"}, METHOD_NOT_ALLOWED),
    ({"method": b"HEAD"}, METHOD_NOT_ALLOWED),
    ({"method": b"OPTIONS"}, METHOD_NOT_ALLOWED),
    ({"method": b"CONNECT"}, METHOD_NOT_ALLOWED),
    ({"method": b"get"}, METHOD_NOT_ALLOWED),
    ({"method": b""}, METHOD_NOT_ALLOWED),
    ({"version": b"HTTP/1.0"}, BAD_HANDSHAKE),
    ({"version": b"HTTP/2.0"}, BAD_HANDSHAKE),
    ({"version": b"HTTP/1.1 "}, BAD_HANDSHAKE),
    ({"version": b""}, BAD_HANDSHAKE),
    ({"upgrade": None}, UPGRADE_REQUIRED),
    ({"upgrade": b""}, UPGRADE_REQUIRED),
    ({"upgrade": b"h2c"}, UPGRADE_REQUIRED),
    ({"upgrade": b"websockets"}, UPGRADE_REQUIRED),
    ({"upgrade": b"websocket/13"}, UPGRADE_REQUIRED),
    ({"upgrade": [b"websocket", b"websocket"]}, BAD_HANDSHAKE),
    ({"connection": None}, UPGRADE_REQUIRED),
    ({"connection": b"keep-alive"}, UPGRADE_REQUIRED),
    ({"connection": b"close"}, UPGRADE_REQUIRED),
    ({"connection": b"upgraded"}, UPGRADE_REQUIRED),
    ({"sec_websocket_version": b"8"}, WRONG_VERSION),
    ({"sec_websocket_version": b""}, WRONG_VERSION),
    ({"sec_websocket_version": b"13, 8"}, WRONG_VERSION),
    ({"sec_websocket_version": b"013"}, WRONG_VERSION),
    ({"sec_websocket_version": None}, BAD_HANDSHAKE),
    ({"sec_websocket_version": [b"13", b"13"]}, BAD_HANDSHAKE),
    ({"sec_websocket_key": None}, BAD_HANDSHAKE),
    ({"sec_websocket_key": b""}, BAD_HANDSHAKE),
    ({"sec_websocket_key": b"short=="}, BAD_HANDSHAKE),
    ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZQ"}, BAD_HANDSHAKE),
    ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZQ==\n"}, BAD_HANDSHAKE),
    ({"sec_websocket_key": b" dGhlIHNhbXBsZSBub25jZQ=="}, BAD_HANDSHAKE),
    ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZ-=="}, BAD_HANDSHAKE),
    ({"sec_websocket_key": [b"dGhlIHNhbXBsZSBub25jZQ=="] * 2}, BAD_HANDSHAKE),
    ({"content_length": b"1"}, BAD_HANDSHAKE),
    ({"content_length": b"00"}, BAD_HANDSHAKE),
    ({"content_length": b"-1"}, BAD_HANDSHAKE),
    ({"content_length": b""}, BAD_HANDSHAKE),
    ({"transfer_encoding": b"chunked"}, BAD_HANDSHAKE),
    ({"transfer_encoding": b"identity"}, BAD_HANDSHAKE),
    ({"transfer_encoding": []}, BAD_HANDSHAKE),
    # What real clients and proxies send.
    ({"content_length": b"0"}, ADMITTED),
    ({"upgrade": b"WebSocket"}, ADMITTED),
    ({"upgrade": b"h2c, websocket"}, ADMITTED),
    ({"connection": b"keep-alive, Upgrade"}, ADMITTED),
    ({"connection": b"UPGRADE"}, ADMITTED),
    ({"connection": [b"keep-alive", b"upgrade"]}, ADMITTED),
    ({"cookie": [b"a=b", b"token=x"]}, ADMITTED),
    ({"sec_websocket_extensions": b"permessage-deflate"}, ADMITTED),
    ({"user_agent": b"node"}, ADMITTED),
]


@pytest.mark.parametrize(("change", "decision"), HANDSHAKES)
def test_handshakes(change: dict[str, bytes], decision: Admitted | Refusal) -> None:
    """Only a GET of HTTP/1.1 without a body, in the form of RFC 6455, opens a WebSocket."""
    assert admit(head(**change), RULES) == decision  # type: ignore[arg-type]


def test_two_content_lengths() -> None:
    """A body is refused although its length is given twice."""
    assert admit(head(content_length=[b"5", b"5"]), RULES) == BAD_HANDSHAKE


@pytest.mark.parametrize(
    ("request_head", "first"),
    [
        (head(b"/api/ws", method=b"POST", origin=b"null", host=b"evil"), METHOD_NOT_ALLOWED),
        (head(b"/api/ws", upgrade=None, origin=b"null", host=b"evil"), UPGRADE_REQUIRED),
        (head(b"/api/ws", origin=b"null", host=b"evil"), HOST_REFUSED),
        (head(b"/api/ws", origin=b"null"), ORIGIN_REFUSED),
        (head(TARGET, origin=b"null"), ORIGIN_REFUSED),
        (head(TARGET, host=b"evil"), HOST_REFUSED),
    ],
)
def test_order_of_checks(request_head: Head, first: Refusal) -> None:
    """A page on another site learns nothing of the key: host and origin are decided first."""
    assert admit(request_head, RULES) == first


@pytest.mark.parametrize(
    ("refused", "headers"),
    [
        (METHOD_NOT_ALLOWED, {"Allow": "GET"}),
        (UPGRADE_REQUIRED, {"Upgrade": "websocket", "Connection": "Upgrade"}),
        (WRONG_VERSION, {"Sec-WebSocket-Version": "13"}),
        (KEY_MISSING, {"WWW-Authenticate": "Bearer"}),
        (KEY_WRONG, {"WWW-Authenticate": "Bearer"}),
    ],
)
def test_refusals_carry_their_headers(refused: Refusal, headers: dict[str, str]) -> None:
    """A refusal has the header that HTTP asks for with its status."""
    assert headers.items() <= dict(refused.headers).items()


def test_header_tokens() -> None:
    """Lists in headers are read over all lines, without case or white space."""
    lines = head(connection=[b" Keep-Alive ,\tUPGRADE", b"TE"])

    assert lines.tokens(b"connection") == {b"keep-alive", b"upgrade", b"te"}
    assert lines.one(b"connection") is None
    assert lines.one(b"absent") is None


class Recorder:
    """A keyring that notes what it was asked, and knows nobody."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def find(self, secret: bytes) -> Key | None:
        self.asked.append(secret)
        return None


near_tokens = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([SECRET, OTHER, SECRET[:-1], SECRET + b"%", SECRET.replace(b"-", b"%2d")]),
)
queries = st.lists(
    st.tuples(
        st.sampled_from([b"token", b"tok%65n", b"Token", b"x", b""]),
        st.sampled_from([b"=", b"", b"=="]),
        near_tokens,
    ),
    max_size=3,
)
authorizations = st.none() | st.tuples(
    st.sampled_from([b"Bearer ", b"bearer  ", b"Basic ", b"Bearer", b""]), near_tokens
).map(b"".join)


@settings(max_examples=300)
@given(parts=queries, authorization=authorizations)
def test_never_without_the_key(
    parts: list[tuple[bytes, bytes, bytes]], authorization: bytes | None
) -> None:
    """Whatever is sent, who gets in has shown the exact key, and shown one only."""
    target = b"/api/ws?" + b"&".join(b"".join(part) for part in parts)
    recorder = Recorder()

    decision = admit(head(target, authorization=authorization), RULES)
    admit(head(target, authorization=authorization), AdmissionRules(recorder, RULES.hosts))

    assert len(recorder.asked) <= 1
    assert (decision == ADMITTED) == (recorder.asked == [SECRET])


@settings(max_examples=100)
@given(token=st.binary(max_size=60))
def test_no_other_bytes(token: bytes) -> None:
    """No other bytes than the key's pass for it, in the query or in the header."""
    assume(token.strip() != SECRET)
    quoted = b"".join(b"%%%02X" % byte for byte in token)

    assert admit(head(b"/api/ws?token=" + quoted), RULES) == KEY_WRONG
    assert admit(head(b"/api/ws", authorization=b"Bearer " + token), RULES) == KEY_WRONG


@settings(max_examples=200)
@given(host=st.binary(max_size=30) | st.text(max_size=20).map(str.encode))
def test_any_host_header(host: bytes) -> None:
    """No other name than ours is let through, whatever bytes the header holds."""
    names = [b"127.0.0.1", b"localhost", b"[::1]", b"attach.example"]
    ours = {name + port for name in names for port in (b"", b":8643", b":08643")}
    assume(host.lower() not in ours and not host.lower().startswith(b"attach.example:"))

    assert admit(head(host=host), RULES) == HOST_REFUSED


@pytest.mark.parametrize("host", [b"attach.example:9000", b"attach.example", b"Attach.Example:1"])
def test_named_host_with_any_port(host: bytes) -> None:
    """A name that the operator gave may come with a tunnel's port; loopback names may not."""
    rule = HostRule(names=frozenset({"attach.example"}), ports=frozenset({8643}))

    assert rule.allows(host)
    assert not rule.allows(b"localhost:9000")
    assert HostRule(names=frozenset({"127.0.0.1"}), ports=frozenset({8643})).allows(
        b"127.0.0.1:9000"
    )
