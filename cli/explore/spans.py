"""Text on its way to the screen: spans with the name of a style, escaped and cut to a width.

This is the one door for text: whatever a root holds, `strip` lets through nothing but visible characters,
and never reads markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from ..escape import printable
from .theme import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.style import Style

__all__ = [
    "Span",
    "column",
    "cut",
    "cut_middle",
    "is_only_ascii",
    "lacks_utf8",
    "name_text",
    "only_ascii",
    "strip",
    "visible",
    "width_of",
    "wrapped",
]


_FOR_ASCII = str.maketrans({"▸": ">", "▾": "v", "…": "~", "·": "."})
_NO_UTF8 = ("linux", "vt100", "vt220", "dumb")
"""Values of TERM of terminals whose fonts lack what else is drawn."""

_only_ascii = False


def only_ascii(on: bool) -> None:
    """Draw nothing but ASCII from now on: everything else is replaced, or escaped."""
    global _only_ascii  # noqa: PLW0603 - a process has one terminal
    _only_ascii = on


def is_only_ascii() -> bool:
    """Whether nothing but ASCII is drawn."""
    return _only_ascii


def lacks_utf8(environ: Mapping[str, str]) -> bool:
    """Whether a terminal cannot be expected to show UTF-8: by its type, or its user's choice of a locale."""
    if environ.get("TERM") in _NO_UTF8:
        return True
    kind = environ.get("LC_CTYPE", "")
    kind = "" if kind == "C.UTF-8" else kind  # Python sets it for the C locale (PEP 538)
    chosen = environ.get("LC_ALL") or kind or environ.get("LANG") or "utf-8"
    return "utf" not in chosen.lower()


def visible(text: str) -> str:
    """`text` escaped, so that the terminal shows all of it."""
    text = printable(text)
    if not _only_ascii or text.isascii():
        return text
    text = text.translate(_FOR_ASCII)
    return text if text.isascii() else "".join(map(_ascii, text))


def _ascii(char: str) -> str:
    if char.isascii():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


class Span(NamedTuple):
    """A piece of a line; `action` is what a click on it asks for."""

    text: str
    style: str = ""
    action: str = ""


def name_text(name: bytes) -> str:
    """A name or path as text that is only visible characters."""
    return visible(name.decode("utf-8", "surrogateescape"))


def width_of(spans: Iterable[Span]) -> int:
    """The columns of some spans."""
    return sum(cell_len(visible(span.text)) for span in spans)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns; an ellipsis where something was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip(" ") + "…" if width > 0 else ""


def cut_middle(text: str, width: int) -> str:
    """`text` in at most `width` columns; its end stays, as that of a file's name tells most."""
    if cell_len(text) <= width or width < 4:
        return cut(text, width)
    head = set_cell_size(text, (width - 1) // 2)
    tail = set_cell_size(text[::-1], width - 1 - (width - 1) // 2)[::-1]
    return f"{head}…{tail}"


def wrapped(text: str, width: int, height: int) -> list[str]:
    """`text` escaped, in at most `height` lines, broken at spaces where there are some."""
    text = visible(text)
    lines: list[str] = []
    while text and width > 0:
        if len(lines) == height - 1 or cell_len(text) <= width:
            return [*lines, cut(text, width)]
        head = set_cell_size(text, width).rstrip(" ")
        space = head.rfind(" ")
        head = head[:space] if space > width // 2 and text[len(head) : len(head) + 1] != " " else head
        lines.append(head)
        text = text[len(head) :].lstrip(" ")
    return lines


def column(text: str, width: int, *, right: bool = False) -> str:
    """`text` in just `width` columns."""
    text = cut(text, width)
    padding = " " * (width - cell_len(text))
    return padding + text if right else text + padding


def strip(spans: Sequence[Span], width: int, base: Style | None = None) -> Strip:
    """One line of the screen: escaped, styled, cut and filled to `width`."""
    segments: list[Segment] = []
    left = width
    for index, span in enumerate(spans):
        text = visible(span.text)
        if cell_len(text) > left:
            text = column(text, left)
        style = STYLES[span.style]
        if base:  # of what the cursor is on the colour is the cursor's
            style = style.without_color + base
        segments.append(Segment(text, style))
        left -= cell_len(text)
        if left <= 0 and index + 1 < len(spans):
            break
    if left > 0:
        segments.append(Segment(" " * left, base))
    return Strip(segments, width)
