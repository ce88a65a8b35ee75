r"""Text as a POSIX shell takes it, for commands that are printed and pasted.

What stands in an image is hostile. So every text that is not known to be plain is one word of the shell
(`assigned`), without a control byte: `sh` has no `$'…'`, hence octal by printf(1). No line is longer than
a terminal is wide; a line that ends in a backslash goes on in the next.

Sources: POSIX `sh` (Quoting), printf(1); GNU coreutils `ls` (--escape).
"""

from __future__ import annotations

import re
import shlex

__all__ = ["assigned", "folded", "listed", "quoted"]

_PIECE = 60
"""Characters of a word in one line."""

_BYTES = 12
"""Bytes of a text in one line, where each may be written in octal."""

_PLAIN = re.compile(r"[A-Za-z0-9_./:@+=,-]*")
_BARE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._,+=@:")
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 32: "\\ ", 92: "\\\\"}


def quoted(text: str) -> str:
    """A text as one word; raises `ValueError` where it holds what is not plainly visible."""
    if not text.isprintable():
        raise ValueError(ascii(text))
    return shlex.quote(text)


def assigned(variable: str, text: str) -> list[str]:
    """The lines of a script that give a text to a variable, whatever the text holds but NUL."""
    if text.isprintable():
        if _PLAIN.fullmatch(text):
            return folded(f"{variable}={text}")
        return _joined(f"{variable}=", _quoted_pieces(text), "")
    raw = text.encode("utf-8", "surrogateescape")
    octal = [chr(byte) if byte in _BARE else "%%" if byte == 37 else f"\\{byte:03o}" for byte in raw]
    pieces = ["".join(octal[at : at + _BYTES]) for at in range(0, len(octal), _BYTES)]
    # `$(…)` drops line feeds at the end
    found = _joined(f"{variable}=$(printf ", [f"'{piece}'" for piece in (*pieces, ".")], ")")
    return [*found, f"{variable}=${{{variable}%.}}"]


def folded(line: str, width: int = 75) -> list[str]:
    """A line in pieces of at most `width`: for text without quotes and blanks, as of IDs."""
    found = []
    while len(line) > width:
        found.append(line[: width - 1] + "\\")
        line = line[width - 1 :]
    return [*found, line]


def _quoted_pieces(text: str) -> list[str]:
    """A text as words that make it up when they are joined, none longer than a line."""
    found, piece = [], ""
    for char in text:
        if piece and len(quoted(piece + char)) > _PIECE:
            found.append(quoted(piece))
            piece = ""
        piece += char
    return [*found, quoted(piece)]


def _joined(before: str, words: list[str], after: str) -> list[str]:
    """Words that make one word of the shell, a line each."""
    lines = [word + "\\" for word in words[:-1]] + [words[-1] + after]
    return [before + lines[0], *lines[1:]]


def listed(name: bytes) -> str:
    r"""A name as `LC_ALL=C ls -b` prints it: `\ ` for a blank, octal for what is not ASCII."""
    return "".join(_ESCAPES.get(byte) or (chr(byte) if 32 < byte < 127 else f"\\{byte:03o}") for byte in name)
