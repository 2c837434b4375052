"""What the doctor asks of Hermes, under Hermes' own Python: `python -P inspect_main.py`.

Prints one JSON object and ends without waiting for Hermes' threads.
"""

import json
import os
import sys
import threading
from typing import Any, Final

#: How long Hermes may take to say whether it has a provider, in seconds.
_PATIENCE: Final = 20.0


class _Sink:
    """A transport that keeps the first answer."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.arrived = threading.Event()

    def write(self, frame: dict[str, Any]) -> bool:
        """See `hermes.seat`."""
        if "method" not in frame and self.answer is None:
            self.answer = frame
            self.arrived.set()
        return True

    def close(self) -> None:
        """See `hermes.seat`."""


def inspect() -> dict[str, Any]:
    """What was found: the release, its hooks, whether a provider is there; or what is wrong."""
    from hermes_twisted.hermes import loading
    from hermes_twisted.shared.problem import Problem

    found: dict[str, Any] = {"config": None, "hermes": None, "problem": None, "provider": None}
    try:
        loading.check_config()
    except Problem as bad:
        found["config"] = [bad.what, bad.advice]
    try:
        server = loading.import_server()
        found["hermes"] = loading.look(server).as_dict()
    except Problem as bad:
        found["problem"] = [bad.what, bad.advice]
        return found
    found["provider"] = _has_provider(server)
    return found


def _has_provider(server: Any) -> bool | None:
    """By Hermes' own rule; None where it does not say."""
    sink = _Sink()
    request = {"jsonrpc": "2.0", "id": "doctor", "method": "setup.status", "params": {}}

    def ask() -> None:
        answer = server.dispatch(request, sink)
        if answer is not None:
            sink.write(answer)

    # Never in the main thread: some releases install signal handlers there.
    threading.Thread(target=ask, daemon=True).start()
    if not sink.arrived.wait(_PATIENCE) or sink.answer is None:
        return None
    result = sink.answer.get("result")
    configured = result.get("provider_configured") if isinstance(result, dict) else None
    return configured if isinstance(configured, bool) else None


def main() -> None:
    """Print what was found, on what was standard output before Hermes came."""
    output = os.dup(1)
    os.dup2(2, 1)  # Whatever Hermes prints.
    text = json.dumps(inspect())
    with os.fdopen(output, "w") as stream:
        stream.write(text + "\n")
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    # The same copy of the package, without a directory of ours on `sys.path`.
    import importlib.util

    _spec = importlib.util.spec_from_file_location(
        "boot", os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot.py")
    )
    assert _spec is not None
    assert _spec.loader is not None
    _boot = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_boot)
    _boot.load_package()
    main()
