"""What the native driver answers: one method a FUSE request, from bytes to bytes.

A method gets the node ID and the request's body and returns the reply's body; an `OSError` becomes its
errno. Nothing here knows the device, so the parser can be fed anything.

Source: Linux `include/uapi/linux/fuse.h`, `fs/fuse/{dir,file,readdir,xattr}.c`.
"""

from __future__ import annotations

import collections
import errno
import logging
import os
import struct
import threading
from stat import S_ISREG
from typing import TYPE_CHECKING

from layerfs.errors import HostExhausted, reason
from layerfs.hostdir import check_direct
from layerfs.pool import share_of_descriptors
from layerfs.views.fuse.nodetable import NodeTable
from layerfs.views.fuse.packed import FOREVER
from layerfs.views.fuse.prefetch import Prefetch
from layerfs.views.fuse.protocol import (
    ATTR_VALID,
    BATCH_FORGET_IN,
    ENTRY_OUT,
    ENTRY_START,
    FORGET_IN,
    FORGET_ONE,
    GETXATTR_IN,
    GETXATTR_OUT,
    LSEEK_IN,
    LSEEK_OUT,
    OPEN_IN,
    OPEN_OUT,
    READ_IN,
    RELEASE_IN,
    STATFS_OUT,
    Opcode,
    OpenFlags,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.tree.content import Content
    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.backing import BackingFiles

__all__ = ["Requests"]

_OPEN_FILES, _PART = 256, 4
"""Files kept open, and of the descriptors there may be; the layers' directories take others."""
_SEEK_DATA, _SEEK_HOLE = os.SEEK_DATA, os.SEEK_HOLE

_ATTR_VALID = ATTR_VALID.pack(FOREVER, 0)
_NEGATIVE = ENTRY_OUT.pack(0, 0, FOREVER, 0, 0, 0, *[0] * 16)

_log = logging.getLogger(__name__)


class Requests:
    """The answers about one tree; safe to use from several threads."""

    def __init__(self, tree: UnionTree) -> None:
        """Answer from `tree`."""
        self.tree = tree
        self.nodes = NodeTable(tree)
        self.prefetch = Prefetch(self.nodes, self._prepare)
        self.backing: BackingFiles | None = None
        self._lock = threading.Lock()
        self._most_files = share_of_descriptors(_PART, _OPEN_FILES)
        self._files: collections.OrderedDict[int, Content] = collections.OrderedDict()
        self.answers: dict[int, Callable[[int, bytes], bytes]] = {
            Opcode.LOOKUP: self.lookup,
            Opcode.GETATTR: self.getattr,
            Opcode.READLINK: self.readlink,
            Opcode.READDIRPLUS: self.readdirplus,
            Opcode.GETXATTR: self.getxattr,
            Opcode.STATFS: self.statfs,
            Opcode.LSEEK: self.lseek,
        }

    # -- names ---------------------------------------------------------------------------------

    def lookup(self, node_id: int, body: bytes) -> bytes:
        """LOOKUP: the entry of a name; its absence is an answer that the kernel keeps."""
        entry = self.nodes.look_up(node_id, body.partition(b"\0")[0])
        if entry is None:
            return _NEGATIVE
        held, mode = ENTRY_START.unpack_from(entry)
        if S_ISREG(mode):
            self.prefetch.expect_file(held)
        return entry

    def forget(self, node_id: int, body: bytes) -> None:
        """FORGET: look-ups given back; never answered."""
        self._forget(node_id, FORGET_IN.unpack_from(body)[0])

    def _forget(self, node_id: int, count: int) -> None:
        if self.nodes.forget(node_id, count) and self.backing is not None:
            self.backing.forget(node_id)

    def batch_forget(self, body: bytes) -> None:
        """BATCH_FORGET: many of them."""
        (count,) = BATCH_FORGET_IN.unpack_from(body)
        available = (len(body) - BATCH_FORGET_IN.size) // FORGET_ONE.size
        for index in range(min(count, available)):
            self._forget(*FORGET_ONE.unpack_from(body, BATCH_FORGET_IN.size + index * FORGET_ONE.size))

    def readdirplus(self, node_id: int, body: bytes) -> bytes:
        """READDIRPLUS: names, each looked up, so a walk costs two requests a directory.

        READDIR is never asked: every kernel that speaks the oldest protocol we do takes this instead.
        """
        _, offset, room, *_ = READ_IN.unpack_from(body)
        page = self.nodes.page(node_id, offset, room)
        if not offset:
            self.prefetch.expect(self.nodes.directories(node_id))
        return page

    # -- attributes and contents -----------------------------------------------------------------

    def getattr(self, node_id: int, body: bytes) -> bytes:
        """GETATTR."""
        del body
        return _ATTR_VALID + self.nodes.attributes(node_id)

    def readlink(self, node_id: int, body: bytes) -> bytes:
        """READLINK."""
        del body
        return self.tree.readlink(self.nodes[node_id])

    def read(self, node_id: int, body: bytes, buffer: memoryview) -> memoryview:
        """READ: the part of `buffer` that was filled; one buffer a thread spares the allocator a mebibyte."""
        _, offset, size, *_ = READ_IN.unpack_from(body)
        return buffer[: self.file(node_id).read_into(buffer[:size], offset)]

    def lseek(self, node_id: int, body: bytes) -> bytes:
        """LSEEK: where data and holes begin, as the backing file says."""
        _, offset, whence = LSEEK_IN.unpack_from(body)
        if whence not in (_SEEK_DATA, _SEEK_HOLE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return LSEEK_OUT.pack(self.file(node_id).seek(offset, whence))

    def file(self, node_id: int) -> Content:
        """The backing file of a node, kept open while it is among the last used."""
        with self._lock:
            opened = self._files.get(node_id)
            if opened is not None:
                self._files.move_to_end(node_id)
                return opened
        opened = self.tree.open(self.nodes[node_id])
        with self._lock:
            self._files[node_id] = opened
            if len(self._files) > self._most_files:
                self._files.popitem(last=False)  # closed when the last reader lets go of it
        return opened

    def open(self, node_id: int, body: bytes) -> bytes:
        """OPEN, which only passthrough needs: else the kernel is told not to ask."""
        flags, _ = OPEN_IN.unpack_from(body)
        if flags & os.O_DIRECT:  # the kernel would make EIO of a backing file that it cannot open so
            with self.tree.open(self.nodes[node_id]) as file:
                check_direct(file.backing_fd())
        return self._open(node_id)

    def _open(self, node_id: int) -> bytes:
        assert self.backing is not None  # noqa: S101 - the answer is registered with it
        backing = self.backing.open(node_id, self._opened)
        if backing is None:
            return OPEN_OUT.pack(0, OpenFlags.KEEP_CACHE | OpenFlags.NOFLUSH, 0)
        return OPEN_OUT.pack(1, OpenFlags.PASSTHROUGH | OpenFlags.NOFLUSH, backing)

    def _opened(self, node_id: int) -> Content:
        return self.tree.open(self.nodes[node_id])

    def _prepare(self, node_id: int) -> None:
        """Open a file that will probably be read."""
        if self.backing is None:
            self.file(node_id)
        else:
            self._open(node_id)
            self.backing.release(node_id)

    def release(self, node_id: int, body: bytes) -> bytes:
        """RELEASE of what was opened."""
        assert self.backing is not None  # noqa: S101 - see open()
        if RELEASE_IN.unpack_from(body)[0]:
            self.backing.release(node_id)
        return b""

    def use_passthrough(self, backing: BackingFiles) -> None:
        """Answer OPEN and RELEASE, handing files to the kernel through `backing`."""
        self.backing = backing
        self.answers[Opcode.OPEN] = self.open
        self.answers[Opcode.RELEASE] = self.release

    def getxattr(self, node_id: int, body: bytes) -> bytes:
        """GETXATTR."""
        (size,) = GETXATTR_IN.unpack_from(body)
        name = body[GETXATTR_IN.size :].partition(b"\0")[0]
        value = self.tree.xattr(self.nodes[node_id], name)
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return _sized(value, size)

    def listxattr(self, node_id: int, body: bytes, *, privileged: bool) -> bytes:
        """LISTXATTR: as in overlayfs (ovl_can_list), only root is told of `trusted.*`."""
        (size,) = GETXATTR_IN.unpack_from(body)
        names = self.tree.xattr_names(self.nodes[node_id])
        shown = [name for name in names if privileged or not name.startswith(b"trusted.")]
        return _sized(b"".join(name + b"\0" for name in shown), size)

    def statfs(self, node_id: int, body: bytes) -> bytes:
        """STATFS: the file system of the uppermost layer, as overlayfs has it."""
        del node_id, body
        found = self.tree.statvfs()
        if found is None:
            return STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 4096)
        return STATFS_OUT.pack(
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_bsize,
            found.f_namemax,
            found.f_frsize,
        )


def _sized(value: bytes, size: int) -> bytes:
    """An attribute reply: the value, or its size when only that is asked."""
    if size == 0:
        return GETXATTR_OUT.pack(len(value))
    if len(value) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return value


def error_number(error: Exception) -> int:
    """The errno for whatever a request ran into; only what is no answer is logged."""
    if isinstance(error, OSError) and error.errno:
        if error.errno == errno.EIO:
            _log.warning("%s", reason(error))
        return error.errno
    if isinstance(error, HostExhausted):
        _log.warning("%s", error)
        return errno.ENFILE  # it is not the reader who has too many open
    if isinstance(error, (struct.error, KeyError)):
        return errno.EINVAL if isinstance(error, struct.error) else errno.ESTALE
    _log.error("unexpected %s: %s", type(error).__name__, error)
    return errno.EIO
