"""Texts whose parts a builder joined with spaces, taken apart again with the help of what is known of them.

No builder quotes the values of ENV and LABEL in its history. The image's config has the values that were set
last, and so tells where they end; the end of one that was set again later can only be guessed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Pair", "split_list", "split_pairs"]

_MOST_SPACED = 16
_NAME = r"[^\s=\"'\\]+"
_NEXT = re.compile(rf"[ ](?={_NAME}=)")
_AT = re.compile(rf"({_NAME})=")


class Pair(NamedTuple):
    """A name and its value; `sure` where nothing else can be meant."""

    name: str
    value: str
    sure: bool


def split_pairs(text: str, known: Mapping[str, str | None]) -> list[Pair] | None:
    """The pairs of `A=1 B=x y`; None where it has no such form.

    Args:
        text: the pairs, joined with spaces.
        known: names, and the values that they may have.
    """
    found: list[Pair] = []
    spaced = sorted((name for name in known if " " in name), key=len, reverse=True)[:_MOST_SPACED]
    at = 0
    while at < len(text):
        name = next((name for name in spaced if text.startswith(f"{name}=", at)), None)
        if name is None:
            match = _AT.match(text, at)
            if match is None:
                return None
            name = match[1]
        start = at + len(name) + 1
        end, sure = _end(text, start, known.get(name), spaced)
        found.append(Pair(name, text[start:end], sure))
        at = end + 1
    return found or None


def _end(text: str, start: int, value: str | None, spaced: Sequence[str]) -> tuple[int, bool]:
    """Where a value ends, and whether that is sure."""
    if value is not None and text.startswith(value, start):
        end = start + len(value)
        if end == len(text) or (text[end] == " " and _begins(text, end + 1, spaced)):
            return end, True
    following = _NEXT.search(text, start)
    places = [following.start()] if following else []
    places += [place for name in spaced if (place := text.find(f" {name}=", start)) >= 0]
    end = min(places, default=len(text))
    return end, " " not in text[start:end] and "=" not in text[start:end]


def _begins(text: str, at: int, spaced: Sequence[str]) -> bool:
    return bool(_AT.match(text, at)) or any(text.startswith(f"{name}=", at) for name in spaced)


def split_list(text: str, known: Collection[str]) -> tuple[tuple[str, ...], bool]:
    """The items of `a b c`, and whether that is sure.

    Args:
        text: the items, joined with spaces.
        known: what may be items; some of these may have spaces.
    """
    words = text.split(" ")
    found: list[str] = []
    at = 0
    while at < len(words):
        ends = (end for end in range(min(len(words), at + 32), at, -1) if " ".join(words[at:end]) in known)
        end = next(ends, None)
        if end is None:
            return tuple(words), len(words) == 1
        found.append(" ".join(words[at:end]))
        at = end
    return tuple(found), True
