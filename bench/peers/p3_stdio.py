"""P3, the local UI's stdio pipe, run under Hermes' own Python: its real entry point.

Only what the stub of `tui_gateway.server` lacks is put there: the real transport on
standard output, and a name for the crash log.
"""

import os
import pkgutil
import threading

import tui_gateway

tui_gateway.__path__ = pkgutil.extend_path(tui_gateway.__path__, "tui_gateway")

from tui_gateway import server, transport  # noqa: E402

server._CRASH_LOG = os.path.join(os.environ["HERMES_HOME"], "crash.log")
server._stdio_transport = transport.StdioTransport(lambda: server._real_stdout, threading.Lock())

from tui_gateway import entry  # noqa: E402

if __name__ == "__main__":
    entry.main()
