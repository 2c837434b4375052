"""Parses and encodes JSON-RPC frames in the front.

An inbound frame is parsed once, and only its outermost object: `params` may have megabytes and is
for Hermes. Errors and notices of the front are encoded here. Frames of Hermes are passed on
unparsed.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

#: Levels of nesting. A terminal's frames have fewer than a dozen. Python's recursion limit is 1000
#: calls, of which recursive code needs two or three for each level.
MAX_DEPTH: Final = 128
#: Lists and objects in one frame: enough for a transcript of some 10,000 messages. Each takes 60
#: bytes of memory or more.
MAX_CONTAINERS: Final = 262_144

#: All bytes but brackets and quotes.
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{}"'))
#: Translates opening brackets to 1 and closing ones to -1, as signed characters.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def is_within_limits(text: bytes, depth: int, containers: int) -> bool:
    """Return whether *text* has at most *depth* levels, and *containers* lists and objects.

    *text* must be valid JSON. For most texts the length or the number of brackets decides. Others
    take at most 20 ms for a megabyte, in C.
    """
    # A text that is n levels deep has n opening brackets, and as many closing ones.
    if len(text) <= 2 * depth or _openings(text) <= depth:
        return True
    rest = _outside_strings(text)
    if _openings(rest) > containers:
        return False
    heights = itertools.accumulate(memoryview(rest.translate(_STEPS)).cast("b"))
    return max(heights, default=0) <= depth


def _openings(text: bytes) -> int:
    """Count the opening brackets of *text*."""
    return text.count(b"[") + text.count(b"{")


def _outside_strings(text: bytes) -> bytes:
    """Return the brackets of *text* that are not in strings."""
    if b"\\" in text:
        # Pairs of backslashes first: any other backslash escapes the byte after it.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Empty strings can be dropped without changing which brackets are in other strings.
    text = text.translate(None, _OTHERS).replace(b'""', b"")
    return b"".join(text.split(b'"')[::2]) if b'"' in text else text


#: JSON-RPC 2.0 §5.1
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
#: Implementation-defined: Hermes uses -32000 for a handler that failed.
SERVER_ERROR: Final = -32000
#: Our own: the key's scope does not allow the method.
SCOPE_DENIED: Final = -32001

#: Characters of a method's name that errors quote.
MAX_ECHO: Final = 64

NULL: Final = b"null"

#: Urgent requests, besides every `*.respond`: they stop a turn or answer a question of Hermes, so
#: they may overtake slow requests.
URGENT_METHODS: Final = frozenset({"session.interrupt"})
URGENT_SUFFIX: Final = ".respond"
#: Answered by the front: Hermes' dispatcher has no such method.
PING_METHOD: Final = "gateway.ping"


class _Envelope(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(NULL)
    method: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


class _WithParams(msgspec.Struct):
    params: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_params = msgspec.json.Decoder(_WithParams).decode
_decode_text = msgspec.json.Decoder(str).decode


class Frame(msgspec.Struct, frozen=True):
    """An inbound frame: its text, unchanged, and the fields that the front needs."""

    text: bytes
    id: bytes
    """The id as JSON text, `null` if there is none."""
    method: str
    """The method, empty for an answer to a question of Hermes."""

    @property
    def urgent(self) -> bool:
        """Whether it may overtake earlier requests of the client."""
        method = self.method
        return not method or method in URGENT_METHODS or method.endswith(URGENT_SUFFIX)

    def param(self, name: str) -> bytes:
        """Return the JSON text of one parameter, empty if it is absent.

        Of members with the same name the last counts, as in Hermes' `json.loads`, so that scopes
        check the value that Hermes uses.
        """
        params = _decode_params(self.text).params
        try:
            found = _param_decoder(name)(params)
        except msgspec.DecodeError:
            return b""  # Not an object: it has no parameters.
        return bytes(found.value)


@functools.cache
def _param_decoder(name: str) -> Callable[[msgspec.Raw], Any]:
    """Return a decoder for one member of an object. Cached: use it for a few fixed names only."""
    shape = msgspec.defstruct(
        "Param", [("value", msgspec.Raw, msgspec.Raw(b""))], rename={"value": name}
    )
    return msgspec.json.Decoder(shape).decode


class BadFrame(Exception):
    """The inbound text is no valid frame.

    `answer` is the error to send. `why` is the label for metrics: `not_json`, `nesting` or
    `not_a_request`.
    """

    def __init__(self, answer: bytes, why: str) -> None:
        super().__init__(why)
        self.answer = answer
        self.why = why


def parse(
    text: bytes,
    max_depth: int = MAX_DEPTH,
    max_containers: int = MAX_CONTAINERS,
) -> Frame:
    """Parse *text*, one WebSocket message in UTF-8.

    Raises `BadFrame` with the errors of Hermes (`tui_gateway.server`): -32700 if the text is not
    JSON, -32600 if it is not a request. It is stricter than Hermes: `NaN` and lone surrogates
    are not JSON (RFC 8259), and nesting is limited (RFC 8259 §9).
    """
    try:
        envelope = _decode(text)
        identity = bytes(envelope.id)
        identity.decode()  # Answers echo it, and msgspec has not decoded it.
    except msgspec.ValidationError:
        answer = error(NULL, INVALID_REQUEST, "invalid request: expected an object")
        raise BadFrame(answer, "not_a_request") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadFrame(error(NULL, PARSE_ERROR, "parse error"), "not_json") from None
    except RecursionError:
        raise _too_nested(max_depth, max_containers) from None
    if not is_within_limits(text, max_depth, max_containers):
        raise _too_nested(max_depth, max_containers)
    if not envelope.method and (envelope.result or envelope.error):
        return Frame(text, identity, "")
    try:
        method = _decode_text(envelope.method)
    except UnicodeDecodeError:
        raise BadFrame(error(NULL, PARSE_ERROR, "parse error"), "not_json") from None
    except msgspec.DecodeError:
        method = ""
    if not method:
        answer = error(
            identity, INVALID_REQUEST, "invalid request: method must be a non-empty string"
        )
        raise BadFrame(answer, "not_a_request")
    return Frame(text, identity, method)


def _too_nested(depth: int, containers: int) -> BadFrame:
    message = f"parse error: more than {depth} levels, or {containers} lists and objects"
    return BadFrame(error(NULL, PARSE_ERROR, message), "nesting")


def decode_string(text: bytes) -> str | None:
    """Return the value of a JSON string; None if *text* is anything else."""
    try:
        return _decode_text(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def shorten(method: str) -> str:
    """Return a method's name, cut to `MAX_ECHO` characters."""
    return method if len(method) <= MAX_ECHO else method[:MAX_ECHO] + "…"


def encode(value: object) -> bytes:
    """Return *value* as compact JSON, in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def error(identity: bytes, code: int, message: str) -> bytes:
    """Return an error answer; *identity* is the request's id as JSON text."""
    detail = encode({"code": code, "message": message})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (identity, detail)


def result(identity: bytes, value: object) -> bytes:
    """Return an answer with the result *value*; *identity* is the request's id as JSON text."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identity, encode(value))


def event(kind: str, payload: Mapping[str, object]) -> bytes:
    """Return an event of the type *kind* that belongs to no session."""
    params = {"type": kind, "payload": payload}
    return encode({"jsonrpc": "2.0", "method": "event", "params": params})


def notice(message: str) -> bytes:
    """Return a notice: an event that every release of the terminal UI shows in its transcript.

    `browser.progress` is the only event that releases from 0.15 on print unchanged, at any time
    and without a session.
    """
    return event("browser.progress", {"message": message})
