"""Makes a table fit a terminal: it cuts texts and leaves columns out, as the table's `Narrow` says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .units import ellipsis, middle_ellipsis, text_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .table import Narrow

__all__ = ["fitted", "printed_width", "terminal_width"]

_GAP = 2  # blanks between two columns


def terminal_width() -> int:
    """The columns of the terminal; 80 where that is not known."""
    import shutil  # with all that it needs for archives

    return shutil.get_terminal_size().columns


def printed_width() -> int | None:
    """The columns that a line of standard output may have; None where it is no terminal."""
    return terminal_width() if sys.stdout.isatty() else None


def fitted(names: Sequence[str], lines: Sequence[Sequence[str]], narrow: Narrow, width: int) -> Iterator[str]:
    """The lines of a table in at most `width` columns, as far as its texts may be cut.

    Args:
        names: the placeholder of each column.
        lines: the cells of the header line and of each row.
        narrow: which columns may be cut or left out.
        width: columns of the terminal.
    """
    left_out = 0
    while True:
        gone = set(narrow.left_out[:left_out])
        kept = [number for number, name in enumerate(names) if name not in gone]
        widths = {number: max(text_width(cells[number]) for cells in lines) for number in kept}
        too_wide = sum(widths.values()) + _GAP * (len(kept) - 1) - width
        for name, least in narrow.shortened.items():
            number = names.index(name)
            cut = max(0, min(too_wide, widths[number] - least))
            widths[number] -= cut
            too_wide -= cut
        if too_wide <= 0 or left_out == len(narrow.left_out):
            break
        left_out += 1
    middle = {names.index(name) for name in narrow.middle}
    for cells in lines:
        shown = (
            (middle_ellipsis if number in middle else ellipsis)(cells[number], space)
            for number, space in widths.items()
        )
        padded = (
            text + " " * (space - text_width(text))
            for text, space in zip(shown, widths.values(), strict=True)
        )
        yield (" " * _GAP).join(padded).rstrip() + "\n"
