"""Removes secrets from log events before they are formatted.

The first defence is that we log no secret. This is the second, against what a library, a traceback
or Hermes' output may have in it. It runs before all observers that are added later, so it serves
text and JSON files, syslog and legacy observers.

It does not see: what earlier observers get; what is written to a descriptor without Python's log,
`print` or warnings (a crash of the interpreter); a secret that is split over two lines; files that
Hermes writes itself.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python import log
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str
from zope.interface import implementer

from ..access.keys import KEY_PREFIX

#: The details with which `Failure.getTraceback` can be called.
_DETAILS: Final = ("default", "brief", "verbose")
HIDDEN: Final = "[redacted]"
UNREDACTABLE: Final = "A log event was left out: it could not be searched for secrets."

#: The parameter `token` of a query, with any of its letters percent-encoded.
_TOKEN: Final = "".join(f"(?:{letter}|%{ord(letter):x})" for letter in "token")
#: Forms of secrets, known or not; the group is replaced.
_PATTERNS: Final = (
    re.compile(rf"(?<![A-Za-z0-9])({KEY_PREFIX}[A-Za-z0-9_-]{{8,}})"),
    re.compile(
        rf"(?i)(?:(?<![a-z0-9_])|(?<=%[0-9a-f]{{2}})){_TOKEN}(?:=|%3d)"
        r"(?!\[redacted\])([^\s&\"'<>#,;)\]}]+)"
    ),
    re.compile(r"(?i)\bbearer(?:\s|%20|\+)+([A-Za-z0-9._~+/%-]{8,}=*)"),
)


class Redactor:
    """Replaces secrets in texts."""

    def __init__(self) -> None:
        self._known: list[str] = []

    def know(self, secret: str) -> None:
        """Replace *secret* from now on, also encoded for URLs or in base64."""
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        for form in (secret, quote(secret, safe=""), encoded):
            if form and form not in self._known:
                self._known.append(form)
        # The longest first: one secret may begin with another.
        self._known.sort(key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return *text* with `HIDDEN` for each secret."""
        for known in self._known:
            text = text.replace(known, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(_hide, text)
        return text


def _hide(match: re.Match[str]) -> str:
    whole, start = match[0], match.start()
    return whole[: match.start(1) - start] + HIDDEN + whole[match.end(1) - start :]


@implementer(ILogObserver)
class RedactingObserver:
    """Redacts each event in place: the observers after it get the same dictionary."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(self, event: LogEvent) -> None:
        """Redact one event. Any thread may call it."""
        try:
            self._clean(event)
        except Exception:
            # Fail closed: a part that could not be searched may have a secret in it.
            self._keep_only(("log_time", "log_level", "time", "isError"), event)
            event["log_format"] = UNREDACTABLE

    def _clean(self, event: LogEvent) -> None:
        # First the formatted text, which may have more in it than the fields: attributes, texts
        # of objects, a value that looks like a secret only in its place.
        text = formatEvent(event)
        if self._is_clean(text, event):
            event["log_text"] = text  # So that observers need not format it again.
            return
        cleaned = self._redact(text)
        for name, value in list(event.items()):
            if name not in _FORMATS:
                event[name] = self._value(value)
        if cleaned != text:
            # Any other field may be the one with the secret.
            self._keep_only(_HARMLESS, event)
            event["log_text"], event["log_format"] = cleaned, "{log_text}"
            return
        if isinstance(event.get("message"), tuple):
            # Legacy observers write these with `str`.
            event["message"] = tuple(map(self._shown, event["message"]))
        if isinstance(event.get("format"), str):
            self._clean_legacy_format(event)

    def _is_clean(self, text: str, event: LogEvent) -> bool:
        """Return whether a simple event has no secret. False for others: they are searched next."""
        texts = [text]
        for name, value in event.items():
            if isinstance(value, str):
                if name == "format":
                    return False
                if name not in _FORMATS:
                    texts.append(value)
            elif isinstance(value, _HOLDERS) and value:
                return False
        # Joined by NUL, texts can neither make up a secret together nor hide one.
        joined = "\0".join(texts)
        return self._redact(joined) == joined

    def _keep_only(self, names: Iterable[str], event: LogEvent) -> None:
        kept = {name: event[name] for name in names if name in event}
        event.clear()
        event.update(kept)

    def _clean_legacy_format(self, event: LogEvent) -> None:
        try:
            text = event["format"] % event
        except Exception:
            # Legacy observers then print the whole event, key by key.
            text = safe_str(event)
        if (cleaned := self._redact(text)) != text:
            event["format"], event["log_text"] = "%(log_text)s", cleaned

    def _value(self, value: Any) -> Any:
        """Return *value*, or a redacted copy if there is a secret in it."""
        if isinstance(value, str):
            cleaned: Any = self._redact(value)
            return cleaned if cleaned != value else value
        if isinstance(value, bytes | bytearray):
            text = value.decode("latin-1")
            cleaned = self._redact(text)
            return cleaned.encode("latin-1") if cleaned != text else value
        if isinstance(value, dict):
            pairs = {self._value(name): self._value(item) for name, item in value.items()}
            return pairs if _differ([*pairs, *pairs.values()], [*value, *value.values()]) else value
        if type(value) in (list, tuple, set, frozenset):
            items = [self._value(item) for item in value]
            return type(value)(items) if _differ(items, value) else value
        if isinstance(value, Failure):
            return self._failure(value)
        return value

    def _shown(self, value: Any) -> Any:
        text = safe_str(value)
        cleaned = self._redact(text)
        return cleaned if cleaned != text else value

    def _failure(self, failure: Failure) -> Failure:
        texts = {detail: failure.getTraceback(detail=detail) for detail in _DETAILS}
        cleaned = {detail: self._redact(text) for detail, text in texts.items()}
        message = failure.getErrorMessage()
        if cleaned == texts and self._redact(message) == message:
            return failure
        return _CleanFailure(failure, self._redact(message), cleaned)


class Redacted(Exception):
    """Replaces an exception whose text has a secret."""


class _CleanFailure(Failure):
    """A failure of the same type and place as another, with redacted texts."""

    def __init__(self, original: Failure, message: str, texts: dict[str, str]) -> None:
        super().__init__(Redacted(message))  # type: ignore[no-untyped-call]
        self.type = original.type
        self._parents = original.parents
        self._texts = texts

    def printTraceback(
        self,
        file: Any = None,
        elideFrameworkCode: Any = False,
        detail: str = "default",
    ) -> None:
        """Write the redacted traceback."""
        (log.logerr if file is None else file).write(self._texts[detail])


#: Types of values that may contain texts, so that they have to be searched one by one.
_HOLDERS: Final = (bytes, bytearray, dict, list, tuple, set, frozenset, Failure)


def _differ(new: Iterable[Any], old: Iterable[Any]) -> bool:
    return any(one is not other for one, other in zip(new, old, strict=True))


#: Not searched themselves, only formatted: `token={}` looks like a secret, and would break.
_FORMATS: Final = ("log_format", "format")
#: Fields of Twisted's own, which are searched by then.
_HARMLESS: Final = (
    *("log_time", "log_level", "log_namespace", "log_system", "log_failure", "log_trace"),
    *("time", "system", "isError", "failure"),
)

_redactor: Final = Redactor()
_observer: Final = RedactingObserver(_redactor)


def know(secret: str) -> None:
    """Replace *secret* in all log events from now on."""
    _redactor.know(secret)


def install() -> None:
    """Redact events for every observer that is added after this call."""
    globalLogPublisher.addObserver(_observer)
