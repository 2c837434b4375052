"""A new backend is one file and one line: name, options, doctor's check and factory together."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hermes_twisted.backends import registry
from hermes_twisted.backends.scripted import ScriptedBackend
from hermes_twisted.cli import main
from hermes_twisted.doctor import server as doctor
from hermes_twisted.doctor.findings import Level
from hermes_twisted.limits import Limits
from hermes_twisted.server import assemble
from hermes_twisted.server.settings import Settings, options
from hermes_twisted.shared.problem import Problem
from hermes_twisted.tap import Options
from tests.unit.backends import echoing


@pytest.fixture
def registered() -> Iterator[None]:
    registry.register(echoing.SPEC)
    yield
    registry.forget("echoing")


def gather(tmp_path: Path, *, environ: dict[str, str] | None = None, **given: Any) -> Settings:
    named = {name.replace("_", "-"): value for name, value in given.items()}
    return Settings.gather({"hermes-home": str(tmp_path), **named}, environ or {})


def test_those_of_the_project() -> None:
    assert tuple(registry.choices()) == ("worker", "inprocess", "scripted")
    assert [spec.in_process for spec in registry.specs()] == [False, True, False]


def test_a_name_is_one_backends(registered: None) -> None:
    with pytest.raises(ValueError, match="echoing"):
        registry.register(echoing.SPEC)


def test_an_option_is_one_owners(registered: None) -> None:
    """Else nobody could tell whose it is."""
    registry.register(dataclasses.replace(echoing.SPEC, name="other"))
    try:
        with pytest.raises(ValueError, match="echo-count"):
            options()
    finally:
        registry.forget("other")


def test_unknown() -> None:
    with pytest.raises(Problem, match="worker, inprocess, scripted"):
        registry.find("docker")


def test_settings(registered: None, tmp_path: Path) -> None:
    """Its option can be given wherever others can, and is checked as they are."""
    file = tmp_path / "attach.toml"
    file.write_text('backend = "echoing"\necho-count = 4\n')

    assert gather(tmp_path, backend="echoing").backend_options == echoing.EchoingOptions(3)
    assert gather(tmp_path, config=str(file)).backend_options == echoing.EchoingOptions(4)
    variable = {"HERMES_ATTACH_ECHO_COUNT": "5"}
    found = gather(tmp_path, config=str(file), environ=variable)
    assert found.backend_options == echoing.EchoingOptions(5)
    with pytest.raises(Problem, match="--echo-count 'x': must be 1 or more"):
        gather(tmp_path, backend="echoing", echo_count="x")
    with pytest.raises(Problem, match="--echo-count is for --backend echoing"):
        gather(tmp_path, echo_count="2")


def test_absent_when_it_is_not_registered(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="must be one of worker, inprocess, scripted"):
        gather(tmp_path, backend="echoing")
    assert "echo-count" not in options()


def test_help(registered: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Of both command lines."""
    main.main(["serve", "--help"])

    for text in (capsys.readouterr().out, str(Options())):
        plain = " ".join(text.split())
        assert "or echoing (nothing but an echo) (default: worker)" in plain
        assert "--echo-count COUNT How often each word comes back (default: 3)." in plain


def test_command_line_of_twistd(registered: None) -> None:
    """The parser takes its option."""
    assert Options()["echo-count"] is None
    assert next(row[:3] for row in Options.optParameters if row[0] == "echo-count") == [
        "echo-count",
        None,
        None,
    ]


def test_assemble(registered: None, tmp_path: Path) -> None:
    """Its factory gets its options, and what every backend gets."""
    settings = gather(tmp_path, backend="echoing", echo_count="2", max_threads="7")
    reactor: Any = object()

    backend = assemble.build_backend(reactor, settings, umask=0o27, core_limit=5)

    assert isinstance(backend, echoing.EchoingBackend)
    assert backend.options == echoing.EchoingOptions(2)
    assert backend.surroundings.reactor is reactor
    assert backend.surroundings.home == tmp_path
    assert backend.surroundings.limits.max_threads == 7
    assert (backend.surroundings.umask, backend.surroundings.core_limit) == (0o27, 5)


def test_validate(registered: None, tmp_path: Path) -> None:
    """What its options' kinds do not refuse is refused before a start."""
    assemble.check_backend(gather(tmp_path, backend="echoing"))
    with pytest.raises(Problem, match="9 at most"):
        assemble.check_backend(gather(tmp_path, backend="echoing", echo_count="10"))


@pytest.mark.parametrize(("count", "level"), [("1", Level.PROBLEM), ("2", Level.OK)])
def test_doctor(registered: None, tmp_path: Path, count: str, level: Level) -> None:
    """The doctor asks the backend that was chosen; it need not have anything to say."""
    tools: Any = None
    settings = gather(tmp_path, backend="echoing", echo_count=count)

    (found,) = doctor.check_backend(settings, tools)

    assert (found.check, found.level) == ("echo", level)
    scripted = gather(tmp_path, backend="scripted", script="/talk.jsonl")
    assert doctor.check_backend(scripted, tools) == []


@pytest.mark.parametrize("name", ["worker", "inprocess"])
def test_doctor_of_the_project(tmp_path: Path, name: str) -> None:
    """Both look at Hermes, each at the one that it would run."""
    asked: list[Path] = []

    def inspect(python: Path) -> str:
        asked.append(python)
        return "nothing"

    tools = doctor.ServerTools(
        network=None,
        run_node=None,
        inspect=inspect,
        run=None,
        environ={"PATH": "", "HOME": str(tmp_path)},
    )  # type: ignore[arg-type]
    given = {"hermes_python": sys.executable} if name == "worker" else {}

    (found,) = doctor.check_backend(gather(tmp_path, backend=name, **given), tools)

    assert found.check == "hermes"
    assert found.level is Level.PROBLEM
    assert asked == ([Path(sys.executable)] if name == "worker" else [])


def test_the_recording_is_read_by_its_backend(tmp_path: Path) -> None:
    """The scripted backend is made, and refused, as any other."""
    script = tmp_path / "talk.jsonl"
    script.write_text('{"dir": "s2c", "t": 0, "frame": {"method": "event"}}\n')
    settings = gather(tmp_path, backend="scripted", script=str(script))
    reactor: Any = object()

    assemble.check_backend(settings)
    assert isinstance(assemble.build_backend(reactor, settings, umask=0), ScriptedBackend)
    script.write_text("nonsense\n")
    with pytest.raises(Problem, match="line 1 of the recording"):
        assemble.check_backend(settings)
    script.unlink()
    with pytest.raises(Problem, match="cannot be read"):
        assemble.check_backend(settings)
    assert settings.limits == Limits()
