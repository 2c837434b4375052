"""Inspect Hermes for the doctor, under Hermes' own Python: `python -P inspect_main.py`.

Prints one `shared.schema.Inspection` as JSON and exits without waiting for Hermes' threads.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hermes_twisted.shared.schema import Inspection

#: Seconds that Hermes may take to say whether it has a provider.
_PATIENCE: Final = 20.0


class _Sink:
    """A transport that keeps the first answer."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.arrived = threading.Event()

    def write(self, frame: dict[str, Any]) -> bool:
        """Keep *frame* if it is the first answer; drop all others."""
        if "method" not in frame and self.answer is None:
            self.answer = frame
            self.arrived.set()
        return True

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def inspect() -> Inspection:
    """Return the findings about Hermes, its configuration and its provider, and any problems."""
    from hermes_twisted.hermes import loading
    from hermes_twisted.shared.problem import Problem
    from hermes_twisted.shared.schema import Inspection

    config: Problem | None = None
    try:
        loading.check_config()
    except Problem as bad:
        config = bad
    try:
        server = loading.import_server()
        hermes = loading.look(server)
    except Problem as bad:
        return Inspection(config, bad, None, None)
    return Inspection(config, None, hermes, _has_provider(server))


def _has_provider(server: Any) -> bool | None:
    """Return whether Hermes counts a model provider as configured; None if it does not say."""
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
    """Print the inspection on standard output, and whatever Hermes prints on standard error."""
    from hermes_twisted.shared.schema import encode

    output = os.dup(1)
    os.dup2(2, 1)
    text = encode(inspect())
    with os.fdopen(output, "wb") as stream:
        stream.write(text + b"\n")
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
