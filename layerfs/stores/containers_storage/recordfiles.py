"""Files of records as jq reads them: for commands that are printed, and print what stands there."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_objects
from layerfs.stores.walker import fails

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir

__all__ = ["RecordFile", "Written", "called", "full_name", "of_id", "record_files"]

_LIMIT = 256 << 20


def full_name(directory: HostDir, path: str = "") -> str:
    """A path in a directory, from the top of the host on."""
    return posixpath.abspath(directory.name_of(path))


class Written:
    """How a script that stands in one directory writes paths in that and in others."""

    def __init__(self, first: HostDir) -> None:
        """Stand in `first`."""
        self._tops: list[HostDir] = [first]

    def place(self, directory: HostDir, path: str) -> str:
        """A path as it is, and where the directory is another one in full."""
        return path if directory is self._tops[0] else full_name(directory, path)

    def text(self, directory: HostDir) -> tuple[str, dict[str, str]]:
        """What stands before a path in that directory, and the variables that this needs."""
        if directory is self._tops[0]:
            return "", {}
        if directory not in self._tops:
            self._tops.append(directory)
        variable = f"R{self._tops.index(directory) + 1}"
        return f'"${variable}"/', {variable: full_name(directory)}


class RecordFile(NamedTuple):
    """One file: its path as it is pasted, and the records in it."""

    place: str
    rows: Sequence[Json]


def record_files(written: Written, places: Iterable[tuple[HostDir, str]]) -> list[RecordFile]:
    """Those that are there and are lists of records, in the given order."""
    found = []
    for directory, path in places:
        try:
            content = fails(path, lambda at=directory, of=path: at.read(of, _LIMIT))  # type: ignore[misc]
            found.append(RecordFile(written.place(directory, path), load_objects(content)))
        except (CorruptStore, FormatError):  # the reader of the records tells of it
            continue
    return found


def of_id(files: Iterable[RecordFile], own: str) -> tuple[RecordFile, Json] | None:
    """The one record with this ID; None where there is none, or more than one, which jq cannot tell apart."""
    found = [(file, row) for file in files for row in file.rows if row.get("id") == own]
    return found[0] if len(found) == 1 else None


def called(file: RecordFile, name: str) -> list[object]:
    """The IDs of the records that have the name, as `any(.names[]?;.==$n)` finds them."""
    return [row.get("id") for row in file.rows if name in _items(row.get("names"))]


def _items(found: object) -> list[object]:
    return found if isinstance(found, list) else list(found.values()) if isinstance(found, dict) else []
