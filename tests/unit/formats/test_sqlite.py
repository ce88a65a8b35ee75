"""SQLite databases in memory: what real ones hold, and that hostile ones make it do nothing else."""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.sqlite import Database, journal_kind, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = "CREATE TABLE T(ID TEXT PRIMARY KEY NOT NULL, N INTEGER, JSON BLOB NOT NULL)"
MANY = 2000
"""Rows, so that there are pages of several kinds."""


def _made(*statements: str, before: str = "") -> bytes:
    """The bytes of a database that these statements make."""
    connection = sqlite3.connect(":memory:")
    for statement in (*filter(None, [before]), *statements):
        connection.execute(statement)
    connection.commit()
    return connection.serialize()


def _read(content: bytes, table: str = "T", columns: tuple[str, ...] = ("ID", "N", "JSON")) -> list[Any]:
    """The rows of a table, of which nothing may be wrong."""
    rows, told = _read_damaged(content, table, columns)
    assert told == []
    return rows


def _read_damaged(
    content: bytes, table: str = "T", columns: tuple[str, ...] = ("ID", "N", "JSON")
) -> tuple[list[Any], list[str]]:
    """The rows of a table, and what was told of it."""
    told: list[FormatError] = []
    with Database(content) as database:
        rows = list(database.rows(table, columns, told.append))
    return rows, [f"{error.problem}: {error.found}" for error in told]


def _filled(*more: str, before: str = "") -> bytes:
    rows = ",".join(f"('id{number}', {number}, CAST('{{\"a\":{number}}}' AS BLOB))" for number in range(MANY))
    return _made(SCHEMA, "INSERT INTO T VALUES " + rows, *more, before=before)  # noqa: S608 - our own


# -- what is there -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_rows_are_those_that_were_written(encoding: str, page_size: int) -> None:
    """Text as UTF-8 in whatever encoding it is stored, numbers, nothing, and columns that are not there."""
    setup = f"PRAGMA page_size = {page_size}"
    connection = sqlite3.connect(":memory:")
    for statement in (setup, f"PRAGMA encoding = '{encoding}'", SCHEMA):
        connection.execute(statement)
    values = [
        ("é" * 3000, 7, b"\xff\0"),
        ("b", None, "text"),
        ("c", -(2**63), "{}"),
        ("", 1.5, "x" * 100_000),
    ]
    connection.executemany("INSERT INTO T VALUES (?, ?, ?)", values)
    connection.commit()
    content = connection.serialize()
    wanted = [
        (*(value.encode() if isinstance(value, str) else value for value in row), None) for row in values
    ]
    assert _read(content, "t", ("id", "N", "json", "Absent")) == wanted
    assert read_header(content).page_size == page_size
    assert _read(content, "Absent") == []


def test_a_database_of_thousands_of_rows_is_read_within_its_steps() -> None:
    """The bounds are no bounds for what is honest."""
    rows = _read(_filled())
    assert [row[1] for row in rows] == list(range(MANY))


def test_a_database_in_wal_mode_is_read_as_far_as_the_file_goes(tmp_path: Path) -> None:
    """SQLite opens none such without its directory; in memory it is read all the same."""
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(SCHEMA)
    connection.execute("INSERT INTO T VALUES ('a', 1, 'x')")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (tmp_path / "db").read_bytes()
    connection.close()
    assert read_header(content).is_wal
    assert _read(content) == [(b"a", 1, b"x")]


# -- what is not a database --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda _: b"", "the file is empty"),
        (lambda content: content[:99], "not an SQLite database"),
        (lambda content: b"x" + content[1:], "not an SQLite database"),
        (lambda content: content[:16] + b"\x03\x00" + content[18:], "not an SQLite database"),
        (lambda content: content[:18] + b"\x03\x03" + content[20:], "a form of SQLite database"),
        (lambda content: content[:100] + b"\0" * (len(content) - 100), "cannot be read"),
    ],
)
def test_what_is_no_database_is_said(change: Callable[[bytes], bytes], problem: str) -> None:
    """An error in words, whatever the bytes."""
    with pytest.raises(FormatError, match=problem):
        Database(change(_filled()))


def test_a_truncated_file_gives_the_rows_that_are_left() -> None:
    """Those of the pages that are there, and it is told."""
    content = _filled()
    cut = content[: len(content) * 2 // 3]
    with Database(cut) as database:
        told: list[FormatError] = []
        rows = list(database.rows("T", ("N",), told.append))
        assert database.problem == f"truncated to {len(cut)} of {len(content)} bytes"
    assert told
    assert 0 < len(rows) < MANY
    assert {number for (number,) in rows} <= set(range(MANY))


def test_a_damaged_page_costs_its_own_rows() -> None:
    """Rows before and behind it come, each once."""
    content = bytearray(_filled())
    size = read_header(bytes(content)).page_size
    leaves = [
        at
        for at in range(size, len(content), size)
        if content[at] == 0x0D and b'{"a":' in content[at : at + size]
    ]
    at = leaves[len(leaves) // 2]
    content[at : at + size] = b"\xff" * size
    rows, told = _read_damaged(bytes(content))
    numbers = [row[1] for row in rows]
    assert told
    assert len(set(numbers)) == len(numbers)
    assert {0, MANY - 1} <= set(numbers)
    assert MANY - size // 20 < len(numbers) < MANY


def test_every_single_damaged_byte_of_the_schema_is_survived() -> None:
    """Rows, or an error in words; never anything else."""
    content = _made(SCHEMA, "INSERT INTO T VALUES ('a', 1, 'x')")
    for at in range(100, 512):
        changed = bytearray(content)
        changed[at] ^= 0xFF
        try:
            rows, told = _read_damaged(bytes(changed))
        except FormatError:
            continue
        assert rows == [(b"a", 1, b"x")] or len(rows) <= 1 or told


# -- what a schema could make SQLite do --------------------------------------------------------------

ENDLESS = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS ID, x AS N, x AS JSON FROM c"
)

HOSTILE = {
    "a view for a table": f"CREATE VIEW T AS {ENDLESS}",
    "a view that names a file": "CREATE VIEW T AS SELECT readfile('/etc/passwd') AS ID, 1 AS N, 2 AS JSON",
    "a view of a view": "CREATE VIEW T AS SELECT * FROM T",
    "a virtual table": "CREATE VIRTUAL TABLE T USING fts5(ID, N, JSON)",
}


@pytest.mark.parametrize("statement", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_table_has_no_rows(statement: str) -> None:
    """A view or a virtual table is none, whatever it is called."""
    assert _read(_made(statement)) == []


COMPUTED = {
    "virtual": "CREATE TABLE T(ID TEXT, N AS (length(hex(zeroblob(1000000)))), JSON)",
    "of a large value": "CREATE TABLE T(ID TEXT, N AS (printf('%.*c', 3000000, 'x')), JSON)",
}


@pytest.mark.parametrize("statement", COMPUTED.values(), ids=COMPUTED)
def test_a_computed_column_is_not_computed(statement: str) -> None:
    """Its table has no rows then, and that is told; of its stored columns they can be had."""
    content = _made(statement, "INSERT INTO T(ID, JSON) VALUES ('a', 'b')")
    rows, told = _read_damaged(content)
    assert rows == []
    assert told == ["table T has a column that is computed: n"]
    assert _read(content, columns=("ID", "JSON")) == [(b"a", b"b")]


def test_triggers_and_checks_are_not_run() -> None:
    """Nothing is written, so nothing fires; the rows come as they are."""
    content = _made(
        "CREATE TABLE T(ID TEXT, N INTEGER CHECK (N < 5), JSON)",
        "CREATE TABLE Other(x)",
        "CREATE TRIGGER t AFTER INSERT ON Other BEGIN DELETE FROM T; END",
        "INSERT INTO T VALUES ('a', 1, 'b')",
    )
    assert _read(content) == [(b"a", 1, b"b")]


def test_a_schema_that_was_written_by_hand_is_not_believed() -> None:
    """A table whose record names a view, and one that names the pages of another."""
    connection = sqlite3.connect(":memory:")
    for statement in (SCHEMA, "INSERT INTO T VALUES ('a', 1, 'b')", "PRAGMA writable_schema = ON"):
        connection.execute(statement)
    connection.execute("UPDATE sqlite_master SET rootpage = 1 WHERE name = 'T'")
    connection.execute(
        "INSERT INTO sqlite_master VALUES ('table', 'V', 'V', 0, ?)", [f"CREATE VIEW V AS {ENDLESS}"]
    )
    connection.commit()
    content = connection.serialize()
    for table in ("T", "V"):
        try:
            rows, told = _read_damaged(content, table)
        except FormatError:
            continue
        assert told or len(rows) < MANY


def test_rows_that_overlap_end_where_the_file_would_be_exceeded() -> None:
    """Thousands of cells that are one large value: no more comes out than twice what went in."""
    connection = sqlite3.connect(":memory:")
    for statement in ("PRAGMA page_size = 65536", "CREATE TABLE T(JSON)"):
        connection.execute(statement)
    connection.execute("INSERT INTO T VALUES (?)", [b"x" * 60_000])
    connection.commit()
    content = bytearray(connection.serialize())
    page = content[65536 : 2 * 65536]
    assert page[0] == 0x0D
    (cell,) = struct.unpack_from(">H", page, 8)
    count = 20_000
    page[3:5] = struct.pack(">H", count)
    for number in range(min(count, (cell - 8) // 2)):
        struct.pack_into(">H", page, 8 + 2 * number, cell)
    content[65536 : 2 * 65536] = page
    with Database(bytes(content)) as database:
        told: list[FormatError] = []
        total = sum(len(row[0]) for row in database.rows("T", ("JSON",), told.append))
    assert total <= 2 * len(content)
    assert told


def test_steps_end_a_tree_that_reaches_its_leaves_again_and_again() -> None:
    """A branch whose children are all one page: SQLite would come by for as long as there are children."""
    content = bytearray(_filled())
    size = read_header(bytes(content)).page_size
    root = next(at for at in range(size, len(content), size) if content[at] == 0x05)
    count = struct.unpack_from(">H", content, root + 3)[0]
    first = struct.unpack_from(">H", content, root + 12)[0]
    child = content[root + first : root + first + 4]
    for number in range(count):
        cell = struct.unpack_from(">H", content, root + 12 + 2 * number)[0]
        content[root + cell : root + cell + 4] = child
    rows, told = _read_damaged(bytes(content))
    assert len(rows) == len({row[1] for row in rows})
    assert told


def test_rows_behind_a_page_that_is_reached_again_are_found() -> None:
    """Two branches to one page: the rows of all other pages come, each once, and that is told."""
    content = bytearray(_filled())
    size = read_header(bytes(content)).page_size
    root = next(at for at in range(size, len(content), size) if content[at] == 0x05)
    first, second = (struct.unpack_from(">H", content, root + 12 + 2 * number)[0] for number in range(2))
    content[root + second : root + second + 4] = content[root + first : root + first + 4]
    rows, told = _read_damaged(bytes(content))
    numbers = [row[1] for row in rows]
    assert len(numbers) == len({*numbers})
    assert numbers[-1] == MANY - 1
    assert len(told) == 1


@pytest.mark.parametrize("hiding", [("_rowid_",), ("rowid", "_rowid_"), ("OID", "RowID", "_RowID_")])
def test_columns_that_are_called_as_the_number_of_a_row_hide_no_row(hiding: tuple[str, ...]) -> None:
    """Every row comes, or it is told that the table cannot be read."""
    columns = "".join(f", {name} TEXT" for name in hiding)
    content = _made(
        f"CREATE TABLE T(ID TEXT{columns})",
        "INSERT INTO T(ID) VALUES ('a'), ('b'), ('c')",
    )
    rows, told = _read_damaged(content, columns=("ID",))
    assert (len(rows), len(told)) == ((3, 0) if len(hiding) < 3 else (0, 1))


def test_nothing_can_be_attached_or_written(tmp_path: Path) -> None:
    """Not even by who has the connection: no file comes into being."""
    with Database(_filled()) as database:
        list(database.rows("T", ("N",), _refuse))
        for statement in (
            f"ATTACH '{tmp_path / 'x'}' AS x",
            f"VACUUM INTO '{tmp_path / 'y'}'",
            "DELETE FROM T",
            "SELECT load_extension('x')",
            "PRAGMA writable_schema = ON",
        ):
            with pytest.raises(sqlite3.Error):
                database._connection.execute(statement)
    assert list(tmp_path.iterdir()) == []


def _refuse(error: FormatError) -> None:
    raise error


@pytest.mark.parametrize("name", ['T"; DROP TABLE T; --', "a b", "ta'ble"])
def test_names_are_names(name: str) -> None:
    """Whatever characters they have."""
    quoted = name.replace('"', '""')
    content = _made(f'CREATE TABLE "{quoted}"("{quoted}" TEXT)', f"INSERT INTO \"{quoted}\" VALUES ('v')")  # noqa: S608 - our own
    assert _read(content, name, (name,)) == [(b"v",)]


def test_journals_are_known_by_their_first_bytes() -> None:
    """One that was emptied, or whose header was cleared, belongs to no transaction."""
    assert journal_kind(b"") is None
    assert journal_kind(bytes(512)) is None
    rollback = journal_kind(bytes.fromhex("d9d505f920a163d7"))
    assert rollback
    assert rollback.suffix == "-journal"
    log = journal_kind(bytes.fromhex("377f0682"))
    assert log
    assert log.suffix == "-wal"
