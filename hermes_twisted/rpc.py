"""JSON-RPC texts, as far as the front has to look into them.

An inbound frame is taken apart once, and no further than its outermost object:
`params` may hold megabytes and is Hermes' business. What the front says itself
(errors, notices) is made here too. Hermes' own frames pass as they are.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

#: Frames of a terminal nest less than a dozen deep. Python's own limit is a thousand
#: frames, of which whoever walks through such a thing takes two or three a level.
MAX_DEPTH: Final = 128
#: A transcript of some ten thousand messages. Each costs sixty bytes or more.
MAX_CONTAINERS: Final = 262_144

#: Deletes all but brackets and quotes.
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{}"'))
#: Makes an opening bracket 1 and a closing one -1, as signed characters.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def is_within(text: bytes, depth: int, containers: int) -> bool:
    """Whether *text*, valid JSON, has so many levels, lists and objects at most.

    Everyday texts are told by their length or the number of their brackets. The others
    are worked on in C: ten to twenty milliseconds for a megabyte, at the very worst.
    """
    # One that is n deep has n opening brackets, and as many closing ones.
    if len(text) <= 2 * depth or _openings(text) <= depth:
        return True
    rest = _outside_strings(text)
    if _openings(rest) > containers:
        return False
    heights = itertools.accumulate(memoryview(rest.translate(_STEPS)).cast("b"))
    return max(heights, default=0) <= depth


def _openings(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _outside_strings(text: bytes) -> bytes:
    """The brackets of *text* without those in strings."""
    if b"\\" in text:
        # First the pairs: what is left of a backslash then escapes what follows it.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes with nothing between them change nothing for the others.
    text = text.translate(None, _OTHERS).replace(b'""', b"")
    return b"".join(text.split(b'"')[::2]) if b'"' in text else text


#: JSON-RPC 2.0 §5.1
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
#: Implementation-defined: Hermes uses -32000 for a handler that failed.
SERVER_ERROR: Final = -32000
#: Ours: the key's scope does not allow the method.
SCOPE_DENIED: Final = -32001

#: Of a method's name no more than this is said back.
MAX_ECHO: Final = 64

NULL: Final = b"null"

#: Requests that may overtake a slow one, besides every `*.respond`: they answer a
#: question that Hermes waits for, or stop what it does.
URGENT_METHODS: Final = frozenset({"session.interrupt"})
URGENT_SUFFIX: Final = ".respond"
#: Answered by the front: Hermes' dispatcher does not know it.
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
    """An inbound frame: the text as it came, and what the front needs of it."""

    text: bytes
    id: bytes
    """The id as JSON text, `null` if there is none."""
    method: str
    """Empty for a response to a question of the server."""

    @property
    def urgent(self) -> bool:
        """Whether it may overtake the client's earlier requests."""
        method = self.method
        return not method or method in URGENT_METHODS or method.endswith(URGENT_SUFFIX)

    def param(self, name: str) -> bytes:
        """JSON text of one parameter, empty if it is absent.

        Of members with the same name the last counts, here and in Hermes' `json.loads`:
        what is judged is what is run.
        """
        params = _decode_params(self.text).params
        try:
            found = _param_decoder(name)(params)
        except msgspec.DecodeError:
            return b""  # Not an object: it has no parameters.
        return bytes(found.value)


@functools.cache
def _param_decoder(name: str) -> Callable[[msgspec.Raw], Any]:
    """Takes *name* out of an object, and skips the rest. For the few names of a table."""
    shape = msgspec.defstruct(
        "Param", [("value", msgspec.Raw, msgspec.Raw(b""))], rename={"value": name}
    )
    return msgspec.json.Decoder(shape).decode


class BadFrame(Exception):
    """An inbound frame that is answered with an error; `answer` is that error.

    `why`, for counting: `not_json`, `nesting` or `not_a_request`.
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
    """Take *text*, UTF-8 of one WebSocket message, apart.

    Raises `BadFrame` with the answers that upstream gives (`tui_gateway.server`):
    -32700 for what is not JSON, -32600 for what is not a request. Stricter than
    upstream: `NaN` and lone surrogates are not JSON (RFC 8259), and nesting has a
    limit (RFC 8259 §9).
    """
    try:
        envelope = _decode(text)
        identity = bytes(envelope.id)
        identity.decode()  # It is echoed, and was skipped without a look at its bytes.
    except msgspec.ValidationError:
        answer = error(NULL, INVALID_REQUEST, "invalid request: expected an object")
        raise BadFrame(answer, "not_a_request") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadFrame(error(NULL, PARSE_ERROR, "parse error"), "not_json") from None
    except RecursionError:
        raise _too_nested(max_depth, max_containers) from None
    if not is_within(text, max_depth, max_containers):
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


def string(text: bytes) -> str | None:
    """The string that the JSON *text* is; None if it is anything else."""
    try:
        return _decode_text(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def shorten(method: str) -> str:
    """A method's name as it may be said back: Hermes' are short, a client's may be long."""
    return method if len(method) <= MAX_ECHO else method[:MAX_ECHO] + "…"


def encode(value: Any) -> bytes:
    """Compact JSON for a frame of our own."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def error(identity: bytes, code: int, message: str) -> bytes:
    """An error answer; *identity* is the request's id as JSON text."""
    detail = encode({"code": code, "message": message})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (identity, detail)


def result(identity: bytes, value: Any) -> bytes:
    """A result answer; *identity* is the request's id as JSON text."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identity, encode(value))


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """An event that belongs to no session."""
    params = {"type": kind, "payload": payload}
    return encode({"jsonrpc": "2.0", "method": "event", "params": params})


def notice(message: str) -> bytes:
    """A line that every release of the terminal UI shows in its transcript.

    `browser.progress` is the one event that 0.15 to 0.19 and later print as it is,
    without a session and in the middle of anything.
    """
    return event("browser.progress", {"message": message})
