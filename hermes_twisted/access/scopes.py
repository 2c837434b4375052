"""What a key's scope lets its holder call. `scope_table` has the rules; this applies them."""

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
    """The table's row for *method*, by its exact name or its family; None if there is none."""
    found = _EXACT.get(method)
    if found is None:
        found = _FAMILIES.get(method.partition(".")[0] + ".")
    return found


def verdict(scope: Scope, method: str) -> Verdict:
    """What *scope* says to *method*; the empty method is an answer to the server's question."""
    if scope is Scope.FULL:
        return YES
    if not method:
        return YES if scope is Scope.CHAT else NO
    group = group_of(method)
    if group is None:
        return NO
    return group.chat if scope is Scope.CHAT else group.watch


#: Longer rules are not spelt out in an error, which the terminal UI prints as it is.
MAX_RULE: Final = 80


def refusal(scope: Scope, frame: rpc.Frame) -> bytes | None:
    """The error that answers *frame*, or None if *scope* allows it.

    Parameters are looked at only for the few methods where they decide.
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
