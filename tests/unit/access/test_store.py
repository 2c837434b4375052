from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_twisted.access import store as keystore
from hermes_twisted.access.keys import Keys, Scope
from hermes_twisted.shared.problem import Problem


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store of a home, with one key."""
    add(tmp_path, "first")
    return keystore.store_path(tmp_path)


def add(home: Path, name: str) -> str:
    with keystore.changing(home) as change:
        keys, _record, secret = change.keys.make(name, Scope.FULL)
        change.write(keys)
    return secret


def names(home: Path) -> list[str]:
    return [record.key.name for record in keystore.read(home).records]


def complaint(home: Path) -> str:
    with pytest.raises(Problem) as caught:
        keystore.read(home)
    return str(caught.value)


def test_no_store(tmp_path: Path) -> None:
    """Without a store there are no keys, and looking makes none."""
    assert keystore.read(tmp_path).records == ()
    assert list(tmp_path.iterdir()) == []


def test_write_and_read(tmp_path: Path) -> None:
    """A key that was written admits, for everyone who reads."""
    home = tmp_path / "not" / "there" / "yet"

    secret = add(home, "laptop")

    found = keystore.read(home).find(secret.encode())
    assert found is not None and found.name == "laptop"


def test_permissions(store: Path) -> None:
    """Store, lock and directory are their owner's alone, whatever the umask."""
    assert store == store.parents[1] / "attach" / "keys.json"
    assert stat.S_IMODE(store.parent.stat().st_mode) == 0o700
    for file in store.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_hashes_only(tmp_path: Path) -> None:
    """No file of the store has the secret."""
    secret = add(tmp_path, "laptop")

    for file in keystore.store_path(tmp_path).parent.iterdir():
        assert secret.encode() not in file.read_bytes()
        assert secret[4:].encode() not in file.read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_file_of_others(store: Path, mode: int) -> None:
    """A store that others can read or write is refused, with the command that mends it."""
    store.chmod(mode)

    assert f"chmod 600 {store}" in complaint(store.parents[1])


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o720, 0o702, 0o710, 0o701, 0o777])
def test_directory_of_others(store: Path, mode: int) -> None:
    """So is a directory in which others could exchange it, for reading and for writing."""
    store.parent.chmod(mode)

    assert f"chmod 700 {store.parent}" in complaint(store.parents[1])
    with pytest.raises(Problem, match="chmod 700"):
        add(store.parents[1], "second")


def test_other_owner(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store or directory of somebody else is refused, even root's."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    text = complaint(store.parents[1])

    assert "belongs to another user" in text
    assert str(store.parent) in text

    from hermes_twisted.files import read_private

    with pytest.raises(Problem, match="belongs to another user"):
        read_private(store, "The key store", 10)


@pytest.mark.parametrize("target", ["real.json", "nowhere"])
def test_link(store: Path, target: str) -> None:
    """A link in the place of the store is refused, wherever it leads."""
    store.rename(store.with_name("real.json"))
    store.symlink_to(store.with_name(target))

    assert "is a link" in complaint(store.parents[1])


def test_not_a_file(store: Path) -> None:
    """A pipe in its place is refused at once."""
    store.unlink()
    os.mkfifo(store, 0o600)

    assert "not a regular file" in complaint(store.parents[1])


def test_directory_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "attach").write_text("in the way")

    with pytest.raises(Problem, match="attach"):
        add(tmp_path, "laptop")


def test_malformed(store: Path) -> None:
    """What cannot be understood is refused with the file, the entry and the field."""
    content = json.loads(store.read_text())
    content["keys"][0]["scope"] = "root"
    store.write_text(json.dumps(content))

    text = complaint(store.parents[1])

    assert str(store) in text
    assert "key 1 (first): scope" in text


def test_malformed_store_is_not_overwritten(store: Path) -> None:
    """A change of a store that cannot be read is refused: it might lose keys."""
    store.write_text("{")

    with pytest.raises(Problem, match="not valid JSON"):
        add(store.parents[1], "second")

    assert store.read_text() == "{"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_failing_write(store: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A disk that is full, or breaks, leaves the store as it was and no half file."""
    before = store.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr("hermes_twisted.access.store_format.dump", fail)
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(Problem, match="No space left"):
        add(store.parents[1], "second")

    assert store.read_bytes() == before
    assert sorted(file.name for file in store.parent.iterdir()) == ["keys.json", "keys.lock"]


#: Adds a key, and dies at the call that is named.
_DYING = """
import os, sys
from pathlib import Path
from hermes_twisted.access import store as keystore
from hermes_twisted.access.keys import Scope

def die(*_):
    os._exit(9)

setattr(os, sys.argv[2], die)
with keystore.changing(Path(sys.argv[1])) as change:
    change.write(change.keys.make("second", Scope.FULL)[0])
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_dying_writer(store: Path, call: str) -> None:
    """A change that is killed halfway leaves the store whole, unlocked, and is swept up."""
    home = store.parents[1]

    died = subprocess.run([sys.executable, "-c", _DYING, str(home), call], check=False)

    assert died.returncode == 9
    assert len(list(store.parent.iterdir())) == 3
    assert names(home) == ["first"]
    add(home, "third")
    assert names(home) == ["first", "third"]
    assert sorted(file.name for file in store.parent.iterdir()) == ["keys.json", "keys.lock"]


_ADDING = """
import sys
from pathlib import Path
from hermes_twisted.access import store as keystore
from hermes_twisted.access.keys import Scope

for number in range(10):
    with keystore.changing(Path(sys.argv[1])) as change:
        change.write(change.keys.make(f"{sys.argv[2]}-{number}", Scope.FULL)[0])
"""


def test_concurrent_writers(tmp_path: Path) -> None:
    """Keys that several processes make at once are all kept."""
    writers = [
        subprocess.Popen([sys.executable, "-c", _ADDING, str(tmp_path), f"w{number}"])
        for number in range(4)
    ]

    assert [writer.wait() for writer in writers] == [0] * 4
    assert sorted(names(tmp_path)) == sorted(f"w{w}-{n}" for w in range(4) for n in range(10))


def test_lock_that_is_not_given_back(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change does not wait for ever for another."""
    monkeypatch.setattr(keystore, "LOCK_TIMEOUT", 0.0)

    with (
        keystore.changing(store.parents[1]),
        pytest.raises(Problem, match=r"keys\.lock"),
        keystore.changing(store.parents[1]),
    ):
        pass


def test_lock_is_no_link(store: Path) -> None:
    """A link in the place of the lock is not followed."""
    lock = store.with_name("keys.lock")
    lock.unlink()
    lock.symlink_to(store.with_name("elsewhere"))

    with pytest.raises(Problem, match=r"keys\.lock"):
        add(store.parents[1], "second")

    assert not store.with_name("elsewhere").exists()


def test_readers_see_all_or_nothing(store: Path) -> None:
    """The file that a reader has open is never changed under it."""
    home = store.parents[1]
    with store.open("rb") as file:
        before = file.read(20)
        add(home, "second")

        assert json.loads(before + file.read())["keys"][0]["name"] == "first"
    assert isinstance(keystore.read(home), Keys)
