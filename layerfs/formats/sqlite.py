"""An SQLite database that is in memory: rows of its real tables, whatever its schema says.

    with Database(content) as database:
        for identity, name in database.rows("ContainerConfig", ("ID", "Name"), damaged): ...

SQLite itself reads the pages, from a copy of the bytes, so no file is opened. What a database could make it
do by its schema is kept from it: a table is read only if it is one, with columns that are stored; no function
is called, and no view, trigger or virtual table is asked. Steps and bytes are bounded by the file's size.

Sources: SQLite "Database File Format", "Defense Against The Dark Arts"; Python `sqlite3`.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["HEADER_SIZE", "Database", "Header", "JournalKind", "journal_kind", "read_header"]

HEADER_SIZE = 100
"""Bytes of the file that say what it is, and which transaction was the last."""

_MAGIC = b"SQLite format 3\0"
_PAGE_SIZE, _VERSIONS, _CHANGES, _PAGES, _VALID_FOR = 16, 18, 24, 28, 92  # offsets in the header
_WAL, _ROLLBACK = 2, 1  # versions of the file's form
_SMALLEST, _LARGEST = 512, 1 << 16
_JOURNAL, _WAL_LOGS = bytes.fromhex("d9d505f920a163d7"), (0x377F0682, 0x377F0683)

_STEP = 1000  # operations of SQLite's machine between two looks at the count
_STEPS_LEAST, _STEPS_A_BYTE = 1_000_000, 8
_TEXT_GROWS = 2  # bytes of UTF-8 for one of UTF-16, at most
_COLUMNS, _EXPRESSIONS, _SELECTS, _STATEMENT = 100, 100, 4, 1 << 16
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
_ROW_NUMBERS = ("_rowid_", "rowid", "oid")  # a column of that name takes it away from the number


class Header(NamedTuple):
    """What a file says of itself.

    Attributes:
        page_size: bytes of a page.
        pages: how many there are; None where whoever wrote it last did not say.
        is_wal: whether transactions are written to a log beside the file first.
    """

    page_size: int
    pages: int | None
    is_wal: bool


class JournalKind(NamedTuple):
    """A file that SQLite keeps beside a database.

    Attributes:
        suffix: of its name, behind the name of the database.
        means: what it being there means for the database, a clause.
    """

    suffix: str
    means: str


_ROLLBACK_JOURNAL = JournalKind(
    "-journal", "a transaction was not finished, and its changes may be there in part"
)
_WRITE_AHEAD_LOG = JournalKind("-wal", "transactions that are only in this log are not seen")


def read_header(content: bytes) -> Header:
    """The header of a file, from its first `HEADER_SIZE` bytes; raises `FormatError`."""
    if not content:
        raise FormatError("not an SQLite database: the file is empty")
    if len(content) < HEADER_SIZE or content[: len(_MAGIC)] != _MAGIC:
        raise FormatError("not an SQLite database", found=f"a beginning of {bytes(content[:16]).hex()}")
    page_size = int.from_bytes(content[_PAGE_SIZE:_VERSIONS])
    page_size = _LARGEST if page_size == 1 else page_size
    if page_size < _SMALLEST or page_size & (page_size - 1):
        raise FormatError("not an SQLite database", expected="a page size", found=str(page_size))
    newest = max(content[_VERSIONS : _VERSIONS + 2])
    if newest > _WAL:
        raise FormatError("a form of SQLite database that is not known", found=f"version {newest}")
    pages = int.from_bytes(content[_PAGES : _PAGES + 4])
    is_said = content[_CHANGES : _CHANGES + 4] == content[_VALID_FOR : _VALID_FOR + 4] and pages > 0
    return Header(page_size, pages if is_said else None, newest == _WAL)


def journal_kind(beginning: bytes) -> JournalKind | None:
    """What a file beside a database is, by its first 8 bytes or more; None where it holds nothing."""
    if beginning[:8] == _JOURNAL:
        return _ROLLBACK_JOURNAL
    if len(beginning) >= 4 and struct.unpack_from(">I", beginning)[0] in _WAL_LOGS:
        return _WRITE_AHEAD_LOG
    return None


class Database:
    """One database, of which tables can be read.

    Attributes:
        header: what the file says of itself.
        problem: what is wrong with the file as a whole; None for nothing.
    """

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        """Take the bytes of a file.

        Raises:
            FormatError: it is no SQLite database, or its schema cannot be read.
        """
        self.header = read_header(bytes(content[:HEADER_SIZE]))
        self.problem = _truncation(self.header, len(content))
        self._size = len(content)
        self._left = _STEPS_LEAST + _STEPS_A_BYTE * len(content)
        self._connection = self._opened(content)
        try:
            self._tables = {name.lower(): name for name in self._real_tables()}
        except FormatError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        """Use as a context manager to let go of the memory at the end."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Let go of the memory."""
        self._connection.close()

    def rows(
        self, table: str, columns: Sequence[str], damaged: Callable[[FormatError], None]
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a table: an integer, a float, bytes (of a text too, in UTF-8) or None for each column.

        Args:
            table: its name, without regard to case; a table that is not there has no rows.
            columns: names; of one that is not there, the values are None.
            damaged: told of what cannot be read; the rows that can be read come nevertheless.
        """
        statement, number_name = self._asked(table, columns, damaged)
        if not statement:
            return
        room = _TEXT_GROWS * self._size
        seen: set[object] = set()
        is_repeated = False
        # where a page is damaged, rows behind it are found from the end
        for order in ("", f" ORDER BY {number_name} DESC"):
            try:
                for number, *row in self._connection.execute(statement + order):
                    if number in seen:
                        if order:
                            break
                        is_repeated = True  # what comes behind it may be nowhere else
                        continue
                    seen.add(number)
                    room -= _bytes_in(row)
                    if room < 0:
                        damaged(
                            FormatError(f"table {table} holds more than the file", found="rows that overlap")
                        )
                        return
                    yield tuple(row)
            except sqlite3.Error as error:
                damaged(_lost(f"table {table}", error))
            else:
                break
        if is_repeated:
            damaged(FormatError(f"table {table} has rows twice", found="pages that are reached again"))

    def _opened(self, content: bytes | bytearray | memoryview) -> sqlite3.Connection:
        """A database in memory of these bytes, which can do nothing but read."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            connection.deserialize(_readable(content, self.header, is_cut=self.problem is not None))
        except (sqlite3.Error, AttributeError, OverflowError) as error:  # a SQLite may be built without it
            connection.close()
            raise FormatError("an SQLite database that cannot be read", found=str(error)) from error
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(_TEXT_GROWS * self._size, 1 << 20))
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _STATEMENT)
        connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, _COLUMNS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, _EXPRESSIONS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, _SELECTS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(self._is_enough, _STEP)
        return connection

    def _is_enough(self) -> bool:
        self._left -= _STEP
        return self._left < 0

    def _real_tables(self) -> Iterator[str]:
        """The tables that have pages: no view, no virtual table; whoever calls reads on to the end."""
        try:
            for pragma in (
                "trusted_schema = OFF",
                "cell_size_check = ON",
                "query_only = ON",
                "mmap_size = 0",
            ):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            found = self._connection.execute(
                "SELECT name FROM main.sqlite_master WHERE type = 'table' AND rootpage > 0"
            )
            for (name,) in found:
                if isinstance(name, bytes) and name.isascii():
                    yield name.decode("ascii")
        except sqlite3.Error as error:
            raise _lost("the schema", error) from error

    def _asked(
        self, table: str, columns: Sequence[str], damaged: Callable[[FormatError], None]
    ) -> tuple[str, str]:
        """As `_statement`, of a table that may be damaged."""
        try:
            return self._statement(table, columns)
        except FormatError as error:
            damaged(error)
            return "", ""

    def _statement(self, table: str, columns: Sequence[str]) -> tuple[str, str]:
        """What asks for the rows of a table, the row's number first, and what that is called there.

        Empty where there is no such table; raises `FormatError`.
        """
        name = self._tables.get(table.lower())
        if name is None:
            return "", ""
        try:
            self._connection.set_authorizer(None)
            described = self._connection.execute(f"PRAGMA main.table_xinfo({_quoted(name)})").fetchall()
        except sqlite3.Error as error:
            raise _lost(f"table {table}", error) from error
        finally:
            self._connection.set_authorizer(_only_reads)
        # the last field of a column is 0 if it is stored; others are computed, or hidden
        stored = {bytes(row[1]).lower(): row[6] == 0 for row in described}
        wanted = [column.encode("ascii").lower() for column in columns]
        if computed := [column for column in wanted if not stored.get(column, True)]:
            raise FormatError(
                f"table {table} has a column that is computed", found=computed[0].decode("ascii")
            )
        chosen = [
            _quoted(column) if raw in stored else "NULL" for column, raw in zip(columns, wanted, strict=True)
        ]
        number = next((word for word in _ROW_NUMBERS if word.encode() not in stored), None)
        if number is None:
            raise FormatError(
                f"table {table} cannot be read", found="columns that hide the number of the row"
            )
        return f"SELECT {number}, {', '.join(chosen)} FROM main.{_quoted(name)} NOT INDEXED", number  # noqa: S608 - quoted


def _bytes_in(row: Sequence[object]) -> int:
    return sum(len(value) for value in row if isinstance(value, bytes))


def _only_reads(action: int, first: str | None, _: str | None, __: str | None, within: str | None) -> int:
    """What SQLite asks of each part of a statement: only stored values may be read, by no view or trigger."""
    del first
    return sqlite3.SQLITE_OK if action in _ALLOWED and within is None else sqlite3.SQLITE_DENY


def _readable(
    content: bytes | bytearray | memoryview, header: Header, *, is_cut: bool
) -> bytes | bytearray | memoryview:
    """The bytes as SQLite takes them without a file: not in WAL mode, and as many pages as there are."""
    if not (header.is_wal or is_cut):
        return content
    changed = bytearray(content)
    changed[_VERSIONS : _VERSIONS + 2] = bytes((_ROLLBACK, _ROLLBACK))
    if is_cut:  # then SQLite counts the pages itself
        changed[_PAGES : _PAGES + 4] = bytes(4)
    return changed


def _truncation(header: Header, size: int) -> str | None:
    """What to say of a file that is shorter than it says."""
    whole = (header.pages or 0) * header.page_size
    return f"truncated to {size} of {whole} bytes" if size < whole else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _lost(what: str, error: sqlite3.Error) -> FormatError:
    """What cannot be read, in words."""
    if str(error) == "interrupted":
        return FormatError(f"{what} cannot be read", found="more work than its size explains")
    return FormatError(f"{what} cannot be read", found=ascii(str(error))[1:-1])
