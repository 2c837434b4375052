from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from hermes_twisted.operate import control
from hermes_twisted.operate.control import (
    IDLE,
    MAX_CONNECTIONS,
    MAX_LINE,
    ControlFactory,
    OperatorCommands,
    peer_user,
)


class Echo:
    """Answers each line by itself."""

    def answer(self, line: bytes) -> bytes:
        return b"<" + line + b">"


class Pair(StringTransport):
    """A connection, with a real socket for the kernel to be asked about."""

    def __init__(self, factory: ControlFactory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.socket, self.theirs = socket.socketpair()
        self.protocol: Any = factory.buildProtocol(None)
        if self.protocol is not None:
            self.protocol.makeConnection(self)

    def close(self) -> None:
        self.socket.close()
        self.theirs.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def factory(clock: Clock) -> ControlFactory:
    return ControlFactory(clock, cast("OperatorCommands", Echo()))


@pytest.fixture
def pairs(factory: ControlFactory) -> Iterator[list[Pair]]:
    pairs: list[Pair] = []
    yield pairs
    for pair in pairs:
        pair.close()


def test_peer_user() -> None:
    """The kernel says who is at the other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) == os.geteuid()


def test_where_the_kernel_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the file's mode has to do."""
    monkeypatch.delattr(socket, "SO_PEERCRED")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) is None


@pytest.mark.parametrize(("user", "let_in"), [(4711, True), (0, True), (None, True), (12, False)])
def test_only_the_same_user(
    factory: ControlFactory,
    pairs: list[Pair],
    monkeypatch: pytest.MonkeyPatch,
    user: int | None,
    let_in: bool,
) -> None:
    """Another user, who has got past the file's mode somehow, is dropped unheard; root is not."""
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(control, "peer_user", lambda sock: user)

    pair = Pair(factory)
    pairs.append(pair)

    assert pair.disconnecting is not let_in
    assert len(factory.connections) == let_in


def test_lines(factory: ControlFactory, clock: Clock, pairs: list[Pair]) -> None:
    """However they are cut; each is answered by one."""
    pair = Pair(factory)
    pairs.append(pair)

    pair.protocol.dataReceived(b"a\nb")
    pair.protocol.dataReceived(b"c\n")

    assert pair.value() == b"<a>\n<bc>\n"


def test_limits(factory: ControlFactory, clock: Clock, pairs: list[Pair]) -> None:
    """Idle ones go, long lines go, and there are only so many."""
    pairs += [Pair(factory) for _ in range(MAX_CONNECTIONS)]
    idle, long, *_others = pairs
    assert factory.buildProtocol(None) is None

    long.protocol.dataReceived(b"x" * (MAX_LINE + 1))
    assert long.disconnecting
    clock.advance(IDLE - 1)
    assert not idle.disconnecting
    clock.advance(1)
    assert idle.disconnecting
    for pair in pairs:
        pair.protocol.connectionLost()
    assert factory.buildProtocol(None) is not None
    assert not factory.connections
    assert not clock.getDelayedCalls()
