"""The content of a file copied into another: what is a hole stays a hole."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.tree.content import Content

__all__ = ["copy_content"]

_CHUNK = 1 << 20


def copy_content(source: Content, target: int) -> None:
    """Copy all bytes of a content to the descriptor of an empty file, holes left as holes.

    Raises:
        OSError: reading or writing failed, or the file became shorter meanwhile.
    """
    size = source.size
    offset = 0
    while offset < size:
        try:
            start = source.seek(offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # a hole to the end
        end = source.seek(start, os.SEEK_HOLE)
        offset = _copy_range(source, target, start, end)
        if offset < end:  # the file became shorter
            raise OSError(errno.EIO, "the file changed while it was read")
    os.ftruncate(target, size)


def _copy_range(source: Content, target: int, start: int, end: int) -> int:
    """Copy the bytes of one range; where it ended."""
    while start < end and (data := source.pread(min(_CHUNK, end - start), start)):
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, start)
            view, start = view[written:], start + written
    return start
