"""Text for people: names without control characters, numbers with their nouns, the time."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable

_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line separators, marks of the direction of writing, and surrogates (bytes that are no UTF-8)."""

LONGEST_MESSAGE = 4000
"""Characters of an error or a note."""

_LONG_WORD = re.compile(r"\S{400,}")

_HUGE_WORD = re.compile(r"\S{5000,}")
"""The time of the pattern below grows with the square of a word's length, which a name in a file may make huge."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,30}:/{1,2})(?:\S*@)?([^\s?#@]*)([?#]\S+?(?=[:;,)'\"]*(?:\s|$)))?")
"""A network address: protocol, user and password, place, query."""


def address_without_password(address: str) -> str:
    """An address as it may be shown: without user, password, and what is behind a question mark or number sign.

    A password may hold any character: all up to the last @ is left out.
    """
    protocol, _, rest = address.partition("://")
    shown = re.split("[?#]", rest.rpartition("@")[2])
    return f"{protocol}://{shown[0]}{'?...' if len(shown) > 1 else ''}"


def without_passwords(text: str) -> str:
    """A sentence with its addresses as `address_without_password` shows them, and huge words left out."""
    bounded = _HUGE_WORD.sub(_left_out, text)
    return _ADDRESS.sub(lambda found: f"{found[1]}{found[2]}{'?...' if found[3] else ''}", bounded)


def printable(text: str) -> str:
    """The text with control characters written out, `\\x1b` for example."""
    return _OBEYED.sub(_written_out, text)


def printable_lines(text: str) -> str:
    """`printable`, but line ends and tabs stay."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def shortened(text: str) -> str:
    """The text with very long words cut in the middle."""
    return _LONG_WORD.sub(lambda word: f"{word[0][:200]}…({len(word[0]) - 260:,} characters)…{word[0][-60:]}", text)


def as_message(text: str) -> str:
    """`printable_lines` of a text that quotes names from files and addresses: without passwords, long ones cut."""
    words = printable_lines(shortened(without_passwords(text)))
    half = LONGEST_MESSAGE // 2
    return words if len(words) <= LONGEST_MESSAGE else f"{words[:half]} … {words[-half:]}"


def _left_out(word: re.Match[str]) -> str:
    """The ends of a word; nothing of one that may be an address, which may hold a password."""
    hidden = ":/" in word[0] or "@" in word[0]
    return f"…({len(word[0]):,} characters)…" if hidden else shortened(word[0])


def one_line(text: str) -> str:
    """A message on one line."""
    return " ".join(as_message(text).split())


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 video`, `2 videos`; `plural` where an s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listing(names: Iterable[str], at_most: int = 5, between: str = ", ", more: str = "") -> str:
    """The first few names, and how many there are besides, `more` behind it: `a, b and 3 more`."""
    every = list(names)
    shown = between.join(every[:at_most])
    return shown if len(every) <= at_most else f"{shown} and {len(every) - at_most} more{more}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known one, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def moment() -> str:
    """The present time as files have it: ISO 8601, to the second, with the offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _written_out(found: re.Match[str]) -> str:
    code = ord(found.group())
    names = {9: "\\t", 10: "\\n", 13: "\\r"}
    return names.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
