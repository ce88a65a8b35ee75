r"""Values as Go prints them in a history: `%q` and `%v` of lists and structs.

Sources: Go `fmt`, `strconv.Quote`; moby `builder/dockerfile/dispatchers.go` (v20.10.24), BuildKit
`frontend/dockerfile/dockerfile2llb/convert.go`. What is no such value is None: nothing is guessed here.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

__all__ = ["HealthCheck", "bracketed", "health_check", "ports", "texts"]

_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\\"']))", re.DOTALL
)
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_LIST = re.compile(rf"\[(?:{_QUOTED}(?: {_QUOTED})*)?\]")
_ITEM = re.compile(_QUOTED)
_RUNE = r"'(?:[^'\\]|\\[^']+|\\')'"
_HEALTH = re.compile(rf'&\{{(\[.*\]) ("[^"]*"(?: "[^"]*")*) ({_RUNE})\}}', re.DOTALL)
_DURATION = re.compile(r"[0-9hmsuµn.]{1,40}")
_LAST = 0x10FFFF
_LONGEST_HEALTH = 8000


class HealthCheck(NamedTuple):
    """What a HEALTHCHECK says.

    Attributes:
        test: its first word is `NONE`, `CMD`, or `CMD-SHELL`.
        flags: its options as they are written, as `--interval=5s`.
    """

    test: tuple[str, ...]
    flags: tuple[str, ...]


def texts(text: str) -> tuple[str, ...] | None:
    """The texts of a JSON array, or of Go's `["a" "b"]`; None for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _listed(text)
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return tuple(found)
    return None


def _listed(text: str) -> tuple[str, ...] | None:
    if not _LIST.fullmatch(text):
        return None
    items = [_unquoted(item[1:-1]) for item in _ITEM.findall(text)]
    return tuple(item for item in items if item is not None) if None not in items else None


def _unquoted(text: str) -> str | None:
    """A text without Go's escapes; None where an escape is none of Go's, or no character."""
    left = _ESCAPE.sub("", text)
    if "\\" in left:
        return None
    try:
        return _ESCAPE.sub(_character, text)
    except ValueError:
        return None


def _character(escape: re.Match[str]) -> str:
    number = escape[1] or escape[2] or escape[3]
    if number is None:
        return _NAMED.get(escape[4], escape[4])
    found = int(number, 16)
    if found > _LAST or 0xD800 <= found <= 0xDFFF or (escape[1] and found >= 0x80):
        raise ValueError  # a byte that is no character of its own
    return chr(found)


def bracketed(text: str) -> str | None:
    """What is between the brackets of Go's `[a b]`, whose items are not told apart; None without them."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") and len(text) > 1 else None


def ports(text: str) -> tuple[str, ...]:
    """The ports of EXPOSE: `80/tcp 443`, `[80/tcp]` or `map[80/tcp:{}]`."""
    if text.startswith("map[") and text.endswith("]"):
        return tuple(port.removesuffix(":{}") for port in text[4:-1].split())
    inner = bracketed(text)
    return tuple((text if inner is None else inner).split())


def health_check(text: str) -> HealthCheck | None:
    """A HEALTHCHECK as both builders print it, with or without a start interval."""
    match = _HEALTH.fullmatch(text) if len(text) < _LONGEST_HEALTH else None
    test = _listed(match[1]) if match else None
    if match is None or not test:
        return None
    durations = [item[1:-1] for item in _ITEM.findall(match[2])]
    names = ("interval", "timeout", "start-period", "start-interval")
    retries = _rune(match[3][1:-1])
    if not 3 <= len(durations) <= len(names) or retries is None:
        return None
    if not all(map(_DURATION.fullmatch, durations)):
        return None
    flags = [f"--{name}={value}" for name, value in zip(names, durations, strict=False) if value != "0s"]
    return HealthCheck(test, (*flags, *([f"--retries={retries}"] if retries else [])))


def _rune(text: str) -> int | None:
    """The number that Go printed as a character."""
    found = _unquoted(text)
    return ord(found) if found is not None and len(found) == 1 else None
