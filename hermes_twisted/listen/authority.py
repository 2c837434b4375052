"""The server's own certificate authority (`--tls self`), and the certificate that it issues.

The authority is kept, because clients have a copy of its certificate. The server's certificate is
renewed with the same key, so that a pin of that key stays valid.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.logger import Logger

from ..files import check_directory, locked, write_private
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

#: How long certificates are valid.
AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=90)
#: A certificate with less time left than this is renewed.
LEAF_MARGIN: Final = timedelta(days=30)
#: The same for the authority. Longer, because people must copy its new certificate to clients.
AUTHORITY_MARGIN: Final = timedelta(days=365)
#: How far in the past the validity of certificates begins: a client's clock may be behind ours.
BACKDATED: Final = timedelta(days=1)
#: Seconds to wait for another server that makes certificates in the same directory.
LOCK_TIMEOUT: Final = 10.0


class Authority:
    """A certificate authority, with its files in a private directory that is created if missing."""

    _log = Logger()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate = directory / "ca.pem"
        """The path of the certificate that clients need a copy of."""
        self._key = directory / "ca-key.pem"
        self._server = directory / "server.pem"

    def credentials(self, names: Iterable[str], now: datetime) -> Credentials:
        """Return credentials for *names* that are valid for at least `LEAF_MARGIN`.

        Returns the stored ones if they are for the same names and valid long enough. *names* are
        DNS names and addresses as `parsing.host_name` returns them. Raises `Problem`.
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
                write_private(self._server, _pem(made.leaf) + _key_pem(key))
                return made
        except OSError as error:
            raise Problem(
                f"Certificates cannot be stored in {self.directory}: {error.strerror}.",
                "Correct that, or give a certificate with --tls-cert.",
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Create the directory if missing, check it and lock it: two servers may start at once."""
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        check_directory(self.directory, "remove it, and copy the new ca.pem to the clients")
        with locked(self.directory.resolve(), LOCK_TIMEOUT):
            yield

    def _authority(self, now: datetime) -> Credentials:
        """Return the authority; create or renew it if necessary. Raises `Problem`."""
        if not self._key.exists():
            if self.certificate.exists():
                raise Problem(
                    f"{self.certificate} exists without its key, {self._key}.",
                    "Restore the key, or remove the certificate: a new authority is made then, "
                    "whose ca.pem clients need.",
                )
            # The key first: a key without its certificate can be repaired, but not the reverse.
            write_private(self._key, _key_pem(_new_key()))
        key = parse_key(read(self._key, "TLS key file", secret=True), self._key)
        if not self.certificate.exists():
            return self._issue(key, _authority_name(key), now)
        certificate = read_certificates(self.certificate, "authority")[0]
        if not is_pair(certificate, key):
            raise Problem(
                f"{self.certificate} and {self._key} do not belong together.",
                "Restore the right one, or remove both: a new authority is made then, whose ca.pem "
                "clients need.",
            )
        if not _lasts(certificate, now, AUTHORITY_MARGIN):
            # Name and key stay the same, so that the clients' old copies work until they expire.
            self._log.warn(
                "the authority in {path} was renewed: copy it to the clients before {date}",
                path=str(self.certificate),
                date=f"{certificate.not_valid_after_utc:%Y-%m-%d}",
            )
            return self._issue(key, certificate.subject, now)
        return Credentials((certificate,), key)

    def _issue(self, key: PrivateKey, name: x509.Name, now: datetime) -> Credentials:
        """Sign and store a new certificate of the authority."""
        certificate = _sign_authority(key, name, now)
        write_private(self.certificate, _pem(certificate))
        return Credentials((certificate,), key)

    def _current(self) -> Credentials | None:
        """Return the server's stored credentials, None if there are no valid ones."""
        if not self._server.exists():
            return None
        try:
            return read_credentials(self._server, None)
        except Problem as bad:
            self._log.warn("making a new server certificate: {problem}", problem=str(bad))
            return None


def _alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Return the extension with each name once, sorted, so that it can be compared."""
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
    """Return whether *leaf* is signed by *authority*, for the names *wanted*, and valid enough."""
    try:
        leaf.verify_directly_issued_by(authority.leaf)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:
        return False  # InvalidSignature, TypeError, ValueError, ExtensionNotFound: not ours.
    return names == wanted and _lasts(leaf, now, LEAF_MARGIN)


def _lasts(certificate: x509.Certificate, now: datetime, margin: timedelta) -> bool:
    """Return whether *certificate* is valid now, and stays so for *margin*.

    The start of its validity is checked, too: the clock may have been wrong when it was made.
    """
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return first <= now and last - now >= margin


def _authority_name(key: PrivateKey) -> x509.Name:
    """Return a name that differs from key to key, and is always the same for one key."""
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    name = f"hermes-attach private authority {digest[:4].hex()}"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _sign_authority(key: PrivateKey, name: x509.Name, now: datetime) -> x509.Certificate:
    """Make the self-signed certificate of the authority."""
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
    """Make the server's certificate for *names*, signed by *authority*."""
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
    """Return the hash that signatures with *key* use; Ed25519 has its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()


def _usage(**used: bool) -> x509.KeyUsage:
    """Return the key usage extension (RFC 5280 §4.2.1.3) with the bits *used*."""
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
