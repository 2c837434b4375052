from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from hermes_twisted.backends import locate as module
from hermes_twisted.backends.locate import Hermes, locate, worker_environment
from hermes_twisted.shared.problem import Problem


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, no_hermes: None) -> None:
    """Hermes is neither in this environment nor in any absolute place of this machine."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "tui_gateway" else find_spec(name, *rest),
    )
    monkeypatch.setattr(
        module, "WELL_KNOWN", tuple(place for place in module.WELL_KNOWN if place[0] == "~")
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user with an empty home directory and an empty PATH."""
    for name in ("home", "bin"):
        (tmp_path / name).mkdir()
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}


def program(path: Path, text: str | bytes = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o755)
    return path


def problem(named: Path | None, environ: dict[str, str]) -> Problem:
    with pytest.raises(Problem) as caught:
        locate(named, environ)
    return caught.value


def test_named(tmp_path: Path, environ: dict[str, str]) -> None:
    """A named interpreter is taken, though others could be found."""
    program(Path(environ["HOME"]) / ".hermes/hermes-agent/venv/bin/python")
    named = program(tmp_path / "venv" / "bin" / "python")

    assert locate(named, environ) == Hermes(named, "--hermes-python")


@pytest.mark.parametrize("what", ["absent", "directory", "not executable"])
def test_named_but_unusable(tmp_path: Path, environ: dict[str, str], what: str) -> None:
    """A named interpreter that cannot be run is refused, and no other one is taken."""
    program(Path(environ["HOME"]) / ".hermes/hermes-agent/venv/bin/python")
    named = tmp_path / "python"
    if what == "directory":
        named.mkdir()
    elif what == "not executable":
        named.write_text("")

    refused = problem(named, environ)

    assert str(named) in refused.what
    assert "--hermes-python" in refused.what
    assert "Name the python" in refused.advice


def test_named_but_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str]
) -> None:
    """An interpreter in a directory that we may not enter is refused in words."""
    named, stat = tmp_path / "venv" / "bin" / "python", os.stat

    def hidden(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if os.fspath(path) == str(named):
            raise PermissionError(13, "Permission denied", str(named))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", hidden)

    assert str(named) in problem(named, environ).what


def test_this_environment(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    """Hermes beside us is found first."""
    program(Path(environ["HOME"]) / ".hermes/hermes-agent/venv/bin/python")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    assert locate(None, environ) == Hermes(Path(sys.executable), "this environment")


def test_the_command_is_closed(environ: dict[str, str], tmp_path: Path) -> None:
    """Looking into the command leaves no file open."""
    program(tmp_path / "bin" / "hermes")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(Problem):
            locate(None, environ)

    assert [str(warning.message) for warning in seen] == []


@pytest.mark.parametrize(
    "text",
    [
        "#!{venv}/bin/python\nimport hermes\n",
        "#! {venv}/bin/python3.11 -I\n",
        "#!/bin/sh\n'''exec' \"{venv}/bin/python\" \"$0\" \"$@\"\n' '''\n",
        '#!/usr/bin/env bash\nexec "{venv}/bin/hermes" "$@"\n',
        "#!/usr/bin/env bash\nexec {venv}/bin/hermes\n",
        "#!/bin/sh\nPYTHON='{venv}/bin/python3'\n",
    ],
)
def test_interpreter_in_the_script(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    """The interpreter is read from the script's first line or from what it execs."""
    venv = tmp_path / "venv"
    for name in ("python", "python3", "python3.11", "hermes"):
        program(venv / "bin" / name)
    command = program(tmp_path / "bin" / "hermes", text.format(venv=venv))

    found = locate(None, environ)

    assert found.python.parent == venv / "bin"
    assert found.python.name in text or found.python.name == "python"
    assert found.how == f"the command {command}"


def test_link_into_an_environment(tmp_path: Path, environ: dict[str, str]) -> None:
    """A link is followed, and the interpreter beside a program that is no script is taken."""
    venv = tmp_path / "venv"
    python = program(venv / "bin" / "python")
    (venv / "pyvenv.cfg").write_text("")
    binary = program(venv / "bin" / "hermes", b"\x7fELF\xff\xfe /no/such/python")
    (tmp_path / "bin" / "hermes").symlink_to(binary)

    assert locate(None, environ).python == python


def test_beside_counts_in_an_environment_only(tmp_path: Path, environ: dict[str, str]) -> None:
    """A Python that merely lies in the same directory is not taken for Hermes'."""
    program(tmp_path / "bin" / "python")
    program(tmp_path / "bin" / "hermes")

    refused = problem(None, environ)

    assert f"the interpreter behind {tmp_path}/bin/hermes" in refused.what


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env python3\n",
        "#!{venv}/bin/absent/python\n",
        "#!{venv}/bin/pythonx\n",
        "#!{venv}/bin/not-executable/python\n",
        "#!/bin/sh\nx={venv}/bin/python\n",
        "#!/bin/sh\n" + "#" * 5000 + " {venv}/bin/python\n",
        "",
    ],
)
def test_nothing_in_the_script(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    """Only a path that stands alone near the start and can be run counts."""
    venv = tmp_path / "venv"
    program(venv / "bin" / "python")
    program(venv / "bin" / "pythonx")
    hidden = program(venv / "bin" / "not-executable" / "python")
    hidden.chmod(0o644)
    program(tmp_path / "bin" / "hermes", text.format(venv=venv))

    assert "Hermes was not found" in problem(None, environ).what


def test_script_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str]
) -> None:
    """A command that may be run but not read still has its environment around it."""
    venv = tmp_path / "venv"
    python = program(venv / "bin" / "python")
    (venv / "pyvenv.cfg").write_text("")
    command = program(venv / "bin" / "hermes")

    def deny(path: Path, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)

    assert locate(None, {**environ, "PATH": str(venv / "bin")}) == Hermes(
        python, f"the command {command}"
    )


def test_command_before_the_well_known(tmp_path: Path, environ: dict[str, str]) -> None:
    """What the user runs as `hermes` counts before what lies around."""
    program(Path(environ["HOME"]) / ".hermes/hermes-agent/venv/bin/python")
    python = program(tmp_path / "venv" / "bin" / "python")
    program(tmp_path / "bin" / "hermes", f"#!{python}\n")

    assert locate(None, environ).python == python


@pytest.mark.parametrize("place", [p for p in module.WELL_KNOWN if p.startswith("~")])
def test_well_known_places(environ: dict[str, str], place: str) -> None:
    """Where installers put Hermes it is found, below the user's home directory."""
    python = program(Path(place.replace("~", environ["HOME"])))

    assert locate(None, environ) == Hermes(python, "a well-known place")


def test_not_found(environ: dict[str, str]) -> None:
    """When nothing is found, the operator is told where it was looked for, and what to do."""
    refused = problem(None, environ)

    assert "the command `hermes` on PATH (absent)" in refused.what
    assert sys.executable in refused.what
    assert f"{environ['HOME']}/.hermes/hermes-agent/venv/bin/python" in refused.what
    assert "--hermes-python" in refused.advice


def test_no_path_and_no_home(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    """A service without PATH and HOME is told the same."""
    monkeypatch.setattr(os, "defpath", environ["PATH"])
    monkeypatch.setenv("HOME", environ["HOME"])

    assert f"{environ['HOME']}/.hermes/" in problem(None, {}).what


@pytest.mark.parametrize(
    "name",
    [
        "HERMES_ATTACH_KEY",
        "HERMES_ATTACH_KEY_FILE",
        "HERMES_TUI_GATEWAY_URL",
        "HERMES_TUI_SIDECAR_URL",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "CREDENTIALS_DIRECTORY",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "__PYVENV_LAUNCHER__",
    ],
)
def test_kept_from_the_worker(name: str) -> None:
    """Secrets and sockets of the server, and settings of its interpreter, stay with it."""
    assert name not in worker_environment({name: "x"}, Path("/h"))


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LANG",
        "HTTPS_PROXY",
        "OPENROUTER_API_KEY",
        "HERMES_TUI_SESSION_TTL_S",
        "MY_LISTEN_FDS",
        "PYTHONUTF8",
        "XHERMES_ATTACH_KEY",
    ],
)
def test_left_to_the_worker(name: str) -> None:
    """What Hermes and its tools need of their user's environment they get."""
    assert worker_environment({name: "x"}, Path("/h"))[name] == "x"


def test_home_of_the_worker() -> None:
    """The worker's Hermes has the home that was decided, whatever the environment says."""
    given = {"HERMES_HOME": "/other"}

    assert worker_environment(given, Path("/h"))["HERMES_HOME"] == "/h"
    assert given == {"HERMES_HOME": "/other"}


@pytest.mark.parametrize(("given", "size"), [(None, "16"), ("", "16"), ("4", "4"), ("64", "64")])
def test_threads_of_hermes(given: str | None, size: str) -> None:
    """Hermes' pool has room for four clients' quarters, unless the operator chose its size."""
    name = "HERMES_TUI_RPC_POOL_WORKERS"
    environ = {} if given is None else {name: given}

    assert worker_environment(environ, Path("/h"))[name] == size
