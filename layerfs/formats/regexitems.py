r"""What alternatives of a regular expression consist of, and how they become one for RE2.

RE2 has no look at what comes next, so of `\<` and `\>` is made what can be: see `joined`.
"""

from __future__ import annotations

from typing import NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.utf8classes import WORD, Chars

__all__ = ["MARKS", "ONCE", "WORD_BEGINS", "WORD_ENDS", "Item", "Quantifier", "joined", "surely_word"]


class Quantifier(NamedTuple):
    """How often an atom comes; no most is without end."""

    least: int
    most: int | None

    def then(self, other: Quantifier) -> Quantifier | None:
        """The same as this one repeated by another, if a simple one is."""
        if self not in _SIMPLE or other not in _SIMPLE:
            return None
        if self == other:
            return self
        return Quantifier(0 if 0 in (self.least, other.least) else 1, None)

    def regex(self) -> bytes:
        """What is behind the atom."""
        known = {(0, None): b"*", (1, None): b"+", (0, 1): b"?", (1, 1): b""}
        most = b"" if self.most is None else b"%d" % self.most
        return known.get(self) or (b"" if self == ONCE else b"{%d,%s}" % (self.least, most))


ONCE = Quantifier(1, 1)
_SIMPLE = (Quantifier(0, None), Quantifier(1, None), Quantifier(0, 1))


class Item(NamedTuple):
    """An atom with its quantifier.

    Attributes:
        chars: the set of an atom that is one; None for a group and an assertion.
        text: the expression of these.
        begins, ends: of a group, whether it can begin, or end, with letters of words only.
        times: the quantifier.
    """

    chars: Chars | None
    text: bytes = b""
    begins: bool = False
    ends: bool = False
    times: Quantifier = ONCE

    def regex(self) -> bytes:
        """The atom with its quantifier."""
        if self.chars is not None:
            return self.chars.regex(endless=self.times.most is None) + self.times.regex()
        return self.text + self.times.regex()

    @property
    def must(self) -> bool:
        """Whether it comes at least once."""
        return self.times.least > 0

    @property
    def asserts(self) -> bool:
        """Whether it is an assertion, which takes no characters."""
        return self.chars is None and not self.text.startswith(b"(?:")


MARKS = WORD_BEGINS, WORD_ENDS = Item(None, b"<"), Item(None, b">")


def surely_word(item: Item, *, end: bool = False) -> bool:
    """Whether what an item matches always begins, or ends, with a letter of a word."""
    if not item.must:
        return False
    if item.chars is None:
        return item.ends if end else item.begins
    return not item.chars.wide and item.chars.single <= WORD.single


def joined(items: list[Item], *, outermost: bool) -> bytes:
    r"""The items of an alternative.

    RE2 has `\b`, and no look at what comes next. So `\<` is `\b` where a letter of a word must follow, and
    `\>` where one must be before.
    """
    marks = [item for item in items if item in MARKS]
    if marks and len(marks) == len(items) and outermost and len(set(marks)) == 1:
        return rb"\b"  # a line with the end of a word has its beginning too
    pieces: list[bytes] = []
    for place, item in enumerate(items):
        before = items[place - 1] if place else None
        behind = items[place + 1] if place + 1 < len(items) else None
        if item == WORD_BEGINS and (behind is None or behind == WORD_ENDS):
            raise FormatError(r"\< needs a character behind it")
        if item == WORD_ENDS and (before is None or before == WORD_BEGINS):
            raise FormatError(r"\> needs a character before it")
        if item not in MARKS:
            pieces.append(_limited(item, front=before == WORD_BEGINS, back=behind == WORD_ENDS))
    return b"".join(pieces)


def _limited(item: Item, *, front: bool, back: bool) -> bytes:
    r"""An item behind `\<`, or before `\>`, or both."""
    if (not front or surely_word(item)) and (not back or surely_word(item, end=True)):
        return rb"\b" * front + item.regex() + rb"\b" * back
    if item.chars is None or item.times != ONCE:
        raise FormatError(r"\< needs a letter, digit, _ or one set behind it, and \> before it; \b does not")
    inside = Chars(item.chars.single & WORD.single)
    return rb"\b" * front + inside.regex() + rb"\b" * back
