"""A certificate authority of our own, for those who have no certificate: made and renewed here.

The authority stays, because clients hold a copy of its certificate; the server's
certificate below it comes and goes. Its key stays as well, so that a pin on it holds.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.logger import Logger

from ..shared.problem import Problem
from .pem import (
    Credentials,
    PrivateKey,
    is_pair,
    parse_key,
    read,
    read_certificates,
    read_credentials,
)

AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=90)
#: What is left when the next one is made: enough for clients, who take the new one at once.
LEAF_MARGIN: Final = timedelta(days=30)
#: The authority's is longer: people have to copy its certificate to their clients again.
AUTHORITY_MARGIN: Final = timedelta(days=365)
#: A client's clock may be behind ours.
BACKDATED: Final = timedelta(days=1)


class Authority:
    """The authority in a directory, which it makes, and keeps from others than its owner."""

    _log = Logger()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate = directory / "ca.pem"
        """What clients need a copy of."""
        self._key = directory / "ca-key.pem"
        self._server = directory / "server.pem"

    def credentials(self, names: Iterable[str], now: datetime) -> Credentials:
        """Credentials that last a while, the same as before or new. Raises `Problem`.

        *names* are names and addresses as `parsing.host_name` makes them.
        """
        try:
            with self._locked():
                authority = self._authority(now)
                wanted = _alternative_names(names)
                current = self._current()
                if current is not None and _serves(current.leaf, authority, wanted, now):
                    return current
                key = (
                    current.key if current is not None else ec.generate_private_key(ec.SECP256R1())
                )
                made = Credentials((_leaf(authority, key, wanted, now),), key)
                self._write(self._server, _pem(made.leaf) + _key_pem(key))
                return made
        except OSError as error:
            raise Problem(
                f"Certificates cannot be kept in {self.directory}: {error.strerror}. Correct "
                "that, or give a certificate with --tls-cert."
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have the directory to ourselves: two servers may start on one home."""
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise Problem(
                    f"The directory {self.directory} is another user's, or others can enter it. "
                    f"It holds private keys: if nobody has been there, run chmod 700 "
                    f"{self.directory}; else remove it, and copy the new ca.pem to the clients."
                )
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _authority(self, now: datetime) -> Credentials:
        """The authority: as it is, with more time, or new."""
        if not self._key.exists():
            if self.certificate.exists():
                raise Problem(
                    f"{self.certificate} is there without its key, {self._key}. Bring that back, "
                    "or remove the former: a new authority is made, whose ca.pem clients need."
                )
            # The key first: a certificate without it would be a riddle, the other way is not.
            self._write(self._key, _key_pem(_new_key()))
        key = parse_key(read(self._key, "TLS key file", secret=True), self._key)
        if not self.certificate.exists():
            return self._issue(key, _authority_name(key), now)
        certificate = read_certificates(self.certificate, "authority")[0]
        if not is_pair(certificate, key):
            raise Problem(
                f"{self.certificate} and {self._key} do not belong together. Bring back the right "
                "one, or remove both: a new authority is made, whose ca.pem clients need."
            )
        if not _lasts(certificate, now, AUTHORITY_MARGIN):
            # Name and key stay: clients with the old copy go on until that one expires.
            self._log.warn(
                "the authority in {path} was renewed: copy it to the clients before {date}",
                path=str(self.certificate),
                date=f"{certificate.not_valid_after_utc:%Y-%m-%d}",
            )
            return self._issue(key, certificate.subject, now)
        return Credentials((certificate,), key)

    def _issue(self, key: PrivateKey, name: x509.Name, now: datetime) -> Credentials:
        certificate = _sign_authority(key, name, now)
        self._write(self.certificate, _pem(certificate))
        return Credentials((certificate,), key)

    def _current(self) -> Credentials | None:
        """The server's pair, unless there is none that can be used."""
        if not self._server.exists():
            return None
        try:
            return read_credentials(self._server, None)
        except Problem as bad:
            self._log.warn("a new certificate is made: {problem}", problem=str(bad))
            return None

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all, and never readable by others; we hold the lock."""
        new = path.with_name(f".{path.name}.new")
        with suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # Whatever the umask.
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def _alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Each once, in an order that does not depend on where they come from."""
    return x509.SubjectAlternativeName([_general_name(name) for name in sorted(set(names))])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _serves(
    leaf: x509.Certificate,
    authority: Credentials,
    wanted: x509.SubjectAlternativeName,
    now: datetime,
) -> bool:
    """Whether a certificate made earlier still does."""
    try:
        leaf.verify_directly_issued_by(authority.leaf)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:
        return False  # InvalidSignature, TypeError, ValueError, ExtensionNotFound: not ours.
    return names == wanted and _lasts(leaf, now, LEAF_MARGIN)


def _lasts(certificate: x509.Certificate, now: datetime, margin: timedelta) -> bool:
    """Whether it is valid, and will be for a while; a clock may once have been wrong."""
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return first <= now and last - now >= margin


def _authority_name(key: PrivateKey) -> x509.Name:
    """One that tells it from those of other servers, and is the same whenever it is issued."""
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    name = f"hermes-attach private authority {digest[:4].hex()}"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _sign_authority(key: PrivateKey, name: x509.Name, now: datetime) -> x509.Certificate:
    builder = _builder(name, name, key, now, AUTHORITY_LIFE)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, _hash(key))
    )


def _leaf(
    authority: Credentials, key: PrivateKey, names: x509.SubjectAlternativeName, now: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hermes-attach")])
    identifier = authority.leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(subject, authority.leaf.subject, key, now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(server, critical=False)
        .add_extension(names, critical=False)
        .add_extension(own, critical=False)
        .add_extension(signed_by, critical=False)
        .sign(authority.key, _hash(authority.key))
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _new_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _hash(key: PrivateKey) -> SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()


def _usage(**used: bool) -> x509.KeyUsage:
    kinds = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{kind: used.get(kind, False) for kind in kinds})


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
