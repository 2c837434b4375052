"""Give a client its sessions back that it had in a worker which is gone.

Measured with the stock UI of 0.19: behind an open socket it goes on as if nothing had
been, as long as its sessions answer under the live ids that it knows.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from .cures.resume_by_live_id import CREATE, RESUME
from .transport import Former, HostSeat

_log = logging.getLogger(__name__)

#: How long one session may take to come back, in seconds: its agent may have to be built.
PATIENCE: Final = 60.0
#: Hermes: no such stored session. It is stored with its first prompt.
NOT_STORED: Final = 4007


def resume_all(seat: HostSeat, former: list[Former]) -> bool:
    """Resume each session under the live id that the client knows; all, or False.

    Tells the front which were, so that it can end their turns. Blocks.
    """
    resumed = []
    for number, session in enumerate(former):
        live, fresh = _resume(seat, session, number)
        if live is None:
            break
        seat.aliases.add(session["id"], live)
        resumed.append({"id": session["id"], "running": session["running"], "fresh": fresh})
    whole = len(resumed) == len(former)
    seat.note({"resumed": resumed if whole else []})
    seat.note_sessions()
    return whole


def _resume(seat: HostSeat, session: Former, number: int) -> tuple[str | None, bool]:
    """The new live id, and whether the conversation had to begin anew."""
    params: dict[str, Any] = {"session_id": session["key"]}
    if isinstance(session.get("cols"), int):
        params["cols"] = session["cols"]
    answer = _ask(seat, RESUME, params, number)
    if _code(answer) != NOT_STORED:
        return _live(answer), False
    # Nothing was said in it yet, or nothing that had been stored.
    del params["session_id"]
    return _live(_ask(seat, CREATE, params, number)), True


def _ask(seat: HostSeat, method: str, params: dict[str, Any], number: int) -> dict[str, Any]:
    identity = f"hermes-attach-{method}-{number}"
    request = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    try:
        answer = seat.ask(request, PATIENCE)
    except Exception:
        _log.exception("a session could not be given back after a restart")
        return {}
    if answer is None:
        _log.warning("a session did not come back within %g s after a restart", PATIENCE)
        return {}
    if "error" in answer and _code(answer) != NOT_STORED:
        _log.warning("a session could not be given back: Hermes answered %s", _code(answer))
    return answer


def _code(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _live(answer: dict[str, Any]) -> str | None:
    result = answer.get("result")
    live = result.get("session_id") if isinstance(result, dict) else None
    return live if isinstance(live, str) else None
