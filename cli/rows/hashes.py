"""The rows and lines of `layerfs hashes`: digests as sha256sum(1) prints them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..table import Column, Table
from ..units import human_size
from .entries import escaped, lossless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.analysis.tree.hashes import Hashed, HashedFile
    from layerfs.model import LayerInfo

__all__ = ["HashRow", "hash_table", "print_digests", "stored_names"]

_ESCAPES = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r"}
"""As in coreutils: a name with one of these is escaped, and its line begins with a backslash."""
_SHOWN = ("Digest", "Size", "Layer", "State", "Path")


class HashRow(NamedTuple):
    """A file with its digest, and its path on disk."""

    hashed: Hashed
    algorithm: str
    layer: LayerInfo | None
    backing: str

    @property
    def file(self) -> HashedFile:
        """The file."""
        return self.hashed.file


def stored_names(root: str) -> Callable[[HashRow], bytes | None]:
    """Names for lines by the path on disk, each once, as several paths or metacopies may have the same.

    They are relative to the store at `root`; in an archive they are the member and the path in it.
    """
    seen: set[str] = set()

    def name(row: HashRow) -> bytes | None:
        if row.backing in seen:
            return None
        seen.add(row.backing)
        return b"./" + os.fsencode(row.backing.removeprefix(f"{root}/").removeprefix(f"{root}:"))

    return name


def print_digests(rows: Iterable[HashRow], name_of: Callable[[HashRow], bytes | None], *, zero: bool) -> None:
    """Print a line of sha256sum(1) for each file; none where `name_of` gives None, or there is no digest."""
    for row in rows:
        name = name_of(row)
        if row.hashed.digest is None or name is None:
            continue
        digest = row.hashed.digest.encode()
        if zero:
            sys.stdout.buffer.write(digest + b"  " + name + b"\0")
        elif sys.stdout.isatty():
            sys.stdout.write(f"{row.hashed.digest}  {escaped(name)}\n")
        else:
            sys.stdout.buffer.write(_line(digest, name))


def _line(digest: bytes, name: bytes) -> bytes:
    """A line of sha256sum(1)."""
    if not any(special in name for special in _ESCAPES):
        return digest + b"  " + name + b"\n"
    for special, shown in _ESCAPES.items():
        name = name.replace(special, shown)
    return b"\\" + digest + b"  " + name + b"\n"


def _column(
    key: str, placeholder: str, value: Callable[[HashRow], Any], words: Any = None
) -> Column[HashRow]:
    return Column(key, value, placeholder, placeholder.upper(), words)


def hash_table(algorithm: str) -> Table[HashRow]:
    """The columns of files with their digests by `algorithm`."""

    def identity(name: str) -> Callable[[HashRow], str | None]:
        def text(row: HashRow) -> str | None:
            found = getattr(row.layer, name, None)
            return None if found is None else str(found)

        return text

    columns: tuple[Column[HashRow], ...] = (
        _column("path", "Path", lambda row: lossless(row.file.path), lambda row: escaped(row.file.path)),
        Column("algorithm", lambda row: row.algorithm, "Algorithm", "ALGORITHM"),
        Column("digest", lambda row: row.hashed.digest, "Digest", algorithm.upper()),
        _column(
            "size", "Size", lambda row: row.file.stat.size, lambda row: human_size(row.file.stat.size, 4)
        ),
        _column("nlink", "NLink", lambda row: row.file.stat.nlink),
        _column("inode", "Inode", lambda row: row.file.stat.ino),
        _column("state", "State", lambda row: "hidden" if row.file.hidden else "visible"),
        _column("layer", "Layer", lambda row: row.layer.number if row.layer else None),
        _column("diff_id", "DiffID", identity("diff_id")),
        _column("chain_id", "ChainID", identity("chain_id")),
        _column("cache_id", "CacheID", identity("cache_id")),
        Column(
            "hidden_by", lambda row: row.file.hidden.by if row.file.hidden else None, "HiddenBy", "HIDDEN BY"
        ),
        _column("how", "How", lambda row: str(row.file.hidden.how) if row.file.hidden else None),
        Column("backing_path", lambda row: row.backing, "BackingPath", "BACKING PATH"),
    )
    return Table(columns, _SHOWN)
