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
    """The credit window: bytes for one client that may be in transit without credit."""
    threads: int
    """The number of threads that run requests."""
    urgent_threads: int
    """The number of these threads that run urgent requests only."""
    settle_count: int
    """Settled requests are reported in batches of this many requests ..."""
    settle_bytes: int
    """... or of this many bytes."""
    shutdown: float
    """Seconds that Hermes may take to finalise its sessions."""
    umask: int
    core_limit: int | None
    """The soft RLIMIT_CORE of the worker; None leaves it unchanged."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """Body of READY: the Hermes that was loaded, and what it offers."""

    version: str
    methods: int
    """The number of methods of its dispatcher."""
    python: str = ""
    hooks: tuple[str, ...] = ()
    """Optional hooks that exist with the expected signature."""
    left_out: tuple[str, ...] = ()
    """Optional hooks that are absent or have changed, and are not called."""
    changed: tuple[str, ...] = ()
    """Hooks, among those left out, that exist with another signature."""
    mcp_discovery: bool = False
    """Whether this release expects its transport to start MCP discovery."""
    promises: tuple[str, ...] = ()
    """Names of the fields that are true in this release's `gateway.ready`."""
    replays: bool = False
    """Whether this release numbers its events for clients that reconnect."""
    answered_here: tuple[str, ...] = ()
    """Methods that newer UIs call, which this release does not have: the host answers them."""
    hands_over: bool = False
    """Whether this release repeats its open questions to a client that resumes a session."""
    takes_over: bool = False
    """Whether the host, not this release, answers `session.resume` of a live session."""
    pool: int = 0
    """Threads of Hermes' own pool for long handlers; 0 if it has no known one."""

    def describe(self) -> str:
        """Return the findings, except the version, as a text for the log and the doctor."""
        details = (
            ("hooks found", self.hooks),
            ("hooks left out", self.left_out),
            ("of these changed", self.changed),
            ("answered in its place", self.answered_here),
        )
        lists = "".join(f"; {label}: {', '.join(names)}" for label, names in details if names)
        return f"{self.methods} methods{lists}"


@dataclasses.dataclass(frozen=True)
class SavedSession:
    """One session of a seat, with the data to resume it in another worker."""

    live_id: str
    """The live id that the client uses."""
    stored_key: str | None
    """The id in Hermes' database; None if Hermes has not stored it."""
    cols: int | None
    """The width of the client's terminal, in columns; None if unknown."""
    running: bool
    """Whether a turn was running."""


@dataclasses.dataclass(frozen=True)
class SavedSessions:
    """Body of OPEN: the sessions that the seat had in the previous worker; usually none."""

    sessions: tuple[SavedSession, ...]


@dataclasses.dataclass(frozen=True)
class RestoredSession:
    """One saved session that was resumed in a new worker."""

    live_id: str
    """The live id that the client uses."""
    running: bool
    """Whether a turn was running when the previous worker ended; that turn is lost."""
    fresh: bool
    """Whether Hermes had not stored it, and a new, empty session replaces it."""


@dataclasses.dataclass(frozen=True)
class SessionNote:
    """Body of NOTE: the seat's current sessions, and those that were just restored."""

    saved: tuple[SavedSession, ...]
    restored: tuple[RestoredSession, ...] = ()


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What the doctor's child process reports about the Hermes of its interpreter."""

    config: Problem | None
    """The problem of `config.yaml`, if any."""
    problem: Problem | None
    """The reason why this Hermes cannot be served, if any."""
    hermes: Findings | None
    """The findings; None if there is a problem."""
    provider: bool | None
    """Whether a model provider is configured; None if Hermes cannot tell."""


def encode(message: object) -> bytes:
    """Return a message of this module, or a `Problem`, as JSON. ASCII only."""
    return json.dumps(_plain(message), separators=(",", ":")).encode()


def decode(kind: type[M], data: bytes) -> M:
    """Decode a message of the type *kind* that `encode` made. Raises `BadPacket`."""
    try:
        value = json.loads(data)
    except ValueError:
        raise BadPacket(f"{kind.__name__} is not JSON") from None
    return typing.cast("M", _read(kind, value, kind.__name__))


def _plain(value: Any) -> Any:
    """Convert a message, or a part of one, to JSON types."""
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
    """Convert a JSON value to the type *kind*. Raises `BadPacket`, whose text names *where*."""
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
