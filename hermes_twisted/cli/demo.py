"""`hermes-attach demo`: the server with the bundled recording instead of Hermes."""

from __future__ import annotations

import os
from importlib import resources
from typing import Any

import click

from ..access import plaintext
from ..access.keys import new_secret
from ..config.option import ENVIRONMENT_PREFIX
from .commands import WORDS
from .serve import ServerCommand, start


@click.command("demo", cls=ServerCommand)
@click.pass_context
def demo(ctx: click.Context, /, **given: Any) -> None:
    """Serve a recorded conversation, with a key that lasts as long as the process.

    Needs no Hermes and no model, and takes the options of `hermes-attach serve`. It reads no
    setting from the environment.
    """
    recording = resources.files("hermes_twisted") / "demo.jsonl"
    with resources.as_file(recording) as script:
        # Settings of the real server, its key above all, are not for the demonstration.
        for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
            del os.environ[name]
        os.environ[plaintext.VARIABLE] = new_secret()
        # A Hermes home that does not exist, so that the real server's keys do not admit. Not a
        # temporary one: twistd ends the process by a signal, and it would not be removed.
        home = script.with_name("no-home")
        chosen = ["--backend", "scripted", "--script", str(script), "--hermes-home", str(home)]
        start([*chosen, "--no-audit", "--no-control", *ctx.meta[WORDS]])
