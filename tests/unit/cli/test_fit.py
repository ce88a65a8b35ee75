"""A table on a terminal that it does not fit."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layerfs_cli.emit import emit
from layerfs_cli.fit import fitted
from layerfs_cli.table import Column, Narrow, Table
from layerfs_cli.units import middle_ellipsis, text_width

if TYPE_CHECKING:
    import pytest

NAMES = ("Name", "Size", "Notes", "Path")
cells = st.text(st.sampled_from("abc/语é…"), max_size=30)
tables = st.lists(st.lists(cells, min_size=4, max_size=4), min_size=1, max_size=5)


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@given(tables, st.integers(20, 130))
def test_lines_fit_and_keep_what_they_can(lines: list[list[str]], width: int) -> None:
    """No line is wider than the terminal if cutting can reach that, and nothing is cut more than needed."""
    narrow = Narrow({"Name": 5, "Path": 5}, ("Notes", "Size"), middle=("Path",))
    shown = [line.removesuffix("\n") for line in fitted(NAMES, lines, narrow, width)]
    assert len(shown) == len(lines)
    assert max(map(text_width, shown)) <= width  # two columns of 5, and a gap
    whole = ["  ".join(_padded(lines, row)).rstrip() for row in range(len(lines))]
    natural = sum(max(text_width(line[at]) for line in lines) for at in range(4)) + 6
    if natural <= width:
        assert shown == whole


def _padded(lines: list[list[str]], row: int) -> list[str]:
    widths = [max(text_width(line[at]) for line in lines) for at in range(4)]
    return [text + " " * (width - text_width(text)) for text, width in zip(lines[row], widths, strict=True)]


@given(cells, st.integers(1, 40))
def test_middle_is_cut(text: str, width: int) -> None:
    """The beginning and the end stay, in no more columns than there are, and no fewer than two less."""
    cut = middle_ellipsis(text, width)
    assert text_width(cut) <= width
    if cut != text:
        assert any(
            char == "…" and text.startswith(cut[:at]) and text.endswith(cut[at + 1 :])
            for at, char in enumerate(cut)
        )
        assert text_width(cut) > width - 4  # at a wide character up to one column is lost on each side


def _table(narrow: Narrow | None) -> Table[tuple[str, str]]:
    columns: list[Column[tuple[str, str]]] = [
        Column("a", lambda row: row[0], "Name", "NAME"),
        Column("b", lambda row: row[1], "Path", "PATH"),
    ]
    return Table(columns, ("Name", "Path"), narrow=narrow)


def test_only_on_a_terminal_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Piped, on a wide terminal, and without a `Narrow` the lines are whole; else they fit."""
    rows = [("x" * 30, "/" + "y" * 60)]
    narrow = Narrow({"Path": 10}, middle=("Path",))

    def printed(stream: io.StringIO, table: Table[tuple[str, str]], width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", stream)
        emit(table, rows, "table")
        monkeypatch.undo()
        return stream.getvalue()

    whole = printed(io.StringIO(), _table(narrow), 80)
    assert max(map(len, whole.splitlines())) == 94
    assert printed(Terminal(), _table(narrow), 94) == whole
    assert printed(Terminal(), _table(None), 80) == whole
    fitting = printed(Terminal(), _table(narrow), 80)
    assert max(map(len, fitting.splitlines())) == 80
    assert rows[0][0] in fitting
