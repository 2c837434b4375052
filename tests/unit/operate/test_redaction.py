"""Secrets in log events, however they got there, do not reach an observer."""

from __future__ import annotations

import base64
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.logger import (
    LogBeginner,
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    eventAsJSON,
    eventFromJSON,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python import log as legacy_log
from twisted.python.failure import Failure

from hermes_twisted.operate.redaction import HIDDEN, UNREDACTABLE, RedactingObserver, Redactor

SECRET = "correct+horse/battery~staple-7"
MINTED = "hat_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-"


@pytest.fixture
def redact() -> Redactor:
    redactor = Redactor()
    redactor.know(SECRET)
    return redactor


class Shows:
    """An object whose texts hold a secret."""

    attribute = SECRET

    def __repr__(self) -> str:
        return f"<shows {SECRET}>"


class Sinks:
    """Every kind of observer behind the net; the text of each."""

    def __init__(self, redact: Redactor) -> None:
        self.publisher = LogPublisher(RedactingObserver(redact))
        self.text = io.StringIO()
        self.json = io.StringIO()
        self.legacy: list[str] = []
        self.publisher.addObserver(textFileLogObserver(self.text))
        self.publisher.addObserver(jsonFileLogObserver(self.json, recordSeparator=""))
        self.legacy_publisher = legacy_log.LogPublisher(self.publisher, self.publisher)
        self.legacy_publisher.addObserver(self._observe_legacy)
        self.log = Logger("test", observer=self.publisher)

    def _observe_legacy(self, event: dict[str, Any]) -> None:
        self.legacy.append(f"{legacy_log.textFromEventDict(event)}")

    @property
    def all(self) -> list[str]:
        return [self.text.getvalue(), self.json.getvalue(), "\n".join(self.legacy)]


@pytest.fixture
def sinks(redact: Redactor) -> Sinks:
    return Sinks(redact)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"the key {SECRET}.", f"the key {HIDDEN}."),
        (f"{SECRET}{SECRET}", f"{HIDDEN}{HIDDEN}"),
        ("correct%2Bhorse%2Fbattery~staple-7!", f"{HIDDEN}!"),
        (base64.b64encode(SECRET.encode()).decode(), HIDDEN),
        (f"a minted {MINTED} one", f"a minted {HIDDEN} one"),
        (f"x={MINTED}&y", f"x={HIDDEN}&y"),
        ("GET /api/ws?token=whatever&x=1", f"GET /api/ws?token={HIDDEN}&x=1"),
        ("GET /api/ws?a=1&TOKEN=w%41 HTTP/1.1", f"GET /api/ws?a=1&TOKEN={HIDDEN} HTTP/1.1"),
        ("?%74oken=abc", f"?%74oken={HIDDEN}"),
        ("u%3Ftoken%3Dabc", f"u%3Ftoken%3D{HIDDEN}"),
        ("Authorization: Bearer abcdefgh==", f"Authorization: Bearer {HIDDEN}"),
        (
            "{b'authorization': [b'bearer abcdefghi']}",
            f"{{b'authorization': [b'bearer {HIDDEN}']}}",
        ),
    ],
)
def test_what_is_hidden(redact: Redactor, text: str, shown: str) -> None:
    """A known secret in each of its forms, and whatever looks like one."""
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=512 token count 7",
        "what_is_this_thing_called",
        "send Authorization: Bearer KEY",
        "bearer of bad news",
        "",
    ],
)
def test_what_is_not(redact: Redactor, text: str) -> None:
    """Ordinary words stay."""
    assert redact(text) == text


def test_a_secret_that_begins_with_another() -> None:
    """Nothing of the longer one is left."""
    redactor = Redactor()
    redactor.know("abcdef")
    redactor.know("abcdefghij")

    assert redactor("abcdefghij") == HIDDEN


def flattened(log: Logger) -> None:
    """As an event that was saved, and read again."""
    event = {"log_format": "{it} {it.attribute} token={x}", "it": Shows(), "x": "unknown-value"}
    saved = eventAsJSON(event)
    log.observer({**eventFromJSON(saved), "log_level": LogLevel.info, "log_time": 0.0})


def raised(error: Exception) -> Failure:
    try:
        raise error
    except Exception:
        return Failure()


def local() -> Failure:
    """A failure that shows the line of source, and a local variable."""
    try:
        hidden = SECRET
        raise ValueError(len(hidden), "hat_AbCdEfGhIjKlMnOpQrStUvWxYz")
    except ValueError:
        return Failure(captureVars=True)


LOGGED: dict[str, Callable[[Logger], None]] = {
    "in the format": lambda log: log.info(f"it is {SECRET}"),
    "a field": lambda log: log.info("it is {it}", it=SECRET),
    "a field that is not shown": lambda log: log.info("it is", it=SECRET),
    "bytes": lambda log: log.info("it is {it}", it=SECRET.encode()),
    "a URL": lambda log: log.info("GET {uri}", uri=b"/api/ws?token=" + SECRET.encode()),
    "nested": lambda log: log.info("it is {it}", it={"a": [{SECRET: (1, SECRET)}], "b": {SECRET}}),
    "an object": lambda log: log.info("it is {it}", it=Shows()),
    "an object's repr": lambda log: log.info("it is {it!r}", it=Shows()),
    "an object's attribute": lambda log: log.info("it is {it.attribute}", it=Shows()),
    "a call": lambda log: log.info("it is {it()}", it=lambda: SECRET),
    "an exception as a field": lambda log: log.warn("{it}", it=ValueError(SECRET)),
    "a failure": lambda log: log.failure("it failed", raised(ValueError(SECRET))),
    "a failure with a secret message": lambda log: log.failure(SECRET, raised(ValueError("x"))),
    "a failure's own source line": lambda log: log.failure("it failed", local()),
    "a cause": lambda log: log.failure("it failed", raised(ValueError(raised(KeyError(SECRET))))),
    "a failure as a field": lambda log: log.info("{it}", it=raised(ValueError(SECRET))),
    "where it stands": lambda log: log.info("/api/ws?token={it}", it="unknown-value"),
    "flattened": flattened,
    "a namespace": lambda log: Logger(SECRET, observer=log.observer).info("it"),
}


@pytest.mark.parametrize("how", LOGGED)
def test_new_style(sinks: Sinks, how: str) -> None:
    """Nothing gets through to a text file, a JSON file or a legacy observer."""
    LOGGED[how](sinks.log)

    for text in sinks.all:
        assert text
        assert SECRET not in text
        assert "hat_A" not in text
        assert "unknown-value" not in text
    assert HIDDEN in sinks.text.getvalue() or how == "a field that is not shown"
    assert UNREDACTABLE not in sinks.text.getvalue()
    json.loads(sinks.json.getvalue())


LEGACY: dict[str, Callable[[legacy_log.LogPublisher], None]] = {
    "a message": lambda log: log.msg("it is", SECRET),
    "an object": lambda log: log.msg(Shows()),
    "a format": lambda log: log.msg(format="it is %(it)s", it=SECRET),
    "a format with an object": lambda log: log.msg(format="it is %(it)s", it=Shows()),
    "a broken format": lambda log: log.msg(format="it is %(it)s %(absent)s", it=SECRET),
    "a broken format with an object": lambda log: log.msg(format="%(it)d", it=Shows()),
    "an error": lambda log: log.msg(
        failure=raised(ValueError(SECRET)), isError=1, why=f"because {SECRET}"
    ),
}


@pytest.mark.parametrize("how", LEGACY)
def test_legacy(sinks: Sinks, how: str) -> None:
    """The same for what is logged with `twisted.python.log`."""
    LEGACY[how](sinks.legacy_publisher)

    for text in sinks.all:
        assert text
        assert SECRET not in text


def test_ordinary_events_stay_as_they_are(redact: Redactor) -> None:
    """Not one object in them is replaced."""
    failure = raised(ValueError("x"))
    event: LogEvent = {
        "log_format": "{a} {b} {c}",
        "log_level": LogLevel.info,
        "a": ["x", b"y", ("z", {"k": {"v"}})],
        "b": 1,
        "c": failure,
        "log_failure": failure,
    }
    before = dict(event)

    RedactingObserver(redact)(event)

    assert event.keys() == before.keys()
    assert all(event[name] is before[name] for name in before)


def test_a_failure_keeps_its_type(sinks: Sinks) -> None:
    """Its place and kind can still be told."""
    events: list[LogEvent] = []
    sinks.publisher.addObserver(events.append)

    sinks.log.failure("it failed", raised(KeyError(SECRET)))

    failure = events[0]["log_failure"]
    assert failure.check(LookupError) is LookupError
    assert failure.getErrorMessage() == f"'{HIDDEN}'"
    assert "in raised" in failure.getTraceback()
    assert SECRET not in failure.getBriefTraceback()
    assert SECRET not in failure.getTraceback(detail="verbose")
    assert SECRET not in repr(failure)


def test_what_cannot_be_searched_is_left_out(redact: Redactor) -> None:
    """Closed rather than open."""
    endless: list[Any] = [SECRET]
    endless.append(endless)
    event: LogEvent = {"log_format": "{it}", "it": endless, "log_level": LogLevel.info}

    RedactingObserver(redact)(event)

    assert event == {"log_format": UNREDACTABLE, "log_level": LogLevel.info}


@pytest.fixture
def standard_streams() -> Iterator[None]:
    streams = sys.stdout, sys.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield
        sys.stdout, sys.stderr = streams


def test_as_twistd_begins(redact: Redactor, standard_streams: None) -> None:
    """Early events that are replayed, printed lines and warnings: all go through the net."""
    publisher, file, early = LogPublisher(), io.StringIO(), io.StringIO()
    beginner = LogBeginner(publisher, early, sys, warnings)
    publisher.addObserver(RedactingObserver(redact))
    Logger("early", observer=publisher).info(f"early {SECRET}")

    beginner.beginLoggingTo([textFileLogObserver(file)])
    print("printed", SECRET)
    print("complained", SECRET, file=sys.stderr)
    warnings.warn(f"warned {SECRET}", stacklevel=1)

    for word in ("early", "printed", "complained", "warned"):
        assert f"{word} {HIDDEN}" in file.getvalue()
    assert SECRET not in file.getvalue()
