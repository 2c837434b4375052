from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hermes_twisted.access import plaintext
from hermes_twisted.access.plaintext import MAX_FILE, VARIABLE, Secret
from hermes_twisted.shared.problem import Problem

TEXT = "hat_AAAAbbbbCCCCddddEEEE"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write(tmp_path / "my-key", TEXT + "\n")


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(Problem) as caught:
        plaintext.find(path, {})
    text = str(caught.value)
    assert str(path) in text
    return text


def test_key_file_comes_first(key_file: Path) -> None:
    """Of a named file and the environment, the file's key is the one to show."""
    assert plaintext.find(key_file, {VARIABLE: "another"}) == Secret(TEXT, str(key_file))


def test_environment_comes_second() -> None:
    """Without a file it is the environment's."""
    assert plaintext.find(None, {VARIABLE: TEXT}) == Secret(TEXT, VARIABLE)


def test_no_key() -> None:
    """Where there is no key, none is invented; an empty variable is none."""
    assert plaintext.find(None, {}) is None
    assert plaintext.find(None, {VARIABLE: ""}) is None


def test_absent_file(tmp_path: Path) -> None:
    """A key file that is not there is an error: it was asked for."""
    assert "No such file" in complaint(tmp_path / "absent")


def test_directory(tmp_path: Path) -> None:
    """A directory is no key file."""
    (tmp_path / "keys").mkdir()

    assert "cannot be read" in complaint(tmp_path / "keys")


def test_pipe(tmp_path: Path) -> None:
    """A pipe or device is no key file, whatever comes out of it."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    ours = os.open(path, os.O_RDWR)
    try:
        os.write(ours, b"x" * (MAX_FILE + 1))

        assert "not a regular file" in complaint(path)
    finally:
        os.close(ours)


def test_pipe_without_a_writer(tmp_path: Path) -> None:
    """A pipe that nobody writes to is refused at once: a start does not wait for it."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    answers: list[str] = []

    reading = threading.Thread(target=lambda: answers.append(complaint(path)), daemon=True)
    reading.start()
    reading.join(10)
    if reading.is_alive():  # Let it go, to fail and not to hang.
        os.close(os.open(path, os.O_RDWR))

    assert ["not a regular file" in text for text in answers] == [True]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_readable_by_others(tmp_path: Path, mode: int) -> None:
    """A key file that others may touch is refused, with the command that mends it."""
    path = write(tmp_path / "key", TEXT, mode)

    assert f"chmod 600 {path}" in complaint(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_readable_by_its_owner(tmp_path: Path, mode: int) -> None:
    """What only its owner may touch will do."""
    path = write(tmp_path / "key", TEXT, mode)

    assert plaintext.find(path, {}) == Secret(TEXT, str(path))


@pytest.mark.parametrize("content", [TEXT, f"{TEXT}\n", f"{TEXT}\r\n", f"\n  {TEXT}\t\n\n"])
def test_white_space(tmp_path: Path, content: str) -> None:
    """White space around the key does not count."""
    path = write(tmp_path / "key", content)

    assert plaintext.find(path, {}) == Secret(TEXT, str(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        f"{TEXT} {TEXT}".encode(),
        f"{TEXT}\n{TEXT}\n".encode(),
        f"key: {TEXT}\n".encode(),
        "schlüssel-schlüssel".encode(),
        b"\xff\xfe",
        b"x" * (MAX_FILE + 1),
        TEXT.encode() + b" " * MAX_FILE,
    ],
)
def test_not_one_key(tmp_path: Path, content: bytes) -> None:
    """A file that is not one key on one line is refused, and not quoted."""
    text = complaint(write(tmp_path / "key", content))

    assert "one key on one line" in text
    assert TEXT not in text


def test_largest_file(tmp_path: Path) -> None:
    """A file of just the largest size is read whole."""
    path = write(tmp_path / "key", TEXT + "\n" * (MAX_FILE - len(TEXT)))

    assert plaintext.find(path, {}) == Secret(TEXT, str(path))


def test_weak_key() -> None:
    """A weak key is refused with its source and a recipe, and not quoted."""
    with pytest.raises(Problem, match="shorter than") as caught:
        plaintext.find(None, {VARIABLE: "hunter2"})

    text = str(caught.value)
    assert VARIABLE in text
    assert "secrets.token_urlsafe" in text
    assert "hunter2" not in text
    assert caught.value.__cause__ is None


def test_secret_is_not_shown() -> None:
    """The object's text names its source alone."""
    secret = Secret(TEXT, "/etc/key")

    assert TEXT not in f"{secret!r} {secret}"
    assert "/etc/key" in repr(secret)


def test_link_to_a_key_file(key_file: Path, tmp_path: Path) -> None:
    """A named file may be a link: secrets are often mounted so."""
    (tmp_path / "link").symlink_to(key_file)

    assert plaintext.find(tmp_path / "link", {}) == Secret(TEXT, str(tmp_path / "link"))


def test_systemd_credential(tmp_path: Path) -> None:
    """A credential of a service with its own user shows permissions that its group has not."""
    path = write(tmp_path / "attach-key", TEXT, 0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert plaintext.find(path, environ) == Secret(TEXT, str(path))
    with pytest.raises(Problem, match="by users other than"):
        plaintext.find(path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "other")})


@pytest.mark.parametrize("mode", [0o444, 0o404, 0o420, 0o460])
def test_not_how_a_credential_looks(tmp_path: Path, mode: int) -> None:
    """Among credentials, too, a file that others can read or write is refused."""
    path = write(tmp_path / "attach-key", TEXT, mode)

    with pytest.raises(Problem, match="by users other than"):
        plaintext.find(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_owner(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file may be ours or root's, and nobody else's: its owner can exchange the key."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(plaintext, "_ROOT", os.getuid())
    assert plaintext.find(key_file, {}) is not None

    monkeypatch.setattr(plaintext, "_ROOT", 54321)
    assert "belongs to another user" in complaint(key_file)
