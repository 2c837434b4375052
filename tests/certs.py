"""Certificates for tests, made by other code than the one that is tested."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass
class Issued:
    """A certificate, its key, and who signed it."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        pem: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        return pem

    def write(self, directory: Path, name: str = "server") -> tuple[Path, Path]:
        """Its two files."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.touch(0o600)
        key.write_bytes(self.key_pem())
        return certificate, key


def issue(
    name: str = "localhost",
    *,
    by: Issued | None = None,
    ca: bool = False,
    first: datetime.datetime | None = None,
    last: datetime.datetime | None = None,
    bits: int | None = None,
) -> Issued:
    """A certificate for *name*, 127.0.0.1 and ::1, signed by itself or another."""
    key: Any = ec.generate_private_key(ec.SECP256R1())
    if bits is not None:
        key = rsa.generate_private_key(65537, bits)
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    names = [x509.DNSName(name), *map(x509.IPAddress, addresses)]
    signer = by or Issued(None, key)  # type: ignore[arg-type]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first or now - DAY)
        .not_valid_after(last or now + 90 * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer.key, SHA256())
    )
    return Issued(certificate, key)
