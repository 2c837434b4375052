"""The backends that `--backend` chooses from. A new one is a file with a `SPEC` and a line here."""

from __future__ import annotations

from typing import Any

from ..shared.problem import Problem
from . import inprocess_spec, scripted, worker_spec
from .spec import BackendSpec, Surroundings

__all__ = ["BackendSpec", "Surroundings", "choices", "find", "forget", "register", "specs"]

_SPECS: dict[str, BackendSpec[Any]] = {}


def register(spec: BackendSpec[Any]) -> None:
    """Add a backend. Raises `ValueError` if there is one of its name."""
    if spec.name in _SPECS:
        raise ValueError(f"there is a backend {spec.name!r} already")
    _SPECS[spec.name] = spec


def forget(name: str) -> None:
    """Remove the backend of that name: for tests that register one. Raises `KeyError`."""
    del _SPECS[name]


def specs() -> tuple[BackendSpec[Any], ...]:
    """Return all backends, in the order in which they were registered."""
    return tuple(_SPECS.values())


def choices() -> dict[str, str]:
    """Return the names of all backends, each with its help."""
    return {spec.name: spec.help for spec in _SPECS.values()}


def find(name: str) -> BackendSpec[Any]:
    """Return the backend of that name. Raises `Problem` if there is none."""
    try:
        return _SPECS[name]
    except KeyError:
        raise Problem(
            f"There is no backend {name!r}.", f"Choose one of {', '.join(_SPECS)}."
        ) from None


register(worker_spec.SPEC)
register(inprocess_spec.SPEC)
register(scripted.SPEC)
