"""Functions of a made-up Hermes."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def make_function(source: str, server: ModuleType) -> Any:
    """A function of the module *server*."""
    exec(source, vars(server))
    name = source.partition("def ")[2].partition("(")[0]
    return getattr(server, name)
