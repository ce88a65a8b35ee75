"""SQLite files as they lie on a disk: in use, with journals beside them, and what is no file at all."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.errors import MalformedFile
from layerfs.hostdir import HostDir, Refused
from layerfs.hostfile import HostFile
from layerfs.sqlitefile import read_sqlitefile
from layerfs.witness import witnessed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[HostDir]:
    """A directory with `db`, a database of one row, which is closed."""
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("CREATE TABLE T(ID TEXT)")
        connection.execute("INSERT INTO T VALUES ('a')")
    connection.close()
    with HostDir.open(tmp_path) as opened:
        yield opened


def _rows(directory: HostDir) -> tuple[list[Any], list[str]]:
    """The rows, and what was told."""
    told: list[Any] = []
    with read_sqlitefile(directory, "db", told.append) as database:
        rows = list(database.rows("T", ("ID",), told.append))
    return [row for (row,) in rows], list(map(str, told))


def test_a_sound_file_is_read_and_left_alone(directory: HostDir, tmp_path: Path) -> None:
    """Without a lock, a new access time, or a file beside it."""
    os.utime(tmp_path / "db", (1, 1))
    assert _rows(directory) == ([b"a"], [])
    assert os.stat(tmp_path / "db").st_atime == 1
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_who_listens_is_told_of_the_bytes(directory: HostDir, tmp_path: Path) -> None:
    """As of every record; the name is that in messages."""
    told: dict[str, bytes] = {}
    with witnessed(lambda name, content: told.update({name: b"".join(content)})):
        _rows(directory)
    assert told == {f"{tmp_path}/db": (tmp_path / "db").read_bytes()}


def test_a_file_in_use_is_read_without_its_lock(directory: HostDir, tmp_path: Path) -> None:
    """Its engine holds the file for itself, and its transaction has a journal, which is named."""
    writer = sqlite3.connect(tmp_path / "db", isolation_level=None)
    for statement in ("PRAGMA cache_size = 1", "BEGIN EXCLUSIVE", "INSERT INTO T VALUES ('b')"):
        writer.execute(statement)
    rows, told = _rows(directory)
    writer.execute("ROLLBACK")
    writer.close()
    assert rows == [b"a"]
    # whether its header is on the disk yet is SQLite's own affair
    assert set(told) <= {_hot(tmp_path)}


def _hot(path: Path) -> str:
    return (
        f"{path}/db-journal: a transaction was not finished, and its changes may be there in part: "
        "db is read without it"
    )


def test_a_hot_journal_is_named(directory: HostDir, tmp_path: Path) -> None:
    """And is not applied: what is read is the file; SQLite itself would roll the row back."""
    with sqlite3.connect(tmp_path / "db") as connection:
        before = (tmp_path / "db").read_bytes()
        connection.execute("INSERT INTO T VALUES ('b')")
    connection.close()
    (tmp_path / "db-journal").write_bytes(_journal(before))
    assert _rows(directory) == ([b"a", b"b"], [_hot(tmp_path)])
    assert (tmp_path / "db-journal").exists()
    again = sqlite3.connect(tmp_path / "db")  # the test's own copy may be written to
    assert again.execute("SELECT * FROM T").fetchall() == [("a",)]
    again.close()


def _journal(before: bytes) -> bytes:
    """A rollback journal that brings a database back to what it was."""
    size, nonce = 4096, 7
    pages = [before[at : at + size] for at in range(0, len(before), size)]
    header = bytes.fromhex("d9d505f920a163d7") + b"".join(
        number.to_bytes(4, "big") for number in (len(pages), nonce, len(pages), 512, size)
    )
    records = b""
    for number, page in enumerate(pages, 1):
        checksum = (nonce + sum(page[at] for at in range(size - 200, 0, -200))) % 2**32
        records += number.to_bytes(4, "big") + page + checksum.to_bytes(4, "big")
    return header.ljust(512, b"\0") + records


@pytest.mark.parametrize("content", [b"", bytes(512)])
def test_a_journal_that_is_over_is_none(directory: HostDir, tmp_path: Path, content: bytes) -> None:
    """SQLite may empty it or clear its header instead of removing it."""
    (tmp_path / "db-journal").write_bytes(content)
    assert _rows(directory) == ([b"a"], [])


def test_a_log_is_named(directory: HostDir, tmp_path: Path) -> None:
    """What is only in it is not seen."""
    writer = sqlite3.connect(tmp_path / "db")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO T VALUES ('b')")
    writer.commit()
    rows, told = _rows(directory)
    writer.close()
    assert rows == [b"a"]
    assert told == [
        f"{tmp_path}/db-wal: transactions that are only in this log are not seen: db is read without it"
    ]


@pytest.mark.parametrize("name", ["db", "db-journal"])
def test_only_regular_files_are_opened(directory: HostDir, tmp_path: Path, name: str) -> None:
    """A link or a FIFO in the place of one is refused, and nothing is waited for."""
    outside = tmp_path / "outside"
    outside.write_bytes((tmp_path / "db").read_bytes())
    for make in (lambda path: path.symlink_to(outside), os.mkfifo):
        (tmp_path / name).unlink(missing_ok=True)
        make(tmp_path / name)
        if name == "db":
            with pytest.raises((OSError, Refused)):
                _rows(directory)
        else:
            rows, (told,) = _rows(directory)
            assert rows == [b"a"]
            assert told.startswith(f"{tmp_path}/db-journal: what it says of the database is not known")


def test_what_is_no_database_is_named(directory: HostDir, tmp_path: Path) -> None:
    """With the file."""
    (tmp_path / "db").write_bytes(b"")
    with pytest.raises(MalformedFile, match="/db: not an SQLite database: the file is empty"):
        _rows(directory)
    with (tmp_path / "db").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MalformedFile, match="too large"):
        _rows(directory)


def test_a_file_that_changes_is_read_again(
    directory: HostDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as it takes; where that never ends it is said."""
    beginning, most = HostFile.beginning, 3

    def change(file: HostFile, size: int) -> memoryview:
        nonlocal most
        found = beginning(file, size)
        if most:
            most -= 1
            with sqlite3.connect(tmp_path / "db") as connection:
                connection.execute("INSERT INTO T VALUES (?)", [str(most)])
            connection.close()
        return found

    monkeypatch.setattr(HostFile, "beginning", change)
    assert _rows(directory) == ([b"a", b"2", b"1", b"0"], [])
    most = 1000
    _, told = _rows(directory)
    assert told == [f"{tmp_path}/db: changed during each of 10 readings: what is read of it may be torn"]
