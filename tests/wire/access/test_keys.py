"""Keys that come and go while clients are attached."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_twisted.access import store as keystore
from hermes_twisted.access.keyring import ServerKeys
from hermes_twisted.access.keys import Scope
from hermes_twisted.testing.wire import CLOSE, client_frame

CLOSE_POLICY = 1008

#: Starts servers; `tests/wire/conftest.py` has these.
Start = Callable[..., Any]


class Store:
    """A store of keys, the wall clock that it goes by, and a server that follows it."""

    def __init__(self, home: Path, start: Start, **limits: Any) -> None:
        self.home = home
        self.seconds = 1_800_000_000.0
        self.keyring = ServerKeys(home, {}, now=self.now)
        self.keyring.load()
        self.server = start(keyring=self.keyring, **limits)

    def now(self) -> float:
        return self.seconds

    def make(self, name: str, **options: Any) -> str:
        with keystore.changing(self.home, self.now) as store:
            keys, _record, secret = store.keys.make(name, Scope.FULL, **options)
            store.write(keys)
        return secret

    def revoke(self, name: str, *, disconnect: bool) -> None:
        with keystore.changing(self.home, self.now) as store:
            store.write(store.keys.revoke(name, disconnect=disconnect))

    def rotate(self, name: str, *, disconnect: bool) -> str:
        with keystore.changing(self.home, self.now) as store:
            keys, _record, secret = store.keys.rotate(name, disconnect=disconnect)
            store.write(keys)
        return secret

    def status(self, secret: str) -> int:
        status: int = self.server.wire().upgrade(secret).status
        return status


@pytest.fixture
def store(tmp_path: Path, start: Start) -> Store:
    return Store(tmp_path, start)


def rpc(number: int) -> bytes:
    return client_frame(json.dumps({"jsonrpc": "2.0", "id": number, "method": "echo"}).encode())


def assert_ends(wire: Any, reason: str) -> None:
    """The user is told, then the link is closed with 1008."""
    notice, close = wire.frames()
    assert reason.encode() in notice.payload
    assert close.opcode == CLOSE
    assert (close.close_code, close.payload[2:]) == (CLOSE_POLICY, reason.encode())


def assert_lives(wire: Any, channel: Any) -> None:
    """Nothing came, and the next request gets through."""
    before = len(channel.requests)
    assert wire.frames() == []
    wire.feed(rpc(before))
    assert len(channel.requests) == before + 1


def answer_close(wire: Any) -> None:
    wire.feed(client_frame(struct.pack("!H", CLOSE_POLICY), CLOSE))


def test_new_key_admits_at_once(store: Store) -> None:
    assert store.status("hat_not-yet-made-not-yet") == 401

    assert store.status(store.make("laptop")) == 101


def test_revoked_key_admits_no_more(store: Store) -> None:
    """From the next handshake on, without any time between; who is in stays."""
    secret = store.make("laptop")
    wire, channel = store.server.attach(key=secret)

    store.revoke("laptop", disconnect=False)

    assert store.status(secret) == 401
    store.server.loop.advance(5)
    assert_lives(wire, channel)


def test_revoked_key_takes_its_links_along(store: Store) -> None:
    """Every link of that key, and none of another."""
    laptop, phone = store.make("laptop"), store.make("phone")
    ended = [store.server.attach(key=laptop) for _ in range(2)]
    others = store.server.attach(key=phone)

    store.revoke("laptop", disconnect=True)
    store.server.loop.advance(1)

    for wire, channel in ended:
        assert_ends(wire, "the key was revoked")
        answer_close(wire)
        assert not wire.connected
        assert channel.closed
    assert_lives(*others)
    assert store.status(phone) == 101


def test_expiry(store: Store) -> None:
    """A key ends by itself, with its links if it was made so."""
    short = store.make("short", expires=1_800_000_060)
    strict = store.make("strict", expires=1_800_000_060, disconnect=True)
    stays, ends = store.server.attach(key=short), store.server.attach(key=strict)
    store.server.loop.advance(5)
    assert_lives(*stays)
    assert_lives(*ends)

    store.seconds += 60
    assert store.status(short) == store.status(strict) == 401
    store.server.loop.advance(1)

    assert_lives(*stays)
    assert_ends(ends[0], "the key has expired")


def test_rotation(store: Store) -> None:
    """The links of the old secret end if asked; those of the new one do not."""
    old = store.make("laptop")
    before = store.server.attach(key=old)
    new = store.rotate("laptop", disconnect=True)
    after = store.server.attach(key=new)

    store.server.loop.advance(1)

    assert store.status(old) == 401
    assert_ends(before[0], "the key was revoked")
    assert_lives(*after)


def test_what_comes_after_is_void(store: Store) -> None:
    """From the close on no request of that client is run."""
    wire, channel = store.server.attach(key=store.make("laptop"))
    store.revoke("laptop", disconnect=True)
    store.server.loop.advance(1)

    wire.feed(rpc(1) + rpc(2))

    assert channel.requests == []


def test_client_that_does_not_answer(
    tmp_path: Path, start: Start, log: list[dict[str, Any]]
) -> None:
    """It is told once, and dropped when the closing handshake takes too long."""
    store = Store(tmp_path, start, close_timeout=60)
    wire, channel = store.server.attach(key=store.make("laptop"))
    store.revoke("laptop", disconnect=True)
    for _ in range(5):
        store.server.loop.advance(1)
    assert_ends(wire, "the key was revoked")
    assert wire.connected
    said = [event for event in log if event.get("reason") == "the key was revoked"]
    assert len(said) == 1

    store.server.loop.advance(60)

    assert not wire.connected
    assert channel.closed


def test_reload(store: Store) -> None:
    """`reload` acts now, not at the next look."""
    wire, _channel = store.server.attach(key=store.make("laptop"))
    store.revoke("laptop", disconnect=True)

    store.server.service.reload()

    assert_ends(wire, "the key was revoked")


def test_store_that_goes_bad(store: Store) -> None:
    """It admits nobody, and ends nobody."""
    secret = store.make("laptop")
    attached = store.server.attach(key=secret)
    path = keystore.store_path(store.home)

    path.chmod(0o644)
    assert store.status(secret) == 401
    store.server.loop.advance(5)
    assert_lives(*attached)

    path.chmod(0o600)
    assert store.status(secret) == 101


def test_a_bug_does_not_end_the_looks(
    store: Store, monkeypatch: pytest.MonkeyPatch, forgiven: list[type[BaseException]]
) -> None:
    """Whatever goes wrong in one look, the next one comes."""
    forgiven.append(ZeroDivisionError)
    wire, channel = store.server.attach(key=store.make("laptop"))
    with monkeypatch.context() as patch:
        patch.setattr(store.keyring, "ended", lambda: 1 / 0)
        store.server.loop.advance(1)
    assert_lives(wire, channel)

    store.revoke("laptop", disconnect=True)
    store.server.loop.advance(1)

    assert_ends(wire, "the key was revoked")


def test_stopping(store: Store) -> None:
    """A stop ends the looks, and a link that is ending already is not told twice."""
    wire, _channel = store.server.attach(key=store.make("laptop"))
    store.revoke("laptop", disconnect=True)
    store.server.service.reload()

    store.server.stop()
    store.server.loop.advance(1)

    assert [frame.opcode for frame in wire.frames()].count(CLOSE) == 1


def test_key_in_the_log(store: Store, log: list[dict[str, Any]]) -> None:
    """The log names the key, and has neither its secret nor its hash."""
    secret = store.make("laptop")
    store.server.attach(key=secret)
    store.revoke("laptop", disconnect=True)
    store.server.loop.advance(1)

    text = "\n".join(str(event) for event in log)
    assert any(event.get("key") == "laptop" for event in log)
    assert secret not in text
    assert keystore.read(store.home).records[0].key.digest.hex() not in text
