"""The examples of docs/api.md run, and the names that it lists exist."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from hermes_twisted.backends import registry
from hermes_twisted.backends.spec import Surroundings
from hermes_twisted.limits import Limits
from hermes_twisted.meter import NullMeter
from hermes_twisted.rpc import parse
from hermes_twisted.seats.ports import Backend, BackendState
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Loop(Clock):
    """A clock with the part of a reactor that the example uses."""

    def callFromThread(self, call: Any) -> None:  # noqa: N802
        self.callLater(0, call)


@pytest.fixture
def hello() -> Iterator[registry.BackendSpec[Any]]:
    """The backend of the first example, as it registers itself."""
    exec(compile(EXAMPLES[0], "docs/api.md", "exec"), {"__name__": "example"})
    yield registry.find("hello")
    registry.forget("hello")


def test_names_exist() -> None:
    """Each module or class in the table can be imported."""
    names = re.findall(r"^\| `(hermes_twisted[\w.]+)` \|", PAGE, re.MULTILINE)

    assert len(names) >= 5
    for name in names:
        pkgutil.resolve_name(name)


def test_backend(hello: registry.BackendSpec[Any], tmp_path: Path) -> None:
    """It greets each client, and answers each request."""
    loop, states, woken = Loop(), [], []
    surroundings = Surroundings(loop, Limits(), tmp_path, {}, umask=0o022)  # type: ignore[arg-type]
    backend: Backend = hello.build(surroundings, hello.options())
    backend.start(lambda state, problem: states.append(state), NullMeter())
    channel = backend.open(1, lambda: woken.append(True))

    channel.submit(parse(b'{"jsonrpc":"2.0","id":7,"method":"anything"}'))
    loop.advance(0)

    assert states == [BackendState.READY]
    assert woken
    frames = [text for _kind, _tag, text in channel.outbox.take(1 << 20)]
    assert b'"gateway.ready"' in frames[0]
    assert frames[1] == b'{"jsonrpc":"2.0","id":7,"result":{"text":"hello"}}'
    channel.delivered(sum(map(len, frames)))
    channel.close()
    assert backend.drain(1.0).result is True  # type: ignore[attr-defined]
    backend.stop()


def test_fakes() -> None:
    """The example is a test, which passes."""
    scope: dict[str, Any] = {}
    exec(compile(EXAMPLES[1], "docs/api.md", "exec"), scope)

    scope["test_requests_reach_the_backend"]()
