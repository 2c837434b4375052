"""A second net: secrets are taken out of log events before anything formats them.

The first is that no secret gets into an event. This one catches what a library, a
traceback or Hermes' own output might carry. It goes before all observers that are
added later, so it serves text and JSON files, syslog and legacy observers alike.

Out of its reach: observers that were there before it; what is written to a
descriptor without Python's log, `print` or warnings (a crash of the interpreter);
a secret cut in two by the end of a line; and files that Hermes writes itself.
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

#: Ways in which a failure may be asked to print itself.
_DETAILS: Final = ("default", "brief", "verbose")
HIDDEN: Final = "[redacted]"
UNREDACTABLE: Final = "A log event was left out: it could not be searched for secrets."

#: The query's parameter, however much of its name is percent-encoded.
_TOKEN: Final = "".join(f"(?:{letter}|%{ord(letter):x})" for letter in "token")
#: What looks like a secret, whosoever it is: the group is what is hidden.
_LOOKS: Final = (
    re.compile(rf"(?<![A-Za-z0-9])({KEY_PREFIX}[A-Za-z0-9_-]{{8,}})"),
    re.compile(
        rf"(?i)(?:(?<![a-z0-9_])|(?<=%[0-9a-f]{{2}})){_TOKEN}(?:=|%3d)"
        r"(?!\[redacted\])([^\s&\"'<>#,;)\]}]+)"
    ),
    re.compile(r"(?i)\bbearer(?:\s|%20|\+)+([A-Za-z0-9._~+/%-]{8,}=*)"),
)


class Redactor:
    """Text in, text without secrets out."""

    def __init__(self) -> None:
        self._known: list[str] = []

    def know(self, secret: str) -> None:
        """Hide *secret* from now on, however it looks, also encoded for URLs or in base64."""
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        for form in (secret, quote(secret, safe=""), encoded):
            if form and form not in self._known:
                self._known.append(form)
        # The longest first: one may begin with another.
        self._known.sort(key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """*text*, with `HIDDEN` for each secret."""
        for known in self._known:
            text = text.replace(known, HIDDEN)
        for look in _LOOKS:
            text = look.sub(_hide, text)
        return text


def _hide(match: re.Match[str]) -> str:
    whole, start = match[0], match.start()
    return whole[: match.start(1) - start] + HIDDEN + whole[match.end(1) - start :]


@implementer(ILogObserver)
class RedactingObserver:
    """Changes each event in place: the observers after it get the same dictionary."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(self, event: LogEvent) -> None:
        """See `ILogObserver`. Any thread."""
        try:
            self._clean(event)
        except Exception:
            # Closed rather than open: the event may hold what could not be searched.
            self._keep_only(("log_time", "log_level", "time", "isError"), event)
            event["log_format"] = UNREDACTABLE

    def _clean(self, event: LogEvent) -> None:
        # First what formatting brings to light: attributes, objects' own texts, a value that
        # looks like a secret where it stands.
        text = formatEvent(event)
        if self._is_clean(text, event):
            event["log_text"] = text  # Which whoever writes it need not make again.
            return
        cleaned = self._redact(text)
        for name, value in list(event.items()):
            if name not in _FORMATS:
                event[name] = self._value(value)
        if cleaned != text:
            # Of the other fields, any may be the one.
            self._keep_only(_HARMLESS, event)
            event["log_text"], event["log_format"] = cleaned, "{log_text}"
            return
        if isinstance(event.get("message"), tuple):
            # Legacy observers write these with `str`.
            event["message"] = tuple(map(self._shown, event["message"]))
        if isinstance(event.get("format"), str):
            self._clean_legacy_format(event)

    def _is_clean(self, text: str, event: LogEvent) -> bool:
        """Whether an everyday event has no secret anywhere, at the cost of one search."""
        texts = [text]
        for name, value in event.items():
            if isinstance(value, str):
                if name == "format":
                    return False
                if name not in _FORMATS:
                    texts.append(value)
            elif isinstance(value, _HOLDERS) and value:
                return False
        # A secret of one text cannot come to light, or vanish, beside another behind a NUL.
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
            # Its observers then print the whole event, key by key.
            text = safe_str(event)
        if (cleaned := self._redact(text)) != text:
            event["format"], event["log_text"] = "%(log_text)s", cleaned

    def _value(self, value: Any) -> Any:
        """*value*, or what is put in its place."""
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
    """Stands for an exception whose text held a secret."""


class _CleanFailure(Failure):
    """Of the same type and place as another, with texts that may be shown."""

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
        """See `Failure`."""
        (log.logerr if file is None else file).write(self._texts[detail])


#: Values in which there may be texts, so that they are looked at one by one.
_HOLDERS: Final = (bytes, bytearray, dict, list, tuple, set, frozenset, Failure)


def _differ(new: Iterable[Any], old: Iterable[Any]) -> bool:
    return any(one is not other for one, other in zip(new, old, strict=True))


#: Not to be searched but for what they make: `token={}` is no secret, and would break.
_FORMATS: Final = ("log_format", "format")
#: What Twisted itself puts into an event, searched by then.
_HARMLESS: Final = (
    *("log_time", "log_level", "log_namespace", "log_system", "log_failure", "log_trace"),
    *("time", "system", "isError", "failure"),
)

_redactor: Final = Redactor()
_observer: Final = RedactingObserver(_redactor)


def know(secret: str) -> None:
    """Hide *secret* from now on."""
    _redactor.know(secret)


def install() -> None:
    """Put the net before every observer that is added after this."""
    globalLogPublisher.addObserver(_observer)
