"""TLS for a client with two threads, one that reads and one that writes.

OpenSSL wants one thread at a time in a connection, and Python's `ssl` sees to that from 3.13 on
only. Before, a TLS 1.3 session ticket that was read in the very moment in which the request
was written could lose the request.
"""

from __future__ import annotations

import errno
import select
import ssl
import threading
from collections.abc import Callable
from typing import Any

_TURN = threading.Lock()  # One for all: nobody waits for the network in it.


class TakingTurns(ssl.SSLSocket):
    """A blocking TLS socket in which the reader and the writer take turns."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        received: bytes = self._take(lambda: super(TakingTurns, self).recv(buflen, flags))
        return received

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data)

        def send_some() -> int:
            return super(TakingTurns, self).send(rest, flags)

        while rest:
            rest = rest[self._take(send_some) :]

    def _take(self, act: Callable[[], Any]) -> Any:
        while True:
            with _TURN:
                patience = self.gettimeout()
                self.settimeout(0)
                try:
                    return act()
                except ssl.SSLWantReadError:
                    needed = select.POLLIN
                except ssl.SSLWantWriteError:
                    needed = select.POLLOUT
                finally:
                    if self.fileno() >= 0:
                        self.settimeout(patience)
            self._wait(needed, patience)

    def _wait(self, needed: int, patience: float | None) -> None:
        if self.fileno() < 0:
            raise OSError(errno.EBADF, "closed by the other thread")
        poll = select.poll()
        poll.register(self, needed)
        if not poll.poll(None if patience is None else patience * 1000):
            raise TimeoutError("the TLS peer was silent")


def take_turns(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make *context* give such sockets."""
    context.sslsocket_class = TakingTurns
    return context
