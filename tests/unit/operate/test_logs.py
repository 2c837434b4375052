from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import syslog
from twisted.python.failure import Failure

from hermes_twisted.operate import logs
from hermes_twisted.operate.logs import FromLevel, LogPlan, format_json, format_text
from hermes_twisted.operate.redaction import RedactingObserver, Redactor


def event(form: str, level: LogLevel = LogLevel.info, /, **more: Any) -> dict[str, Any]:
    return {
        "log_time": 1_700_000_000.25,
        "log_level": level,
        "log_namespace": "hermes_twisted.server.service",
        "log_format": form,
        **more,
    }


def text(*arguments: Any, **more: Any) -> str:
    """The line without its time, which is the machine's zone's."""
    line = format_text(event(*arguments, **more))
    assert line is not None
    when, _, rest = line.partition(" ")
    assert when[:8] == "2023-11-"
    return rest


def line(*arguments: Any, **more: Any) -> dict[str, Any]:
    made = format_json(event(*arguments, **more))
    assert made is not None
    assert made.endswith("\n")
    assert made.count("\n") == 1
    found: dict[str, Any] = json.loads(made)
    return found


def broken() -> Failure:
    try:
        raise KeyError("nothing there")
    except KeyError:
        return Failure()


class TestText:
    def test_line(self) -> None:
        assert text("seat {seat} attached", seat=3) == "info  seat 3 attached\n"
        assert text("beware", LogLevel.error) == "error beware\n"

    def test_who_says_it(self) -> None:
        """Hermes' output and libraries are marked, our own modules are not."""
        said = {"log_namespace": "hermes_twisted.worker", "text": "WARNING sign"}

        assert text("{text}", LogLevel.warn, **said) == "warn  hermes: WARNING sign\n"
        assert text("up", log_namespace="twisted.web") == "info  twisted: up\n"
        assert text("up", log_namespace="-") == "info  up\n"

    def test_more_lines_than_one(self) -> None:
        """What is not the beginning of an event does not look like one."""
        assert text("one\ntwo\n") == "info  one\n    two\n"

    def test_failure(self) -> None:
        shown = text("it broke", LogLevel.critical, log_failure=broken())

        assert shown.startswith("critical it broke\n    Traceback")
        assert "nothing there" in shown

    def test_what_a_terminal_obeys(self) -> None:
        assert text("{a}", a="\x1b[2Jgone\rback\x9b") == "info  \\x1b[2Jgone\\x0dback\\x9b\n"

    def test_what_no_file_takes(self) -> None:
        assert text("{a}", a="\ud800") == "info  \\ud800\n"

    @pytest.mark.parametrize("form", [format_text, format_json])
    def test_nothing_to_say(self, form: Any) -> None:
        assert form(event("")) is None


class TestJson:
    def test_line(self) -> None:
        assert line("seat {seat} attached", LogLevel.warn, seat=3, key="main") == {
            "time": "2023-11-14T22:13:20.250Z",
            "level": "warn",
            "namespace": "hermes_twisted.server.service",
            "message": "seat 3 attached",
            "fields": {"seat": 3, "key": "main"},
        }

    def test_fields(self) -> None:
        """What JSON holds; of other objects at most the text in the message."""
        found = {"version": "0.19.0", "hooks": ["a", "b"]}

        made = line(
            "{thing}", thing=Path("/x"), found=found, bad=float("nan"), none=None, old={1: 2}
        )

        assert made["message"] == "/x"
        assert made["fields"] == {"found": found, "none": None}
        assert "fields" not in line("alone")

    def test_failure(self) -> None:
        made = line("it broke", LogLevel.critical, log_failure=broken())

        assert made["message"] == "it broke"
        assert "nothing there" in made["traceback"]

    def test_anything_in_a_line(self) -> None:
        """Line breaks, control characters and half characters cannot end it."""
        nasty = "a\nb\u2028\x1b\ud800"

        assert line("{a}", a=nasty)["message"] == nasty

    def test_the_old_log(self) -> None:
        """`twisted.python.log`'s repetitions of the message are left out."""
        made = line("said", message=("said",), system="-", time=1.0, isError=0, printed=1)

        assert "fields" not in made


@pytest.mark.parametrize(
    ("least", "kept"),
    [
        ("debug", ["debug", "info", "warn", "error", "critical"]),
        ("info", ["info", "warn", "error", "critical"]),
        ("warn", ["warn", "error", "critical"]),
        ("error", ["error", "critical"]),
    ],
)
def test_levels(least: str, kept: list[str]) -> None:
    seen: list[Any] = []
    observer = FromLevel(seen.append, least)

    for level in LogLevel.iterconstants():
        observer(event("x", level))
    observer({"log_format": "without a level"})

    assert [found["log_level"].name for found in seen if "log_level" in found] == kept
    assert (len(seen) > len(kept)) == (least in ("debug", "info"))


def test_a_narrow_locale() -> None:
    """What an output cannot show is spelt out; the line is not lost."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", write_through=True)

    LogPlan().to(out)(event("a … b"))

    assert raw.getvalue().endswith(b"info  a \\u2026 b\n")


def test_secrets_are_gone_by_then(tmp_path: Path) -> None:
    """Behind the redacting observer no form shows one, in no field."""
    redact = Redactor()
    redact.know("the-secret-of-the-house")
    out = io.StringIO()
    publisher = LogPublisher(
        RedactingObserver(redact), LogPlan("json").to(out), LogPlan("text").to(out)
    )
    log = Logger(namespace="hermes_twisted.x", observer=publisher)

    log.info("{a}", a="the-secret-of-the-house")
    log.info("not in the text", b={"c": ["the-secret-of-the-house"]})

    assert "the-secret" not in out.getvalue()
    assert out.getvalue().count("not in the text") == 2


class Reactor:
    """Runs what a signal handler has left for the loop."""

    def callFromThread(self, act: Any) -> None:  # noqa: N802
        act()


def close(opened: FromLevel) -> None:
    """A server's log is open for as long as it lives."""
    opened.observer._outFile.close()  # type: ignore[attr-defined]


@pytest.fixture
def plan() -> Iterator[None]:
    """What is decided here concerns this test alone."""
    before = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    logs.adopt(LogPlan())
    signal.signal(signal.SIGUSR1, before)


def test_file(tmp_path: Path, plan: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is twistd's file: SIGUSR1 begins a new one."""
    name = tmp_path / "attach.log"
    logs.adopt(LogPlan("json", "warn", str(name)))
    opened = logs.observer()
    opened(event("first", LogLevel.warn))
    opened(event("unimportant"))
    monkeypatch.setattr("twisted.internet.reactor", Reactor())

    os.kill(os.getpid(), signal.SIGUSR1)
    opened(event("second", LogLevel.warn))

    assert json.loads((tmp_path / "attach.log.1").read_text())["message"] == "first"
    assert json.loads(name.read_text())["message"] == "second"
    assert ILogObserver.providedBy(opened)
    close(opened)


def test_signal_of_somebody_else(tmp_path: Path, plan: None) -> None:
    def theirs(number: int, frame: object) -> None: ...

    signal.signal(signal.SIGUSR1, theirs)

    opened = LogPlan(file=str(tmp_path / "log")).open()

    assert signal.getsignal(signal.SIGUSR1) is theirs
    close(opened)


def test_syslog(plan: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is syslog's to stamp; the level is ours to choose."""
    said: list[str] = []
    monkeypatch.setattr(syslog.SyslogObserver, "openlog", lambda *_: None)
    monkeypatch.setattr(
        syslog.SyslogObserver, "syslog", lambda _self, _how, what: said.append(what)
    )
    opened = LogPlan(level="warn", syslog="attach").open()

    opened(event("unimportant"))
    opened(event("beware {of}", LogLevel.warn, of="dogs"))

    assert len(said) == 1
    assert said[0].endswith("beware dogs")
