"""Checks certificates: which authorities the UI trusts, and why it rejects a server's."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from .findings import Finding, ok, problem, warning
from .node import RunNode, root_certificates

CHECK: Final = "tls"
EXTRA: Final = "NODE_EXTRA_CA_CERTS"
#: Certificates that expire within this time are warned of.
SOON: Final = timedelta(days=14)
#: Files in which systems have the authorities that they trust.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)

#: Codes of OpenSSL, X509_V_ERR_*.
_NOT_YET: Final = 9
_EXPIRED: Final = 10
_UNKNOWN: Final = frozenset({2, 18, 19, 20, 21, 27})
_WRONG_NAME: Final = frozenset({62, 64})


@dataclass(frozen=True)
class Trust:
    """The authorities that the UI's Node trusts."""

    context: ssl.SSLContext
    whose: str
    """The owner of that list, for a sentence: `Node.js` or `this system`."""


def client_trust(run: RunNode, environ: Mapping[str, str]) -> tuple[Trust, list[Finding]]:
    """Return the authorities of Node, else of this system, and of `NODE_EXTRA_CA_CERTS`."""
    roots = root_certificates(run)
    if roots is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=roots)
        trust = Trust(context, "Node.js")
    else:
        trust = Trust(ssl.create_default_context(), "this system")
    extra = environ.get(EXTRA)
    if not extra:
        return trust, []
    try:
        trust.context.load_verify_locations(cafile=extra)
    except (OSError, ssl.SSLError):
        return trust, [
            warning(
                CHECK,
                f"{EXTRA} names {extra}, which cannot be read as certificates.",
                "Node.js ignores it, with a warning.",
                f"Put the CA's certificate there in PEM, or unset {EXTRA}.",
            )
        ]
    return trust, []


def unchecked() -> ssl.SSLContext:
    """Return a context that trusts anyone, to look at certificates. Never send a key over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def system_bundle() -> str | None:
    """Return the file with the authorities that this system trusts."""
    return next((path for path in _BUNDLES if Path(path).is_file()), None)


def explain(
    error: ssl.SSLCertVerificationError,
    certificate: x509.Certificate | None,
    name: str,
    trust: Trust,
    *,
    now: datetime,
    known_to: str | None = None,
) -> list[Finding]:
    """Explain why a certificate is rejected. *known_to*: a file with its authority, if any."""
    found = []
    if error.verify_code in _UNKNOWN:
        found.append(_unknown_authority(certificate, trust, known_to))
        # OpenSSL stops at the first fault; report the others, too.
        if certificate is not None:
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                found.append(_out_of_time(certificate, now))
            if not covers(certificate, name):
                found.append(_wrong_name(certificate, name))
    elif error.verify_code in (_EXPIRED, _NOT_YET):
        found.append(_out_of_time(certificate, now))
    elif error.verify_code in _WRONG_NAME:
        found.append(_wrong_name(certificate, name))
    else:
        found.append(
            problem(
                CHECK,
                f"The server's certificate is not accepted: {error.verify_message}.",
                "The terminal UI refuses the connection, and shows no reason.",
                "Give the server a certificate that is in order.",
            )
        )
    return found


def accepted(certificate: x509.Certificate, version: str, *, now: datetime) -> list[Finding]:
    """Report a trusted certificate, with a warning if it expires soon."""
    found = [ok(CHECK, f"{version}, certificate of {', '.join(names(certificate)) or '?'}")]
    end = certificate.not_valid_after_utc
    if end - now < SOON:
        found.append(
            warning(
                CHECK,
                f"The certificate ends on {end:%Y-%m-%d}, in {max(0, (end - now).days)} days.",
                "From then on no terminal UI can attach.",
                "Renew it, or find out why it was not renewed automatically.",
            )
        )
    return found


def names(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    alternatives = extension.value
    return [
        *alternatives.get_values_for_type(x509.DNSName),
        *map(str, alternatives.get_values_for_type(x509.IPAddress)),
    ]


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Return whether a certificate is for *name*; `*` matches one label (RFC 6125)."""
    host = name.lower().rstrip(".")
    _label, _, parent = host.partition(".")
    return any(known.lower() in (host, f"*.{parent}") for known in names(certificate))


def _unknown_authority(
    certificate: x509.Certificate | None, trust: Trust, known_to: str | None
) -> Finding:
    shown = ""
    if certificate is not None:
        fingerprint = certificate.fingerprint(SHA256()).hex(":").upper()
        shown = f" Its SHA-256 fingerprint is {fingerprint}: compare it with the server's."
    if known_to is not None:
        return problem(
            CHECK,
            f"{trust.whose} does not know who signed the server's certificate.",
            "This system does, but Node.js has a list of its own.",
            f"export {EXTRA}={known_to}",
        )
    return problem(
        CHECK,
        f"{trust.whose} does not know who signed the server's certificate.{shown}",
        "It is self-signed, or of a private authority, or the server sends no chain.",
        "Copy the authority's certificate (or the server's own, if it is self-signed) to this "
        f"machine, and before hermes --tui: export {EXTRA}=/path/to/ca.pem",
    )


def _out_of_time(certificate: x509.Certificate | None, now: datetime) -> Finding:
    if certificate is not None and certificate.not_valid_before_utc > now:
        return problem(
            CHECK,
            f"The certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
            f" UTC, and it is {now:%Y-%m-%d %H:%M} here.",
            "One of the two clocks is wrong, most likely.",
            "Set this machine's clock, or wait.",
        )
    since = f" on {certificate.not_valid_after_utc:%Y-%m-%d}" if certificate is not None else ""
    return problem(
        CHECK,
        f"The server's certificate has expired{since}.",
        "The terminal UI refuses the connection, and shows no reason.",
        "Renew it on the server or the proxy, and reload that; look at this machine's clock, too.",
    )


def _wrong_name(certificate: x509.Certificate | None, name: str) -> Finding:
    known = ", ".join(names(certificate)) if certificate is not None else ""
    return problem(
        CHECK,
        f"The certificate is not for {name}{f', but for {known}' if known else ''}.",
        "The address names another server than the certificate does.",
        "Use a name that the certificate is for, or get one that is for this name.",
    )


def utc_now() -> datetime:
    """Return the wall clock's time, in UTC."""
    return datetime.now(UTC)
