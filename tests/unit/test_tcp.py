from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from hermes_twisted.tcp import tune

TCP = socket.IPPROTO_TCP


@pytest.fixture
def accepted() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, _peer = listener.accept()
        with client, ours:
            yield ours


def test_small_frames_go_at_once(accepted: socket.socket) -> None:
    tune(SimpleNamespace(socket=accepted), 900.0)

    assert accepted.getsockopt(TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="options of Linux")
@pytest.mark.parametrize("dead_after", [1.0, 60.0, 900.0, 6 * 3600.0, 7 * 86400.0])
def test_the_kernel_is_not_faster_than_the_service(
    accepted: socket.socket, dead_after: float
) -> None:
    """Its questions, and its patience with what is not acknowledged, last for `dead_after`."""
    tune(SimpleNamespace(socket=accepted), dead_after)

    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle = accepted.getsockopt(TCP, socket.TCP_KEEPIDLE)
    interval = accepted.getsockopt(TCP, socket.TCP_KEEPINTVL)
    probes = accepted.getsockopt(TCP, socket.TCP_KEEPCNT)
    assert idle == 30
    assert interval >= 10
    assert dead_after < idle + interval * probes < max(2 * dead_after, 200)
    assert accepted.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == (dead_after + 60) * 1000


def test_more_than_the_kernel_counts(accepted: socket.socket) -> None:
    """A year without silence is no reason not to start."""
    tune(SimpleNamespace(socket=accepted), 366 * 86400.0)

    assert accepted.getsockopt(TCP, socket.TCP_NODELAY)


def test_what_is_not_tcp() -> None:
    """A Unix socket has none of these options, a connection in memory has no socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        tune(SimpleNamespace(socket=ours), 900.0)

        assert not ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    tune(object(), 900.0)


def test_socket_that_has_gone() -> None:
    """The reader finds out; here it is no failure."""
    gone = socket.socket()
    gone.close()

    tune(SimpleNamespace(socket=gone), 900.0)
