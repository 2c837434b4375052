"""A backend of a test: one file, and one line that registers its `SPEC`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hermes_twisted.backends.scripted import Script, ScriptedBackend
from hermes_twisted.backends.spec import BackendSpec, Surroundings
from hermes_twisted.config.kinds import COUNT
from hermes_twisted.config.option import Group, option
from hermes_twisted.doctor.findings import Finding, ok, problem
from hermes_twisted.doctor.server import ServerTools
from hermes_twisted.seats.ports import Backend
from hermes_twisted.server.settings import Settings
from hermes_twisted.shared.problem import Problem


@dataclass(frozen=True)
class EchoingOptions:
    """The options of the backend `echoing`."""

    echo_count: int = option(3, COUNT, group=Group.HERMES, help="How often each word comes back")


class EchoingBackend(ScriptedBackend):
    """A backend that keeps what it was made with."""

    def __init__(self, surroundings: Surroundings, options: EchoingOptions) -> None:
        super().__init__(surroundings.reactor, surroundings.limits, Script([], {}))
        self.surroundings = surroundings
        self.options = options


def build(surroundings: Surroundings, options: EchoingOptions) -> Backend:
    return EchoingBackend(surroundings, options)


def validate(options: EchoingOptions) -> None:
    if options.echo_count > 9:
        raise Problem("--echo-count is too high.", "Take 9 at most.")


def check(options: EchoingOptions, settings: Settings, tools: ServerTools) -> list[Finding]:
    if options.echo_count == 1:
        return [problem("echo", "It echoes once.", "Nobody hears that.", "Raise --echo-count.")]
    return [ok("echo", f"echoes {options.echo_count} times in {settings.home}")]


SPEC: Final = BackendSpec(
    name="echoing",
    help="nothing but an echo",
    options=EchoingOptions,
    build=build,
    check=f"{__name__}:check",
    validate=validate,
)
