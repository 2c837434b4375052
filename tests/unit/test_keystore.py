from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from hermes_twisted import keystore
from hermes_twisted.keystore import MAX_FILE, VARIABLE, BadKey, Secret

TEXT = "hat_AAAAbbbbCCCCddddEEEE"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write(tmp_path / "my-key", TEXT + "\n")


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(BadKey) as caught:
        keystore.find(path, {}, path.parent)
    text = str(caught.value)
    assert str(path) in text
    return text


def test_key_file_comes_first(key_file: Path, tmp_path: Path) -> None:
    """A named file wins over the environment and over the key of our own making."""
    keystore.make(tmp_path)

    secret = keystore.find(key_file, {VARIABLE: "another"}, tmp_path)

    assert secret == Secret(TEXT, str(key_file))


def test_environment_comes_second(tmp_path: Path) -> None:
    """A key in the environment wins over the one of our own making."""
    keystore.make(tmp_path)

    assert keystore.find(None, {VARIABLE: TEXT}, tmp_path) == Secret(TEXT, VARIABLE)


def test_made_key_comes_last(tmp_path: Path) -> None:
    """The key that was made before is found again; an empty variable is none."""
    made = keystore.make(tmp_path)

    assert keystore.find(None, {VARIABLE: ""}, tmp_path) == made


def test_no_key(tmp_path: Path) -> None:
    """Where there is no key, none is invented."""
    assert keystore.find(None, {}, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_make(tmp_path: Path) -> None:
    """A made key is strong, and in a file and directory of its owner alone."""
    home = tmp_path / "not" / "there" / "yet"

    secret = keystore.make(home)

    path = keystore.default_path(home)
    assert path == home / "attach" / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text() == secret.text + "\n"
    assert secret.keyring().find(secret.text.encode()) is not None


def test_make_twice(tmp_path: Path) -> None:
    """A key that is there is never overwritten."""
    first = keystore.make(tmp_path)

    with pytest.raises(BadKey, match="File exists"):
        keystore.make(tmp_path)

    assert keystore.find(None, {}, tmp_path) == first


def test_make_follows_no_link(tmp_path: Path) -> None:
    """A link that somebody laid in the way is not written through."""
    path = keystore.default_path(tmp_path)
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BadKey):
        keystore.make(tmp_path)

    assert not (tmp_path / "elsewhere").exists()


def test_make_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A key that cannot be written is refused with the reason and a way out."""
    (tmp_path / "attach").write_text("a file in the way")

    with pytest.raises(BadKey, match="--key-file") as caught:
        keystore.make(tmp_path)

    assert str(tmp_path / "attach" / "key") in str(caught.value)


def test_dangling_link(tmp_path: Path) -> None:
    """A link to nowhere is a mistake to be told, not "no key yet"."""
    path = keystore.default_path(tmp_path)
    path.parent.mkdir()
    path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(BadKey, match="No such file"):
        keystore.find(None, {}, tmp_path)


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

    assert keystore.find(path, {}, tmp_path) == Secret(TEXT, str(path))


@pytest.mark.parametrize("content", [TEXT, f"{TEXT}\n", f"{TEXT}\r\n", f"\n  {TEXT}\t\n\n"])
def test_white_space(tmp_path: Path, content: str) -> None:
    """White space around the key does not count."""
    path = write(tmp_path / "key", content)

    assert keystore.find(path, {}, tmp_path) == Secret(TEXT, str(path))


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

    assert keystore.find(path, {}, tmp_path) == Secret(TEXT, str(path))


def test_weak_key() -> None:
    """A weak key is refused with its source and a recipe, and not quoted."""
    with pytest.raises(BadKey, match="shorter than") as caught:
        Secret("hunter2", VARIABLE).keyring()

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
