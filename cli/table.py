"""A command's rows: each fact once, as a typed value under a stable key and in words under Docker's names."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .template.fields import Fields, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Column", "Narrow", "Row", "Table"]

Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """One fact of a row.

    Attributes:
        key: its JSON key; empty for what only tables and templates show.
        value: its typed value: sizes integer bytes, times RFC 3339, unknown None.
        placeholder: its name in templates; empty for what only JSON shows.
        header: its table header.
        cell: its words; by default the value's text.
        listed: whether `{{json .}}` has it among the placeholders: Docker's has not what only we have.
    """

    key: str
    value: Callable[[Row], Any]
    placeholder: str = ""
    header: str = ""
    cell: Callable[[Row], str] | None = None
    listed: bool = True

    def words(self, row: Row) -> str:
        """The cell of `row`, safe for a terminal."""
        if self.cell is not None:
            text = self.cell(row)
        else:
            value = self.value(row)
            text = "" if value is None else str(value)
        made: str = shown(text)
        return made


def _method_header(argument: str) -> str:
    """Docker's header for a label: the last part of its name."""
    return argument.rpartition(".")[2].replace("-", " ").replace("_", " ")


class Narrow(NamedTuple):
    """How a table fits a terminal that is too narrow for it; see `fit`.

    Attributes:
        shortened: the placeholders of columns whose text may be cut, and the width that each of them keeps.
            They are cut in this order.
        left_out: the placeholders of columns to leave out, one after the other, if cutting is not enough.
        middle: those of `shortened` that are cut in the middle, as their ends tell most.
    """

    shortened: Mapping[str, int]
    left_out: Sequence[str] = ()
    middle: Sequence[str] = ()


class Table(NamedTuple, Generic[Row]):
    """All columns of a command's rows.

    Attributes:
        columns: the facts.
        shown: the placeholders of those that a table shows by default.
        methods: placeholders that take an argument, as `{{.Label "name"}}`, and their words.
        narrow: how the table fits a narrow terminal; None if its lines may be longer, as Docker's are.
    """

    columns: Sequence[Column[Row]]
    shown: Sequence[str]
    methods: Mapping[str, Callable[[Row, str], str]] = MappingProxyType({})
    narrow: Narrow | None = None

    def fields(self, row: Row) -> Fields:
        """The placeholders of a row; its words are found when asked for."""
        columns = self.by_placeholder()

        def bound(method: Callable[[Row, str], str]) -> Callable[[str], str]:
            return lambda argument: shown(method(row, argument))

        methods = {name: bound(method) for name, method in self.methods.items()}
        listed, others = self._listed(columns)
        return Fields(listed, lambda name: columns[name].words(row), methods=methods, unlisted=others)

    def headers(self) -> Fields:
        """The placeholders of the header line."""
        columns = self.by_placeholder()
        methods = dict.fromkeys(self.methods, _method_header)
        listed, others = self._listed(columns)
        return Fields(listed, lambda name: columns[name].header, methods=methods, unlisted=others)

    @staticmethod
    def _listed(columns: Mapping[str, Column[Row]]) -> tuple[list[str], list[str]]:
        """The placeholders that `{{json .}}` has, and the others."""
        listed = [name for name, column in columns.items() if column.listed]
        return listed, [name for name, column in columns.items() if not column.listed]

    def by_placeholder(self) -> dict[str, Column[Row]]:
        """The columns by their names in templates, sorted as Go's maps are."""
        found = {column.placeholder: column for column in self.columns if column.placeholder}
        return dict(sorted(found.items()))

    def shown_columns(self) -> list[Column[Row]]:
        """Those that a table shows by default, in its order."""
        columns = self.by_placeholder()
        return [columns[name] for name in self.shown]

    def record(self, row: Row) -> dict[str, Any]:
        """The typed values of a row."""
        return {column.key: column.value(row) for column in self.columns if column.key}
