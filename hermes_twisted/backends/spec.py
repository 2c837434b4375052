"""The description of a backend: its name, its options, its factory, and the doctor's check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from twisted.internet.asyncioreactor import AsyncioSelectorReactor

from ..limits import Limits
from ..seats.ports import Backend

OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True)
class Surroundings:
    """Things that a factory may use beside the backend's own options."""

    reactor: AsyncioSelectorReactor
    limits: Limits
    home: Path
    """The Hermes home."""
    environ: Mapping[str, str]
    """The process's environment, without secrets of this server."""
    umask: int
    """The one of the user's files, for what Hermes writes."""
    core_limit: int | None = None
    """The one of the user's programs, for those that Hermes starts; None if it is unchanged."""


def accept(options: Any) -> None:
    """Check nothing: what the options' kinds do not refuse will do."""


@dataclass(frozen=True)
class BackendSpec(Generic[OptionsT]):
    """A backend, as `registry.register` takes it."""

    name: str
    """The value of `--backend`."""
    help: str
    """Where Hermes runs with it, in a few words."""
    options: type[OptionsT]
    """A dataclass whose fields are options: see `config.option`. Their names are nobody else's."""
    build: Callable[[Surroundings, OptionsT], Backend]
    """The factory: nothing is opened or started by it yet."""
    check: str = ""
    """The doctor's check, as `package.module:function`, or empty for none.

    It is called with the options, the `Settings` and the doctor's `Tools`, and returns
    `doctor.findings.Finding`s. A name, because the doctor is above the backends.
    """
    validate: Callable[[OptionsT], None] = accept
    """Raises `Problem` for options that cannot be used. Called before a start, to say it early."""
    in_process: bool = False
    """Whether the agent runs in the server's own process."""
