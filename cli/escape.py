r"""Escapes text from a store: everything that is not plainly visible.

Names in an image are bytes; in text each byte that is not UTF-8 is a surrogate (`\udcXX`, as of
`os.fsdecode`). Tables, templates and messages use `printable`, which leaves a backslash unchanged, as Docker
does, and so cannot be undone. JSON loses nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["json_text", "printable", "printable_lines", "terminal_text"]

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_COLOUR = r"(?:0?[0-7]|0?9|2[0-9]|[349][0-79]|10[0-7]|[34]8;(?:0?5;\d{1,3}|0?2(?:;\d{1,3}){3}))"
_KEPT = re.compile(rf"(\x1b\[(?:{_COLOUR}(?:;{_COLOUR})*)?m|\r?\n)")
"""Sequences that choose colours and weights (SGR), but not 8, which hides text; and ends of lines."""


def printable(text: str) -> str:
    r"""`text` with everything escaped that could control a terminal.

    Control bytes, and bytes that are not UTF-8, become `\n` or `\x1b`; characters that could reorder or hide
    text (bidirectional controls, zero-width characters, unusual spaces) become `\u202e`.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """As `printable`, but line feeds and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" else _visible(char) for char in text)


def terminal_text(text: str) -> str:
    """As `printable_lines`, but colours stay, and so do carriage returns at the end of a line."""
    if text.isprintable():
        return text
    pieces = _KEPT.split(text)  # every second one is kept
    return "".join(piece if place % 2 else printable_lines(piece) for place, piece in enumerate(pieces))


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""JSON in which everything that is not plainly visible is `\uXXXX`; nothing is lost.

    Without `indent` it is compact, as Go writes it.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char == "\n" or char.isprintable() else _json_escape(char) for char in text)


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _ESCAPES.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(char: str) -> str:
    # json writes characters beyond U+FFFF, and surrogates, as escapes of surrogates
    return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"
