"""The `fusepy` driver: libfuse 2's high-level API. Portable, easy to read, a request a path.

The only module that imports `fuse`; importing it needs libfuse 2. Paths cross the binding as
latin-1, which maps every byte to one character and back, so any file name passes unharmed.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from layerfs.errors import HostExhausted, MountFailed, reason
from layerfs.hostdir import check_direct
from layerfs.views.fuse.driver import FILE_SYSTEM

try:
    import fuse
except OSError as problem:
    raise MountFailed(
        "the fusepy driver needs libfuse 2, which is not installed", hint="install the package libfuse2"
    ) from problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layerfs.tree.content import Content
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import MountOptions

__all__ = ["FusepyDriver"]

_ENCODING = "latin-1"
_FOREVER = 3600 * 24 * 365  # seconds; an image does not change while it is mounted

_log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def _answered(
    method: Callable[Concatenate[_Operations, Arguments], Answer],
) -> Callable[Concatenate[_Operations, Arguments], Answer]:
    """Let nothing but an `OSError` out: fusepy turns everything else into a garbage errno."""

    def guarded(self: _Operations, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return method(self, *args, **kwargs)
        except OSError as error:
            if error.errno == errno.EIO:
                _log.warning("%s", reason(error))
            raise
        except HostExhausted as error:
            _log.warning("%s", error)
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE)) from error
        except Exception as error:
            _log.exception("%s failed", method.__name__)
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error

    return guarded


class FusepyDriver:
    """Serves a tree through fusepy."""

    def serve(
        self, tree: UnionTree, mountpoint: Path, options: MountOptions, ready: Callable[[], None]
    ) -> None:
        """Mount and serve until unmounted or signalled; see `Driver`."""
        try:
            fuse.FUSE(
                _Operations(tree, ready),
                _as_passed(os.fspath(mountpoint)),
                encoding=_ENCODING,
                foreground=True,
                ro=True,
                nosuid=True,
                nodev=True,
                noexec=options.noexec,  # what is False is left out
                default_permissions=not options.ignore_permissions,
                allow_other=options.allow_other,
                use_ino=True,
                noforget=True,  # or file handles, which libfuse cannot refuse, go stale
                kernel_cache=True,
                entry_timeout=_FOREVER,
                attr_timeout=_FOREVER,
                negative_timeout=_FOREVER,
                fsname=_escaped(_as_passed(options.source)),
                subtype=FILE_SYSTEM,
            )
        except RuntimeError as error:
            raise MountFailed(f"{mountpoint}: libfuse could not mount (status {error})") from error


def _as_passed(text: str) -> str:
    """Text of the command line in the binding's encoding, so that its bytes arrive unchanged."""
    return os.fsencode(text).decode(_ENCODING)


def _escaped(value: str) -> str:
    """A value in libfuse's option list, where a comma would end it."""
    return value.replace("\\", "\\\\").replace(",", "\\,")


class _Operations(fuse.Operations):
    """Each method answers one FUSE request about a path."""

    use_ns = True

    def __init__(self, tree: UnionTree, ready: Callable[[], None]) -> None:
        self._tree = tree
        self._ready = ready
        self._handles: dict[int, Content] = {}
        self._numbers = itertools.count(1)

    def _node(self, path: str) -> Node:
        return self._tree.resolve(path.encode(_ENCODING), follow=False)

    def init(self, path: str) -> None:
        """The kernel has said hello."""
        del path
        self._ready()

    @_answered
    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """lstat(2)."""
        del fh
        return self._attributes(self._node(path))

    def _attributes(self, node: Node) -> dict[str, int]:
        found = node.stat
        return {
            "st_mode": found.mode,
            "st_ino": self._tree.inode(node),
            "st_nlink": node.nlink,
            "st_uid": found.uid,
            "st_gid": found.gid,
            "st_rdev": found.rdev,
            "st_size": found.size,
            "st_blocks": found.blocks,
            "st_blksize": 4096,
            "st_atime": found.atime_ns,
            "st_mtime": found.mtime_ns,
            "st_ctime": found.ctime_ns,
        }

    @_answered
    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int] | None, int]]:
        """The whole directory at once: libfuse keeps it for the handle."""
        del fh
        node = self._node(path)
        children = self._tree.children(node)
        listed = [(".", node), ("..", node.parent or node)]
        listed += [(name.decode(_ENCODING), child) for name, child in children.items()]
        # of the attributes, readdir(3) passes on these two
        return iter(
            [
                (name, {"st_ino": self._tree.inode(entry), "st_mode": entry.stat.mode}, 0)
                for name, entry in listed
            ]
        )

    @_answered
    def readlink(self, path: str) -> str:
        """readlink(2)."""
        return self._tree.readlink(self._node(path)).decode(_ENCODING)

    @_answered
    def open(self, path: str, flags: int) -> int:
        """open(2) for reading; the mount is read-only, so the kernel asks for nothing else."""
        opened = self._tree.open(self._node(path))
        if flags & os.O_DIRECT:
            check_direct(opened.backing_fd())
        number = next(self._numbers)
        self._handles[number] = opened
        return number

    @_answered
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """pread(2)."""
        del path
        return self._handles[fh].pread(size, offset)

    @_answered
    def release(self, path: str, fh: int) -> int:
        """close(2)."""
        del path
        self._handles.pop(fh).close()
        return 0

    @_answered
    def listxattr(self, path: str) -> list[str]:
        """listxattr(2); as in overlayfs, only root is told of `trusted.*`."""
        caller, *_ = fuse.fuse_get_context()
        names = self._tree.xattr_names(self._node(path))
        return [name.decode(_ENCODING) for name in names if caller == 0 or not name.startswith(b"trusted.")]

    @_answered
    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """getxattr(2)."""
        del position
        value = self._tree.xattr(self._node(path), name.encode(_ENCODING))
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), path)
        return value

    @_answered
    def statfs(self, path: str) -> dict[str, Any]:
        """statvfs(3): the file system the uppermost layer is on."""
        del path
        found = self._tree.statvfs()
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail")
        return {name: getattr(found, name) if found else 0 for name in names} | {"f_namemax": 255}
