"""Applies the rules of `scope_table` to a client's requests."""

from __future__ import annotations

from typing import Final

from .. import rpc
from .keys import Scope
from .scope_table import NO, TABLE, YES, Group, Verdict

_EXACT: Final = {
    method: group for group in TABLE for method in group.methods if not method.endswith(".*")
}
_FAMILIES: Final = {
    method.removesuffix("*"): group
    for group in TABLE
    for method in group.methods
    if method.endswith(".*")
}


def group_of(method: str) -> Group | None:
    """Return the row for *method*, by its exact name or its family; None if there is none."""
    found = _EXACT.get(method)
    if found is None:
        found = _FAMILIES.get(method.partition(".")[0] + ".")
    return found


def verdict(scope: Scope, method: str) -> Verdict:
    """Return the rule of *scope* for *method*, which is empty for an answer to a question."""
    if scope is Scope.FULL:
        return YES
    if not method:
        return YES if scope is Scope.CHAT else NO
    group = group_of(method)
    if group is None:
        return NO
    return group.chat if scope is Scope.CHAT else group.watch


#: Characters of a rule that an error quotes: the terminal UI prints it as it is.
MAX_RULE: Final = 80


def refusal(scope: Scope, frame: rpc.Frame) -> bytes | None:
    """Return the error that answers *frame*, None if *scope* allows it.

    Parameters are parsed only for the few methods whose rule depends on them.
    """
    if scope is Scope.FULL:
        return None
    rule = verdict(scope, frame.method)
    if rule.allows(frame.param):
        return None
    what = rpc.shorten(frame.method) or "answers to the agent's questions"
    how = "" if rule is NO else f", except {rule}"
    if len(how) > MAX_RULE:
        how = " in this way"
    return rpc.error(
        frame.id,
        rpc.SCOPE_DENIED,
        f'this key has the scope "{scope.value}", which does not allow {what}{how}',
    )
