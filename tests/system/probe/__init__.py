"""A plugin of Hermes for tests: a chat platform, and code run on the gateway's loop.

The port of its socket is in `probe-port` in Hermes' home. A line there is JSON: the
body of a coroutine function, with `adapter` and the gateway's `runner` to use; the
line back is what it returned, or its traceback.

PROBE_SPOILS in the environment names what it does beforehand to the attach server:
`cures` leaves out all of them, `reactor` installs another reactor.
"""

import asyncio
import json
import os
import signal
import sys
import textwrap
import threading
import traceback
from pathlib import Path


def process_state():
    """What belongs to the process as a whole."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    # Hermes' agents put a wrapper of theirs around them.
    streams = [getattr(stream, "_inner", stream) for stream in (sys.stdout, sys.stderr)]
    return [*streams, sys.excepthook, threading.excepthook, handlers]


def register(ctx):
    spoil = os.environ.get("PROBE_SPOILS")
    if spoil == "cures":
        from hermes_twisted.hermes.cures import gateway as cures

        cures.gateway_cures = lambda thread: ()
    elif spoil == "reactor":
        from twisted.internet import selectreactor

        selectreactor.install()
    ctx.register_platform(
        name="probe", label="Probe", adapter_factory=make_adapter, check_fn=lambda: True
    )


def make_adapter(config):
    from gateway.config import Platform
    from gateway.platforms.base import BasePlatformAdapter, SendResult

    class Probe(BasePlatformAdapter):
        def __init__(self):
            super().__init__(config, Platform("probe"))
            self.sent = []

        async def connect(self, *, is_reconnect=False):
            self.before = process_state()
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            draft = Path(os.environ["HERMES_HOME"], "probe-port.new")
            draft.write_text(str(port))
            draft.rename(draft.with_name("probe-port"))
            self._mark_connected()
            return True

        async def disconnect(self):
            self._mark_disconnected()

        async def send(self, chat_id, content, reply_to=None, metadata=None):
            self.sent.append([chat_id, content])
            return SendResult(success=True, message_id=str(len(self.sent)))

        async def get_chat_info(self, chat_id):
            return {"name": "probe", "type": "dm"}

        async def serve(self, reader, writer):
            while line := await reader.readline():
                try:
                    answer = {"result": await self.run(json.loads(line))}
                except BaseException:
                    answer = {"error": traceback.format_exc()}
                writer.write(json.dumps(answer).encode() + b"\n")
            writer.close()

        async def run(self, body):
            import gateway.run

            scope = {
                "process_state": process_state,
                "adapter": self,
                "runner": gateway.run._gateway_runner_ref(),
            }
            exec("async def body():\n" + textwrap.indent(body, "    "), scope)
            return await scope["body"]()

        async def say(self, text, chat="42"):
            from gateway.platforms.base import MessageEvent

            source = self.build_source(chat_id=chat, chat_type="dm", user_id="7", user_name="u")
            await self.handle_message(MessageEvent(text=text, source=source))

    return Probe()
