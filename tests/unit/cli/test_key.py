from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_twisted import __version__
from hermes_twisted.access import store
from hermes_twisted.access.keys import Scope
from hermes_twisted.cli import main
from hermes_twisted.server import attach_lines

Run = Callable[..., tuple[int, str, str]]
SECRET = r"hat_[A-Za-z0-9_-]{43}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of Hermes, and no terminal."""
    for name in list(os.environ):
        if name.startswith("HERMES_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HERMES_HOME", str(tmp_path))

    def no_terminal() -> Any:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(attach_lines, "open_terminal", no_terminal)
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`hermes-attach key` with these arguments: status, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            main.main(["key", *arguments])
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def admits(home: Path, secret: str) -> str | None:
    key = store.read(home).find(secret.encode())
    return key.name if key else None


def fails(run: Run, *arguments: str, status: int = 1) -> str:
    """The one line that says why."""
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert err.startswith("hermes-attach key")
    assert err.count("\n") == 1
    return err


class TestNew:
    def test_print(self, home: Path, run: Run) -> None:
        """For scripts: the secret, and nothing else."""
        status, out, err = run("new", "laptop", "--print")

        assert (status, err) == (0, "")
        assert re.fullmatch(SECRET + "\n", out)
        assert admits(home, out.strip()) == "laptop"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("new", "--scope", "chat", "--disconnect", "--expires=30d", "laptop", "--print"),
            ("new", "laptop", "-s", "chat", "-d", "-e", "30d", "--print"),
            ("new", "--print", "-dschat", "laptop", "--exp", "30d"),
        ],
    )
    def test_options(self, home: Path, run: Run, arguments: tuple[str, ...]) -> None:
        """Options may stand on either side of the name."""
        before = time.time()

        assert run(*arguments)[0] == 0

        (record,) = store.read(home).records
        assert (record.key.name, record.key.scope) == ("laptop", Scope.CHAT)
        assert record.disconnect
        assert record.expires is not None
        assert int(before) <= record.expires - 30 * 86400 <= time.time()

    def test_hermes_home(self, home: Path, run: Run) -> None:
        other = home / "other"

        assert run("new", "a", "--print", "--hermes-home", str(other))[0] == 0

        assert [record.key.name for record in store.read(other).records] == ["a"]
        assert store.read(home).records == ()

    def test_without_a_terminal(self, home: Path, run: Run) -> None:
        """A key that nobody would see is not made."""
        assert "--print" in fails(run, "new", "laptop")
        assert store.read(home).records == ()

    def test_on_the_terminal(self, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a pipe it is shown on the terminal beside it, with the lines of four shells."""
        tty = home / "tty"
        monkeypatch.setattr(attach_lines, "open_terminal", lambda: tty.open("w"))

        address = ("--host", "h.example", "--port", "9", "--tls")
        status, out, err = run("new", "laptop", "--scope", "watch", "-e", "2199-12-31", *address)

        assert (status, out, err) == (0, "", "")
        text = tty.read_text()
        (secret,) = set(re.findall(SECRET, text))
        assert admits(home, secret) == "laptop"
        assert "'laptop' (scope watch, until 2199-12-31 00:00 UTC)" in text
        url = f"wss://h.example:9/api/ws?token={secret}"
        assert f"export HERMES_TUI_GATEWAY_URL='{url}'\n" in text
        assert f"set -gx HERMES_TUI_GATEWAY_URL '{url}'\n" in text
        assert f"$env:HERMES_TUI_GATEWAY_URL = '{url}'\n" in text
        assert f'set "HERMES_TUI_GATEWAY_URL={url}"\n' in text
        assert "hermes --tui" in text

    def test_where_output_is_a_terminal(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        output = io.StringIO()
        monkeypatch.setattr(output, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdout", output)

        main.main(["key", "new", "laptop"])

        assert re.search(SECRET, output.getvalue())

    def test_terminal_that_breaks(
        self, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If it cannot be shown after all, it is said how to get another."""
        full = os.open("/dev/full", os.O_WRONLY)
        monkeypatch.setattr(attach_lines, "open_terminal", lambda: os.fdopen(full, "w"))

        found, out, err = run("new", "laptop")

        assert (found, out) == (1, "")
        assert "key rotate laptop" in err
        assert not re.search(SECRET, err)

    def test_name_is_taken(self, home: Path, run: Run) -> None:
        run("new", "laptop", "--print")

        assert "'laptop' already" in fails(run, "new", "laptop", "--print")

    @pytest.mark.parametrize(
        ("arguments", "what"),
        [
            (["a", "--scope", "root"], "--scope 'root'"),
            (["a", "--expires", "soon"], "--expires 'soon'"),
            (["a", "--expires="], "--expires ''"),
            (["a", "--expires", "1999-01-01"], "past"),
            (["a", "--host", "a'b"], "--host"),
            (["a", "--port", "x"], "port"),
            (["a", "--nonsense"], "--nonsense"),
            (["a", "b"], "one name"),
            ([], "one name"),
        ],
    )
    def test_wrong_usage(self, home: Path, run: Run, arguments: list[str], what: str) -> None:
        assert what in fails(run, "new", "--print", *arguments, status=2)
        assert not (home / "attach").exists()

    @pytest.mark.parametrize("name", ["a b", "environment", "--", "ä"])
    def test_bad_name(self, home: Path, run: Run, name: str) -> None:
        fails(run, "new", "--print", "--", name)

        assert store.read(home).records == ()


class TestRotate:
    def test_rotate(self, home: Path, run: Run) -> None:
        old = run("new", "a", "--print", "--scope", "chat")[1].strip()

        status, out, _err = run("rotate", "a", "--print")

        assert status == 0
        assert admits(home, old) is None
        assert admits(home, out.strip()) == "a"
        assert store.read(home).ended() == {}

    def test_disconnect_and_expires(self, home: Path, run: Run) -> None:
        run("new", "a", "--print", "--expires", "1h")

        assert run("rotate", "--disconnect", "a", "--expires", "never", "--print")[0] == 0

        old, new = store.read(home).records
        assert list(store.read(home).ended()) == [old.key.id]
        assert new.expires is None

    def test_absent(self, run: Run) -> None:
        assert "There is no key 'a'" in fails(run, "rotate", "a", "--print")


class TestRevoke:
    @pytest.mark.parametrize("disconnect", [False, True])
    def test_revoke(self, home: Path, run: Run, disconnect: bool) -> None:
        secret = run("new", "a", "--print")[1].strip()

        assert run("revoke", "a", *["--disconnect"] * disconnect) == (0, "", "")

        assert admits(home, secret) is None
        assert bool(store.read(home).ended()) == disconnect

    def test_absent(self, run: Run) -> None:
        assert "There is no key 'a'" in fails(run, "revoke", "a")


class TestList:
    def test_table(self, home: Path, run: Run) -> None:
        secrets = [
            run("new", "laptop", "--print", "--expires", "2199-12-31")[1].strip(),
            run("new", "a-much-longer-name", "--print", "--scope", "watch")[1].strip(),
        ]
        run("revoke", "laptop")

        status, out, err = run("list")

        assert (status, err) == (0, "")
        head, first, second = out.splitlines()
        assert head.split() == ["NAME", "SCOPE", "CREATED", "EXPIRES", "STATE"]
        assert re.fullmatch(
            r"laptop +full +\d{4}-\d\d-\d\d \d\d:\d\d +2199-12-31 00:00 +revoked", first
        )
        assert re.fullmatch(r"a-much-longer-name +watch .* never +active", second)
        assert head.index("SCOPE") == first.index("full") == second.index("watch")
        assert_no_secret(home, out, secrets)

    def test_json(self, home: Path, run: Run) -> None:
        secret = run("new", "laptop", "--print", "--expires", "2199-12-31", "-d")[1].strip()

        out = run("list", "--json")[1]

        (entry,) = json.loads(out)
        assert entry.pop("id") == store.read(home).records[0].key.id
        assert entry.pop("created").endswith("Z")
        assert entry == {
            "name": "laptop",
            "scope": "full",
            "expires": "2199-12-31T00:00:00Z",
            "revoked": None,
            "disconnect": True,
            "state": "active",
        }
        assert_no_secret(home, out, [secret])

    def test_nothing(self, home: Path, run: Run) -> None:
        """Looking makes no store."""
        assert json.loads(run("list", "--json")[1]) == []
        assert not (home / "attach").exists()

    def test_bad_store(self, home: Path, run: Run) -> None:
        run("new", "a", "--print")
        store.store_path(home).chmod(0o640)

        assert "chmod 600" in fails(run, "list")


def assert_no_secret(home: Path, text: str, secrets: list[str]) -> None:
    assert not any(secret in text for secret in secrets)
    assert not any(record.key.digest.hex() in text for record in store.read(home).records)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, _err = run(*arguments)

    assert status == 0
    assert all(f"\n  {command} " in out for command in ("new", "list", "revoke", "rotate"))


@pytest.mark.parametrize("command", ["new", "list", "revoke", "rotate"])
def test_help_of_a_command(run: Run, command: str) -> None:
    status, out, _err = run(command, "--help")

    assert status == 0
    assert out.startswith(f"Usage: hermes-attach key {command}")
    assert "--hermes-home" in out
    assert run(command, "--version")[1] == f"hermes-twisted {__version__}\n"


def test_unknown_command(run: Run) -> None:
    assert "There is no command 'delete'" in fails(run, "delete", "a", status=2)
    assert "did you mean revoke?" in fails(run, "revok", "a", status=2)


def test_no_home(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_HOME", "~nobody-of-this-name")

    assert "--hermes-home" in fails(run, "list")
    assert "--hermes-home" in fails(run, "list", "--hermes-home", "~nobody-of-this-name")
