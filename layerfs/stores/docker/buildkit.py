"""`buildkit/`: the records of BuildKit's cache, and which directories of `overlay2/` belong to it.

Sources: moby `builder/builder-next/adapters/snapshot/snapshot.go`, `builder/builder-next/controller.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import MalformedFile
from layerfs.formats.buildkit import BuildKitRecord, BuildKitSnapshot, parse_records, parse_snapshots
from layerfs.formats.errors import FormatError
from layerfs.stores.docker.files import explain, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.hostdir import HostDir

__all__ = ["read_buildkit_records", "read_buildkit_snapshots"]

_SNAPSHOTS = "buildkit/snapshots.db"
_RECORDS = "buildkit/metadata_v2.db"
_LIMIT = 256 << 20

Item = TypeVar("Item")


def read_buildkit_snapshots(root: HostDir) -> tuple[BuildKitSnapshot, ...]:
    """BuildKit's snapshots; none where it was never used. Raises `CorruptStore`."""
    return _parsed(root, _SNAPSHOTS, parse_snapshots)


def read_buildkit_records(root: HostDir) -> tuple[BuildKitRecord, ...]:
    """The records of BuildKit's cache; none where it was never used. Raises `CorruptStore`."""
    return _parsed(root, _RECORDS, parse_records)


def _parsed(
    root: HostDir, path: str, parse: Callable[[Callable[[int, int], bytes], int], list[Item]]
) -> tuple[Item, ...]:
    """What a database holds, read page by page; none where there is none."""
    file = open_file(root, path)
    if file is None:
        return ()
    name = root.name_of(path)
    with file:
        if file.size > _LIMIT:
            expected, found = f"at most {_LIMIT} bytes", f"{file.size} bytes"
            raise MalformedFile(name, "too large", expected=expected, found=found)
        try:
            return tuple(parse(file.read, file.size))
        except FormatError as error:
            raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
        except OSError as error:
            raise explain(error, name) from error
