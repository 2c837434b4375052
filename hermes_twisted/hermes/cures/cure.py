"""The record of a cure. Each module beside this one has one, as `CURE`.

`cures.table` lists them, and the documentation is made from that list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cure:
    """One incompatibility of Hermes, and what is done about it."""

    name: str
    """The name of its module."""
    what: str
    """The harm without the cure."""
    releases: str
    """Which releases of Hermes are affected, in words."""
    found: str
    """The feature by which an affected release is recognised."""
    cured: str
    """What is done instead."""
