"""Sets of characters as regular expressions over bytes: each character is its UTF-8, each odd byte itself.

`Chars` has the bytes that match by themselves, and the characters beyond ASCII that match as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ANY", "BEYOND_ASCII", "WORD", "Chars", "Range", "complement"]

Range = tuple[int, int]
"""The first and the last code point of a range."""

BEYOND_ASCII: tuple[Range, ...] = ((0x80, 0xD7FF), (0xE000, 0x10FFFF))
"""All characters that UTF-8 writes with several bytes."""

_LINE_FEED = 0x0A
_LENGTHS = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)
"""The last code points that UTF-8 writes with one, two, three and four bytes."""


class Chars(NamedTuple):
    """A set of characters.

    Attributes:
        single: bytes that match by themselves.
        wide: ranges of characters beyond ASCII, in order and apart.
    """

    single: frozenset[int]
    wide: tuple[Range, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is in it."""
        return bool(self.single or self.wide)

    def folded(self) -> Chars:
        """With the other case of each letter: of ASCII, and of single characters beyond it."""
        single = self.single | {
            other for byte in self.single if byte < 0x80 for other in _cases(chr(byte)) if other < 0x80
        }
        points = {
            other
            for first, last in self.wide
            if last - first < 1024  # larger ranges have both cases of what is in them
            for point in range(first, last + 1)
            for other in _cases(chr(point))
            if other >= 0x80
        }
        return Chars(frozenset(single), merged([*self.wide, *((point, point) for point in points)]))

    def regex(self, *, endless: bool = False) -> bytes:
        """A regular expression in the syntax of RE2, of bytes (Latin-1), as one atom.

        With `endless` it is going to be repeated without limit. Then characters whose bytes all match by
        themselves need no mention.
        """
        if not self:
            return rb"[^\x00-\xff]"
        if not self.wide or (endless and self.single.issuperset(range(0x80, 0x100))):
            return self._class()
        pieces = [b"".join(map(_class, run)) for first, last in self.wide for run in _runs(first, last)]
        if self.single:
            pieces.insert(0, self._class())
        return b"(?:" + b"|".join(pieces) + b")"

    def _class(self) -> bytes:
        if len(self.single) == 1:
            return rb"\x%02x" % min(self.single)
        return _class(*_ranges(self.single))


ANY = Chars(frozenset(range(256)) - {_LINE_FEED}, BEYOND_ASCII)
"""Any character, and any byte: all but a line feed."""

WORD = Chars(frozenset(byte for byte in range(128) if chr(byte).isalnum() or byte == 0x5F))
"""What words consist of."""


def complement(chars: Chars) -> Chars:
    """All but these, and but a line feed.

    Where characters beyond ASCII are among them, a byte of which is no character is not in the complement:
    else the first byte of each of them would be.
    """
    single = frozenset(range(0x80 if chars.wide else 0x100)) - chars.single - {_LINE_FEED}
    wide: list[Range] = []
    for first, last in BEYOND_ASCII:
        begin = first
        for low, high in chars.wide:
            if begin <= low <= last or low <= begin <= high:
                if low > begin:
                    wide.append((begin, low - 1))
                begin = max(begin, high + 1)
        if begin <= last:
            wide.append((begin, last))
    return Chars(single, tuple(wide))


def merged(ranges: list[Range]) -> tuple[Range, ...]:
    """Ranges in order, none of which touches another; surrogates, which UTF-8 does not write, are cut out."""
    found: list[Range] = []
    for begin, end in sorted(ranges):
        for first, last in BEYOND_ASCII:
            low, high = max(begin, first), min(end, last)
            if low > high:
                continue
            if found and low <= found[-1][1] + 1:
                found[-1] = found[-1][0], max(found[-1][1], high)
            else:
                found.append((low, high))
    return tuple(found)


def _cases(character: str) -> Iterator[int]:
    """The code points of both cases of a character."""
    for text in (character, character.lower(), character.upper()):
        if len(text) == 1:
            yield ord(text)


def _ranges(values: frozenset[int]) -> list[Range]:
    found: list[Range] = []
    for value in sorted(values):
        if found and found[-1][1] == value - 1:
            found[-1] = found[-1][0], value
        else:
            found.append((value, value))
    return found


def _class(*ranges: Range) -> bytes:
    """A class of bytes."""
    texts = (rb"\x%02x" % low if low == high else rb"\x%02x-\x%02x" % (low, high) for low, high in ranges)
    return b"[" + b"".join(texts) + b"]"


def _runs(first: int, last: int) -> Iterator[list[Range]]:
    """Ranges of bytes, one after the other, that together are the UTF-8 of a range of characters."""
    pending = [(first, last)]
    while pending:
        low, high = pending.pop()
        cut = next((end for end in _LENGTHS if low <= end < high), None)
        if cut is None:
            for bits in (6, 12, 18):
                mask = (1 << bits) - 1
                if low & ~mask != high & ~mask:
                    if low & mask:
                        cut = low | mask
                        break
                    if high & mask != mask:
                        cut = (high & ~mask) - 1
                        break
        if cut is not None:
            pending += [(cut + 1, high), (low, cut)]
            continue
        yield list(zip(chr(low).encode(), chr(high).encode(), strict=True))
