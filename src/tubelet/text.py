"""Text that people read: names without what a terminal would obey, numbers that fit their nouns, the time."""

from __future__ import annotations

import re
import time

_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters (escape sequences begin with one), line separators, what turns the direction of writing, and the
halves of characters that stand for bytes of a name which are no UTF-8."""

LONGEST_WORD = 400
"""Characters without a blank that `as_message` leaves whole."""
LONGEST_MESSAGE = 4000
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def printable(text: str) -> str:
    """The text with control characters written out, `\\x1b` for example: what it says is seen, and nothing is done."""
    return _OBEYED.sub(_written_out, text)


def printable_lines(text: str) -> str:
    """`printable`, but line ends and tabs stay."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def as_message(text: str) -> str:
    """`printable_lines` of a text that quotes names from files, which may be of any length: long ones are cut."""
    words = _LONG.sub(lambda found: _cut(found.group(), LONGEST_WORD), printable_lines(text))
    return _cut(words, LONGEST_MESSAGE)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 video`, `2 videos`; `plural` where an s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _cut(text: str, length: int) -> str:
    """The text, without its middle if it is longer."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} … {text[-half:]}"


def moment() -> str:
    """The present time as files have it: ISO 8601, to the second, with the offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _written_out(found: re.Match[str]) -> str:
    code = ord(found.group())
    names = {9: "\\t", 10: "\\n", 13: "\\r"}
    return names.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
