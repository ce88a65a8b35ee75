r"""Prints rows in every format.

A command describes its rows once, as a `Table` of `Column`s. `--format` then chooses:

- `table` (default): Docker's layout, byte for byte, but tables of ours that are too wide for a terminal
  are made to fit (`fit`); `table TEMPLATE`: the columns asked for;
- `json`: one array; `jsonl`: an object a line; both typed, and without loss (`escape.json_text`);
- `csv`, `tsv`: the typed values under the JSON keys, lists as JSON, unknown as nothing; text is escaped
  as in a table, so a line is always a row;
- a Go template over the placeholders, rendered for each row;
- any table format of tabulate (`github`, `html`, …).

The only importer of tabulate. Text from a data root is escaped before it reaches a terminal.
"""

from __future__ import annotations

import sys
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Any

import click

from .escape import json_text, printable
from .fit import fitted, printed_width
from .progress import clear_bar
from .spool import in_order, kept
from .template.fields import TemplateError, shown
from .units import text_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .table import Column, Row, Table
    from .template.compile import Template

__all__ = ["checked_format", "emit", "emit_json", "emit_objects", "format_names", "is_template"]

FORMATS = ("table", "json", "jsonl", "csv", "tsv")
DELIMITERS = {"csv": ",", "tsv": "\t"}
MARKDOWN = ("github", "pipe")

_TAB = "\t"
_MIN_WIDTH, _PADDING = 10, 3  # of the tabwriter in docker/cli `cli/command/formatter/formatter.go`


def emit(
    table: Table[Row], rows: Iterable[Row], form: str, *, key: Callable[[Row], Any] | None = None
) -> None:
    """Print rows in the format asked for, one by one where the format allows.

    Args:
        table: the columns.
        rows: may be more than fit into memory.
        form: the format.
        key: the rows are sorted by it: a plain value, or a tuple of such; None if they are in their order.

    Raises:
        click.BadParameter: the format is none, or a template that cannot be applied.
    """
    try:
        for text in _pieces(table, rows, form, key):
            clear_bar(sys.stdout)
            sys.stdout.write(text)
    except TemplateError as error:
        raise _bad_format(str(error)) from error


def emit_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def emit_objects(objects: Iterable[dict[str, Any]], form: str) -> None:
    """Print whole documents, as `inspect` does: one JSON array, a line each, or a template for each.

    Raises:
        click.BadParameter: as `emit`.
    """
    if form == "json":
        emit_json(list(objects))
    elif form == "jsonl":
        for item in objects:
            sys.stdout.write(json_text(item) + "\n")
    elif is_template(form):
        try:
            template = _compiled(form)
            for item in objects:
                sys.stdout.write(_inspected_text(template, shown(item)) + "\n")
        except TemplateError as error:
            raise _bad_format(str(error)) from error
    else:
        raise _bad_format(f"{form!r}: choose json, jsonl, or a template such as '{{{{.Id}}}}'")


def _inspected_text(template: Template, document: dict[str, Any]) -> str:
    """Render a document with the names of its fields in Go, or if that fails with those in JSON."""
    from .template.govalues import inspected

    try:
        return template.render(inspected(document, typed=True))
    except TemplateError:
        return template.render(inspected(document, typed=False))


def is_template(form: str) -> bool:
    """Whether a format is a template rather than a name."""
    return "{{" in form


def _compiled(form: str) -> Template:
    """A compiled template; the compiler is loaded only here."""
    from .template.compile import compile_template

    return compile_template(form)


def _bad_format(problem: str) -> click.BadParameter:
    return click.BadParameter(problem, click.get_current_context(silent=True), param_hint="--format")


# -- formats -------------------------------------------------------------------------------------


def _pieces(
    table: Table[Row], rows: Iterable[Row], form: str, key: Callable[[Row], Any] | None
) -> Iterator[str]:
    """The output in pieces; formats that allow it are written row by row."""
    if form == "json":
        yield from _array(_sorted(rows, key, lambda row: json_text(table.record(row), indent=2)))
    elif form == "jsonl":
        yield from _lines(rows, key, lambda row: json_text(table.record(row)))
    elif form in DELIMITERS:
        yield from _delimited(table, rows, DELIMITERS[form], key)
    elif form == "table":
        if table.narrow and printed_width() is not None:  # read by a human, so there are few
            yield from _listed(table, sorted(rows, key=key) if key else rows)
        else:
            yield from _aligned_rows(table, rows, key)
    elif is_template(form) and not form.startswith("table"):
        template = _compiled(form.strip(" "))
        yield from _lines(rows, key, lambda row: template.render(table.fields(row)))
    else:  # formats that need all rows at once
        listed = sorted(rows, key=key) if key else rows
        if is_template(form):
            yield from _aligned(_cells(table, listed, form.removeprefix("table").strip(" ")))
        else:
            yield _tabulated(table, listed, form)


def _lines(
    rows: Iterable[Row], key: Callable[[Row], Any] | None, made: Callable[[Row], str]
) -> Iterator[str]:
    """A line of each row, one by one unless they are to be sorted."""
    lines = (made(row) + "\n" for row in rows) if key is None else _sorted(rows, key, made, "\n")
    yield from lines


def _sorted(
    rows: Iterable[Row], key: Callable[[Row], Any] | None, made: Callable[[Row], str], end: str = ""
) -> Iterator[str]:
    """The text of each row, once all rows were there; a row is kept no longer than its text takes."""
    if key is None:
        return kept(made(row) + end for row in rows)
    return in_order((key(row), made(row) + end) for row in rows)


def _array(elements: Iterator[str]) -> Iterator[str]:
    """A JSON array of elements that are written with an indent of 2."""
    before = "[\n  "
    for element in elements:
        yield before + element.replace("\n", "\n  ")
        before = ",\n  "
    yield "\n]\n" if before.startswith(",") else "[]\n"


def _aligned_rows(table: Table[Row], rows: Iterable[Row], key: Callable[[Row], Any] | None) -> Iterator[str]:
    """As `_aligned`, of lines that have all columns: the widths are known once all lines are."""
    columns = table.shown_columns()
    headers = [column.header for column in columns]
    widths = [max(_MIN_WIDTH, len(header) + _PADDING) for header in headers[:-1]]

    def line(row: Row) -> str:
        cells = [column.words(row) for column in columns]
        for place, cell in enumerate(cells[:-1]):
            widths[place] = max(widths[place], len(cell) + _PADDING)
        return _TAB.join(cells)  # which is in no cell, as it is not printable

    found = _sorted(rows, key, line)
    for cells in chain([headers], (text.split(_TAB) for text in found)):
        yield "".join([*map(str.ljust, cells, widths), cells[-1]]) + "\n"


def _listed(table: Table[Row], rows: Iterable[Row]) -> Iterator[str]:
    """The columns that are shown by default, narrower on a terminal that they do not fit."""
    columns = table.shown_columns()
    lines = [[column.header for column in columns], *_words(columns, rows)]
    whole = list(_aligned([[*cells] for cells in lines]))
    width = printed_width() if table.narrow else None
    if table.narrow and width is not None and max(map(text_width, whole)) > width + 1:  # with its line feed
        return fitted(table.shown, lines, table.narrow, width)
    return iter(whole)


def _words(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> list[list[str]]:
    """The cells of each row."""
    return [[column.words(row) for column in columns] for row in rows]


def _cells(table: Table[Row], rows: Iterable[Row], template: str) -> list[list[str]]:
    """The cells of the header line and of each row, which end in tabs of the template."""
    line = _compiled(template)
    texts = [line.render_header(table.headers()), *(line.render(table.fields(row)) for row in rows)]
    return [cells.split("\t") for text in texts for cells in text.split("\n")]


def _aligned(lines: list[list[str]]) -> Iterator[str]:
    """Lines as Go's `text/tabwriter` writes them, without blanks after the last cell.

    A column is as wide as its widest cell among neighbouring lines that have a further cell.
    """
    for column in range(max(map(len, lines)) - 1):
        for has_column, run in groupby(lines, key=lambda cells: column < len(cells) - 1):
            if has_column:
                block = list(run)
                width = max(_MIN_WIDTH, *(len(cells[column]) + _PADDING for cells in block))
                for cells in block:
                    cells[column] = cells[column].ljust(width)
    yield from ("".join(cells) + "\n" for cells in lines)


def _tabulated(table: Table[Row], rows: Iterable[Row], form: str) -> str:
    """A table in one of tabulate's formats."""
    import tabulate

    _require_format(form)
    columns = table.shown_columns()
    cells = _words(columns, rows)
    if form in MARKDOWN:  # tabulate does not escape it
        cells = [[cell.replace("|", "\\|") for cell in line] for line in cells]
    headers = [column.header for column in columns]
    return tabulate.tabulate(cells, headers=headers, tablefmt=form, disable_numparse=True) + "\n"


class _Return:
    """A file whose `write` returns the text, so that `writerow` returns the line."""

    def write(self, text: str, /) -> str:
        """Return `text`."""
        return text


def _delimited(
    table: Table[Row], rows: Iterable[Row], delimiter: str, key: Callable[[Row], Any] | None
) -> Iterator[str]:
    """A header line of JSON keys, and a line for each row."""
    import csv

    writer = csv.writer(_Return(), delimiter=delimiter, lineterminator="")

    def line(row: Row) -> str:
        made: str = writer.writerow([_cell(value) for value in table.record(row).values()])
        return made

    found = _lines(rows, key, line)
    first = list(islice(found, 1))
    yield writer.writerow([column.key for column in table.columns if column.key]) + "\n"
    yield from chain(first, found)


def _cell(value: Any) -> str:
    """A typed value as text."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) else json_text(value)


def _require_format(form: str) -> None:
    if form not in FORMATS and form not in (names := format_names()):
        raise _bad_format(
            f"{form!r} is no format; choose a template such as '{{{{.ID}}}}', or one of {', '.join(names)}"
        )


def format_names() -> list[str]:
    """Every format that has a name."""
    import tabulate

    return list(dict.fromkeys((*FORMATS, *tabulate.tabulate_formats)))


def checked_format(form: str) -> str:
    """Check a format before anything is read, and return it as `emit` takes it: `ndjson` is `jsonl`.

    Raises:
        click.BadParameter: it is none.
    """
    if form == "ndjson":
        return "jsonl"
    if is_template(form):
        try:
            _compiled(form)
        except TemplateError as error:
            raise _bad_format(str(error)) from error
    else:
        _require_format(form)
    return form
