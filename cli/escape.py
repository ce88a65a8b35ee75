r"""Text from a data root made harmless: whatever is not plainly visible is shown escaped.

Names in an image are bytes; as text they carry each byte that is no UTF-8 as a half character
(`\udcXX`, the surrogates of `os.fsdecode`). Tables, templates and messages use `printable`, which keeps
a backslash as it is, as Docker does, and so cannot be undone; JSON loses nothing.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["json_text", "printable", "printable_lines"]

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""`text` without power over a terminal.

    Control bytes, and bytes that are no UTF-8, come out as `\n` or `\x1b`; what could reorder or hide
    text (bidirectional controls, zero-width characters, odd spaces) as `\u202e`.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """`text` without power over a terminal, its lines and tabs kept."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" else _visible(char) for char in text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""JSON without power over a terminal and without loss: what is not plainly visible is a `\uXXXX`.

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
    # the encoder gives a character beyond the first plane its two halves, and a half its escape
    return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"
