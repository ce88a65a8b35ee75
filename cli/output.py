r"""How answers are printed: one description of the rows, every format.

A command describes its rows once with `Column`s: a typed JSON value under a stable key, and the same
in words under Docker's placeholder and header. `--format` then chooses:

- `table` (default): Docker's layout, byte for byte; `table TEMPLATE`: the columns asked for;
- `json`, `jsonl`, `csv`, `tsv`: the typed values (names that are not UTF-8 keep their bytes as `\udcXX`);
- any table format of tabulate (`github`, `html`, …); or a Go template over the placeholders.

The only importer of tabulate. Text from a data root is escaped before it reaches a terminal.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from .messages import printable
from .template import TemplateError, compile_template
from .template_functions import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "Column",
    "Table",
    "emit",
    "emit_json",
    "emit_objects",
    "format_option",
    "is_template",
    "json_text",
    "no_trunc_option",
]

Row = TypeVar("Row")
_Function = TypeVar("_Function", bound="Callable[..., Any]")

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

_PLACEHOLDER = re.compile(r"\{\{[^}]*?\.(\w+)[^}]*\}\}")
_MIN_WIDTH, _PADDING = 10, 3  # of the tabwriter in docker/cli `cli/command/formatter/formatter.go`


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One fact of a row.

    Attributes:
        key: its JSON key; empty for what only tables and templates show.
        value: its typed value: sizes integer bytes, times RFC 3339, unknown None.
        placeholder: its name in templates; empty for what only JSON shows.
        header: its table header.
        cell: its words; by default the value's text.
    """

    key: str
    value: Callable[[Row], Any]
    placeholder: str = ""
    header: str = ""
    cell: Callable[[Row], str] | None = None

    def words(self, row: Row) -> str:
        """The cell of `row`."""
        if self.cell is not None:
            return self.cell(row)
        value = self.value(row)
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """All columns of a command's rows, and which of them a table shows by default."""

    columns: Sequence[Column[Row]]
    shown: Sequence[str]

    def fields(self, row: Row) -> Fields:
        """The placeholders of a row, safe for a terminal."""
        return Fields(
            (column.placeholder, printable(column.words(row)))
            for column in self.columns
            if column.placeholder
        )

    def headers(self) -> Fields:
        """The placeholders of the header line."""
        return Fields((column.placeholder, column.header) for column in self.columns if column.placeholder)

    def record(self, row: Row) -> dict[str, Any]:
        """The typed values of a row."""
        return {column.key: column.value(row) for column in self.columns if column.key}


def emit(table: Table[Row], rows: Iterable[Row], form: str) -> None:
    """Print rows in the format asked for; raises a usage error for a format that is none."""
    try:
        for line in _lines(table, rows, form):
            sys.stdout.write(line)
    except TemplateError as error:
        raise click.UsageError(f"--format: {error}") from error


def _lines(table: Table[Row], rows: Iterable[Row], form: str) -> Iterator[str]:
    """The output piece by piece: what can be written a row at a time is."""
    if form == "json":
        yield json_text([table.record(row) for row in rows], indent=2) + "\n"
    elif form == "jsonl":
        yield from (json_text(table.record(row)) + "\n" for row in rows)
    elif form in ("csv", "tsv"):
        _write_csv(table, rows, "," if form == "csv" else "\t")
    elif form == "table" or form.startswith("table "):
        yield from _docker_table(table, rows, form.removeprefix("table").lstrip())
    elif is_template(form):
        template = compile_template(form)
        yield from (template.render(table.fields(row)) + "\n" for row in rows)
    else:
        yield _tabulated(table, rows, form)


def is_template(form: str) -> bool:
    """Whether a format is a template rather than a name."""
    return "{{" in form


def _docker_table(table: Table[Row], rows: Iterable[Row], template: str) -> Iterator[str]:
    """Docker's layout: cells end in tabs, and a tabwriter lines them up."""
    text = template or "\t".join(f"{{{{.{name}}}}}" for name in table.shown)
    line = compile_template(text)
    lines = [line.render(table.headers()), *(line.render(table.fields(row)) for row in rows)]
    yield from _aligned([cells.split("\t") for cells in lines])


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of at least ten characters, three spaces apart; nothing behind the last cell."""
    count = max(map(len, lines))
    widths = [
        max([_MIN_WIDTH, *(len(cells[index]) + _PADDING for cells in lines if index < len(cells) - 1)])
        for index in range(count)
    ]
    for cells in lines:
        padded = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
        yield "".join([*padded, cells[-1]]) + "\n"


def _tabulated(table: Table[Row], rows: Iterable[Row], form: str) -> str:
    """A table in one of tabulate's formats."""
    import tabulate

    if form not in tabulate.tabulate_formats:
        raise click.UsageError(
            f"--format: {form!r} is no format; choose {', '.join(FORMATS)}, a template such as "
            f"'{{{{.ID}}}}', or one of {', '.join(tabulate.tabulate_formats)}"
        )
    by_name = {column.placeholder: column for column in table.columns}
    shown = [by_name[name] for name in table.shown]
    cells = [[printable(column.words(row)) for column in shown] for row in rows]
    headers = [column.header for column in shown]
    return tabulate.tabulate(cells, headers=headers, tablefmt=form, disable_numparse=True) + "\n"


def _write_csv(table: Table[Row], rows: Iterable[Row], delimiter: str) -> None:
    keys = [column.key for column in table.columns if column.key]
    writer = csv.DictWriter(sys.stdout, keys, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _csv_cell(value) for key, value in table.record(row).items()})


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def emit_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def emit_objects(objects: Iterable[dict[str, Any]], form: str) -> None:
    """Print whole documents, as `inspect` does: one JSON array, a line each, or a template for each."""
    if form == "json":
        emit_json(list(objects))
    elif form == "jsonl":
        for item in objects:
            sys.stdout.write(json_text(item) + "\n")
    elif is_template(form):
        try:
            template = compile_template(form)
            for item in objects:
                sys.stdout.write(printable_lines(template.render(item)) + "\n")
        except TemplateError as error:
            raise click.UsageError(f"--format: {error}") from error
    else:
        raise click.UsageError(f"--format: {form!r}: choose json, jsonl, or a template such as '{{{{.Id}}}}'")


def printable_lines(text: str) -> str:
    """`text` without power over a terminal, its lines and tabs kept."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in UTF-8; half characters, which stand for bytes that are no UTF-8, stay escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable() or text.isascii():
        return text
    return "".join(f"\\u{ord(char):04x}" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


# -- options -------------------------------------------------------------------------------------


def _complete_format(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    import tabulate

    names = [*FORMATS, *(name for name in tabulate.tabulate_formats if name not in FORMATS)]
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def format_option(function: _Function) -> _Function:
    """Add `--format`."""
    decorate = click.option(
        "--format",
        "form",
        default="table",
        metavar="FORMAT",
        shell_complete=_complete_format,
        help="table, json, jsonl, csv, tsv, a tabulate format such as github, or a Go template "
        "such as '{{.ID}}' or 'table {{.ID}}\\t{{.Size}}'.",
    )
    return decorate(function)


def no_trunc_option(function: _Function) -> _Function:
    """Add `--no-trunc`."""
    return click.option("--no-trunc", is_flag=True, help="Show IDs and commands in full.")(function)
