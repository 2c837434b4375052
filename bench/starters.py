"""How each server is started before the stub of Hermes that the tests use, or a real one."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .servers import ROOT, Server, Start, environment, free_port, start_listening, start_on_pipe
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, PLAIN, STDIO, WORKER

STUB: Final = str(ROOT / "tests" / "stub")
PEERS: Final = ROOT / "bench" / "peers"

_RUN: Final = "from hermes_twisted.cli.main import main; main()"
#: Without what makes it quick where it is installed.
_RUN_PLAIN: Final = f"import sys; sys.modules['orjson'] = None; {_RUN}"
#: More clients come from one address than the server lets in by default.
_CROWD: Final = ["--max-connections", "8192", "--max-connections-per-address", "8192"]


def before_stub(hermes_python: Path | None) -> dict[str, Start]:
    """All of them; those that need an environment of Hermes only if one is named.

    Our worker runs under Hermes' Python, too: usually without a fast JSON library.
    """
    found: dict[str, Start] = {
        WORKER: lambda place: _worker_with_stub(place, hermes_python or Path(sys.executable)),
        INPROCESS: lambda place: _ours(place, sys.executable, _IN, {"PYTHONPATH": STUB}),
        PLAIN: lambda place: _plain(place),
        AIOHTTP: lambda place: _peer(place, sys.executable, "p2_aiohttp.py", STUB),
        FLOOR: lambda place: _peer(place, sys.executable, "p4_picows.py", STUB),
    }
    if hermes_python is not None:
        python = str(hermes_python)
        found[PEER] = lambda place: _peer(place, python, "p1_uvicorn.py", STUB)
        found[STDIO] = lambda place: _stdio(place, python)
    return found


def before_hermes(hermes_python: Path, gateway_python: Path | None) -> dict[str, Start]:
    """The peer and ours with the real Hermes of these environments.

    The gateway's has this project as well, for Hermes in our process.
    """
    worker = ["--backend", "worker", "--hermes-python", str(hermes_python)]
    found: dict[str, Start] = {
        WORKER: lambda place: _ours(place, sys.executable, worker, {}),
        PEER: lambda place: _peer(place, str(hermes_python), "p1_uvicorn.py", ""),
    }
    if gateway_python is not None:
        ours = {"PYTHONPATH": str(ROOT)}  # This tree, wherever that environment has it from.
        found[INPROCESS] = lambda place: _ours(place, str(gateway_python), _IN, ours)
    return found


_IN: Final = ["--backend", "inprocess"]


def _worker_with_stub(place: Path, python: Path) -> Server:
    # The worker's environment has no PYTHONPATH of ours, so its interpreter brings the stub.
    wrapper = place / "python"
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(STUB)} exec {shlex.quote(str(python))} "$@"\n'
    )
    wrapper.chmod(0o700)
    options = ["--backend", "worker", "--hermes-python", str(wrapper)]
    return _ours(place, sys.executable, options, {})


def _plain(place: Path) -> Server:
    variables = {"PYTHONPATH": STUB, "AUTOBAHN_USE_NVX": "0"}
    return _ours(place, sys.executable, _IN, variables, run=_RUN_PLAIN)


def _ours(
    place: Path,
    python: str,
    options: Sequence[str],
    variables: Mapping[str, str],
    run: str = _RUN,
) -> Server:
    port, key = free_port(), secrets.token_urlsafe(32)
    command = [python, "-c", run, "serve", "--port", str(port)]
    command += ["--hermes-home", str(place), *_CROWD, *options]
    settings = environment(place, HERMES_ATTACH_KEY=key, **variables)
    return start_listening(command, settings, port, "/ready", key)


def _peer(place: Path, python: str, script: str, path: str) -> Server:
    port = free_port()
    command = [python, str(PEERS / script), str(port)]
    return start_listening(command, environment(place, PYTHONPATH=path), port, "/health")


def _stdio(place: Path, python: str) -> Server:
    command = [python, str(PEERS / "p3_stdio.py")]
    return start_on_pipe(command, environment(place, PYTHONPATH=STUB))
