"""What an operator can ask a running server: values in, values out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from .meter import Meter
from .overview import Overview
from .seats.roster import Roster
from .seats.seat import CLOSE_POLICY

#: RFC 6455 §5.5: of a close frame's 125 bytes two are the code.
MAX_REASON: Final = 123
KICKED: Final = "the operator has ended this connection"

Answer = dict[str, Any]


class Mistake(Exception):
    """A request that cannot be done; the text says why and what to do."""


class Commands:
    """Carries out requests: `{"command": NAME, ...}`, each answered by one object.

    An answer has `"ok": true` and what was asked for, or `"ok": false` and an `error`.
    """

    _log = Logger()

    def __init__(self, roster: Roster, overview: Overview, meter: Meter) -> None:
        self._roster = roster
        self._overview = overview
        self._meter = meter
        self._commands: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "status": self._status,
            "kick": self._kick,
        }

    def answer(self, line: bytes) -> bytes:
        """The answer to one line, without its end; it never raises."""
        try:
            answer = {"ok": True, **self._run(line)}
        except Mistake as mistake:
            answer = {"ok": False, "error": str(mistake)}
        except Exception:
            self._log.failure("a request on the control socket failed")
            answer = {"ok": False, "error": "The server failed; its log says where."}
        return json.dumps(answer).encode()

    def _run(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Mistake('A request is one line of JSON: {"command": "status"}.')
        command = request.get("command")
        run = self._commands.get(command) if isinstance(command, str) else None
        if run is None:
            raise Mistake(f"There is no such command; there are {', '.join(self._commands)}.")
        return run(request)

    def _status(self, request: dict[str, Any]) -> Answer:
        return {"status": self._overview.status()}

    def _kick(self, request: dict[str, Any]) -> Answer:
        number, reason = request.get("seat"), request.get("reason") or KICKED
        if not isinstance(number, int) or isinstance(number, bool):
            raise Mistake("seat: must be a number, as `hermes-attach status` shows it.")
        if not isinstance(reason, str) or len(reason.encode()) > MAX_REASON:
            raise Mistake(f"reason: must be a text of at most {MAX_REASON} bytes.")
        if not reason.isprintable():
            raise Mistake("reason: must be one line without control characters.")
        entry = self._roster.find(number)
        if entry is None:
            raise Mistake(
                f"There is no seat {number}, or no longer; `hermes-attach status` lists them."
            )
        seat = entry.seat
        if seat.ending:
            raise Mistake(f"Seat {number} is being disconnected already.")
        self._log.info(
            "seat {seat} is closed by the operator: {reason}", seat=number, reason=reason
        )
        self._meter.count("kick")
        seat.tell(f"This terminal is being disconnected: {reason}.")
        seat.end(reason, CLOSE_POLICY)
        return {"seat": number, "key": seat.key.name, "peer": seat.peer}
