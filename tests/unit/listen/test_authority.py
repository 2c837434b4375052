"""Our own authority: made once, kept from others, and its certificates renewed in time."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from hermes_twisted.listen.authority import (
    AUTHORITY_LIFE,
    AUTHORITY_MARGIN,
    LEAF_LIFE,
    LEAF_MARGIN,
    Authority,
)
from hermes_twisted.listen.pem import Credentials, pin, read_certificates
from hermes_twisted.shared.problem import Problem

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NAMES = ["localhost", "127.0.0.1", "::1", "attach.example"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "attach" / "tls")


def complaint(authority: Authority) -> str:
    with pytest.raises(Problem) as caught:
        authority.credentials(NAMES, NOW)
    return str(caught.value)


def root(authority: Authority) -> x509.Certificate:
    return read_certificates(authority.certificate, "authority")[0]


def names_of(found: Credentials) -> set[str]:
    names = found.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def verify(found: Credentials, trusted: x509.Certificate, when: datetime) -> None:
    """As a strict client does, by the Web's rules; `cryptography` raises if it must not trust."""
    builder = PolicyBuilder().store(Store([trusted])).time(when)
    builder.build_server_verifier(x509.DNSName("attach.example")).verify(found.leaf, [])


def test_made(authority: Authority) -> None:
    """A strict client that has ca.pem accepts what was made."""
    found = authority.credentials(NAMES, NOW)

    verify(found, root(authority), NOW)
    assert names_of(found) == set(NAMES)
    assert found.chain == (found.leaf,)
    usage = found.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_authority_can_sign_nothing_but_leaves(authority: Authority) -> None:
    authority.credentials(NAMES, NOW)

    constraints = root(authority).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_private(authority: Authority) -> None:
    """The directory and every file in it are the owner's alone; nothing else is left."""
    authority.credentials(NAMES, NOW)

    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in authority.directory.iterdir()}
    assert files == {"ca.pem": 0o600, "ca-key.pem": 0o600, "server.pem": 0o600}


def test_same_again(authority: Authority) -> None:
    """As long as it is good for, nothing is written."""
    first = authority.credentials(NAMES, NOW)
    before = {file: file.stat().st_mtime_ns for file in authority.directory.iterdir()}

    again = authority.credentials(reversed(NAMES), NOW + LEAF_LIFE - LEAF_MARGIN)

    assert again.leaf == first.leaf
    assert {file: file.stat().st_mtime_ns for file in authority.directory.iterdir()} == before


def test_renewed_in_time(authority: Authority) -> None:
    """The authority and the server's key stay: copies and pins hold."""
    first = authority.credentials(NAMES, NOW)
    trusted = root(authority)
    later = NOW + LEAF_LIFE - LEAF_MARGIN + SECOND

    renewed = authority.credentials(NAMES, later)

    assert renewed.leaf != first.leaf
    assert renewed.leaf.not_valid_after_utc == later + LEAF_LIFE
    assert root(authority) == trusted
    assert pin(renewed.leaf) == pin(first.leaf)
    verify(renewed, trusted, later)


def test_other_names(authority: Authority) -> None:
    """Names come and go, the authority stays."""
    authority.credentials(NAMES, NOW)
    trusted = root(authority)

    changed = authority.credentials(["attach.example", "10.0.0.1"], NOW)

    assert names_of(changed) == {"attach.example", "10.0.0.1"}
    assert root(authority) == trusted
    verify(changed, trusted, NOW)


def test_authority_renewed_in_time(authority: Authority) -> None:
    """Clients with the copy of old go on until that expires; those with the new one as well."""
    authority.credentials(NAMES, NOW)
    old = root(authority)
    later = NOW + AUTHORITY_LIFE - AUTHORITY_MARGIN + SECOND

    renewed = authority.credentials(NAMES, later)

    new = root(authority)
    assert new.not_valid_after_utc == later + AUTHORITY_LIFE
    verify(renewed, old, later)
    verify(renewed, new, later)


def test_clock_that_was_wrong(authority: Authority) -> None:
    """A machine that thought it was 2050 gets certificates that are valid now."""
    authority.credentials(NAMES, NOW + timedelta(days=7300))

    found = authority.credentials(NAMES, NOW)

    verify(found, root(authority), NOW)


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_broken_server_file(authority: Authority, content: bytes) -> None:
    """It is ours to make again."""
    authority.credentials(NAMES, NOW)
    (authority.directory / "server.pem").write_bytes(content)

    verify(authority.credentials(NAMES, NOW), root(authority), NOW)


def test_server_file_of_another_authority(authority: Authority, tmp_path: Path) -> None:
    authority.credentials(NAMES, NOW)
    other = Authority(tmp_path / "other")
    other.credentials(NAMES, NOW)
    stolen = (other.directory / "server.pem").read_bytes()
    (authority.directory / "server.pem").write_bytes(stolen)

    verify(authority.credentials(NAMES, NOW), root(authority), NOW)


def test_lost_certificate_of_the_authority(authority: Authority) -> None:
    """It is issued again with the same key and name: copies hold."""
    found = authority.credentials(NAMES, NOW)
    old = root(authority)
    authority.certificate.unlink()

    again = authority.credentials(NAMES, NOW)

    assert again.leaf == found.leaf
    verify(again, old, NOW)
    verify(again, root(authority), NOW)


def test_lost_key_of_the_authority(authority: Authority) -> None:
    """No new authority is made behind the back of those who have copied the old one."""
    authority.credentials(NAMES, NOW)
    (authority.directory / "ca-key.pem").unlink()

    text = complaint(authority)

    assert "without its key" in text and "remove" in text
    assert not (authority.directory / "ca-key.pem").exists()


def test_key_of_another_authority(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    for made in (authority, other):
        made.credentials(NAMES, NOW)
    wrong = (other.directory / "ca-key.pem").read_bytes()
    (authority.directory / "ca-key.pem").write_bytes(wrong)

    assert "do not belong together" in complaint(authority)


@pytest.mark.parametrize("file", ["ca.pem", "ca-key.pem"])
def test_broken_authority(authority: Authority, file: str) -> None:
    authority.credentials(NAMES, NOW)
    (authority.directory / file).write_bytes(b"rubbish")

    assert str(authority.directory / file) in complaint(authority)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770])
def test_directory_that_others_can_enter(authority: Authority, mode: int) -> None:
    authority.credentials(NAMES, NOW)
    authority.directory.chmod(mode)

    assert f"chmod 700 {authority.directory}" in complaint(authority)


def test_key_that_others_can_read(authority: Authority) -> None:
    authority.credentials(NAMES, NOW)
    (authority.directory / "ca-key.pem").chmod(0o640)

    assert "chmod 600" in complaint(authority)


def test_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "attach").write_text("a file")

    text = complaint(Authority(tmp_path / "attach" / "tls"))

    assert "--tls-cert" in text and str(tmp_path / "attach" / "tls") in text


def test_left_over_from_a_crash(authority: Authority, tmp_path: Path) -> None:
    """A half-written file is no obstacle, and a link in its place is not followed."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    authority.directory.mkdir(mode=0o700, parents=True)
    (authority.directory / ".server.pem.new").symlink_to(victim)
    (authority.directory / ".ca.pem.new").write_text("half")

    verify(authority.credentials(NAMES, NOW), root(authority), NOW)

    assert victim.read_text() == "precious"
    assert len(list(authority.directory.iterdir())) == 3


def test_two_servers_at_once(authority: Authority) -> None:
    """They start on one home, and there is one authority all the same."""
    begin = threading.Barrier(8)
    found: list[Credentials] = []

    def start() -> None:
        begin.wait()
        found.append(Authority(authority.directory).credentials(NAMES, NOW))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({credentials.leaf for credentials in found}) == 1 and len(found) == 8
