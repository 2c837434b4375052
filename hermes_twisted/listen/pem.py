"""Certificates and keys in files, checked so that a mistake is named before it is served."""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from ..shared.problem import Problem

#: A chain is a few kilobytes, a bundle of authorities some hundreds.
MAX_FILE: Final = 4 * 1024 * 1024

_PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Credentials:
    """What a server shows, the leaf first, and the key that proves that it is its own."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    def __repr__(self) -> str:
        return f"<credentials of {self.chain[0].subject.rfc4514_string()}>"

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.chain[0]

    def check_time(self, now: datetime, source: str) -> None:
        """Raises `Problem` when the leaf is not valid *now*."""
        first, last = self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc
        if now < first:
            raise Problem(
                f"The certificate in {source} is not valid before {first:%Y-%m-%d %H:%M} UTC. "
                "Is this machine's clock right?"
            )
        if now >= last:
            raise Problem(
                f"The certificate in {source} has expired on {last:%Y-%m-%d %H:%M} UTC. Renew it."
            )


def read_credentials(certificate: Path, key: Path | None) -> Credentials:
    """The pair in these files; without *key* both are in the first. Raises `Problem`."""
    chain = read_certificates(certificate, "certificate", secret=key is None)
    key_file = key or certificate
    private = parse_key(read(key_file, "TLS key file", secret=True), key_file)
    leaf, *others = chain
    if not is_pair(leaf, private):
        if any(is_pair(other, private) for other in others):
            raise Problem(
                f"The key in {key_file} belongs to a certificate of {certificate}, but not to the "
                "first one. The server's own comes first, those that signed it follow."
            )
        raise Problem(
            f"The key in {key_file} does not belong to the certificate in {certificate}. "
            "Name the two that were made together."
        )
    return Credentials(tuple(chain), private)


def read_certificates(
    path: Path, what: str, *, secret: bool = False
) -> tuple[x509.Certificate, ...]:
    """All certificates in a file, at least one. Raises `Problem`."""
    content = read(path, f"TLS {what} file", secret=secret)
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except ValueError:
        raise Problem(
            f"The TLS {what} file {path} holds no certificate in PEM form, the one that begins "
            "with -----BEGIN CERTIFICATE-----."
        ) from None


def parse_key(content: bytes, path: Path) -> PrivateKey:
    """The private key among what a file holds. Raises `Problem`."""
    match = _PRIVATE_KEY.search(content)
    if match is None:
        raise Problem(
            f"The file {path} holds no private key in PEM form, the one that begins with "
            "-----BEGIN PRIVATE KEY-----."
        )
    try:
        key = load_pem_private_key(match[0], password=None)
    except TypeError:
        raise Problem(
            f"The key in {path} is encrypted, and a server has nobody to ask for its passphrase. "
            f"Decrypt it: openssl pkey -in {path} -out FILE, with FILE of mode 600."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Problem(f"The private key in {path} cannot be understood: is it whole?") from None
    if not isinstance(key, PrivateKey):
        raise Problem(
            f"The private key in {path} is of a kind that TLS clients do not take: use one for "
            "ECDSA (P-256), RSA or Ed25519."
        )
    return key


def read(path: Path, what: str, *, secret: bool) -> bytes:
    """A file's content; a *secret* one has to be its owner's alone. Raises `Problem`."""
    try:
        # What may be a pipe is opened without waiting for a writer.
        with open(path, "rb", opener=lambda p, f: os.open(p, f | os.O_NONBLOCK | os.O_NOCTTY)) as f:
            mode = os.fstat(f.fileno()).st_mode
            content = f.read(MAX_FILE + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise Problem(f"The {what} {path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(mode) or len(content) > MAX_FILE:
        raise Problem(f"The {what} {path} is not a regular file of at most 4 MiB.")
    if secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Problem(
            f"The {what} {path} holds a private key and can be read or changed by others than "
            f"its owner. Run: chmod 600 {path}. If somebody may have read it, make a new key."
        )
    return content


def is_pair(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Whether *key* is the one that the certificate speaks of."""
    return _public(certificate.public_key()) == _public(key.public_key())


def pin(certificate: x509.Certificate) -> str:
    """The SHA-256 of its public key (SPKI), as `curl --pinnedpubkey` takes it (RFC 7469 §2.4)."""
    digest = Hash(SHA256())
    digest.update(_public(certificate.public_key()))
    return f"sha256//{base64.b64encode(digest.finalize()).decode()}"


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
