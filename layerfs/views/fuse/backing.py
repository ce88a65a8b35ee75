"""FUSE passthrough: the kernel reads a backing file itself, and the server only opens it.

Every open of one inode shares one backing ID, as the kernel demands. An ID outlives the last release
for a while (`idle.py`).

Source: Linux `fs/fuse/passthrough.c`, `fs/fuse/backing.c` (6.9 and later; needs CAP_SYS_ADMIN).
"""

from __future__ import annotations

import fcntl
import logging
import struct
import threading
from typing import TYPE_CHECKING

from layerfs.errors import reason
from layerfs.reserves import RESERVES
from layerfs.views.fuse.idle import IdleFiles, share_of_files
from layerfs.views.fuse.protocol import BACKING_MAP, DEV_IOC_BACKING_CLOSE, DEV_IOC_BACKING_OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.tree.content import Content

__all__ = ["BackingFiles"]

_log = logging.getLogger(__name__)


class BackingFiles:
    """The backing IDs registered on one FUSE descriptor; safe to use from several threads."""

    def __init__(self, device: int, most_idle: int | None = None) -> None:
        """Register on `device`; keep at most `most_idle` that nobody has open, else `share_of_files`."""
        self._device = device
        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, int]] = {}  # node ID → backing ID, number of opens
        self._idle = IdleFiles(share_of_files() if most_idle is None else most_idle)
        self._refused = False
        RESERVES.add(self)

    def open(self, node_id: int, open_file: Callable[[int], Content]) -> int | None:
        """The backing ID of an inode whose bytes `open_file` gives; None where the kernel refuses them.

        Raises what `open_file` raises, which is asked only where nothing is registered.
        """
        with self._lock:
            backing = self._reuse(node_id)
        if backing is None:
            file = open_file(node_id)  # perhaps from a slow disk: nobody else waits for it
            with self._lock:
                backing = self._reuse(node_id) or self._register(node_id, file.backing_fd())
        return backing

    def _reuse(self, node_id: int) -> int | None:
        """Count one more open of a registered inode."""
        found = self._open.get(node_id)
        if found is not None:
            backing, opens = found
            self._open[node_id] = backing, opens + 1
            return backing
        idle = self._idle.take(node_id)
        if idle is not None:
            self._open[node_id] = idle, 1
        return idle

    def _register(self, node_id: int, fd: int | None) -> int | None:
        if fd is None:
            return None
        try:
            # the buffer must be mutable, or fcntl.ioctl throws away the ID that is returned
            backing: int = fcntl.ioctl(
                self._device, DEV_IOC_BACKING_OPEN, bytearray(BACKING_MAP.pack(fd, 0, 0))
            )
        except OSError as error:
            if not self._refused:
                self._refused = True
                _log.info("the kernel does not read backing files itself: %s", reason(error))
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
                self._give_back(self._idle.add(node_id, backing))

    def forget(self, node_id: int) -> None:
        """The kernel forgot the inode, which is not open any more."""
        with self._lock:
            self._give_back(self._idle.take(node_id))

    def give_back(self) -> bool:
        """Give back half of what nobody has open, and keep no more from now on; False where nothing is."""
        with self._lock:
            before = len(self._idle)
            self._idle.most = before // 2
            while len(self._idle) > self._idle.most:
                self._give_back(self._idle.drop())
        return before > 0

    def _give_back(self, backing: int | None) -> None:
        if backing is not None:
            fcntl.ioctl(self._device, DEV_IOC_BACKING_CLOSE, struct.pack("=I", backing))
