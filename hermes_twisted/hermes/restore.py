"""Restore a client's saved sessions: resume them in a new worker, after the old one ended.

The stock terminal UI (measured with 0.19) works on behind an open socket as if nothing had
happened, as long as its sessions answer under the live ids that it knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..shared.schema import RestoredSession, SavedSession
from .live_ids import LiveIds
from .methods import CREATE, RESUME, Request, Response

_log = logging.getLogger(__name__)

#: Seconds that one session may take to resume: its agent may have to be built.
PATIENCE: Final = 60.0
#: Hermes' error code for "no such stored session". A session is stored with its first prompt.
NOT_STORED: Final = 4007

#: Makes a request of Hermes in the client's name, with a time limit in seconds, after which it
#: returns None instead of the answer.
Ask = Callable[[Request, float], Response | None]


def restore_all(
    ask: Ask, live_ids: LiveIds, saved: Iterable[SavedSession]
) -> tuple[RestoredSession, ...] | None:
    """Resume each saved session under the live id that the client knows. Blocks.

    Returns them, or None if one of them could not be resumed.
    """
    restored = []
    for number, session in enumerate(saved):
        live, fresh = _restore(ask, session, number)
        if live is None:
            return None
        live_ids.add(session.live_id, live)
        restored.append(RestoredSession(session.live_id, session.running, fresh))
    return tuple(restored)


def _restore(ask: Ask, session: SavedSession, number: int) -> tuple[str | None, bool]:
    """Return the new live id, if any, and whether a new, empty session had to be made."""
    params: dict[str, Any] = {"session_id": session.stored_key}
    if session.cols is not None:
        params["cols"] = session.cols
    answer = _ask(ask, RESUME, params, number)
    if _code(answer) != NOT_STORED:
        return _live(answer), False
    del params["session_id"]
    return _live(_ask(ask, CREATE, params, number)), True


def _ask(ask: Ask, method: str, params: dict[str, Any], number: int) -> Response:
    """Return Hermes' answer; an empty one, and a line in the log, if there is none."""
    identity = f"hermes-attach-{method}-{number}"
    request = {"jsonrpc": "2.0", "id": identity, "method": method, "params": dict(params)}
    try:
        answer = ask(request, PATIENCE)
    except Exception:
        _log.exception("a session could not be restored: %s failed", method)
        return {}
    if answer is None:
        _log.warning("a session could not be restored: no answer to %s in %g s", method, PATIENCE)
        return {}
    if "error" in answer and _code(answer) != NOT_STORED:
        _log.warning("a session could not be restored: Hermes answered %s", _code(answer))
    return answer


def _code(answer: Response) -> Any:
    error = answer.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _live(answer: Response) -> str | None:
    result = answer.get("result")
    live = result.get("session_id") if isinstance(result, dict) else None
    return live if isinstance(live, str) else None
