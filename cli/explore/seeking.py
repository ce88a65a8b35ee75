"""Search in the bytes of a file: the next place of some bytes, or the one before, read in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from layerfs.tree.content import Content

    from .reader import Ticket

__all__ = ["BadNeedle", "Needle", "needle_of", "seek"]

PIECE = 1 << 20


class BadNeedle(ValueError):
    """What was typed is nothing that can be searched; the message says what would be."""


class Needle(NamedTuple):
    """What is searched: bytes, of which the case of ASCII letters counts or does not."""

    data: bytes
    exact: bool

    def fold(self, data: bytes) -> bytes:
        """Bytes in the form in which they are compared."""
        return data if self.exact else data.lower()


def needle_of(typed: str) -> Needle:
    """What a text searches: `hex:de ad` these bytes; else the text, as typed if it has a capital letter.

    Raises:
        BadNeedle: the digits make no bytes.
    """
    if typed.startswith("hex:"):
        try:
            data = bytes.fromhex(typed[4:])
        except ValueError:
            data = b""
        if not data:
            raise BadNeedle("write two hexadecimal digits for each byte, as hex:7f 45 4c 46")
        return Needle(data, exact=True)
    data = typed.encode("utf-8", "surrogateescape")
    exact = data != data.lower()
    return Needle(data if exact else data.lower(), exact)


def seek(content: Content, needle: Needle, start: int, ticket: Ticket, *, back: bool = False) -> int | None:
    """The offset of the first place at or behind `start`; with `back` of the last one that begins before it.

    None if there is none. Raises `OSError` as the content does.
    """
    overlap = len(needle.data) - 1
    at = start
    while (at > 0) if back else (at < content.size):
        ticket.check()
        begin = max(0, at - PIECE) if back else at
        size = (at - begin if back else PIECE) + overlap
        data = needle.fold(content.pread(size, begin))
        if not data:
            return None
        found = data.rfind(needle.data) if back else data.find(needle.data)
        if found >= 0:
            return begin + found
        at = begin if back else at + PIECE
    return None
