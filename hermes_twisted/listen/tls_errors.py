"""Explanations of failed TLS handshakes, from OpenSSL's error queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: The first byte of a TLS handshake; no HTTP request begins with it (RFC 8446 §5.1).
HANDSHAKE: Final = b"\x16"
TLS_TO_PLAIN_PORT: Final = "a client spoke TLS to the plain port"

_ADVICE: Final = "(with --tls self it needs ca.pem, named in NODE_EXTRA_CA_CERTS)"
_UNTRUSTED: Final = f"a client does not trust this server's certificate {_ADVICE}"
CLOSED_AFTER_HELLO: Final = (
    "a client closed after it saw the certificate, as Node does when it does not trust it "
    f"{_ADVICE}"
)
_NOT_TLS: Final = "a client did not speak TLS to the TLS port"
_TOO_OLD: Final = "a client is too old: it offers neither TLS 1.2 with a modern cipher nor TLS 1.3"

#: Parts of OpenSSL's reasons, and their explanations.
_MEANINGS: Final = (
    ("http request", "a client spoke plain HTTP to the TLS port"),
    ("https proxy request", "a client spoke plain HTTP to the TLS port"),
    ("wrong version number", _NOT_TLS),
    ("packet length too long", _NOT_TLS),
    ("record layer failure", _NOT_TLS),
    ("unsupported protocol", _TOO_OLD),
    ("version too low", _TOO_OLD),
    ("no shared cipher", _TOO_OLD),
    ("peer did not return a certificate", "a client showed no certificate"),
    (
        "certificate verify failed",
        "a client's certificate is not from an authority in --tls-client-ca, or not valid now",
    ),
    ("alert unknown ca", _UNTRUSTED),
    ("alert bad certificate", _UNTRUSTED),
    ("alert certificate unknown", _UNTRUSTED),
    ("alert unsupported certificate", _UNTRUSTED),
    ("alert certificate expired", "a client considers this server's certificate expired"),
)


def explain(errors: Iterable[tuple[str, ...]]) -> str:
    """Return a line for the log that explains *errors*, OpenSSL's tuples that end with a reason."""
    reasons = [error[-1] for error in errors if error]
    for known, meaning in _MEANINGS:
        if any(known in reason for reason in reasons):
            return meaning
    return f"a TLS handshake failed: {', '.join(reasons) or 'no reason given'}"
