"""A TCP proxy between a client and the server: a network that can be made bad."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque

from hermes_twisted.testing.wire import PING, read_frames


class Pipe:
    """One direction. What comes is kept while it is held, and goes in order when it is not."""

    def __init__(self) -> None:
        self.seen = bytearray()
        """All that has come in, forwarded or not."""
        self._change = threading.Condition()
        self._held = False
        self._delay = 0.0
        self._rate: float | None = None
        self._queue: deque[tuple[float, bytes]] = deque()

    def hold(self) -> None:
        """Let nothing through."""
        self._set(held=True)

    def release(self) -> None:
        """Let all through, with what has gathered."""
        self._set(held=False)

    def shape(self, *, delay: float = 0.0, rate: float | None = None) -> None:
        """A slow network: so many seconds late, at most so many bytes a second."""
        with self._change:
            self._delay, self._rate = delay, rate

    def frames(self, opcode: int) -> int:
        """How many whole WebSocket frames of a kind have come, from a server."""
        _head, _, data = bytes(self.seen).partition(b"\r\n\r\n")
        count = 0
        with contextlib.suppress(ValueError, IndexError):  # The last one may not be whole.
            for frame in read_frames(data):
                count += frame.opcode == opcode
        return count

    def run(self, source: socket.socket, target: socket.socket) -> list[threading.Thread]:
        """Carry bytes from now on, in threads of its own."""
        threads = [
            threading.Thread(target=self._read, args=(source,), daemon=True),
            threading.Thread(target=self._write, args=(target,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _set(self, *, held: bool) -> None:
        with self._change:
            self._held = held
            self._change.notify_all()

    def _read(self, source: socket.socket) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            with self._change:
                self.seen += data
                self._queue.append((time.monotonic(), data))
                self._change.notify_all()

    def _write(self, target: socket.socket) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue and not self._held)
                came, data = self._queue.popleft()
                delay, rate = self._delay, self._rate
            # The network's time, not a test's: nothing waits for it to be over.
            time.sleep(max(0.0, came + delay - time.monotonic()))
            if rate is not None:
                time.sleep(len(data) / rate)
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return


class Proxy:
    """Listens for one client of the server at *port*. `up` leads to the server."""

    def __init__(self, port: int) -> None:
        self.up = Pipe()
        self.down = Pipe()
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def pings(self) -> int:
        """How many pings the server has sent."""
        return self.down.frames(PING)

    @property
    def ended(self) -> bool:
        """Whether the server has ended the connection."""
        return len(self._threads) > 1 and not self._threads[3].is_alive()

    def close(self) -> None:
        """End everything."""
        self.up.release()
        self.down.release()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._sockets:
            sock.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _address = self._listener.accept()
            self._sockets.append(client)
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets.append(server)
            self._threads += [*self.up.run(client, server), *self.down.run(server, client)]
