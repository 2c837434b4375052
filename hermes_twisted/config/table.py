"""The options of several dataclasses together, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from .option import ENVIRONMENT_PREFIX, Group, Option, options_of

#: How alike a wrong name and a right one have to be for the right one to be proposed.
_LIKENESS = 0.6


class Table:
    """Options by name. Iterates in the order of their groups."""

    def __init__(self, owners: Iterable[type]) -> None:
        found = [option for owner in owners for option in options_of(owner)]
        order = list(Group)
        self._options = sorted(found, key=lambda option: order.index(option.group))
        self._by_name = {option.name: option for option in found}
        for attribute in ("name", "short"):
            names = [getattr(option, attribute) for option in found]
            twice = {name for name in names if name and names.count(name) > 1}
            if twice:
                raise ValueError(f"two options have the name {', '.join(sorted(twice))}")

    def __iter__(self) -> Iterator[Option]:
        return iter(self._options)

    def __getitem__(self, name: str) -> Option:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def get(self, name: str) -> Option | None:
        """Return the option of that name, which has no dashes in front; None if there is none."""
        return self._by_name.get(name)

    def groups(self) -> Iterator[tuple[Group, list[Option]]]:
        """Yield each group that has options, with these."""
        for group in Group:
            options = [option for option in self if option.group is group]
            if options:
                yield group, options

    def nearest(self, name: str) -> str | None:
        """Return the option's name that *name* may have been meant for."""
        return nearest(name.lower().replace("_", "-"), self._by_name)

    def unknown_variables(self, names: Iterable[str], known: Iterable[str] = ()) -> list[str]:
        """Return one line about each environment variable that looks like an option and is none.

        *known* are variables with the same prefix that are no options.
        """
        variables = {option.variable for option in self} | set(known)
        lines = []
        for name in sorted(names):
            if name.startswith(ENVIRONMENT_PREFIX) and name not in variables:
                meant = nearest(name, variables)
                hint = f"; did you mean {meant}?" if meant else "."
                lines.append(f"{name} in the environment is no setting, and is ignored{hint}")
        return lines


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of *names* that is most like *name*; None if none is like it."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=_LIKENESS)
    return found[0] if found else None


def did_you_mean(meant: str | None) -> str:
    """Return the end of a sentence about a wrong name: the right one, if there is one."""
    return f"; did you mean {meant}?" if meant else "."
