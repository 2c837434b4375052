"""The command line of twistd and twist: one line for a mistake, help in groups."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python import usage

from hermes_twisted import __version__
from hermes_twisted.config.option import Group
from hermes_twisted.server.settings import options
from hermes_twisted.tap import TWIST_USAGE, TWISTD_USAGE, Options

SECRET = "hat_AAAAbbbbCCCCddddEEEE"


def below(parent: dict[str, Any]) -> Options:
    """The options as twistd, or twist, makes them."""
    found = Options()
    found.parent = usage.Options()
    found.parent.update(parent)
    return found


@pytest.fixture(autouse=True)
def no_reactor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own reactor, whose timers run, is left as it is."""
    monkeypatch.setattr("hermes_twisted.tap.ensure_asyncio", lambda: None)


@pytest.fixture
def home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_HOME", str(tmp_path))


MISTAKES = [
    (["--prot", "1"], "There is no option --prot; did you mean --port?"),
    (["--prot=1"], "There is no option --prot; did you mean --port?"),
    (["--frobnicate"], "There is no option --frobnicate."),
    (["-x"], "There is no option -x."),
    (["--port"], "Option --port requires argument."),
    (["--no-audit=1"], "Option --no-audit must not have an argument."),
    (["--max-q=1m"], "Option --max-q not a unique prefix."),
    (["surplus"], "There are options only, no arguments."),
    (["--port=ssh"], "--port 'ssh': must be from 0 (any free port) to 65535."),
]


@pytest.mark.parametrize(("arguments", "what"), MISTAKES)
@pytest.mark.parametrize(
    ("parent", "status"), [({"nodaemon": True}, TWISTD_USAGE), ({"reactor": None}, TWIST_USAGE)]
)
def test_a_mistake_is_one_line(
    home: None,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    what: str,
    parent: dict[str, Any],
    status: int,
) -> None:
    """Not all of the help of twistd, which would follow a `UsageError`."""
    with pytest.raises(SystemExit) as ended:
        below(parent).parseOptions(arguments)

    assert ended.value.code == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"hermes-attach: {what} See `hermes-attach serve --help`.\n"


@pytest.mark.parametrize("words", [[f"--key={SECRET}"], ["--token", SECRET], [SECRET]])
def test_a_key_is_not_quoted(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit):
        below({"nodaemon": True}).parseOptions(words)

    assert SECRET not in capsys.readouterr().err


def test_without_twistd() -> None:
    """Whoever embeds the options gets an exception."""
    with pytest.raises(usage.UsageError, match="did you mean --port"):
        Options().parseOptions(["--prot", "1"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours, not Twisted's."""
    with pytest.raises(SystemExit):
        Options().parseOptions(["--version"])

    assert capsys.readouterr().out == f"hermes-twisted {__version__}\n"


def test_help() -> None:
    """Every option is in it, below its group, and no name is broken over two lines."""
    text = Options().getUsage(80)

    titles = [line[:-1] for line in text.splitlines() if line and line[0].isupper()]
    assert [title for title in titles if title in list(Group)] == list(Group)
    for option in options():
        assert f"--{option.name}" in text
    assert "--key-file and" in " ".join(text.split())
    assert not [line for line in text.splitlines() if line.endswith("-")]
    assert str(Options()).count("[options]") == 1


def test_repeated_options() -> None:
    """Each value is kept, and none is another parser's."""
    first, second = Options(), Options()
    for parser, words in ((first, ["-l", "a:b", "--listen=c:d"]), (second, ["--listen=e:f"])):
        with pytest.raises(usage.UsageError):
            parser.parseOptions([*words, "--port=ssh"])

    assert (first["listen"], second["listen"]) == (("a:b", "c:d"), ("e:f",))
