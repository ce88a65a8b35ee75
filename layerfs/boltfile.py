"""Bolt files of the evidence, as of one moment, also while their engine writes to them.

The engine locks its databases for as long as it runs, so no lock is asked for. A transaction writes pages
that the state before it does not use, and its meta last: what was read while the metas stayed the same is
whole.

Sources: etcd-io/bbolt `tx.go` (Commit), `freelist.go`; measured on a busy containerd.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile, OneStateLost
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.errors import CorruptStore
    from layerfs.formats.bolt import Database
    from layerfs.formats.boltdamage import Damaged
    from layerfs.hostdir import HostDir

__all__ = ["NEWEST", "PREVIOUS", "read_boltfile"]

NEWEST, PREVIOUS = "newest", "previous"
"""The states of a database that can be asked for."""

_TRIES = 10
_LARGEST = 1 << 30  # bytes in use: a hundred times what a node with thousands of images has

_log = logging.getLogger(__name__)


def read_boltfile(
    directory: HostDir, path: bytes | str, report: Callable[[CorruptStore], None], state: str = NEWEST
) -> Database:
    """The database at `path` below `directory`, in memory.

    Args:
        directory: where it is.
        path: its path there.
        report: told what is wrong with it; of pages, when what they hold is asked for.
        state: `newest`, or `previous`, that before it.

    Raises:
        OSError: as of `HostDir.file`.
        MalformedFile: it is no bolt database, has no such state, or is too large.
    """
    from layerfs.formats.bolt import Database, buffer_reader  # noqa: PLC0415 - most roots have none to read

    name = directory.name_of(path)

    def tell(damaged: Damaged) -> None:
        report(
            MalformedFile(
                name, damaged.problem + _way_out(found), expected=damaged.expected, found=damaged.found
            )
        )

    try:
        content, is_steady = _content(directory, path)
        found = Database(*buffer_reader(content), previous=state == PREVIOUS, damaged=tell)
    except FormatError as error:
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error

    if not is_steady:
        report(
            MalformedFile(name, f"changed during each of {_TRIES} readings: what is read of it may be torn")
        )
    if found.problem:
        report((OneStateLost if found.lacks_meta else MalformedFile)(name, found.problem))
    elif state == PREVIOUS:
        _log.warning("%s: read as of transaction %d, the state before its newest", name, found.meta.txid)
    return found


def _way_out(database: Database) -> str:
    """Where else to look for what is lost."""
    if database.other is None or database.other.txid > database.meta.txid:
        return ""
    return f" (its older state, transaction {database.other.txid}, may have them)"


def _content(directory: HostDir, path: bytes | str) -> tuple[memoryview, bool]:
    """The bytes that are in use, and whether nothing changed while they were read; raises `FormatError`."""
    from layerfs.formats.boltpages import read_metas  # noqa: PLC0415 - as above

    content = memoryview(b"")
    for _ in range(_TRIES):
        with directory.file(path) as file:
            if not file.size:
                raise FormatError("not a bolt database: the file is empty")
            metas = read_metas(file.read, file.size)
            used = min(file.size, max(meta.high * meta.page_size for meta in metas[0]))
            if used > _LARGEST:
                raise FormatError("too large", expected=f"at most {_LARGEST} bytes", found=f"{used} bytes")
            content = file.beginning(used)
            if read_metas(file.read, file.size) == metas:
                return content, True
    return content, False
