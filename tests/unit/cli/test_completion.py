"""`hermes-attach completion`, and the answers to what its scripts ask."""

from __future__ import annotations

import sys

import pytest

from hermes_twisted.cli import main

VARIABLE = "_HERMES_ATTACH_COMPLETE"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks for what its shell understands."""
    main.main(["completion", shell])

    assert f"{VARIABLE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "words", "word", "expected"),
    [
        ("bash", "hermes-attach ke", "1", "plain,key"),
        ("bash", "hermes-attach serve --tls-c", "2", "plain,--tls-cert"),
        ("zsh", "hermes-attach ke", "1", "key"),
        ("fish", "hermes-attach ke", "ke", "plain,key\tMake, list, revoke and rotate keys."),
    ],
)
def test_answer(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shell: str,
    words: str,
    word: str,
    expected: str,
) -> None:
    """Commands and options are completed."""
    monkeypatch.setattr(sys, "argv", ["hermes-attach"])
    monkeypatch.setenv(VARIABLE, f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", word)

    with pytest.raises(SystemExit):
        main.main()

    assert expected in capsys.readouterr().out.splitlines()
