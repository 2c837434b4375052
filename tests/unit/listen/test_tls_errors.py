"""OpenSSL's reasons in words; that they are the ones it gives, `wire/test_tls.py` shows."""

from __future__ import annotations

import pytest

from hermes_twisted.listen.tls_errors import explain


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("http request", "plain HTTP to the TLS port"),
        ("https proxy request", "plain HTTP to the TLS port"),
        ("wrong version number", "did not speak TLS"),
        ("unsupported protocol", "too old"),
        ("no shared cipher", "too old"),
        ("peer did not return a certificate", "showed no certificate"),
        ("certificate verify failed", "--tls-client-ca"),
        ("tlsv1 alert unknown ca", "NODE_EXTRA_CA_CERTS"),
        ("ssl/tls alert bad certificate", "does not trust"),
        ("sslv3 alert certificate expired", "expired"),
    ],
)
def test_known(reason: str, words: str) -> None:
    """Different versions of OpenSSL put different words around the gist."""
    assert words in explain([("SSL routines", "", reason)])


def test_unknown() -> None:
    """What is not known is passed on."""
    errors = [("SSL routines", "", "bad extension"), ("asn1", "", "odd")]

    assert explain(errors) == "a TLS handshake failed: bad extension, odd"


def test_nothing() -> None:
    """OpenSSL may give no reason at all."""
    assert explain([]) == explain([()]) == "a TLS handshake failed: no reason given"
