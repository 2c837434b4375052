"""The backend `inprocess`: Hermes in the server's own process, outside a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..seats.ports import Backend
from .spec import BackendSpec, Surroundings


@dataclass(frozen=True)
class InProcessOptions:
    """The backend `inprocess` has no options of its own."""


def build(surroundings: Surroundings, options: InProcessOptions) -> Backend:
    """Return the backend. Hermes is imported when it starts."""
    from .inprocess import InProcessBackend  # Not imported by commands that serve nothing.

    return InProcessBackend(
        surroundings.reactor, surroundings.limits, surroundings.home, own_process=True
    )


SPEC: Final = BackendSpec(
    name="inprocess",
    help="Hermes in the server's process",
    options=InProcessOptions,
    build=build,
    check="hermes_twisted.doctor.backends:check_in_process",
    in_process=True,
)
