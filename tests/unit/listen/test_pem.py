"""Certificates and keys in files: every mistake has its own words."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hermes_twisted.listen.pem import (
    MAX_FILE,
    Credentials,
    pin,
    read_certificates,
    read_credentials,
)
from hermes_twisted.shared.problem import Problem
from tests.certs import DAY, Issued, issue


@pytest.fixture(scope="module")
def issued() -> Issued:
    return issue()


@pytest.fixture
def files(issued: Issued, tmp_path: Path) -> tuple[Path, Path]:
    return issued.write(tmp_path)


def complaint(certificate: Path, key: Path | None) -> str:
    with pytest.raises(Problem) as caught:
        read_credentials(certificate, key)
    assert "PRIVATE KEY-----\n" not in str(caught.value)
    return str(caught.value)


def test_two_files(files: tuple[Path, Path], issued: Issued) -> None:
    """A certificate and the key that belongs to it."""
    found = read_credentials(*files)

    assert found.chain == (issued.certificate,)
    assert found.key.private_numbers() == issued.key.private_numbers()  # type: ignore[union-attr]
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize("key_first", [False, True])
def test_one_file(issued: Issued, tmp_path: Path, key_first: bool) -> None:
    """Both may be in one file, in any order, as many tools write them."""
    parts = [issued.pem, issued.key_pem()]
    file = tmp_path / "both.pem"
    file.touch(0o600)
    file.write_bytes(b"".join(reversed(parts) if key_first else parts))

    assert read_credentials(file, None).leaf == issued.certificate


def test_key_with_parameters(issued: Issued, files: tuple[Path, Path]) -> None:
    """`openssl ecparam -genkey` writes the curve before the key."""
    traditional = issued.key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    curve = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    files[1].write_bytes(curve + traditional)

    assert read_credentials(*files).leaf == issued.certificate


def test_chain(tmp_path: Path) -> None:
    """The server's own comes first, those that signed it follow."""
    authority = issue("authority", ca=True)
    server = issue(by=authority)
    certificate, key = server.write(tmp_path)
    certificate.write_bytes(server.pem + authority.pem)

    assert read_credentials(certificate, key).chain == (server.certificate, authority.certificate)

    certificate.write_bytes(authority.pem + server.pem)
    assert "but not to the first one" in complaint(certificate, key)


def test_other_key(files: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = issue().write(tmp_path / "other")

    text = complaint(files[0], other)

    assert "does not belong to the certificate" in text
    assert str(files[0]) in text and str(other) in text


@pytest.mark.parametrize("which", [0, 1], ids=["certificate", "key"])
def test_missing_file(files: tuple[Path, Path], which: int) -> None:
    files[which].unlink()

    assert complaint(*files).endswith(f"{files[which]} cannot be read: No such file or directory.")


@pytest.mark.parametrize("which", [0, 1], ids=["certificate", "key"])
def test_unreadable_file(files: tuple[Path, Path], which: int) -> None:
    """The system's own words; a loop, because root is refused nothing else."""
    files[which].unlink()
    files[which].symlink_to(files[which])

    assert "cannot be read: Too many levels of symbolic links." in complaint(*files)


@pytest.mark.parametrize("which", [0, 1], ids=["certificate", "key"])
def test_directory(files: tuple[Path, Path], which: int) -> None:
    files[which].unlink()
    files[which].mkdir()

    assert str(files[which]) in complaint(*files)


def test_pipe_does_not_block(files: tuple[Path, Path]) -> None:
    files[1].unlink()
    os.mkfifo(files[1], 0o600)

    assert "is not a regular file" in complaint(*files)


def test_endless_file(files: tuple[Path, Path]) -> None:
    with files[0].open("ab") as file:
        file.truncate(MAX_FILE + 1)

    assert "at most 4 MiB" in complaint(*files)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_key_that_others_can_reach(files: tuple[Path, Path], mode: int) -> None:
    files[1].chmod(mode)

    text = complaint(*files)

    assert "users other than its owner" in text
    assert f"chmod 600 {files[1]}" in text


def test_one_file_that_others_can_reach(issued: Issued, tmp_path: Path) -> None:
    """A certificate is public; with the key in the same file it is not."""
    file = tmp_path / "both.pem"
    file.write_bytes(issued.pem + issued.key_pem())
    file.chmod(0o644)

    assert f"chmod 600 {file}" in complaint(file, None)


def test_encrypted_key(issued: Issued, files: tuple[Path, Path]) -> None:
    files[1].write_bytes(issued.key_pem(b"passphrase"))

    text = complaint(*files)

    assert "is encrypted" in text and "openssl pkey" in text


def test_encrypted_key_of_old(issued: Issued, files: tuple[Path, Path]) -> None:
    files[1].write_bytes(
        issued.key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"passphrase")
        )
    )

    assert "is encrypted" in complaint(*files)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe"])
def test_no_certificate(files: tuple[Path, Path], content: bytes) -> None:
    files[0].write_bytes(content)

    assert "has no certificate in PEM form" in complaint(*files)


def test_certificate_cut_short(issued: Issued, files: tuple[Path, Path]) -> None:
    lines = issued.pem.splitlines(keepends=True)
    files[0].write_bytes(b"".join([*lines[:3], lines[-1]]))

    assert "has no certificate in PEM form" in complaint(*files)


def test_no_key(files: tuple[Path, Path], issued: Issued) -> None:
    """The two files are easily mixed up."""
    files[1].write_bytes(issued.pem)

    assert f"{files[1]} has no private key" in complaint(*files)


def test_broken_key(files: tuple[Path, Path], issued: Issued) -> None:
    files[1].write_bytes(issued.key_pem().replace(b"\nM", b"\nA", 1))

    assert "cannot be parsed" in complaint(*files)


def test_key_of_another_kind(files: tuple[Path, Path]) -> None:
    key = x25519.X25519PrivateKey.generate()
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    assert "TLS clients do not support" in complaint(*files)


def test_time() -> None:
    """A certificate is valid from its first moment to just before its last."""
    first, last = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 2, 1, tzinfo=UTC)
    issued = issue(first=first, last=last)
    found = Credentials((issued.certificate,), issued.key)

    found.check_time(first, Path("a.crt"))
    found.check_time(last - DAY, Path("a.crt"))
    with pytest.raises(Problem, match=r"a\.crt is not valid before 2030-01-01 00:00 UTC.*clock"):
        found.check_time(first - DAY, Path("a.crt"))
    with pytest.raises(Problem, match=r"a\.crt expired on 2030-02-01 00:00 UTC\. Renew it"):
        found.check_time(last, Path("a.crt"))


def test_authorities(tmp_path: Path) -> None:
    """A bundle holds several; an empty one is a mistake, and none at all."""
    one, two = issue("one", ca=True), issue("two", ca=True)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(one.pem + b"\nA comment.\n" + two.pem)

    assert read_certificates(bundle, "client authority") == (one.certificate, two.certificate)

    bundle.write_bytes(b"")
    with pytest.raises(Problem, match=r"client authority file .*bundle\.pem has no certificate"):
        read_certificates(bundle, "client authority")


def test_pin(issued: Issued, tmp_path: Path) -> None:
    """It is the one that openssl and curl compute (RFC 7469 §2.4), and follows the key."""
    der = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = base64.b64encode(hashlib.sha256(der).digest()).decode()

    assert pin(issued.certificate) == f"sha256//{digest}"
    assert pin(issue().certificate) != pin(issued.certificate)


def test_rsa(tmp_path: Path) -> None:
    """The key's kind is the operator's choice."""
    issued = issue(bits=2048)

    assert read_credentials(*issued.write(tmp_path)).leaf == issued.certificate
