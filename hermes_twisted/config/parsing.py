"""Parse the values of options, as operators write them.

Each function returns the value of a text. It raises `ValueError`, whose text says what is
allowed.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_HOST: Final = re.compile(r"\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+")
_PORT: Final = re.compile(r":[0-9]{1,5}$")
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*"
)
_SIZE_UNITS: Final = {"k": 1024, "m": 1024**2, "g": 1024**3}
_TIME_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LIFETIME_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400}
_LIFETIME: Final = "must be a time such as 12h, 30d or 8w, or a date such as 2026-12-31"


def text(value: str) -> str:
    """Return *value*, which must not be empty."""
    if not value:
        raise ValueError("must not be empty")
    return value


def path(value: str) -> Path:
    """Return the absolute path; `~` and `~name` stand for home directories."""
    try:
        return Path(text(value)).expanduser().absolute()
    except RuntimeError:
        raise ValueError("must not begin with ~: that home directory is not known") from None


def count(value: str) -> int:
    """Return a whole number of 1 or more."""
    with suppress(ValueError):
        if (number := int(value)) >= 1:
            return number
    raise ValueError("must be 1 or more")


def port(value: str) -> int:
    """Return a TCP port; 0 stands for any free one."""
    with suppress(ValueError):
        if 0 <= (number := int(value)) <= 65535:
            return number
    raise ValueError("must be from 0 (any free port) to 65535")


def size(value: str) -> int:
    """Return a number of bytes; `k`, `m` and `g` are powers of 1024."""
    given = value.strip().lower().removesuffix("b").removesuffix("i")
    factor = _SIZE_UNITS.get(given[-1:], 1)
    with suppress(ValueError):
        return count(given if factor == 1 else given[:-1]) * factor
    raise ValueError("must be 1 or more bytes, such as 65536, 512k or 16m")


def seconds(value: str) -> float:
    """Return a time in seconds, which may be 0; `s`, `m` and `h` are units."""
    given = value.strip().lower()
    factor = _TIME_UNITS.get(given[-1:])
    with suppress(ValueError):
        number = float(given if factor is None else given[:-1]) * (factor or 1.0)
        if 0 <= number < float("inf"):
            return number
    raise ValueError("must be a time such as 30, 90s, 15m or 1h")


def some_seconds(value: str) -> float:
    """Return a time in seconds that is above 0."""
    with suppress(ValueError):
        if number := seconds(value):
            return number
    raise ValueError("must be a time such as 30, 90s, 15m or 1h, and above 0")


def lifetime(value: str, now: float) -> int | None:
    """Return when something that is made *now* expires, in seconds since 1970.

    The text is a time from now, a date, which begins at 0:00 UTC, or `never`, which is None.
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


def one_of(names: tuple[str, ...], value: str) -> str:
    """Return *value* if it is one of *names*, in this case."""
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return value


def host(value: str) -> str:
    """Return a name or address as it stands in a `Host` header, without the port."""
    if _HOST.fullmatch(value) is None:
        raise ValueError("must be a name or address alone, such as attach.example or [2001:db8::1]")
    return value.lower()


def origin(value: str) -> str:
    """Return a web page's origin as browsers write it (RFC 6454 §6.2); never `null`."""
    scheme, _, authority = value.partition("://")
    name = _PORT.sub("", authority)
    if scheme not in ("http", "https") or _HOST.fullmatch(name) is None or name != name.lower():
        raise ValueError("must be an origin such as https://app.example or http://localhost:3000")
    return value


def host_name(value: str) -> str:
    """Return a DNS name, perhaps with `*.` in front, or an address, as in certificates."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(value.strip("[]").partition("%")[0]))
    name = value.lower().rstrip(".")
    if not _DNS_NAME.fullmatch(name.removeprefix("*.")):
        raise ValueError("must be a DNS name in ASCII or an IP address, such as attach.example")
    return name


def tls(value: str) -> str:
    """Return `self`, the only value: a certificate that the server makes itself."""
    if value != "self":
        raise ValueError("must be self; a certificate of yours is given with --tls-cert")
    return value
