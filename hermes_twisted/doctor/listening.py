"""Checks the server's endpoints: the programs that listen there now, and TLS files."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ..listen.endpoints import Listener
from . import trust
from .findings import Finding, ok, problem, warning
from .identity import Identity, Peer, identify, readiness
from .network import Address, Network, Stream

CHECK = "port"
_TIMEOUT = 5.0
#: Returns the process that listens on a TCP port, None if that cannot be found out.
FindOwner = Callable[[int], str | None]


@dataclass(frozen=True)
class Place:
    """The address of an endpoint, as far as its description has it."""

    address: Address
    encrypted: bool
    shown: str


def place_of(listener: Listener) -> Place | None:
    """Return the address of *listener*, None if its description does not have it."""
    positional, named = _arguments(listener.description)
    first = positional[1] if len(positional) > 1 else named.get("port", named.get("address", ""))
    if listener.kind == "unix":
        return Place(Address(socket.AF_UNIX, first), False, first)
    if listener.kind not in ("tcp", "tcp6", "ssl") or not first.isdecimal() or first == "0":
        return None
    interface = named.get("interface", "")
    try:
        host = ipaddress.ip_address(interface or ("::" if listener.kind == "tcp6" else "0.0.0.0"))  # noqa: S104
    except ValueError:
        return None
    family = socket.AF_INET6 if host.version == 6 else socket.AF_INET
    reached = ("::1" if host.version == 6 else "127.0.0.1") if host.is_unspecified else str(host)
    return Place(Address(family, (reached, int(first))), listener.encrypted, f"port {first}")


def _arguments(description: str) -> tuple[list[str], dict[str, str]]:
    """Split an endpoint's arguments into positional and named ones; a backslash escapes."""
    positional, named = [], {}
    for part in re.split(r"(?<!\\):", description):
        name, equals, value = part.partition("=")
        if equals:
            named[name] = re.sub(r"\\(.)", r"\1", value)
        else:
            positional.append(re.sub(r"\\(.)", r"\1", part))
    return positional, named


def check(listener: Listener, network: Network, find_owner: FindOwner) -> list[Finding]:
    """Check which program listens on the endpoint's address now."""
    place = place_of(listener)
    if place is None:
        return [ok(CHECK, f"{listener.description} cannot be checked from here")]

    def dial() -> Stream:
        stream = network.connect(place.address, _TIMEOUT)
        return network.secure(stream, "localhost", trust.unchecked()) if place.encrypted else stream

    try:
        network.connect(place.address, _TIMEOUT).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return [_unused(place)]
    except OSError as error:
        return [
            problem(
                CHECK,
                f"{place.shown} cannot be tried: {error.strerror or type(error).__name__}.",
                "The server could not be reached there, if it runs.",
                "Check the endpoint, and its permissions.",
            )
        ]
    identity = identify(dial, "localhost")
    return [_in_use(place, identity, readiness(dial, "localhost"), find_owner)]


def _unused(place: Place) -> Finding:
    return warning(
        CHECK,
        f"Nothing listens on {place.shown}.",
        "The server does not run, or listens elsewhere.",
        "Start it: hermes-attach serve, or by its service; or name its port here with --port or "
        "--listen.",
    )


def _in_use(place: Place, identity: Identity, state: str | None, find_owner: FindOwner) -> Finding:
    if identity.peer is Peer.ATTACH:
        if state is None:
            return ok(CHECK, f"hermes-attach serves on {place.shown}, and Hermes is ready")
        return problem(
            CHECK,
            f"hermes-attach serves on {place.shown}, but Hermes is not ready: {state}.",
            "Terminals that attach wait, and see nothing.",
            "Look into its log; the findings about Hermes, here, may have the reason.",
        )
    number = place.address.sockaddr[1] if isinstance(place.address.sockaddr, tuple) else 0
    owner = find_owner(int(str(number))) if number else None
    by = f", process {owner}" if owner else ""
    return problem(
        CHECK,
        f"{place.shown} is in use by {identity}{by}.",
        "The server cannot listen there.",
        "Stop that program, or choose another port with --port.",
    )


def owner_of_port(port: int, proc: Path = Path("/proc")) -> str | None:
    """Return the process that listens on a TCP port, as number and name; None if not visible."""
    inodes = set(_listening_inodes(port, proc))
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        # Another user's, or gone meanwhile.
        with contextlib.suppress(OSError):
            if any(_link(descriptor) in inodes for descriptor in (process / "fd").iterdir()):
                return f"{process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _link(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except OSError:
        return ""  # Closed meanwhile, as the descriptor of this listing is.


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


# TLS files.


def check_tls(listener: Listener, now: datetime) -> list[Finding]:
    """Check the certificate and key that an `ssl:` endpoint names."""
    if listener.kind != "ssl":
        return []
    positional, named = _arguments(listener.description)
    key = named.get("privateKey") or (positional[2] if len(positional) > 2 else "server.pem")
    certificate = named.get("certKey") or (positional[3] if len(positional) > 3 else key)
    return check_files(Path(certificate), Path(key), now)


def check_files(certificate: Path, key: Path, now: datetime) -> list[Finding]:
    """Check that the files are readable, private, a pair, and valid for a while."""
    findings = []
    try:
        mode = key.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
            findings.append(
                problem(
                    "tls",
                    f"Others than its owner can read {key}.",
                    "Everyone who has the private key can pose as this server.",
                    f"Run: chmod 600 {key}. If others use this machine, get a new certificate.",
                )
            )
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
        findings.append(
            problem(
                "tls",
                f"{certificate} and {key} cannot be used: {re.sub('_', ' ', str(reason)).lower()}.",
                "No TLS connection can be made.",
                "Name a certificate (with its chain) and its private key, both in PEM, without a "
                "password, and readable by the server's user.",
            )
        )
        return findings
    return findings + _validity(certificate, leaf, now)


def _validity(path: Path, leaf: x509.Certificate, now: datetime) -> list[Finding]:
    end = leaf.not_valid_after_utc
    shown = f"{path}, for {', '.join(trust.names(leaf)) or 'no name'}"
    if end <= now:
        return [
            problem(
                "tls",
                f"{shown}: expired on {end:%Y-%m-%d}.",
                "Clients refuse it, and the terminal UI shows no reason.",
                "Renew it, and restart or reload the server.",
            )
        ]
    if end - now < trust.SOON:
        return [
            warning(
                "tls",
                f"{shown}: ends on {end:%Y-%m-%d}.",
                "From then on no terminal UI can attach.",
                "Renew it, or find out why it was not renewed automatically.",
            )
        ]
    return [ok("tls", f"{shown}, valid until {end:%Y-%m-%d}")]
