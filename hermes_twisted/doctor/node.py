"""Checks the UI's Node.js on this machine: version, trusted authorities, compression."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from .findings import Finding, ok, problem, warning

CHECK: Final = "node"
#: The oldest major version that the UI's bundle is built for.
OLDEST: Final = 20
_TIMEOUT: Final = 20.0

#: Runs a script in Node and returns its output; None without Node, or if the script fails.
RunNode = Callable[[str], str | None]

_ROOTS: Final = "process.stdout.write(require('tls').rootCertificates.join('\\n'))"
_VERSION: Final = "process.stdout.write(process.versions.node)"
#: Starts a server on loopback that sends one compressed message of 5 MiB.
_DEFLATE: Final = """
const {createHash} = require('crypto'), {deflateRawSync} = require('zlib');
const done = (text) => { process.stdout.write(text); process.exit(0); };
if (typeof WebSocket === 'undefined') done('bundled');
const server = require('http').createServer();
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const offer = request.headers['sec-websocket-extensions'] || '';
  if (!offer.includes('permessage-deflate')) done('none');
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade' +
    '\\r\\nSec-WebSocket-Extensions: permessage-deflate\\r\\nSec-WebSocket-Accept: ' +
    createHash('sha1').update(key).digest('base64') + '\\r\\n\\r\\n');
  const body = deflateRawSync(Buffer.alloc(5 << 20, 97), {finishFlush: 2}).subarray(0, -4);
  const head = Buffer.alloc(4);
  head[0] = 0xc1; head[1] = 126; head.writeUInt16BE(body.length, 2);
  socket.write(Buffer.concat([head, body]));
});
server.listen(0, '127.0.0.1', () => {
  const client = new WebSocket('ws://127.0.0.1:' + server.address().port);
  client.onmessage = () => done('fine');
  client.onerror = client.onclose = () => done('limited');
});
"""


def node_runner(environ: Mapping[str, str]) -> RunNode:
    """Return a runner for the `node` on PATH."""
    command = shutil.which("node", path=environ.get("PATH"))
    # Without variables that change Node's behaviour, or have the address and its key in them.
    kept = {name: environ[name] for name in ("PATH", "HOME", "LANG") if name in environ}

    def run(script: str) -> str | None:
        if command is None:
            return None
        try:
            done = subprocess.run(  # noqa: S603  (the script is one of ours)
                [command, "-e", script],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                env=kept,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    return run


def root_certificates(run: RunNode) -> str | None:
    """Return the authorities that Node trusts, in PEM."""
    return run(_ROOTS) or None


def check_version(run: RunNode) -> Finding:
    """Check that the UI would run here."""
    version = run(_VERSION)
    if not version:
        return ok(CHECK, "no Node.js here; it is needed only where the terminal UI runs")
    if int(version.partition(".")[0]) < OLDEST:
        return warning(
            CHECK,
            f"Node.js is {version}.",
            f"The terminal UI is built for {OLDEST} and later.",
            f"Install Node.js {OLDEST} or later, if the UI shall run on this machine.",
        )
    return ok(CHECK, f"Node.js {version}")


def check_deflate(run: RunNode, *, ours: bool) -> Finding:
    """Check that the UI here can read compressed messages; *ours*, this server, limits them."""
    if ours:
        return ok(
            "compression", "permessage-deflate, which this server uses for frames up to 1 MiB only"
        )
    outcome = run(_DEFLATE)
    if outcome == "limited":
        return problem(
            "compression",
            "The server compresses, and this machine's Node.js ends the connection at a "
            "compressed message above 4 MiB.",
            "A long conversation that is resumed is one such message; the UI does not recover.",
            "Attach through hermes-attach, which sends large frames uncompressed; or turn "
            "compression off on the server or the proxy; or use a Node.js without that limit.",
        )
    if outcome is None:
        return warning(
            "compression",
            "The server compresses, and there is no Node.js here to try that with.",
            "Several releases of Node.js end the connection at a compressed message above 4 MiB.",
            "Run hermes-attach doctor where the terminal UI runs.",
        )
    return ok("compression", "permessage-deflate; large messages pass this machine's Node.js")
