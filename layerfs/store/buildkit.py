"""`buildkit/`: the records of BuildKit's cache, and which directories of `overlay2/` belong to it.

Sources: moby `builder/builder-next/adapters/snapshot/snapshot.go`, `builder/builder-next/controller.go`.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import MalformedFile
from layerfs.formats.buildkit import BuildKitRecord, BuildKitSnapshot, parse_records, parse_snapshots
from layerfs.formats.errors import FormatError
from layerfs.store.files import explain, open_file

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
    """What a database holds; none where there is none.

    The file is read page by page, as it can be large, and not mapped: a live one may become shorter.
    """
    fd = open_file(root, path)
    if fd is None:
        return ()
    name = root.name_of(path)
    try:
        status = os.fstat(fd)
        size = status.st_size
        if size > _LIMIT:
            raise MalformedFile(name, "too large", expected=f"at most {_LIMIT} bytes", found=f"{size} bytes")
        return tuple(parse(functools.partial(_read, fd), size))
    except FormatError as error:
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
    except OSError as error:
        raise explain(error, name) from error
    finally:
        os.close(fd)


def _read(fd: int, offset: int, size: int) -> bytes:
    return os.pread(fd, size, offset)
