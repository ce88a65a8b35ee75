"""Tables of the page: a caption, headings, at most so many rows, and a line that counts what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .markup import Html, element, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["MOST_ROWS", "Col", "table"]

MOST_ROWS = 200
"""How many rows a table of the page has that says nothing else; the twin has all."""

Cell = str | Html


class Col(NamedTuple):
    """A column.

    Attributes:
        heading: what stands above it.
        cell: what a row has there.
        number: what to sort by, and that the column is right-aligned; None for text.
    """

    heading: str
    cell: Callable[[Any], Cell]
    number: Callable[[Any], float | None] | None = None


def table(
    caption: str,
    columns: Sequence[Col],
    rows: Sequence[Any],
    most: int = MOST_ROWS,
    *,
    empty: str = "none",
    **attributes: str,
) -> Html:
    """A table in a box of its own that scrolls; where there is nothing, a line that says so.

    Args:
        caption: what it is of.
        columns: from left to right.
        rows: of which the first `most` are shown.
        most: see there.
        empty: what is said where there is no row.
        attributes: of the table.
    """
    if not rows:
        return element("p", f"{caption}: {empty}.", class_="none")
    shown = rows[:most]
    head = element("tr", *(_heading(column) for column in columns))
    body = (element("tr", *(_cell(column, row) for column in columns)) for row in shown)
    left = len(rows) - len(shown)
    note = element("p", f"{left:,} more, which the JSON has.", class_="more") if left else Html("")
    made = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body), **attributes
    )
    return joined((element("div", made, class_="box", tabindex="0", role="group", aria_label=caption), note))


def _heading(column: Col) -> Html:
    return element("th", column.heading, scope="col", class_="n" if column.number else None)


def _cell(column: Col, row: Any) -> Html:
    if column.number is None:
        return element("td", column.cell(row))
    value = column.number(row)
    return element("td", column.cell(row), class_="n", data_v=None if value is None else f"{value:g}")
