"""A stand-in for Hermes' `tui_gateway.server`: the hooks that a host needs, no agent.

It behaves, where a transport can see it, like hermes-agent 0.19: inline and pooled
handlers, events of a session to the transport that the session is bound to, the same
answers to malformed requests, the same side effects of being imported.
"""

import atexit
import concurrent.futures
import contextvars
import os
import sys
import threading
import time

_real_stdout = sys.stdout
sys.stdout = sys.stderr
sys.excepthook = lambda *_: None
threading.excepthook = lambda *_: None

_current = contextvars.ContextVar("transport", default=None)


class _Stdio:
    def write(self, obj):
        print("LEAKED", obj, file=_real_stdout, flush=True)
        return True

    def close(self):
        pass


_stdio_transport = _Stdio()
_detached_ws_transport = _Stdio()
_sessions = {}
_methods = {}
_LONG_HANDLERS = frozenset({"long.echo", "long.block"})
_pool = concurrent.futures.ThreadPoolExecutor(
    int(os.environ.get("HERMES_TUI_RPC_POOL_WORKERS") or 8)
)
shut_down = []


def method(name):
    def register(function):
        _methods[name] = function
        return function

    return register


def resolve_skin():
    return {"name": "stub", "colors": {}}


def write_json(obj):
    if obj.get("method") == "event":
        sid = (obj.get("params") or {}).get("session_id") or ""
        transport = (_sessions.get(sid) or {}).get("transport")
        if transport is not None:
            return transport.write(obj)
    return (_current.get() or _stdio_transport).write(obj)


def emit(kind, sid, payload=None):
    params = {"type": kind, "session_id": sid}
    if payload is not None:
        params["payload"] = payload
    write_json({"jsonrpc": "2.0", "method": "event", "params": params})


def _error(rid, code, message):
    return {"jsonrpc": "2.0", "id": rid, "error": {"code": code, "message": message}}


def _handle(req):
    if not isinstance(req, dict):
        return _error(None, -32600, "invalid request: expected an object")
    rid, name, params = req.get("id"), req.get("method"), req.get("params")
    if not isinstance(name, str) or not name:
        return _error(rid, -32600, "invalid request: method must be a non-empty string")
    if params is not None and not isinstance(params, dict):
        return _error(rid, -32602, "invalid params: expected an object")
    handler = _methods.get(name)
    if handler is None:
        return _error(rid, -32601, f"unknown method: {name}")
    try:
        return {"jsonrpc": "2.0", "id": rid, "result": handler(params or {})}
    except _ApplicationError as error:
        return _error(rid, *error.args)


def dispatch(req, transport=None):
    bound = transport or _stdio_transport
    token = _current.set(bound)
    try:
        if not isinstance(req, dict) or req.get("method") not in _LONG_HANDLERS:
            return _handle(req)
        context = contextvars.copy_context()
        _pool.submit(lambda: context.run(lambda: bound.write(_handle(req))))
        return None
    finally:
        _current.reset(token)


def _close_sessions_for_transport(transport, *, end_reason="ws_disconnect"):
    detached = 0
    for session in _sessions.values():
        if session.get("transport") is transport:
            session["transport"] = _detached_ws_transport
            detached += 1
    return 0, detached


def _shutdown_sessions():
    path = os.environ.get("STUB_SHUTDOWN_MARK")
    if path:
        with open(path, "w") as file:
            file.write(" ".join(_sessions))
    _sessions.clear()


atexit.register(_shutdown_sessions)


@method("echo")
@method("long.echo")
def _echo(params):
    return params


class _ApplicationError(Exception):
    """An error answer with a code of Hermes' own."""


def _open_session(key, cols):
    # No live id of one process means anything in another.
    sid = os.urandom(4).hex()
    session = {"transport": _current.get(), "running": False, "session_key": key, "cols": cols}
    _sessions[sid] = session
    return sid


@method("session.create")
def _create(params):
    sid = _open_session(f"20260101_000000_{os.urandom(3).hex()}", params.get("cols"))
    return {"session_id": sid, "stored_session_id": _sessions[sid]["session_key"]}


@method("session.resume")
def _resume(params):
    """Stored, as in Hermes, are the sessions in which something was said."""
    key = params["session_id"]
    if not os.path.exists(os.path.join(os.environ["HERMES_HOME"], key)):
        raise _ApplicationError(4007, "session not found")
    if os.path.exists(os.path.join(os.environ["HERMES_HOME"], "broken")):
        raise _ApplicationError(5000, "the database is broken")
    sid = _open_session(key, params.get("cols"))
    emit("session.info", sid, {"cols": params.get("cols")})
    return {"session_id": sid, "resumed": key}


@method("session.list")
def _list(params):
    return {"sessions": [{"id": sid} for sid in _sessions]}


@method("session.where")
def _where(params):
    transport = _sessions[params["session_id"]]["transport"]
    return {"detached": transport is _detached_ws_transport}


@method("session.sent")
def _sent(params):
    """How many words of a stream have left, and are in the transport's care."""
    return {"count": _sessions[params["session_id"]].get("sent", 0)}


@method("stream")
def _stream(params):
    """Events from a thread of their own, as an agent's turn sends them.

    With `until` it is a turn that Hermes counts as running, and ends when that file is there.
    `whole` is what the last event carries: in Hermes, the text of all.
    """
    sid, count = params["session_id"], params.get("count", 1)
    open(os.path.join(os.environ["HERMES_HOME"], _sessions[sid]["session_key"]), "w").close()
    rate, text = params.get("rate", 0), params.get("text", "word ")

    def run():
        emit("message.start", sid)
        began = time.monotonic()
        for number in range(count):
            if rate:
                pause = began + number / rate - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
            emit("message.delta", sid, {"text": text, "n": number, "t": time.monotonic()})
            session["sent"] = number + 1
        while until is not None and not os.path.exists(until):
            time.sleep(0.02)
        emit("message.complete", sid, {"text": params.get("whole", ""), "status": "complete"})
        session["running"] = False

    session, until = _sessions[sid], params.get("until")
    session["running"] = until is not None
    threading.Thread(target=run, daemon=True).start()
    return {"status": "streaming"}


@method("result.of_size")
def _of_size(params):
    return {"text": "x" * params["bytes"]}


@method("result.odd")
def _odd(params):
    """What JSON or UTF-8 cannot hold."""
    return {"nan": float("nan"), "surrogate": "\ud800", "big": 10**30, "object": _Stdio, 1: "one"}


@method("result.circular")
def _circular(params):
    loop = []
    loop.append(loop)
    return {"loop": loop}


@method("raise")
def _raise(params):
    raise RuntimeError("a secret that must not reach a client")


@method("exit")
def _exit(params):
    raise SystemExit(3)


_gates = {}
_gates_lock = threading.Lock()


def _gate(name):
    with _gates_lock:
        return _gates.setdefault(name, threading.Event())


@method("block")
@method("long.block")
def _block(params):
    """Blocks until `open.respond` of the same name: a slow inline handler."""
    emit("stub.blocked", "", {"name": params["name"]})
    return {"opened": _gate(params["name"]).wait(params.get("timeout", 30))}


@method("open.respond")
def _open(params):
    _gate(params["name"]).set()
    return {"status": "ok"}


@method("session.interrupt")
def _interrupt(params):
    return {"status": "interrupted"}


@method("die")
def _die(params):
    os.kill(os.getpid(), 9)


@method("environment")
def _environment(params):
    return {
        "environ": dict(os.environ),
        "argv": sys.argv,
        "path": sys.path,
        "modules": sorted(name for name in sys.modules if "." not in name),
        "umask": _read_umask(),
        "pid": os.getpid(),
        "stdout_is_ours": sys.stdout is sys.stderr,
    }


def _read_umask():
    value = os.umask(0)
    os.umask(value)
    return value


@method("print")
def _print(params):
    print(params["text"], flush=True)
    return {}


@method("late.event")
def _late(params):
    """An event of a session that nobody is attached to."""
    emit("message.delta", "gone", {"text": "a secret that must not be printed"})
    write_on_nobody = threading.Thread(target=emit, args=("message.delta", "gone", {"text": "x"}))
    write_on_nobody.start()
    write_on_nobody.join()
    return {}


@method("burn")
def _burn(params):
    """Holds the GIL for so many seconds, as a bad regular expression does."""
    end = time.monotonic() + params["seconds"]
    if params.get("hold"):
        sys.setswitchinterval(params["seconds"])
    while time.monotonic() < end:
        pass
    sys.setswitchinterval(0.001)
    return {}
