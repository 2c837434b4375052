"""A model for a real Hermes: that of the tests, in a process of its own; its words are the time."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

from tests import fake_model

#: Hermes' `config.yaml`, but for the model's *url* and the *plugins*: it asks nobody else.
CONFIG: Final = """\
model: {{default: fake-model, provider: custom, base_url: {url}, api_key: none,
  context_length: 131072}}
security: {{tirith_enabled: false, allow_lazy_installs: false}}
plugins: {{enabled: [{plugins}]}}
"""


@contextlib.contextmanager
def stamped_model() -> Iterator[str]:
    """Run it; its base URL."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def stamps(text: str) -> list[int]:
    """The moments at which the model said these words, in ns of the monotonic clock."""
    return [int(word) for word in re.findall(r"(\d{9,}) ", text)]


def _serve(port: Connection) -> None:
    send = fake_model._Handler._event

    def stamped(handler: fake_model._Handler, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            if choice["delta"].get("content"):
                choice["delta"]["content"] = f"{time.monotonic_ns()} "
        send(handler, chunk)

    fake_model._Handler._event = stamped  # type: ignore[assignment, method-assign]
    with fake_model.FakeModel() as model:
        port.send(model.server_port)
        threading.Event().wait()
