"""Copies the content of a file into another; holes stay holes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.tree.content import Content

__all__ = ["copy_content"]

_CHUNK = 1 << 20


def copy_content(source: Content, target: int) -> None:
    """Copy `source` to the descriptor of an empty file, without writing its holes.

    Raises:
        OSError: reading or writing failed, or the source became shorter meanwhile.
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
    """Copy the bytes of one range; returns where it ended."""
    while start < end and (data := source.pread(min(_CHUNK, end - start), start)):
        view = memoryview(data)
        while view:
            written = os.pwrite(target, view, start)
            view, start = view[written:], start + written
    return start
