from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_twisted import rpc

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def strict(text: bytes) -> Any:
    """Parse as RFC 8259 has it: UTF-8, no NaN, no lone surrogates."""
    value = json.loads(text.decode(), parse_constant=_refuse_constant)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def is_json(text: bytes) -> bool:
    try:
        strict(text)
    except (ValueError, AssertionError):
        return False
    return True


def answer_to(text: bytes) -> dict[str, Any]:
    """The error that a bad frame is answered with."""
    with pytest.raises(rpc.BadFrame) as caught:
        rpc.parse(text)
    answer: dict[str, Any] = strict(caught.value.answer)
    return answer


def test_request() -> None:
    """A request keeps its text, its id as JSON text, and its method."""
    text = b'{"jsonrpc": "2.0", "id": 7, "method": "prompt.submit", "params": {"text": "hi"}}'

    assert rpc.parse(text) == rpc.Frame(text, b"7", "prompt.submit")


@pytest.mark.parametrize(
    "identity",
    [b"0", b"-1", b"1.5e3", b'"a"', b'""', b"null", b"true", b'{"a":[1]}', b"[1, 2]", b"1e400"],
)
def test_id_is_kept_as_text(identity: bytes) -> None:
    """An id of any JSON type comes back as the very text it was."""
    assert rpc.parse(b'{"method":"x","id":%b}' % identity).id == identity


def test_no_id() -> None:
    """A notification's id is null."""
    assert rpc.parse(b'{"method":"x"}').id == b"null"


def test_white_space_and_escapes() -> None:
    """White space and escapes in keys and methods mean what they mean to any JSON parser."""
    frame = rpc.parse(b' \t\r\n{ "\\u0069d" : 1 , "method" : "s\\u00e9ance" } \n')

    assert (frame.id, frame.method) == (b"1", "séance")


def test_last_duplicate_counts() -> None:
    """Of a repeated key the last counts, as for Hermes' own parser."""
    frame = rpc.parse(b'{"id":1,"method":"a","id":2,"method":"session.interrupt"}')

    assert (frame.id, frame.method) == (b"2", "session.interrupt")


@pytest.mark.parametrize("member", [b'"result":null', b'"error":{}', b'"result":0,"error":1'])
def test_response(member: bytes) -> None:
    """A result or an error without a method answers a question of the server: urgent."""
    frame = rpc.parse(b'{"id":"q1",%b}' % member)

    assert (frame.id, frame.method, frame.urgent) == (b'"q1"', "", True)


@pytest.mark.parametrize(
    ("method", "urgent"),
    [
        ("session.interrupt", True),
        ("approval.respond", True),
        ("clarify.respond", True),
        ("anything.new.respond", True),
        ("prompt.submit", False),
        ("session.interrupted", False),
        ("session.Interrupt", False),
        ("respond", False),
        ("approval.respond ", False),
        ("approval.respond.x", False),
        ("gateway.ping", False),
    ],
)
def test_urgent(method: str, urgent: bool) -> None:
    """Only an interrupt and answers to Hermes' questions may overtake."""
    assert rpc.parse(json.dumps({"method": method, "id": 1}).encode()).urgent is urgent


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"x",
        b"{",
        b'{"method":"x"',
        b'{"method":"x"}}',
        b'{"method":"x"} {"method":"y"}',
        b'{"method":"x",}',
        b"{'method':'x'}",
        b'{"method":"x","params":NaN}',
        b'{"method":"x","params":Infinity}',
        b'{"method":"x","params":-Infinity}',
        b'{"method":"x","params":"\\ud800"}',
        b'{"method":"\\udc00"}',
        b'{"id":"\\ud800","method":"x"}',
        b'{"method":"x","id":01}',
        b'{"method":"x","id":1.}',
        b'{"method":"x","id":.5}',
        b'{"method":"x","id":+1}',
        b'{"method":"x","id":-}',
        b'{"method":"x","id":tru}',
        b'{"method":"x","id":"\x01"}',
        b'{"method":"x","id":"\\q"}',
        b'{"method":"x","id":"\\u12"}',
        b'{"method":"x","params":"\n"}',
        b'\xef\xbb\xbf{"method":"x"}',
        b'{"method":"x","params":' + b"[" * 500,
    ],
)
def test_not_json(text: bytes) -> None:
    """What is not JSON is answered with -32700 and no id."""
    assert answer_to(text) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "parse error"},
    }


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b"true",
        b"1",
        b'"method"',
        b"[]",
        b'[{"method":"x","id":1}]',
    ],
)
def test_not_an_object(text: bytes) -> None:
    """JSON that is no object (a batch, too) is answered with -32600."""
    answer = answer_to(text)

    assert answer["id"] is None
    assert answer["error"] == {
        "code": -32600,
        "message": "invalid request: expected an object",
    }


@pytest.mark.parametrize(
    "member",
    [
        b'"x":1',
        b'"method":""',
        b'"method":null',
        b'"method":5',
        b'"method":true',
        b'"method":["a"]',
        b'"method":{}',
        b'"method":null,"result":1',
        b'"method":"","error":1',
    ],
)
def test_no_method(member: bytes) -> None:
    """An object without a usable method is answered with -32600 and its own id."""
    answer = answer_to(b'{"id":{"k":[1,"\xc3\xa9"]},%b}' % member)

    assert answer["id"] == {"k": [1, "é"]}
    assert answer["error"] == {
        "code": -32600,
        "message": "invalid request: method must be a non-empty string",
    }


def test_params_are_not_our_business() -> None:
    """Parameters of the wrong type pass: Hermes answers them."""
    for params in (b"null", b"1", b"[1]", b'"x"'):
        assert rpc.parse(b'{"id":1,"method":"x","params":%b}' % params).method == "x"


@settings(max_examples=300)
@given(text=st.text() | st.text(alphabet='{}[]":,\\0123456789.eE+-truefalsnNI \tidmeho'))
def test_any_text(text: str) -> None:
    """Any text is either a frame, and then JSON, or a `BadFrame` with a strict JSON answer."""
    data = text.encode()
    try:
        rpc.parse(data)
    except rpc.BadFrame as bad:
        assert strict(bad.answer)["error"]["code"] in (-32700, -32600)
    else:
        assert is_json(data)


@settings(max_examples=200)
@given(
    value=json_values
    | st.fixed_dictionaries(
        {},
        optional={
            "id": json_values,
            "method": st.text() | json_values,
            "result": json_values,
            "error": json_values,
            "params": json_values,
        },
    ),
    ascii_only=st.booleans(),
)
def test_any_json(value: Any, ascii_only: bool) -> None:
    """What is taken apart agrees with what Hermes' own JSON parser sees."""
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    try:
        frame = rpc.parse(text)
    except rpc.BadFrame as bad:
        answer = strict(bad.answer)
        assert answer["error"]["code"] == -32600
        assert not isinstance(value, dict) or answer["id"] == value.get("id")
        assert not (isinstance(value, dict) and isinstance(value.get("method"), str)) or (
            value["method"] == ""
        )
    else:
        assert frame.text == text
        assert strict(frame.id) == value.get("id")
        assert frame.method == value.get("method", "")
        # Its id can be quoted in an answer of any kind.
        assert strict(rpc.error(frame.id, -1, "x"))["id"] == value.get("id")
        assert strict(rpc.result(frame.id, {}))["id"] == value.get("id")


def test_not_utf8() -> None:
    """Even bytes that are not UTF-8 raise nothing but `BadFrame`."""
    assert answer_to(b'{"id":1,"method":"\xff"}')["error"]["code"] == -32700


@pytest.mark.parametrize("rest", [b'"method":"a"', b'"method":""', b'"result":{}'])
def test_id_that_is_not_utf8(rest: bytes) -> None:
    """An id that is not text is not echoed."""
    said = answer_to(b'{"id":"\xff",%b}' % rest)

    assert (said["id"], said["error"]["code"]) == (None, -32700)


def test_error() -> None:
    """An error quotes the id as it was and escapes what is not ASCII."""
    text = rpc.error(b'"\xc3\xa9"', -32000, 'a "quoted" é \ud800 line\n')

    assert json.loads(text) == {
        "jsonrpc": "2.0",
        "id": "é",
        "error": {"code": -32000, "message": 'a "quoted" é \ud800 line\n'},
    }


def test_result() -> None:
    """A result quotes the id as it was."""
    assert rpc.result(b"1e400", {"ok": True}) == (
        b'{"jsonrpc":"2.0","id":1e400,"result":{"ok":true}}'
    )


def test_encode_refuses_nan() -> None:
    """A frame of our own never holds what is not JSON."""
    with pytest.raises(ValueError):
        rpc.encode({"x": float("nan")})


def test_notice() -> None:
    """A notice is the one event that all releases print as it is, and names no session."""
    assert strict(rpc.notice("Schöne Grüße")) == {
        "jsonrpc": "2.0",
        "method": "event",
        "params": {"type": "browser.progress", "payload": {"message": "Schöne Grüße"}},
    }
