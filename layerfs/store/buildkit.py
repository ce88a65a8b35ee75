"""`buildkit/`: which directories of `overlay2/` belong to BuildKit's cache.

Source: moby `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile
from layerfs.formats.buildkit import BuildKitSnapshot, parse_snapshots
from layerfs.formats.errors import FormatError
from layerfs.store.files import explain, open_file

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["read_buildkit_snapshots"]

_NAME = "buildkit/snapshots.db"
_LIMIT = 256 << 20


def read_buildkit_snapshots(root: HostDir) -> tuple[BuildKitSnapshot, ...]:
    """BuildKit's snapshots; none where it was never used. Raises `CorruptStore`.

    The file is read page by page, as it can be large, and not mapped: a live one may become shorter.
    """
    fd = open_file(root, _NAME)
    if fd is None:
        return ()
    name = root.name_of(_NAME)
    try:
        size = os.fstat(fd).st_size
        if size > _LIMIT:
            raise MalformedFile(name, "too large", expected=f"at most {_LIMIT} bytes", found=f"{size} bytes")
        return tuple(parse_snapshots(functools.partial(_read, fd), size))
    except FormatError as error:
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
    except OSError as error:
        raise explain(error, name) from error
    finally:
        os.close(fd)


def _read(fd: int, offset: int, size: int) -> bytes:
    return os.pread(fd, size, offset)
