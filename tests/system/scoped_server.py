"""The service with one key for each scope, in a process of its own: `scoped_server.py OPTIONS`.

The keys come in the environment, as `SCOPED_KEYS`: `full=… chat=… watch=…`.
"""

from __future__ import annotations

import os
import sys

from twisted.logger import globalLogBeginner, textFileLogObserver

from hermes_twisted.access.keys import Key, Scope
from hermes_twisted.server.assemble import build_backend
from hermes_twisted.server.reactor import ensure_asyncio
from hermes_twisted.server.service import AttachService
from hermes_twisted.tap import Options


class Ring:
    """Several keys."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    def find(self, secret: bytes) -> Key | None:
        return next((key for key in self._keys if key.find(secret)), None)


def main() -> None:
    pairs = (pair.split("=", 1) for pair in os.environ.pop("SCOPED_KEYS").split())
    ring = Ring([Key.of(name, secret, Scope(name)) for name, secret in pairs])
    reactor = ensure_asyncio()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    options = Options()
    options.parseOptions(sys.argv[1:])
    backend = build_backend(reactor, options.settings, umask=0o077)
    service = AttachService(reactor, options.settings, backend, lambda: ring)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
