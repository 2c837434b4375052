"""The JSON messages between the front and Hermes' Python, one dataclass each.

`encode` and `decode` turn them into bytes and back. Both ends run the same version of this
package, so a field that is missing, unknown or of another type is a bug: `decode` raises
`BadPacket` and names the field.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from typing import Any, TypeVar

from .packets import BadPacket
from .problem import Problem

M = TypeVar("M")


@dataclasses.dataclass(frozen=True)
class WorkerSettings:
    """Body of HELLO: the limits and process settings of a new worker. Bytes and seconds."""

    soft: int
    """Queued bytes of one client above which deltas are shed."""
    hard: int
    """Queued bytes of one client above which it is disconnected."""
    queued_total: int
    """Queued bytes of all clients above which those with the most are disconnected."""
    window: int
    """Bytes of one client that may be under way to the front without credit."""
    threads: int
    """Threads that run requests."""
    urgent_threads: int
    """How many of these run urgent requests only."""
    settle_count: int
    """Settled requests are reported in lots of this many ..."""
    settle_bytes: int
    """... or of this many bytes."""
    shutdown: float
    """How long Hermes may take to finalise its sessions."""
    umask: int
    core_limit: int | None
    """The soft limit of core files; None leaves it as it is."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """Body of READY: the Hermes that was loaded, and what it offers."""

    version: str
    methods: int
    """How many methods its dispatcher knows."""
    python: str = ""
    hooks: tuple[str, ...] = ()
    """Optional hooks that are there and take our calls."""
    left_out: tuple[str, ...] = ()
    """Optional hooks that are absent or have changed; the host does without them."""
    changed: tuple[str, ...] = ()
    """Hooks, among those left out, that are there but do not take our calls."""
    mcp_discovery: bool = False
    """Whether this release expects its transport to start MCP discovery."""
    promises: tuple[str, ...] = ()
    """Fields that are true in this release's `gateway.ready`."""
    replays: bool = False
    """Whether this release numbers its events for clients that reconnect."""
    answered_here: tuple[str, ...] = ()
    """Methods that newer UIs poll, unknown to this release: the host answers them."""
    hands_over: bool = False
    """Whether this release repeats its open questions to whoever resumes a session."""
    takes_over: bool = False
    """Whether the host answers `session.resume` of a live session in this release's place."""
    pool: int = 0
    """Threads of Hermes' own pool for long handlers; 0 if it has none that we know."""

    def describe(self) -> str:
        """Return what was found, but for the version, as words for the log and the doctor."""
        details = (
            ("hooks found", self.hooks),
            ("hooks left out", self.left_out),
            ("of these there, but changed", self.changed),
            ("answered in its place", self.answered_here),
        )
        said = "".join(f"; {words}: {', '.join(names)}" for words, names in details if names)
        return f"{self.methods} methods{said}"


@dataclasses.dataclass(frozen=True)
class SavedSession:
    """One session of a seat, with what it takes to resume it in another worker."""

    live_id: str
    """The id that the client knows it by."""
    stored_key: str | None
    cols: int | None
    """The width of the client's terminal."""
    running: bool
    """Whether a turn ran."""


@dataclasses.dataclass(frozen=True)
class SavedSessions:
    """Body of OPEN: the sessions that the seat had in the worker before; usually none."""

    sessions: tuple[SavedSession, ...]


@dataclasses.dataclass(frozen=True)
class RestoredSession:
    """One saved session that was resumed in a new worker."""

    live_id: str
    """The id that the client knows it by."""
    running: bool
    """Whether a turn ran when the worker before ended; that turn is lost."""
    fresh: bool
    """Whether Hermes had not stored it, so that a new, empty session took its place."""


@dataclasses.dataclass(frozen=True)
class SessionNote:
    """Body of NOTE: the seat's sessions as they are now, and those that were just restored."""

    saved: tuple[SavedSession, ...]
    restored: tuple[RestoredSession, ...] = ()


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What the doctor's child process reports about the Hermes of its interpreter."""

    config: Problem | None
    """What is wrong with `config.yaml`."""
    problem: Problem | None
    """Why this Hermes cannot be served."""
    hermes: Findings | None
    """What was found; None if there is a problem."""
    provider: bool | None
    """Whether a model provider is configured; None where Hermes does not say."""


def encode(message: object) -> bytes:
    """Return a message of this module, or a `Problem`, as JSON. ASCII only."""
    return json.dumps(_plain(message), separators=(",", ":")).encode()


def decode(kind: type[M], data: bytes) -> M:
    """Return the message of type *kind* that `encode` made *data* of. Raises `BadPacket`."""
    try:
        value = json.loads(data)
    except ValueError:
        raise BadPacket(f"{kind.__name__} is not JSON") from None
    return typing.cast("M", _read(kind, value, kind.__name__))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    kind: Any = type(value)
    fields = _fields(kind)
    return {name: _plain(getattr(value, name)) for name in fields} if fields else value


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the fields of a message type with their types; none for other types."""
    if kind is Problem:
        return {"what": str, "advice": str}
    return typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}


def _read(kind: Any, value: Any, where: str) -> Any:
    """Return JSON's *value* as an object of type *kind*; *where* names it in an error."""
    if fields := _fields(kind):
        if not isinstance(value, dict):
            raise BadPacket(f"{where} is not an object")
        for name in sorted(value.keys() ^ fields.keys()):
            raise BadPacket(f"{where}.{name} is {'unknown' if name in value else 'missing'}")
        read = {name: _read(fields[name], value[name], f"{where}.{name}") for name in fields}
        return kind(**read)
    origin = typing.get_origin(kind)
    if origin is tuple and isinstance(value, list):
        item = typing.get_args(kind)[0]
        return tuple([_read(item, one, f"{where}[{i}]") for i, one in enumerate(value)])
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _read(typing.get_args(kind)[0], value, where)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise BadPacket(f"{where} has the wrong type")
