from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_twisted.testing.wire import BINARY, CLOSE, PING, TEXT, client_frame
from hermes_twisted.websocket.closing import CloseWatch

CLOSING = client_frame(b"\x03\xea", CLOSE)
#: Closes that break a rule, and mean the end all the same.
ODD_CLOSES = {
    "without a code": client_frame(b"", CLOSE),
    "unmasked": client_frame(b"\x03\xe8", CLOSE, mask=None),
    "one byte": client_frame(b"\x03", CLOSE),
    "too large": client_frame(b"x" * 200, CLOSE),
    "fragmented": client_frame(b"\x03\xe8", CLOSE, fin=False),
    "reserved bits": client_frame(b"\x03\xe8", CLOSE, rsv=7),
}

frames = st.lists(
    st.one_of(
        st.builds(
            client_frame,
            st.binary(max_size=300),
            st.sampled_from([0, TEXT, BINARY, PING, 3, 11]),
            rsv=st.integers(0, 7),
            mask=st.sampled_from([None, b"abcd"]),
        ),
        st.builds(lambda size: client_frame(b"x" * size), st.sampled_from([126, 65535, 65536])),
    ),
    max_size=5,
)


@given(frames=frames, skip=st.integers(0, 400), sizes=st.lists(st.integers(1, 5000), min_size=1))
def test_the_close_is_found(frames: list[bytes], skip: int, sizes: list[int]) -> None:
    """Behind the rest of a frame and others, however cut, the close is seen when it is whole."""
    data = b"\x88" * skip + b"".join(frames) + CLOSING
    watch = CloseWatch(skip)
    start = 0
    for size in sizes:
        piece = data[start : min(start + size, len(data) - 1)]
        start += len(piece)
        assert not watch.feed(piece)

    assert not watch.feed(data[start:-1])
    assert watch.feed(data[-1:])


@pytest.mark.parametrize("data", ODD_CLOSES.values(), ids=ODD_CLOSES)
def test_odd_closes(data: bytes) -> None:
    """A close that breaks the rules is one: the client has nothing more to say."""
    watch = CloseWatch()

    assert not watch.feed(data[:-1])
    assert watch.feed(data[-1:])


def test_a_lie_is_waited_for() -> None:
    """A frame that declares more than ever comes hides what follows; nothing of it is kept."""
    watch = CloseWatch()

    assert not watch.feed(client_frame(b"", length=2**40) + CLOSING)
    for _ in range(100):
        assert not watch.feed(CLOSING)
    assert watch._head == b""


def test_what_follows_is_void() -> None:
    """A close is a close, whatever stands behind it."""
    assert CloseWatch().feed(CLOSING + b"\xff" * 100)
