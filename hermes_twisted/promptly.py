"""Write to a socket now, not at the loop's next turn."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.tcp import Connection

#: Larger writes gain nothing and would be copied once more.
LARGE: Final = 64 * 1024


def write_promptly(transport: Any, parts: list[bytes]) -> None:
    """Like `writeSequence`, but what the socket takes at once has gone when this returns.

    Twisted asks the loop first whether a socket takes more, which costs a turn of the
    loop and two system calls. Here it is asked only for what the socket did not take.
    """
    if sum(map(len, parts)) > LARGE or not _is_idle(transport):
        transport.writeSequence(parts)
        return
    data = b"".join(parts)
    sent = transport.writeSomeData(data)
    # Else an error, which the loop meets again, and handles.
    if isinstance(sent, int):
        data = data[sent:]
    if data:
        transport.write(data)


def _is_idle(transport: Any) -> bool:
    """Whether it is a plain socket, open, with nothing in Twisted's buffer."""
    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not transport.TLS
        and not transport.disconnecting
        and transport not in transport.reactor.getWriters()
    )
