"""A model server that does as it is told: OpenAI's chat completions, without a model.

The last user message says what to answer, in any place and order:

    tokens=N      so many words (default 8)     reasoning=N  thoughts before them
    rate=R        words a second (default: all at once)
    delay=S       seconds before the first one
    tool=NAME     call this tool first, with args={"a": "JSON object"}

Requests without tools, such as Hermes' own for a session's title, get a fixed answer.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "fake-model"


def word(number: int) -> str:
    """One token of an answer; every twelfth ends a line."""
    return f"w{number}" + ("\n" if number % 12 == 11 else " ")


def words(count: int) -> str:
    """The whole answer to `tokens=count`."""
    return "".join(map(word, range(count)))


@dataclass
class Order:
    """What one request asks for."""

    tokens: int = 8
    reasoning: int = 0
    rate: float = 0.0
    delay: float = 0.0
    tool: str = ""
    args: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, request: dict[str, Any]) -> Order:
        messages = request.get("messages", [])
        asked = max((n for n, m in enumerate(messages) if m["role"] == "user"), default=None)
        order = cls()
        if asked is None or not request.get("tools"):
            return order
        text = _text(messages[asked]["content"])
        for name, value in re.findall(r"\b(tokens|reasoning|rate|delay)=([\d.]+)", text):
            setattr(order, name, type(getattr(order, name))(value))
        # Called once: the request that follows brings the result, and gets words.
        called = any(message["role"] == "tool" for message in messages[asked:])
        if not called and (tool := re.search(r"\btool=([\w.-]+)", text)):
            order.tool = tool[1]
        if args := re.search(r"\bargs=(?=\{)", text):
            order.args, _ = json.JSONDecoder().raw_decode(text[args.end() :])
        return order

    def deltas(self, call_id: str) -> Iterator[tuple[dict[str, Any], str | None]]:
        """The chunks of the answer, at their time, and the reason to end."""
        time.sleep(self.delay)
        began = time.monotonic()
        tokens = [{"reasoning_content": word(n)} for n in range(self.reasoning)]
        if not self.tool:
            tokens += [{"content": word(n)} for n in range(self.tokens)]
        for number, token in enumerate(tokens):
            if self.rate:
                time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            yield {"role": "assistant", **token}, None
        if self.tool:
            function = {"name": self.tool, "arguments": json.dumps(self.args)}
            call = {"index": 0, "id": call_id, "type": "function", "function": function}
            yield {"role": "assistant", "tool_calls": [call]}, None
        yield {}, "tool_calls" if self.tool else "stop"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        model = {"id": MODEL, "object": "model", "context_length": 131072}
        self._answer({"object": "list", "data": [model]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        order = Order.of(request)
        texts = [_text(message["content"]) for message in request.get("messages", [])]
        self.server.asked.append("\n".join(texts))  # type: ignore[attr-defined]
        # Hermes drops a call whose id the conversation has had before.
        deltas = order.deltas(f"call_{len(request.get('messages', []))}")
        if request.get("stream"):
            self._stream(deltas)
        else:
            self._complete(deltas)

    def _stream(self, deltas: Iterator[tuple[dict[str, Any], str | None]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for delta, reason in deltas:
                choice = {"index": 0, "delta": delta, "finish_reason": reason}
                self._event({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]})
            self._event({**_HEAD, "object": "chat.completion.chunk", "choices": [], **_USAGE})
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # The turn was interrupted.

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())
        self.wfile.flush()

    def _complete(self, deltas: Iterator[tuple[dict[str, Any], str | None]]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        reason = None
        for delta, reason in deltas:  # noqa: B007
            message["content"] += delta.get("content", "")
            if "tool_calls" in delta:
                message["tool_calls"] = delta["tool_calls"]
        choice = {"index": 0, "message": message, "finish_reason": reason}
        self._answer({**_HEAD, "object": "chat.completion", "choices": [choice], **_USAGE})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_HEAD = {"id": "chatcmpl-fake", "created": 1700000000, "model": MODEL}
_USAGE = {"usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}


class FakeModel(ThreadingHTTPServer):
    """The server, in a thread, on a free port of its own: `with FakeModel() as model`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        """The messages of each request that came."""
        self.base_url = f"http://127.0.0.1:{self.server_port}/v1"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away; what else is wrong, a test will notice."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
