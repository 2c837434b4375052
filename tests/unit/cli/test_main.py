from __future__ import annotations

import os
import shlex
import subprocess
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
from hermes_twisted.config.option import Group
from hermes_twisted.server.settings import options

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


Line = Callable[..., str]


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    """What `hermes-attach url` prints with these arguments, without the end of the line."""

    def line(*arguments: str) -> str:
        main.main(["url", *arguments])
        return capsys.readouterr().out.removesuffix("\n")

    return line


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
def test_url(given: None, line: Line, arguments: list[str], origin: str) -> None:
    """The line to paste has the server's address as asked for, and its key."""
    url = f"{origin}/api/ws?token={TEXT}"

    assert shlex.split(line(*arguments)) == ["export", f"HERMES_TUI_GATEWAY_URL={url}"]


def test_url_prints_a_line(given: None, capsys: pytest.CaptureFixture[str]) -> None:
    """`hermes-attach url` prints the line and nothing else: a shell may evaluate it."""
    main.main(["url", "--port", "9"])

    captured = capsys.readouterr()
    assert captured.out == (
        f"export HERMES_TUI_GATEWAY_URL='ws://127.0.0.1:9/api/ws?token={TEXT}'\n"
    )
    assert captured.err == ""


def test_url_with_a_key_file(home: Path, line: Line) -> None:
    """The key may be in a file that is named."""
    other = home / "other"
    other.write_text("hat_zzzzYYYYxxxxWWWWvvvv")
    other.chmod(0o600)

    assert "token=hat_zzzzYYYYxxxxWWWWvvvv" in line("--key-file", str(other))


def test_url_with_a_home(
    stored: None, home: Path, monkeypatch: pytest.MonkeyPatch, line: Line
) -> None:
    """Hermes' home may be named, and counts before the environment."""
    monkeypatch.setenv("HERMES_HOME", "/nowhere")

    assert BARE in line("--hermes-home", str(home))


def test_url_of_a_store(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A key of the store is not known: KEY stands for it, and a hint beside the line."""
    main.main(["url"])

    captured = capsys.readouterr()
    assert captured.out == f"export HERMES_TUI_GATEWAY_URL='{BARE}'\n"
    assert "key rotate" in captured.err


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("bash", f"export HERMES_TUI_GATEWAY_URL='{BARE}'"),
        ("ZSH", f"export HERMES_TUI_GATEWAY_URL='{BARE}'"),
        ("fish", f"set -gx HERMES_TUI_GATEWAY_URL '{BARE}'"),
        ("PowerShell", f"$env:HERMES_TUI_GATEWAY_URL = '{BARE}'"),
        ("cmd", f'set "HERMES_TUI_GATEWAY_URL={BARE}"'),
    ],
)
def test_url_for_a_shell(stored: None, line: Line, shell: str, expected: str) -> None:
    """The line is written for the client's shell."""
    assert line("--shell", shell) == expected


def test_url_with_the_api_servers_key(home: Path, line: Line) -> None:
    """That key may have any characters; in the URL they are encoded."""
    (home / ".env").touch(0o600)
    (home / ".env").write_text("API_SERVER_KEY='a quote and & a % sign'\n")

    assert line("--accept-api-server-key").endswith(
        "?token=a%20quote%20and%20%26%20a%20%25%20sign'"
    )


@pytest.mark.parametrize("host", ["a'b", "a b", "$(id)", "a/b", "a@b", ""])
def test_url_with_a_bad_host(stored: None, capsys: pytest.CaptureFixture[str], host: str) -> None:
    """A host that might break out of the line is refused."""
    assert exit_status(lambda: main.main(["url", "--host", host])) == 2
    assert "--host" in capsys.readouterr().err


def test_url_without_a_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key `url` makes none: it says where it looked and what makes one."""
    assert exit_status(lambda: main.main(["url"])) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hermes-attach url: There is no key yet: ")
    assert str(keystore.store_path(home)) in captured.err
    assert "hermes-attach key new" in captured.err
    assert list(home.iterdir()) == []


def test_url_with_the_former_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key file of earlier versions is named, and how it can still be used."""
    former = keystore.former_path(home)
    former.parent.mkdir()
    former.write_text(TEXT)

    assert exit_status(lambda: main.main(["url"])) == 2

    err = capsys.readouterr().err
    assert "no longer read" in err
    assert f"--key-file {former}" in err
    assert TEXT not in err


def test_url_with_a_bad_store(stored: None, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that cannot be trusted is explained."""
    keystore.store_path(home).chmod(0o644)

    assert exit_status(lambda: main.main(["url"])) == 2

    captured = capsys.readouterr()
    assert "chmod 600" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("weak", ["hunter2", "a'b;rm -rf c;'d-e-f-g-h"])
def test_url_with_a_weak_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weak: str
) -> None:
    """A key that the server refuses, and that may break out of the line, is not printed."""
    monkeypatch.setenv(plaintext.VARIABLE, weak)

    assert exit_status(lambda: main.main(["url"])) == 2
    captured = capsys.readouterr()
    assert weak not in captured.out + captured.err


def test_url_without_a_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A home that is nowhere is explained, with status 2."""
    monkeypatch.setenv("HERMES_HOME", "~nobody-of-this-name")

    assert exit_status(lambda: main.main(["url"])) == 2
    assert "--hermes-home" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "variables", "where"),
    [
        (
            ["doctor", "--key-file", "~nobody-of-this-name", "ws://127.0.0.1:1/api/ws"],
            {},
            "--key-file",
        ),
        (["status", "--control", "~nobody-of-this-name"], {}, "--control"),
        (["status"], {"HERMES_ATTACH_CONTROL": "~nobody-of-this-name"}, "HERMES_ATTACH_CONTROL"),
        (["status", "--hermes-home", "~nobody-of-this-name"], {}, "--hermes-home"),
    ],
)
def test_path_that_is_nowhere(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    variables: dict[str, str],
    where: str,
) -> None:
    """It is one line that names where the path was given."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert exit_status(lambda: main.main(arguments)) == 2
    command, _, problem = capsys.readouterr().err.partition(": ")
    assert command == f"hermes-attach {arguments[0]}"
    assert problem.startswith(f"{where} '~nobody-of-this-name': must not begin with ~")
    assert problem.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--port", "http"], ["--shell", "tcsh"], ["extra"]]
)
def test_url_with_wrong_usage(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Wrong usage is explained, with status 2."""
    assert exit_status(lambda: main.main(["url", *arguments])) == 2
    assert capsys.readouterr().err.startswith("hermes-attach url: ")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Asked for help, or for nothing, it tells its commands."""
    main.main(arguments)

    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in ("serve", "demo", "key", "url"))


def test_echo_is_not_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It is for conformance tests alone."""
    main.main([])

    assert "echo" not in capsys.readouterr().out.lower()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is printed after the name."""
    main.main(["--version"])

    assert capsys.readouterr().out == f"hermes-twisted {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serv"], "hermes-attach: There is no command 'serv'; did you mean serve? See "
         "`hermes-attach --help`."),
        (["frobnicate"], "hermes-attach: There is no command 'frobnicate'. See "
         "`hermes-attach --help`."),
        (["--verson"], "hermes-attach: There is no option --verson; did you mean --version? See "
         "`hermes-attach --help`."),
        (["serve", "--prot", "1"], "hermes-attach serve: There is no option --prot; did you mean "
         "--port? See `hermes-attach serve --help`."),
        (["serve", "--prot=1"], "hermes-attach serve: There is no option --prot; did you mean "
         "--port? See `hermes-attach serve --help`."),
        (["serve", "-x"], "hermes-attach serve: There is no option -x. See "
         "`hermes-attach serve --help`."),
        (["serve", "surplus"], "hermes-attach serve: There is an argument too many. See "
         "`hermes-attach serve --help`."),
        (["demo", "--max-mesage=1"], "hermes-attach demo: There is no option --max-mesage; did "
         "you mean --max-message? See `hermes-attach demo --help`."),
        (["url", "--shel", "fish", "--tsl"], "hermes-attach url: There is no option --tsl; did you "
         "mean --tls? See `hermes-attach url --help`."),
        (["key", "new", "--scop", "--naem"], "hermes-attach key new: --scope '--naem': must be one "
         "of full, chat, watch."),
        (["doctor", "--time-out=3"], "hermes-attach doctor: There is no option --time-out; did "
         "you mean --timeout? See `hermes-attach doctor --help`."),
        (["serve", "--max-he", "1"], "hermes-attach serve: --max-he may be --max-header, "
         "--max-header-lines, --max-held or --max-held-per-address. See "
         "`hermes-attach serve --help`."),
    ],
)  # fmt: skip
def test_wrong_names(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    """One line names what is wrong, the nearest right one, and where to look; status 2."""
    assert exit_status(lambda: main.main(arguments)) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == line + "\n"


@pytest.mark.parametrize("command", ["serve", "demo", "url", "doctor", "status", "echo"])
@pytest.mark.parametrize("option", ["--key", "--token"])
def test_a_key_is_no_option(capsys: pytest.CaptureFixture[str], command: str, option: str) -> None:
    """It is not taken for the beginning of --key-file, and is not quoted."""
    for words in ([f"{option}={TEXT}"], [option, TEXT]):
        assert exit_status(lambda words=words: main.main([command, *words])) == 2

        captured = capsys.readouterr()
        assert "A key is never an option" in captured.err
        assert TEXT not in captured.err
        assert captured.err.count("\n") == 1


def test_a_surplus_argument_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a key."""
    assert exit_status(lambda: main.main(["serve", TEXT])) == 2
    assert TEXT not in capsys.readouterr().err


def test_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a program it reads its own command line."""
    monkeypatch.setattr(sys, "argv", ["hermes-attach", "--version"])

    main.main()

    assert capsys.readouterr().out.startswith("hermes-twisted ")


@pytest.fixture
def twistd(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that twistd would have run."""
    started: list[list[str]] = []
    monkeypatch.setattr("hermes_twisted.cli.serve.ensure_asyncio", lambda: None)
    monkeypatch.setattr("twisted.scripts.twistd.run", lambda: started.append(sys.argv))
    monkeypatch.setattr(sys, "argv", ["hermes-attach"])
    return started


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["--port", "1"], ["--port", "1"]),
        (["-p1", "--listen=a:b", "-l", "c:d"], ["-p1", "--listen=a:b", "-l", "c:d"]),
        (["--max-mess", "7k", "--no-au"], ["--max-message", "7k", "--no-audit"]),
        (["--audit-file", "--no-control"], ["--audit-file", "--no-control"]),
    ],
)
def test_serve_hands_its_options_on(
    twistd: list[list[str]], given: list[str], taken: list[str]
) -> None:
    """To twistd, which reads them once more; abbreviated names are whole there."""
    main.main(["serve", *given])

    assert twistd == [["twistd", "--nodaemon", "--pidfile=", "hermes-attach", *taken]]


def test_demo_adds_its_own(
    twistd: list[list[str]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording, and nothing of the real server's."""
    monkeypatch.setenv("HERMES_ATTACH_HERMES_PYTHON", "/p")

    main.main(["demo", "--port", "1"])

    ((*_, first, second, third), *rest) = twistd
    assert not rest
    assert [first, second, third] == ["--no-control", "--port", "1"]
    assert "--script" in twistd[0]
    assert "HERMES_ATTACH_HERMES_PYTHON" not in os.environ


def test_serve_has_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """In the help, below its group, with its default."""
    main.main(["serve", "--help"])

    out = capsys.readouterr().out
    titles = [line[:-1] for line in out.splitlines() if line and line[0].isupper()]
    assert [title for title in titles if title in list(Group)] == list(Group)
    for option in options():
        assert f"--{option.name}" in out
    assert "(default: 8643)" in " ".join(out.split())


@pytest.mark.parametrize(
    "command",
    [[], ["key"], ["serve"], ["key", "new"], ["url"], ["status"], ["doctor"], ["install-service"]],
)
def test_version_of_each_command(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    """Ours, not Twisted's."""
    main.main([*command, "--version"])

    assert capsys.readouterr().out == f"hermes-twisted {__version__}\n"


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`help COMMAND` is `COMMAND --help`."""
    main.main(["help", "url"])
    first = capsys.readouterr().out
    main.main(["url", "--help"])

    assert first == capsys.readouterr().out
    assert first.startswith("Usage: hermes-attach url")


def loaded(*arguments: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `hermes-attach` with *arguments*."""
    code = (
        "import sys\n"
        "from hermes_twisted.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], []])
def test_commands_are_imported_when_they_run(arguments: list[str]) -> None:
    """What says a version or lists commands loads neither Twisted nor Autobahn."""
    modules = loaded(*arguments)

    assert not {name for name in modules if name.split(".")[0] in ("twisted", "autobahn", "rich")}
    ours = {name for name in modules if name.startswith("hermes_twisted.cli.")}
    assert ours == {"hermes_twisted.cli.main", "hermes_twisted.cli.commands"}


@pytest.mark.parametrize("arguments", [["url"], ["key", "list"], ["serve", "--help"]])
def test_no_reactor_for_the_other_commands(stored: None, arguments: list[str]) -> None:
    """Only what serves needs one."""
    modules = loaded(*arguments)

    assert "twisted.internet.reactor" not in modules
    assert "autobahn" not in {name.split(".")[0] for name in modules}


def test_python_runs_the_package(home: Path) -> None:
    """`python -m hermes_twisted` is `hermes-attach`."""
    for arguments, status, text in (
        (["--version"], 0, f"hermes-twisted {__version__}\n"),
        (["serv"], 2, "hermes-attach: There is no command 'serv'; did you mean serve? See "
         "`hermes-attach --help`.\n"),
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "hermes_twisted", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, text)


class TestCompletion:
    """What a shell is told when a person asks for the rest of a word."""

    def completions(self, words: str) -> list[str]:
        """The words that bash would offer for the last one of *words*."""
        environ = {
            **os.environ,
            "_HERMES_ATTACH_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-m", "hermes_twisted"],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    def test_commands(self) -> None:
        assert self.completions("hermes-attach s") == ["serve", "status"]
        assert self.completions("hermes-attach key r") == ["revoke", "rotate"]

    def test_options_of_serve(self) -> None:
        found = self.completions("hermes-attach serve --max-h")

        assert found == [
            "--max-header",
            "--max-header-lines",
            "--max-held",
            "--max-held-per-address",
        ]

    def test_values(self) -> None:
        assert self.completions("hermes-attach serve --backend i") == ["inprocess"]
        assert self.completions("hermes-attach key new --scope ") == ["full", "chat", "watch"]
        assert self.completions("hermes-attach serve --log-level w") == ["warn"]

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_script(
        self, capsys: pytest.CaptureFixture[str], shell: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For each shell, and only for these."""
        monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
        main.main(["completion", shell])

        out = capsys.readouterr().out
        assert f"_HERMES_ATTACH_COMPLETE={shell}_complete" in out
        assert "hermes-attach" in out

    def test_another_shell(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert exit_status(lambda: main.main(["completion", "tcsh"])) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--max-message", "nothing"], ["--unheard-of"], ["--listen", "tcp:1"]]
)
def test_echo_with_bad_options(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be used is said; that includes any address but its own."""
    monkeypatch.setattr("hermes_twisted.cli.echo.ensure_asyncio", lambda: None)  # The tests' own.
    assert exit_status(lambda: main.main(["echo", *arguments])) == 2

    assert capsys.readouterr().err.startswith("hermes-attach echo: ")
