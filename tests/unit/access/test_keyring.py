from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from hermes_twisted.access import plaintext
from hermes_twisted.access import store as keystore
from hermes_twisted.access.keyring import FIRST_NAME, ServerKeys, former_key, no_key
from hermes_twisted.access.keys import Scope
from hermes_twisted.files import Signature
from hermes_twisted.shared.problem import Problem
from tests.unit.access.conftest import Now

TEXT = "hat_AAAAbbbbCCCCddddEEEE"
OTHER = "hat_ffffGGGGhhhhIIIIjjjj"


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """The problems that were logged."""
    found: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_level"] is LogLevel.error:
            found.append(event["problem"])

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def make(home: Path, name: str, now: Now, **options: Any) -> str:
    with keystore.changing(home, now) as store:
        keys, _record, secret = store.keys.make(name, Scope.FULL, **options)
        store.write(keys)
    return secret


def revoke(home: Path, name: str, now: Now, *, disconnect: bool = False) -> None:
    with keystore.changing(home, now) as store:
        store.write(store.keys.revoke(name, disconnect=disconnect))


def serve(
    home: Path, now: Now, environ: dict[str, str] | None = None, **options: Any
) -> ServerKeys:
    keys = ServerKeys(home, environ or {}, now=now, **options)
    keys.load()
    return keys


def name_of(keys: ServerKeys, secret: str) -> str | None:
    key = keys.find(secret.encode())
    return key.name if key else None


def write_key(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


class TestStore:
    def test_changes_count_at_once(self, tmp_path: Path, now: Now) -> None:
        """The very next admission goes by the store as it is, also within one clock tick."""
        keys = serve(tmp_path, now)

        for number in range(20):
            secret = make(tmp_path, f"k{number}", now)
            assert name_of(keys, secret) == f"k{number}"
            revoke(tmp_path, f"k{number}", now)
            assert name_of(keys, secret) is None

    def test_change_in_place(self, tmp_path: Path, now: Now) -> None:
        """A store that was edited, same size, same moment, is read again."""
        secret = make(tmp_path, "laptop", now)
        keys = serve(tmp_path, now)
        path = keystore.store_path(tmp_path)
        assert name_of(keys, secret) == "laptop"

        path.write_text(path.read_text().replace("laptop", "tablet"))

        assert name_of(keys, secret) == "tablet"

    def test_change_within_a_tick(
        self, tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was read just after a change is read again: another may look the same."""
        clock = 10**18
        monkeypatch.setattr("hermes_twisted.access.keyring.time.time_ns", lambda: clock)
        same = Signature((1, 2, 0o100600, 0, 500, 10**18), 10**18)
        monkeypatch.setattr("hermes_twisted.access.keyring.signature", lambda _path: same)
        keys = serve(tmp_path, now)

        secret = make(tmp_path, "a", now)
        clock += 10**9
        assert name_of(keys, secret) == "a"

        revoke(tmp_path, "a", now)  # Never so late within one tick.
        assert name_of(keys, secret) == "a"

    def test_unchanged_is_not_read(
        self, tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While nothing changes a look is a few `stat` calls."""
        secret = make(tmp_path, "laptop", now)
        past = keystore.store_path(tmp_path).stat().st_ctime_ns + 10**10
        monkeypatch.setattr("hermes_twisted.access.keyring.time.time_ns", lambda: past)
        keys = serve(tmp_path, now)
        monkeypatch.setattr(keystore, "read", lambda *_: pytest.fail("read again"))

        assert name_of(keys, secret) == "laptop"

    def test_expiry_by_itself(self, tmp_path: Path, now: Now) -> None:
        """An expired key is out though nobody touched the store."""
        secret = make(tmp_path, "a", now, expires=1_800_000_010, disconnect=True)
        keys = serve(tmp_path, now)
        key = keys.find(secret.encode())
        assert key is not None and keys.ended() == {}

        now.seconds += 10

        assert keys.find(secret.encode()) is None
        assert keys.ended() == {key.id: "the key has expired"}

    @pytest.mark.parametrize("harm", ["file", "directory", "malformed", "link"])
    def test_fails_closed(self, tmp_path: Path, now: Now, errors: list[str], harm: str) -> None:
        """A store that goes bad admits nobody until it is right again; the rest goes on."""
        secret = make(tmp_path, "a", now)
        key_file = write_key(tmp_path / "key", TEXT)
        keys = serve(tmp_path, now, key_file=key_file)
        path = keystore.store_path(tmp_path)
        content = path.read_bytes()

        if harm == "file":
            path.chmod(0o644)
        elif harm == "directory":
            path.parent.chmod(0o755)
        elif harm == "malformed":
            path.write_text("{")
        else:
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")

        for _ in range(3):
            assert name_of(keys, secret) is None
            assert name_of(keys, TEXT) == "key-file"
            assert keys.ended() == {}
        assert len(errors) == 1
        assert str(path.parent) in errors[0]
        assert secret not in errors[0]

        path.unlink()
        write_key(path, "").write_bytes(content)
        path.parent.chmod(0o700)

        assert name_of(keys, secret) == "a"
        path.chmod(0o644)
        assert name_of(keys, secret) is None
        assert len(errors) == 2

    def test_fails_closed_on_links(self, tmp_path: Path, now: Now) -> None:
        """Of a store that cannot be trusted nobody learns that links are to end."""
        make(tmp_path, "a", now)
        revoke(tmp_path, "a", now, disconnect=True)
        keys = serve(tmp_path, now)
        assert len(keys.ended()) == 1

        keystore.store_path(tmp_path).chmod(0o644)
        keys.refresh()

        assert keys.ended() == {}

    def test_store_that_is_gone(self, tmp_path: Path, now: Now) -> None:
        secret = make(tmp_path, "a", now)
        keys = serve(tmp_path, now)

        keystore.store_path(tmp_path).unlink()

        assert name_of(keys, secret) is None

    def test_start_with_a_bad_store(self, tmp_path: Path, now: Now) -> None:
        """At the start it is an error, though there is another key."""
        make(tmp_path, "a", now)
        keystore.store_path(tmp_path).chmod(0o644)

        with pytest.raises(Problem, match="chmod 600"):
            serve(tmp_path, now, {plaintext.VARIABLE: TEXT})

    def test_reload(self, tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reload reads everything, whatever `stat` says."""
        secret = make(tmp_path, "a", now)
        monkeypatch.setattr(
            "hermes_twisted.access.keyring.signature", lambda _path: Signature((0,))
        )
        keys = serve(tmp_path, now)
        revoke(tmp_path, "a", now)
        assert name_of(keys, secret) == "a"

        keys.refresh(anew=True)

        assert name_of(keys, secret) is None


class TestUnion:
    def test_all_sources(self, tmp_path: Path, now: Now) -> None:
        """Every source admits, under a name that tells which it was."""
        stored = make(tmp_path, "laptop", now)
        write_key(tmp_path / ".env", f"API_SERVER_KEY='{OTHER} and more'")
        keys = serve(
            tmp_path,
            now,
            {plaintext.VARIABLE: OTHER},
            key_file=write_key(tmp_path / "key", TEXT + "\n"),
            accept_api_server_key=True,
        )

        secrets = [stored, TEXT, OTHER, f"{OTHER} and more", "none"]
        assert [name_of(keys, secret) for secret in secrets] == [
            "laptop",
            "key-file",
            "environment",
            "api-server",
            None,
        ]

    def test_api_server_only_if_asked(self, tmp_path: Path, now: Now) -> None:
        write_key(tmp_path / ".env", f"API_SERVER_KEY={OTHER}")

        keys = serve(tmp_path, now, {plaintext.VARIABLE: TEXT, "API_SERVER_KEY": OTHER})

        assert name_of(keys, OTHER) is None

    def test_store_counts_first(self, tmp_path: Path, now: Now) -> None:
        """A secret that the store gives a scope has no more by way of another source."""
        with keystore.changing(tmp_path, now) as store:
            changed, _record, secret = store.keys.make("viewer", Scope.WATCH)
            store.write(changed)
        keys = serve(tmp_path, now, {plaintext.VARIABLE: secret})

        key = keys.find(secret.encode())

        assert key is not None and key.scope is Scope.WATCH

    def test_other_key_file(self, tmp_path: Path, now: Now, errors: list[str]) -> None:
        """A key file that was replaced counts at once; one that became weak admits nobody."""
        path = write_key(tmp_path / "key", TEXT)
        keys = serve(tmp_path, now, key_file=path)

        path.write_text(OTHER)
        assert (name_of(keys, TEXT), name_of(keys, OTHER)) == (None, "key-file")
        path.write_text("weak")
        assert name_of(keys, OTHER) is name_of(keys, "weak") is None
        assert len(errors) == 1 and "weak" not in errors[0]

    def test_other_api_server_key(self, tmp_path: Path, now: Now, errors: list[str]) -> None:
        path = write_key(tmp_path / ".env", f"API_SERVER_KEY={OTHER}")
        keys = serve(tmp_path, now, accept_api_server_key=True)
        assert name_of(keys, OTHER) == "api-server"

        path.write_text(f"API_SERVER_KEY={TEXT}")
        assert (name_of(keys, OTHER), name_of(keys, TEXT)) == (None, "api-server")
        path.unlink()
        assert name_of(keys, TEXT) is None
        assert len(errors) == 1

    @pytest.mark.parametrize(
        "missing", [{"accept_api_server_key": True}, {"key_file": Path("/nowhere")}]
    )
    def test_asked_for_in_vain(self, tmp_path: Path, now: Now, missing: dict[str, Any]) -> None:
        """A source that was named and has no key is an error of the start."""
        make(tmp_path, "a", now)

        with pytest.raises(Problem):
            serve(tmp_path, now, **missing)

    def test_environment_is_forgotten(self, tmp_path: Path, now: Now) -> None:
        """Once hashed, the environment's secret is not kept but to be shown once."""
        keys = serve(tmp_path, now, {plaintext.VARIABLE: TEXT})
        secret = keys.take_secret()

        keys.refresh(anew=True)

        assert secret is not None and secret.text == TEXT
        assert keys.take_secret() is None
        assert name_of(keys, TEXT) == "environment"
        assert TEXT not in str(vars(keys))


class TestFirstStart:
    def test_no_key_at_all(self, tmp_path: Path, now: Now) -> None:
        keys = serve(tmp_path, now)

        assert keys.is_first_start
        assert not keys.admits
        assert keys.take_secret() is None

    def test_make_first(self, tmp_path: Path, now: Now) -> None:
        """The first key is a stored one, and its secret is known this once."""
        keys = serve(tmp_path, now)

        secret = keys.make_first()

        assert name_of(keys, secret.text) == FIRST_NAME
        assert not keys.is_first_start
        assert keys.admits
        assert serve(tmp_path, now).take_secret() is None

    def test_somebody_was_quicker(self, tmp_path: Path, now: Now) -> None:
        keys = serve(tmp_path, now)
        make(tmp_path, FIRST_NAME, now)

        with pytest.raises(Problem, match="key rotate default"):
            keys.make_first()

    def test_cannot_be_written(self, tmp_path: Path, now: Now) -> None:
        keys = serve(tmp_path, now)
        (tmp_path / "attach").write_text("in the way")

        with pytest.raises(Problem, match="attach"):
            keys.make_first()

    def test_all_have_ended(self, tmp_path: Path, now: Now) -> None:
        """Keys that were all revoked are no first start: nobody wanted a new one."""
        make(tmp_path, "a", now)
        revoke(tmp_path, "a", now)

        keys = serve(tmp_path, now)

        assert not keys.is_first_start
        assert not keys.admits

    @pytest.mark.parametrize("source", ["environment", "file", "store"])
    def test_any_key_will_do(self, tmp_path: Path, now: Now, source: str) -> None:
        environ, key_file = {}, None
        if source == "environment":
            environ = {plaintext.VARIABLE: TEXT}
        elif source == "file":
            key_file = write_key(tmp_path / "key", TEXT)
        else:
            make(tmp_path, "a", now)

        keys = serve(tmp_path, now, environ, key_file=key_file)

        assert keys.admits
        assert not keys.is_first_start
        assert (keys.take_secret() is None) == (source == "store")

    def test_former_key(self, tmp_path: Path) -> None:
        """The file of earlier versions is named only while it may be missed."""
        former = keystore.former_path(tmp_path)
        assert former_key(tmp_path) == ""
        former.parent.mkdir()
        former.write_text(TEXT)

        assert f"--key-file {former}" in former_key(tmp_path)
        assert f"--key-file {former}" in str(no_key(tmp_path, {}))

        keystore.store_path(tmp_path).touch()
        assert former_key(tmp_path) == ""


def test_advice(tmp_path: Path, now: Now) -> None:
    """Without a key it is said what command makes one, for this home."""
    home = tmp_path / "it's"

    text = str(no_key(home, {"HERMES_HOME": "/elsewhere"}))
    assert "no key yet" in text
    assert f"key new NAME --hermes-home {shlex.quote(str(home))};" in text
    assert "key new NAME;" in str(no_key(home, {"HERMES_HOME": str(home)}))

    make(home, "a", now)
    revoke(home, "a", now)
    assert "revoked or expired" in str(no_key(home, {}))


def test_a_look_is_cheap(tmp_path: Path, now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    """One admission looks at each file once."""
    make(tmp_path, "a", now)
    keys = serve(tmp_path, now, key_file=write_key(tmp_path / "key", TEXT))
    looked: list[str] = []
    stat = os.stat

    def count(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        looked.append(os.path.basename(path))
        return stat(path, *args, **kwargs)

    path = keystore.store_path(tmp_path)
    newest = max(path.stat().st_ctime_ns, (tmp_path / "key").stat().st_ctime_ns)
    monkeypatch.setattr("hermes_twisted.access.keyring.time.time_ns", lambda: newest + 10**10)
    keys.refresh()
    monkeypatch.setattr("hermes_twisted.files.os.stat", count)

    keys.find(b"whatever")

    assert looked == ["attach", "keys.json", "key"]
