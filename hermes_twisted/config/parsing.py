"""What an operator writes, as the value that it means.

Each function takes the text of one setting. Its `ValueError` says, in the operator's
words, what would do.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

BACKENDS: Final = ("worker", "inprocess", "scripted")
LOG_FORMATS: Final = ("text", "json")
LOG_LEVELS: Final = ("debug", "info", "warn", "error")

_HOST: Final = re.compile(r"\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+")
_PORT: Final = re.compile(r":[0-9]{1,5}$")
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*"
)
_SIZE_UNITS: Final = {"k": 1024, "m": 1024**2, "g": 1024**3}
_TIME_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LIFETIME_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400}
_LIFETIME: Final = "must be a time such as 12h, 30d or 8w, or a date such as 2026-12-31"
_FLAGS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def text(value: str) -> str:
    """Any text but an empty one."""
    if not value:
        raise ValueError("must not be empty")
    return value


def path(value: str) -> Path:
    """An absolute path; `~` and `~name` are home directories."""
    try:
        return Path(text(value)).expanduser().absolute()
    except RuntimeError:
        raise ValueError("must not begin with ~: that home directory is not known") from None


def count(value: str) -> int:
    """A number of things."""
    with suppress(ValueError):
        if (number := int(value)) >= 1:
            return number
    raise ValueError("must be 1 or more")


def port(value: str) -> int:
    """A TCP port."""
    with suppress(ValueError):
        if 0 <= (number := int(value)) <= 65535:
            return number
    raise ValueError("must be from 0 (any free port) to 65535")


def size(value: str) -> int:
    """Bytes."""
    given = value.strip().lower().removesuffix("b").removesuffix("i")
    factor = _SIZE_UNITS.get(given[-1:], 1)
    with suppress(ValueError):
        return count(given if factor == 1 else given[:-1]) * factor
    raise ValueError("must be 1 or more bytes, such as 65536, 512k or 16m")


def seconds(value: str) -> float:
    """A time, perhaps none."""
    given = value.strip().lower()
    factor = _TIME_UNITS.get(given[-1:])
    with suppress(ValueError):
        number = float(given if factor is None else given[:-1]) * (factor or 1.0)
        if 0 <= number < float("inf"):
            return number
    raise ValueError("must be a time such as 30, 90s, 15m or 1h")


def some_seconds(value: str) -> float:
    """A time above 0."""
    with suppress(ValueError):
        if number := seconds(value):
            return number
    raise ValueError("must be a time such as 30, 90s, 15m or 1h, and above 0")


def lifetime(value: str, now: float) -> int | None:
    """When what is made *now* ends, in seconds since 1970: after a time, when a day begins
    in UTC, or None for `never`.
    """
    given = value.strip().lower()
    if given == "never":
        return None
    factor = _LIFETIME_UNITS.get(given[-1:])
    try:
        if factor is not None:
            # Through `datetime`, which knows how far the calendar goes.
            end = datetime.fromtimestamp(now, UTC) + timedelta(seconds=count(given[:-1]) * factor)
        else:
            end = datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(_LIFETIME) from None
    if end.timestamp() <= now:
        raise ValueError("must not be in the past")
    return int(end.timestamp())


def backend(value: str) -> str:
    """The name of a backend."""
    return _one_of(BACKENDS, value)


def log_format(value: str) -> str:
    """The form of the log's lines."""
    return _one_of(LOG_FORMATS, value)


def log_level(value: str) -> str:
    """The lowest level that is logged."""
    return _one_of(LOG_LEVELS, value)


def _one_of(names: tuple[str, ...], value: str) -> str:
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return value


def host(value: str) -> str:
    """A name or address, as it stands in a `Host` header without the port."""
    if _HOST.fullmatch(value) is None:
        raise ValueError("must be a name or address alone, such as attach.example or [2001:db8::1]")
    return value.lower()


def origin(value: str) -> str:
    """A web page's origin (RFC 6454 §6.2), as browsers write it; never `null`."""
    scheme, _, authority = value.partition("://")
    name = _PORT.sub("", authority)
    if scheme not in ("http", "https") or _HOST.fullmatch(name) is None or name != name.lower():
        raise ValueError("must be an origin such as https://app.example or http://localhost:3000")
    return value


def host_name(value: str) -> str:
    """A DNS name, perhaps with `*.` in front, or an address, as a certificate can hold it."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(value.strip("[]").partition("%")[0]))
    name = value.lower().rstrip(".")
    if not _DNS_NAME.fullmatch(name.removeprefix("*.")):
        raise ValueError("must be a DNS name in ASCII or an IP address, such as attach.example")
    return name


def tls(value: str) -> str:
    """Where a certificate of ours comes from."""
    if value != "self":
        raise ValueError("must be self; a certificate of yours is given with --tls-cert")
    return value


def flag(value: str) -> bool:
    """Yes or no."""
    try:
        return _FLAGS[value.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None
