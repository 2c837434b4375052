"""Applies the rules of `scope_table` to the requests of a client."""

from __future__ import annotations

from typing import Final

from .. import rpc
from .keys import Scope
from .scope_table import NO, TABLE, YES, Row, Rule

_EXACT: Final = {
    method: row for row in TABLE for method in row.methods if not method.endswith(".*")
}
#: Rows of whole method groups, by the group's name and a dot.
_GROUPS: Final = {
    method.removesuffix("*"): row
    for row in TABLE
    for method in row.methods
    if method.endswith(".*")
}


def row_of(method: str) -> Row | None:
    """Return the row of *method*, by its exact name or its method group; None if there is none."""
    found = _EXACT.get(method)
    if found is None:
        found = _GROUPS.get(method.partition(".")[0] + ".")
    return found


def rule_for(scope: Scope, method: str) -> Rule:
    """Return the rule of *scope* for *method*; an empty one means an answer to a question."""
    if scope is Scope.FULL:
        return YES
    if not method:
        return YES if scope is Scope.CHAT else NO
    row = row_of(method)
    if row is None:
        return NO
    return row.chat if scope is Scope.CHAT else row.watch


#: The most characters of a rule that an error quotes: the terminal UI prints the error.
MAX_RULE: Final = 80


def refusal(scope: Scope, frame: rpc.Frame) -> bytes | None:
    """Return the error that answers *frame*, None if *scope* allows it.

    Parameters are parsed only if the method's rule depends on them.
    """
    if scope is Scope.FULL:
        return None
    rule = rule_for(scope, frame.method)
    if rule.allows(frame.param):
        return None
    denied = rpc.shorten(frame.method) or "answers to the agent's questions"
    exception = "" if rule is NO else f", except {rule}"
    if len(exception) > MAX_RULE:
        exception = " in this way"
    return rpc.error(
        frame.id,
        rpc.SCOPE_DENIED,
        f'this key has the scope "{scope.value}", which does not allow {denied}{exception}',
    )
