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
    """Arguments of every backend's factory, beside the backend's own options."""

    reactor: AsyncioSelectorReactor
    limits: Limits
    home: Path
    """The Hermes home."""
    environ: Mapping[str, str]
    """The process's environment, without secrets of this server."""
    umask: int
    """The umask of the server's user, for files that Hermes writes."""
    core_limit: int | None = None
    """The user's soft limit of core files, in bytes, for the worker; None if it is unchanged."""


def accept(options: Any) -> None:
    """Accept any options: the default for backends that have nothing more to check."""


@dataclass(frozen=True)
class BackendSpec(Generic[OptionsT]):
    """A backend, as `registry.register` takes it."""

    name: str
    """The value of `--backend`."""
    help: str
    """Where Hermes runs with it, in a few words."""
    options: type[OptionsT]
    """A dataclass whose fields are options of `config.option`, with names that are not taken."""
    build: Callable[[Surroundings, OptionsT], Backend]
    """The factory: nothing is opened or started by it yet."""
    check: str = ""
    """The doctor's check, as `package.module:function`, or empty for none.

    It is called with the options, the `Settings` and the doctor's `Tools`, and returns
    `doctor.findings.Finding`s. A name, because the doctor is above the backends.
    """
    validate: Callable[[OptionsT], None] = accept
    """Raises `Problem` for options that cannot be used. Called before the server starts."""
    in_process: bool = False
    """Whether the agent runs in the server's own process."""
