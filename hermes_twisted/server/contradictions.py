"""Settings that exclude each other, and limits that have to be in an order.

Defaults never exclude anything: only settings that were given do, in whatever place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..backends.spec import BackendSpec
from ..config.gathering import SEE_HELP, Given
from ..config.option import options_of
from ..limits import Limits
from ..shared.problem import Problem

#: Levels of JSON that every Python can parse, with room for functions that walk through them.
DEEPEST: Final = 500

#: A setting, those that have no meaning beside it, and why.
EXCLUSIVE: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    ("listen", ("port",), "An endpoint has a port of its own"),
    ("no-audit", ("audit-file", "audit-max-bytes", "audit-keep"), "No audit log is kept"),
    ("no-control", ("control",), "No control socket is opened"),
    (
        "no-courtesy-hold",
        ("max-held", "max-held-per-address", "hold-time"),
        "No terminal UI is let into the waiting room",
    ),
    (
        "tls",
        ("tls-cert", "tls-key"),
        "Choose a certificate that the server makes, or one of yours",
    ),
    ("tls-cert", ("tls-name",), "Names are for the certificate of --tls self"),
)

#: Settings of which the first must not be above the second, and why. Both have to be given:
#: with the default of the other one they do no harm.
ORDERED: Final[tuple[tuple[str, str, str], ...]] = (
    ("max-held-per-address", "max-held", "One address cannot have more than all together"),
    (
        "max-connections-per-address",
        "max-connections",
        "One address cannot have more than all together",
    ),
)

#: Limits of which the first must not be above the second, defaults included.
ORDERED_LIMITS: Final[tuple[tuple[str, str, str], ...]] = (
    ("max_queued_soft", "max_queued_hard", "A client would be disconnected first"),
    ("max_queued_hard", "max_queued_total", "All clients share the second"),
    ("max_message", "max_unfinished", "All clients share the second"),
    ("ping_interval", "dead_after", "Clients would count as gone before they are pinged"),
)


def check(found: Mapping[str, Given]) -> None:
    """Raise `Problem` for the first two settings of *found* that exclude each other."""
    for name, others, why in EXCLUSIVE:
        for other in others:
            if _is_given(found.get(name)) and _is_given(found.get(other)):
                one, two = found[name].where, found[other].where
                raise Problem(f"{one} and {two} contradict each other.", f"{why}: drop one.")
    for lower, upper, why in ORDERED:
        if lower in found and upper in found and found[lower].value > found[upper].value:
            raise Problem(
                f"{found[lower].where} must not be above {found[upper].where}.",
                f"{why}: lower the first, or raise the second.",
            )


def check_limits(limits: Limits, found: Mapping[str, Given]) -> None:
    """Raise `Problem` for limits that contradict each other. *found*: where they were given."""
    for lower, upper, why in ORDERED_LIMITS:
        if getattr(limits, lower) > getattr(limits, upper):
            raise Problem(
                f"{_named(lower, limits, found)} must not be above {_named(upper, limits, found)}.",
                f"{why}: lower the first, or raise the second.",
            )
    if limits.max_depth > DEEPEST:
        raise Problem(
            f"--max-depth must be {DEEPEST} or less: Python parses no deeper.", "Lower it."
        )
    if limits.max_threads < 2:
        raise Problem(
            "--max-threads must be 2 or more: one is kept for urgent requests.",
            "Raise it.",
        )
    if limits.urgent_threads >= limits.max_threads:
        raise Problem(
            f"{_named('urgent_threads', limits, found)} must be below "
            f"{_named('max_threads', limits, found)}.",
            "Ordinary requests need threads, too: lower the first, or raise the second.",
        )


def check_backend(
    chosen: BackendSpec[Any], specs: Iterable[BackendSpec[Any]], found: Mapping[str, Given]
) -> None:
    """Raise `Problem` for an option that the *chosen* backend lacks, and for another's.

    An option of another backend is ignored if this one was chosen with higher precedence: with
    --hermes-python in a file, a command line can still say --backend scripted.
    """
    choice = found.get("backend")
    for option in options_of(chosen.options):
        if option.required and option.name not in found:
            by = choice.where if choice is not None else "--backend"
            raise Problem(f"{by} {chosen.name} needs --{option.name}: {option.help}.", SEE_HELP)
    for spec in specs:
        for option in options_of(spec.options) if spec is not chosen else ():
            given = found.get(option.name)
            if given is not None and (choice is None or given.precedence >= choice.precedence):
                raise Problem(
                    f"{given.where} is for --backend {spec.name}, and this is {chosen.name}.",
                    f"Drop it, or choose --backend {spec.name}.",
                )


def _is_given(given: Given | None) -> bool:
    """Return whether it was given, and, if it is a flag, with true."""
    return given is not None and given.value is not False


def _named(field: str, limits: Limits, found: Mapping[str, Given]) -> str:
    """Return where the limit was given, or its name and its default."""
    [option] = [option for option in options_of(Limits) if option.field == field]
    if option.name in found:
        return found[option.name].where
    return f"--{option.name} (by default {option.kind.write(getattr(limits, field))})"
