"""FUSE passthrough: the kernel reads a backing file itself, and the server only opens it.

Every open of one inode shares one backing ID, as the kernel demands; the last release closes it.

Source: Linux `fs/fuse/passthrough.c`, `fs/fuse/backing.c` (6.9 and later; needs CAP_SYS_ADMIN).
"""

from __future__ import annotations

import fcntl
import struct
import threading

from layerfs.views.fuse.protocol import BACKING_MAP, DEV_IOC_BACKING_CLOSE, DEV_IOC_BACKING_OPEN

__all__ = ["BackingFiles"]


class BackingFiles:
    """The backing IDs registered on one FUSE descriptor."""

    def __init__(self, device: int) -> None:
        """Register on `device`."""
        self._device = device
        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, int]] = {}  # node ID → backing ID, number of opens

    def open(self, node_id: int, fd: int) -> int | None:
        """The backing ID of an inode whose bytes are behind `fd`; None where the kernel refuses it."""
        with self._lock:
            backing, count = self._open.get(node_id, (0, 0))
            if not count:
                try:
                    # the buffer must be mutable, or fcntl.ioctl throws away the ID that is returned
                    backing = fcntl.ioctl(
                        self._device, DEV_IOC_BACKING_OPEN, bytearray(BACKING_MAP.pack(fd, 0, 0))
                    )
                except OSError:
                    return None
            self._open[node_id] = (backing, count + 1)
            return backing

    def release(self, node_id: int) -> None:
        """One open less; the last one gives the backing ID back."""
        with self._lock:
            backing, count = self._open.get(node_id, (0, 0))
            if count > 1:
                self._open[node_id] = (backing, count - 1)
            elif count:
                del self._open[node_id]
                fcntl.ioctl(self._device, DEV_IOC_BACKING_CLOSE, struct.pack("=I", backing))
