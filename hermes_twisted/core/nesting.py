"""How JSON texts may nest, judged without building what they describe."""

from __future__ import annotations

import itertools
from typing import Final

#: Frames of a terminal nest less than a dozen deep. Python's own limit is a thousand
#: frames, of which whoever walks through such a thing takes two or three a level.
MAX_DEPTH: Final = 128
#: A transcript of some ten thousand messages. Each costs sixty bytes or more.
MAX_CONTAINERS: Final = 262_144

#: Deletes all but brackets and quotes.
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{}"'))
#: Makes an opening bracket 1 and a closing one -1, as signed characters.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def is_within(text: bytes, depth: int, containers: int) -> bool:
    """Whether *text*, valid JSON, has so many levels, lists and objects at most.

    Everyday texts are told by their length or the number of their brackets. The others
    are worked on in C: ten to twenty milliseconds for a megabyte, at the very worst.
    """
    # One that is n deep has n opening brackets, and as many closing ones.
    if len(text) <= 2 * depth or _openings(text) <= depth:
        return True
    rest = _outside_strings(text)
    if _openings(rest) > containers:
        return False
    heights = itertools.accumulate(memoryview(rest.translate(_STEPS)).cast("b"))
    return max(heights, default=0) <= depth


def _openings(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _outside_strings(text: bytes) -> bytes:
    """The brackets of *text* without those in strings."""
    if b"\\" in text:
        # First the pairs: what is left of a backslash then escapes what follows it.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes with nothing between them change nothing for the others.
    text = text.translate(None, _OTHERS).replace(b'""', b"")
    return b"".join(text.split(b'"')[::2]) if b'"' in text else text
