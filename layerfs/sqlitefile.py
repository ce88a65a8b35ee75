"""SQLite files of the evidence, read into memory: SQLite never sees a path, so nothing is locked or written.

A journal or log beside the file is named: what is in it is not applied.

Source: SQLite "Database File Format" (the header, hot journals).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, MalformedFile, reason
from layerfs.formats.errors import FormatError
from layerfs.witness import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.sqlite import Database
    from layerfs.hostdir import HostDir

__all__ = ["read_sqlitefile"]

_TRIES = 10
_LARGEST = 1 << 28  # bytes: ten times what an engine with thousands of containers has
_BESIDE = ("-journal", "-wal")


def read_sqlitefile(
    directory: HostDir, path: bytes | str, report: Callable[[CorruptStore], None]
) -> Database:
    """The database at `path` below `directory`, in memory.

    Args:
        directory: where it is.
        path: its path there.
        report: told what is wrong with it, and of what is beside it.

    Raises:
        OSError: as of `HostDir.file`.
        MalformedFile: it is no SQLite database, cannot be read, or is too large.
        CorruptStore: this Python cannot read it.
    """
    name = directory.name_of(path)
    try:
        from layerfs.formats.sqlite import Database  # noqa: PLC0415 - most roots have none to read
    except ImportError as error:
        raise CorruptStore(name, f"not read, as this Python has no SQLite: {reason(error)}") from error
    try:
        content, is_steady = _content(directory, path)
        found = Database(content)
    except FormatError as error:
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
    if not is_steady:
        report(
            MalformedFile(name, f"changed during each of {_TRIES} readings: what is read of it may be torn")
        )
    if found.problem:
        report(MalformedFile(name, found.problem))
    _tell_of_journals(directory, path, report)
    return found


def _content(directory: HostDir, path: bytes | str) -> tuple[memoryview, bool]:
    """The bytes of the file, and whether nothing changed while they were read; raises `FormatError`."""
    from layerfs.formats.sqlite import HEADER_SIZE  # noqa: PLC0415 - as above

    content = memoryview(b"")
    is_steady = False
    for _ in range(_TRIES):
        with directory.file(path) as file:
            if file.size > _LARGEST:
                raise FormatError(
                    "too large", expected=f"at most {_LARGEST} bytes", found=f"{file.size} bytes"
                )
            content = file.beginning(file.size)
            # each transaction counts in the header; one that is not finished has a journal, which is told of
            is_steady = content[:HEADER_SIZE] == file.read(0, HEADER_SIZE)
        if is_steady:
            break
    tell(directory.name_of(path), content)
    return content, is_steady


def _tell_of_journals(directory: HostDir, path: bytes | str, report: Callable[[CorruptStore], None]) -> None:
    """Report what lies beside a database and belongs to it."""
    from layerfs.formats.sqlite import journal_kind  # noqa: PLC0415 - as above

    for suffix in _BESIDE:
        beside = os.fsencode(path) + suffix.encode("ascii")
        name = directory.name_of(beside)
        try:
            with directory.file(beside) as file:
                beginning = file.read(0, 8)
        except OSError as error:
            if error.errno != errno.ENOENT:
                report(CorruptStore(name, f"what it says of the database is not known: {reason(error)}"))
            continue
        if kind := journal_kind(beginning):
            report(CorruptStore(name, f"{kind.means}: {os.fsdecode(path)} is read without it"))
