r"""Shell patterns as find(1) takes them: fnmatch(3) without flags, or with FNM_CASEFOLD.

`*` and `?` match anything, a leading dot and a slash included; `[...]` a set, `[!...]` its complement,
with ranges and POSIX classes (of ASCII); a backslash takes the next character literally.

A name is matched as UTF-8 text; each byte that is not UTF-8 counts as one character.

Source: POSIX.1-2017 XCU 2.13; glibc `posix/fnmatch_loop.c`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["compile_glob"]

_NOTHING = "(?!)"
_ANY = "(?s:.)"
_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def compile_glob(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A regular expression whose `fullmatch` gives the answer of fnmatch(3). No pattern is an error."""
    # atomic groups: a star never backtracks, so time does not grow exponentially with the stars
    first, *others = _runs(pattern)
    body = first
    if others:
        *middle, last = others
        body += "".join(f"(?>(?s:.*?){run})" for run in middle) + f"(?s:.*){last}"
    return re.compile(body, re.IGNORECASE if ignore_case else 0)


def _runs(pattern: str) -> list[str]:
    """The pieces between the stars, each as a regular expression."""
    runs = [""]
    for piece in _pieces(pattern):
        if piece is None:
            runs.append("")
        else:
            runs[-1] += piece
    return runs


def _pieces(pattern: str) -> Iterator[str | None]:
    """A regular expression for each part of the pattern; None for a star."""
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            yield None
        elif char == "?":
            yield _ANY
        elif char == "[" and (found := _bracket(pattern, at)):
            yield found.expression
            at = found.end
        elif char == "\\":
            yield re.escape(pattern[at]) if at < len(pattern) else _NOTHING
            at += 1
        else:
            yield re.escape(char)


class _Bracket(NamedTuple):
    expression: str
    end: int


def _bracket(pattern: str, at: int) -> _Bracket | None:
    """The set that begins behind a bracket; None where it has no end, so the bracket is a plain character."""
    negated = pattern[at : at + 1] in ("!", "^")
    at += negated
    first, members = at, ""
    while at < len(pattern):
        if pattern[at] == "]" and at > first:
            found = f"[{members}]" if members else _NOTHING
            return _Bracket(f"(?!{found}){_ANY}" if negated else found, at + 1)
        if named := _class(pattern, at):
            member, at = named
            members += member
            continue
        low, at = _element(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("", "]"):
            high, at = _element(pattern, at + 1)
        if low <= high:
            members += f"{re.escape(low)}-{re.escape(high)}"
    return None


def _class(pattern: str, at: int) -> tuple[str, int] | None:
    """A POSIX class such as `[:alpha:]`, and where it ends; an unknown class has no characters."""
    if not pattern.startswith("[:", at):
        return None
    end = pattern.find(":]", at + 2)
    name = pattern[at + 2 : end]
    if end < 0 or not (name.isascii() and name.isalpha()):
        return None
    return _CLASSES.get(name, ""), end + 2


def _element(pattern: str, at: int) -> tuple[str, int]:
    """One character of a set, and where it ends: plain, escaped, or as `[=a=]` or `[.-.]`."""
    for sign in "=.":
        if pattern.startswith(f"[{sign}", at) and pattern.startswith(f"{sign}]", at + 3):
            return pattern[at + 2], at + 5
    if pattern[at] == "\\" and at + 1 < len(pattern):
        at += 1
    return pattern[at], at + 1
