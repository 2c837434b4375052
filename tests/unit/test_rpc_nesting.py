from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hermes_twisted import rpc
from hermes_twisted.rpc import is_within_limits


def depth_of(value: Any) -> int:
    """Levels of lists and objects, slowly."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def containers_of(value: Any) -> int:
    """Lists and objects, slowly."""
    if isinstance(value, dict):
        return 1 + sum(map(containers_of, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(containers_of, value))
    return 0


TEXTS = st.text(st.sampled_from('[]{}"\\u0041,é\n'), max_size=12)
VALUES = st.recursive(
    TEXTS | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=25,
)


@given(VALUES, st.integers(1, 8), st.integers(1, 20), st.booleans())
@example(["[" * 20], 1, 1, False)
@example(['"[', '\\"[', '\\\\"['], 1, 1, False)
@example({"\\": [], '"': [[]], "": "]]]"}, 3, 4, False)
def test_is_within(value: Any, depth: int, containers: int, spaced: bool) -> None:
    """Depth and number are those of the value, whatever stands in its strings."""
    text = json.dumps(value, ensure_ascii=False, indent=1 if spaced else None).encode()

    # Where fewer containers than levels are allowed it does not matter which limit strikes.
    containers = max(depth, containers)
    fits = depth_of(value) <= depth and containers_of(value) <= containers

    assert is_within_limits(text, depth, containers) == fits


@pytest.mark.parametrize("depth", [1, 2, 100, 128, 129, 500])
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_depth_exactly(depth: int, pair: tuple[bytes, bytes]) -> None:
    """A text as deep as the limit passes, one level more does not."""
    levels = depth if len(pair[1]) == 1 else 2 * depth
    text = pair[0] * depth + b"1" + pair[1] * depth

    assert is_within_limits(text, levels, 10**9)
    assert not is_within_limits(text, levels - 1, 10**9)


def test_frames_have_both_limits() -> None:
    """The limits hold for a request as a whole: the envelope is one level."""
    inner = b"[" * 19 + b"]" * 19
    text = b'{"id":1,"method":"m","params":%b}' % inner

    assert rpc.parse(text, 20, 100).method == "m"
    with pytest.raises(rpc.BadFrame) as deep:
        rpc.parse(text, 19, 100)
    many = b'{"id":1,"method":"m","params":[%b[]]}' % (b"[]," * 98)
    assert rpc.parse(many, 20, 101).method == "m"
    with pytest.raises(rpc.BadFrame) as wide:
        rpc.parse(many, 20, 100)

    assert deep.value.why == wide.value.why == "nesting"
    assert json.loads(wide.value.answer)["error"] == {
        "code": -32700,
        "message": "parse error: more than 20 levels, or 100 lists and objects",
    }
    assert json.loads(wide.value.answer)["id"] is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"method":"x","params":' + b"[" * 200_000,
        b'{"method":"x","params":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"params":' + b'{"a":' * 100_000,
        b"[" * 200_000,
    ],
)
def test_without_end(text: bytes) -> None:
    """What nests beyond all measure is refused as well, whether it is whole or not."""
    with pytest.raises(rpc.BadFrame) as caught:
        rpc.parse(text)

    assert json.loads(caught.value.answer)["error"]["code"] in (-32700, -32600)
