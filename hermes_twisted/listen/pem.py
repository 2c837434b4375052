"""Reads and checks certificates and private keys in PEM files."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from ..files import read_private, read_regular
from ..shared.problem import Problem

#: The most bytes of a file. A chain has a few KiB, a bundle of authorities some hundred KiB.
MAX_FILE: Final = 4 * 1024 * 1024

_PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Credentials:
    """A certificate chain, the server's own certificate first, and its private key."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    def __repr__(self) -> str:
        return f"<credentials of {self.chain[0].subject.rfc4514_string()}>"

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.chain[0]

    def check_time(self, now: datetime, path: Path) -> None:
        """Check that the leaf is valid *now*; errors name *path*. Raises `Problem`."""
        first, last = self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc
        if now < first:
            raise Problem(
                f"The certificate in {path} is not valid before {first:%Y-%m-%d %H:%M} UTC.",
                "Is this machine's clock right?",
            )
        if now >= last:
            raise Problem(
                f"The certificate in {path} expired on {last:%Y-%m-%d %H:%M} UTC.", "Renew it."
            )


def read_credentials(certificate: Path, key: Path | None) -> Credentials:
    """Read a certificate chain and its key. Raises `Problem`.

    If *key* is None, the file *certificate* has both.
    """
    chain = read_certificates(certificate, "certificate", secret=key is None)
    key_file = key or certificate
    private = parse_key(read(key_file, "TLS key file", secret=True), key_file)
    leaf, *others = chain
    if not is_pair(leaf, private):
        if any(is_pair(other, private) for other in others):
            raise Problem(
                f"The key in {key_file} belongs to a certificate of {certificate}, but not to the "
                "first one.",
                "Put the server's own certificate first, and after it those that signed it.",
            )
        raise Problem(
            f"The key in {key_file} does not belong to the certificate in {certificate}.",
            "Give a certificate and the key that it was made with.",
        )
    return Credentials(tuple(chain), private)


def read_certificates(
    path: Path, subject: str, *, secret: bool = False
) -> tuple[x509.Certificate, ...]:
    """Read all certificates in a file, at least one. Raises `Problem`.

    *subject* says in errors what the certificates are for. A *secret* file also has the private
    key.
    """
    content = read(path, f"TLS {subject} file", secret=secret)
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except ValueError:
        raise Problem(
            f"The TLS {subject} file {path} has no certificate in PEM form.",
            "Give one that begins with -----BEGIN CERTIFICATE-----.",
        ) from None


def parse_key(content: bytes, path: Path) -> PrivateKey:
    """Parse the first private key in *content*; errors name *path*. Raises `Problem`."""
    match = _PRIVATE_KEY.search(content)
    if match is None:
        raise Problem(
            f"The file {path} has no private key in PEM form.",
            "Give one that begins with -----BEGIN PRIVATE KEY-----.",
        )
    try:
        key = load_pem_private_key(match[0], password=None)
    except TypeError:
        raise Problem(
            f"The key in {path} is encrypted, and a server has nobody to ask for its passphrase.",
            f"Decrypt it: openssl pkey -in {path} -out FILE, with FILE of mode 600.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Problem(
            f"The private key in {path} cannot be parsed.", "Is the file complete?"
        ) from None
    if not isinstance(key, PrivateKey):
        raise Problem(
            f"The private key in {path} is of a kind that TLS clients do not support.",
            "Use an ECDSA (P-256), RSA or Ed25519 key.",
        )
    return key


def read(path: Path, subject: str, *, secret: bool) -> bytes:
    """Read a whole file of at most `MAX_FILE` bytes. Raises `Problem`.

    Only the owner of a *secret* file may have access to it. Any user may be the owner, because
    certificates are often renewed by another one. *subject* names the file in errors.
    """
    subject = f"The {subject}"
    if secret:
        content = read_private(path, subject, MAX_FILE + 1, owners=None)
    else:
        content, _status = read_regular(path, subject, MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise Problem(f"{subject} {path} is too large: it may have at most 4 MiB.")
    return content


def is_pair(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Return whether *certificate* is for the public key of *key*."""
    return _public(certificate.public_key()) == _public(key.public_key())


def pin(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the public key (SPKI, RFC 7469 §2.4), as for `curl --pinnedpubkey`."""
    digest = Hash(SHA256())
    digest.update(_public(certificate.public_key()))
    return f"sha256//{base64.b64encode(digest.finalize()).decode()}"


def _public(key: CertificatePublicKeyTypes) -> bytes:
    """Return the SPKI of a public key, in DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
