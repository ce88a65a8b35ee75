"""FUSE passthrough: the kernel reads a backing file itself, and the server only opens it.

Every open of one inode shares one backing ID, as the kernel demands. An ID outlives the last release
for a while, as registering costs more than all the rest of answering OPEN.

Source: Linux `fs/fuse/passthrough.c`, `fs/fuse/backing.c` (6.9 and later; needs CAP_SYS_ADMIN).
"""

from __future__ import annotations

import collections
import fcntl
import struct
import threading
from typing import TYPE_CHECKING

from layerfs.views.fuse.protocol import BACKING_MAP, DEV_IOC_BACKING_CLOSE, DEV_IOC_BACKING_OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.tree.content import Content

__all__ = ["BackingFiles"]

_IDLE = 8192
"""Backing IDs kept that nobody has open; each holds a file of the kernel, but no descriptor of ours."""


class BackingFiles:
    """The backing IDs registered on one FUSE descriptor; safe to use from several threads."""

    def __init__(self, device: int) -> None:
        """Register on `device`."""
        self._device = device
        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, int]] = {}  # node ID → backing ID, number of opens
        self._idle: collections.OrderedDict[int, int] = collections.OrderedDict()

    def open(self, node_id: int, open_file: Callable[[], Content]) -> int | None:
        """The backing ID of an inode whose bytes `open_file` gives; None where the kernel refuses them."""
        with self._lock:
            backing = self._reuse(node_id)
        if backing is None:
            file = open_file()  # perhaps from a slow disk: nobody else waits for it
            with self._lock:
                backing = self._reuse(node_id) or self._register(node_id, file.backing_fd())
        return backing

    def _reuse(self, node_id: int) -> int | None:
        """Count one more open of a registered inode."""
        backing, opens = self._open.get(node_id, (0, 0))
        backing = backing or self._idle.pop(node_id, 0)
        if not backing:
            return None
        self._open[node_id] = backing, opens + 1
        return backing

    def _register(self, node_id: int, fd: int | None) -> int | None:
        if fd is None:
            return None
        try:
            # the buffer must be mutable, or fcntl.ioctl throws away the ID that is returned
            backing: int = fcntl.ioctl(
                self._device, DEV_IOC_BACKING_OPEN, bytearray(BACKING_MAP.pack(fd, 0, 0))
            )
        except OSError:
            return None
        self._open[node_id] = backing, 1
        return backing

    def release(self, node_id: int) -> None:
        """Count one open less. The ID of a file that is not open is kept until many others were opened."""
        with self._lock:
            backing, opens = self._open.pop(node_id, (0, 0))
            if opens > 1:
                self._open[node_id] = backing, opens - 1
            elif opens:
                self._idle[node_id] = backing
                if len(self._idle) > _IDLE:
                    self._give_back(self._idle.popitem(last=False)[1])

    def forget(self, node_id: int) -> None:
        """The kernel forgot the inode, which is not open any more."""
        with self._lock:
            backing = self._idle.pop(node_id, None)
            if backing is not None:
                self._give_back(backing)

    def _give_back(self, backing: int) -> None:
        fcntl.ioctl(self._device, DEV_IOC_BACKING_CLOSE, struct.pack("=I", backing))
