"""The stub as upstream's main branch is going: what 0.19 does not have yet.

Clients that are registered for broadcasts, numbered events, questions that are
requests of the server (`srq-…`) and are handed over to whoever takes a session.
"""

import secrets
import threading
from pathlib import Path

from tui_gateway import event_replay

_base = Path(__file__).parents[2] / "tui_gateway" / "server.py"
exec(compile(_base.read_text(), _base, "exec"))

_live_transports = set()
_open_requests = {}
started = []


def register_live_transport(transport):
    _live_transports.add(transport)


def unregister_live_transport(transport):
    _live_transports.discard(transport)


def _ensure_skin_watcher():
    started.append("skin watcher")


def _start_backend_heartbeat_refresher():
    started.append("heartbeat refresher")


def _schedule_startup_orphan_sweep():
    started.append("orphan sweep")


_write_json = write_json  # noqa: F821


def write_json(obj):
    event_replay.stamp(obj)
    return _write_json(obj)


_dispatch = dispatch  # noqa: F821


def dispatch(req, transport=None):
    if isinstance(req, dict) and "method" not in req and req.get("id") in _open_requests:
        question = _open_requests.pop(req["id"])
        question["answer"] = req.get("result", req.get("error"))
        question["answered"].set()
        return None
    return _dispatch(req, transport)


def _frame(identity):
    question = _open_requests[identity]
    return {
        "jsonrpc": "2.0",
        "id": identity,
        "method": question["method"],
        "params": {"session_id": question["session_id"], "text": question["text"]},
    }


@method("ask")  # noqa: F821
def _ask(params):
    """Asks the client something, in a thread, and tells the answer as an event."""
    sid, identity = params["session_id"], "srq-" + secrets.token_hex(6)
    answered = threading.Event()
    question = {
        "method": params["what"],
        "session_id": sid,
        "text": params["text"],
        "answered": answered,
    }
    _open_requests[identity] = question

    def run():
        _sessions[sid]["transport"].write(_frame(identity))  # noqa: F821
        answered.wait(30)
        emit("asked", sid, {"answer": question.get("answer")})  # noqa: F821

    threading.Thread(target=run, daemon=True).start()
    return {"id": identity}


@method("session.resume")  # noqa: F821
@method("session.activate")  # noqa: F821
def _resume(params):
    live = next(
        (
            (sid, session)
            for sid, session in _sessions.items()  # noqa: F821
            if params["session_id"] in (sid, session["session_key"])
        ),
        None,
    )
    if live is None:
        raise LookupError("session not found")
    sid, session = live
    session["transport"] = _current.get()  # noqa: F821
    mine = [key for key, question in _open_requests.items() if question["session_id"] == sid]
    return {
        "session_id": sid,
        "asked_for": params["session_id"],
        "open_requests": [_frame(key) for key in mine],
    }


@method("session.events.since")  # noqa: F821
def _since(params):
    kept = event_replay.events.get(params["session_id"], [])
    return {
        "events": [event for event in kept if event["seq"] > params["last_seen"]],
        "epoch": event_replay.EPOCH,
    }


@method("broadcast")  # noqa: F821
def _broadcast(params):
    frame = {"jsonrpc": "2.0", "method": "event", "params": {"type": "skin.changed"}}
    for transport in list(_live_transports):
        transport.write(frame)
    return {"clients": len(_live_transports), "started": started}
