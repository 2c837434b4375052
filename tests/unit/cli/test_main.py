from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_twisted import __version__
from hermes_twisted.access import plaintext
from hermes_twisted.access import store as keystore
from hermes_twisted.access.keys import Scope
from hermes_twisted.cli import main
from hermes_twisted.cli import url as url_command

#: A URL without a key.
BARE = "ws://127.0.0.1:8643/api/ws?token=KEY"
TEXT = "hat_AAAAbbbbCCCCddddEEEE"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of Hermes, and nothing of ours in the environment."""
    for name in list(os.environ):
        if name.startswith("HERMES_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HERMES_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv(plaintext.VARIABLE, TEXT)


@pytest.fixture
def stored(home: Path) -> None:
    """A key in the store, of which the hash alone is known."""
    with keystore.changing(home) as store:
        store.write(store.keys.make("laptop", Scope.FULL)[0])


def exit_status(call: Callable[[], Any]) -> Any:
    with pytest.raises(SystemExit) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        ([], "ws://127.0.0.1:8643"),
        (["--port", "9"], "ws://127.0.0.1:9"),
        (["-p", "9"], "ws://127.0.0.1:9"),
        (["--host", "server.example"], "ws://server.example:8643"),
        (["--host", "2001:db8::1", "--tls"], "wss://[2001:db8::1]:8643"),
    ],
)
def test_url(given: None, arguments: list[str], origin: str) -> None:
    """The line to paste has the server's address as asked for, and its key."""
    url = f"{origin}/api/ws?token={TEXT}"

    assert shlex.split(url_command.url(arguments)) == ["export", f"HERMES_TUI_GATEWAY_URL={url}"]


def test_url_prints_a_line(given: None, capsys: pytest.CaptureFixture[str]) -> None:
    """`hermes-attach url` prints the line and nothing else: a shell may evaluate it."""
    main.main(["url", "--port", "9"])

    captured = capsys.readouterr()
    assert captured.out == url_command.url(["--port", "9"]) + "\n"
    assert captured.err == ""


def test_url_with_a_key_file(home: Path) -> None:
    """The key may be in a file that is named."""
    other = home / "other"
    other.write_text("hat_zzzzYYYYxxxxWWWWvvvv")
    other.chmod(0o600)

    assert "token=hat_zzzzYYYYxxxxWWWWvvvv" in url_command.url(["--key-file", str(other)])


def test_url_with_a_home(
    stored: None, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hermes' home may be named, and counts before the environment."""
    monkeypatch.setenv("HERMES_HOME", "/nowhere")

    assert BARE in url_command.url(["--hermes-home", str(home)])


def test_url_of_a_store(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A key of the store is not known: KEY stands for it, and a hint beside the line."""
    main.main(["url"])

    captured = capsys.readouterr()
    assert captured.out == f"export HERMES_TUI_GATEWAY_URL='{BARE}'\n"
    assert "key rotate" in captured.err


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", f"export HERMES_TUI_GATEWAY_URL='{BARE}'"),
        ("ZSH", f"export HERMES_TUI_GATEWAY_URL='{BARE}'"),
        ("fish", f"set -gx HERMES_TUI_GATEWAY_URL '{BARE}'"),
        ("PowerShell", f"$env:HERMES_TUI_GATEWAY_URL = '{BARE}'"),
        ("cmd", f'set "HERMES_TUI_GATEWAY_URL={BARE}"'),
    ],
)
def test_url_for_a_shell(stored: None, shell: str, line: str) -> None:
    """The line is written for the client's shell."""
    assert url_command.url(["--shell", shell]) == line


def test_url_with_the_api_servers_key(home: Path) -> None:
    """That key may have any characters; in the URL they are encoded."""
    (home / ".env").touch(0o600)
    (home / ".env").write_text("API_SERVER_KEY='a quote and & a % sign'\n")

    assert url_command.url(["--accept-api-server-key"]).endswith(
        "?token=a%20quote%20and%20%26%20a%20%25%20sign'"
    )


@pytest.mark.parametrize("host", ["a'b", "a b", "$(id)", "a/b", "a@b", ""])
def test_url_with_a_bad_host(stored: None, capsys: pytest.CaptureFixture[str], host: str) -> None:
    """A host that might break out of the line is refused."""
    assert exit_status(lambda: url_command.url(["--host", host])) == 2
    assert "--host" in capsys.readouterr().err


def test_url_without_a_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key `url` makes none: it says where it looked and what makes one."""
    assert exit_status(lambda: url_command.url([])) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hermes-attach url: There is no key yet, in ")
    assert str(keystore.store_path(home)) in captured.err
    assert "hermes-attach key new" in captured.err
    assert list(home.iterdir()) == []


def test_url_with_the_former_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key file of earlier versions is named, and how it can still be used."""
    former = keystore.former_path(home)
    former.parent.mkdir()
    former.write_text(TEXT)

    assert exit_status(lambda: url_command.url([])) == 2

    err = capsys.readouterr().err
    assert "no longer read" in err
    assert f"--key-file {former}" in err
    assert TEXT not in err


def test_url_with_a_bad_store(stored: None, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that cannot be trusted is explained."""
    keystore.store_path(home).chmod(0o644)

    assert exit_status(lambda: url_command.url([])) == 2

    captured = capsys.readouterr()
    assert "chmod 600" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("weak", ["hunter2", "a'b;rm -rf c;'d-e-f-g-h"])
def test_url_with_a_weak_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weak: str
) -> None:
    """A key that the server refuses, and that may break out of the line, is not printed."""
    monkeypatch.setenv(plaintext.VARIABLE, weak)

    assert exit_status(lambda: url_command.url([])) == 2
    captured = capsys.readouterr()
    assert weak not in captured.out + captured.err


def test_url_without_a_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A home that is nowhere is explained, with status 2."""
    monkeypatch.setenv("HERMES_HOME", "~nobody-of-this-name")

    assert exit_status(lambda: url_command.url([])) == 2
    assert "--hermes-home" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--port", "http"], ["--shell", "tcsh"], ["extra"]]
)
def test_url_with_wrong_usage(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Wrong usage is explained, with status 2."""
    assert exit_status(lambda: url_command.url(arguments)) == 2
    assert capsys.readouterr().err.startswith("hermes-attach url: ")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Asked for help, or for nothing, it tells its commands."""
    main.main(arguments)

    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in ("serve", "demo", "key", "url"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is printed after the name."""
    main.main(["--version"])

    assert capsys.readouterr().out == f"hermes-twisted {__version__}\n"


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is not there is named, with those that are, and status 2."""
    assert exit_status(lambda: main.main(["server"])) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "'server'" in captured.err
    assert "Usage: hermes-attach" in captured.err


def test_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a program it reads its own command line."""
    monkeypatch.setattr(sys, "argv", ["hermes-attach", "--version"])

    main.main()

    assert capsys.readouterr().out.startswith("hermes-twisted ")


def test_commands_get_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` and `demo` are handed what follows them."""
    called: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(main, "serve", lambda options: called.append(("serve", options)))
    monkeypatch.setattr(main, "demo", lambda options: called.append(("demo", options)))

    main.main(["serve", "--port", "1"])
    main.main(["demo"])

    assert called == [("serve", ["--port", "1"]), ("demo", [])]


def test_echo_is_not_in_the_help() -> None:
    """It is for conformance tests alone."""
    assert "echo" not in main.USAGE


@pytest.mark.parametrize(
    "arguments", [["--max-message", "nothing"], ["--unheard-of"], ["--listen", "tcp:1"]]
)
def test_echo_with_bad_options(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be used is said; that includes any address but its own."""
    monkeypatch.setattr(main, "ensure_asyncio", lambda: None)  # The tests' own is not to change.
    assert exit_status(lambda: main.main(["echo", *arguments])) == 2

    assert capsys.readouterr().err.startswith("hermes-attach echo: ")
