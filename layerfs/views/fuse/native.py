"""The `native` driver: the kernel's FUSE protocol on `/dev/fuse`, without libfuse.

The kernel caches everything it is told: an image does not change. `crew.py` sees to it that a slow disk
stalls only who waits for it.

Source: Linux `Documentation/filesystems/fuse.rst`, `fs/fuse/dev.c`, `fs/fuse/inode.c` (INIT).
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

from layerfs.errors import MountFailed
from layerfs.syscalls import is_system_admin
from layerfs.views.fuse.attach import attach
from layerfs.views.fuse.backing import BackingFiles
from layerfs.views.fuse.crew import Crew
from layerfs.views.fuse.device import Device, is_dying
from layerfs.views.fuse.mountpoint import detach, mount_table, tune_readahead
from layerfs.views.fuse.protocol import (
    IN_HEADER,
    INIT_IN,
    INIT_IN_OLD,
    INIT_OUT,
    INTERRUPT_IN,
    KERNEL_VERSION,
    MIN_MINOR,
    MINOR,
    InitFlags,
    Opcode,
)
from layerfs.views.fuse.requests import Requests, error_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import MountOptions

__all__ = ["NativeDriver"]

_MAX_PAGES = 256
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MAX_WRITE = 4096
_MAX_READAHEAD = 2 << 20

_OVERLAY = "overlay"
_SHORT = 0.3  # seconds in which a mount that nobody uses has ended

_WANTED = (
    InitFlags.ASYNC_READ
    | InitFlags.DO_READDIRPLUS
    | InitFlags.ASYNC_DIO
    | InitFlags.NO_OPEN_SUPPORT
    | InitFlags.NO_OPENDIR_SUPPORT
    | InitFlags.PARALLEL_DIROPS
    | InitFlags.POSIX_ACL
    | InitFlags.MAX_PAGES
    | InitFlags.CACHE_SYMLINKS
    | InitFlags.INIT_EXT
    | InitFlags.NO_EXPORT_SUPPORT  # as overlayfs: a node that was forgotten is not found by its number
)

_REFUSED = frozenset(
    {
        Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.UNLINK, Opcode.RMDIR,
        Opcode.RENAME, Opcode.LINK, Opcode.WRITE, Opcode.SETXATTR, Opcode.REMOVEXATTR, Opcode.CREATE,
        Opcode.FALLOCATE, Opcode.RENAME2, Opcode.COPY_FILE_RANGE, Opcode.TMPFILE,
    }
)  # fmt: skip
_SILENT = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY})

_log = logging.getLogger(__name__)


class NativeDriver:
    """Serves a tree on `/dev/fuse`."""

    def serve(
        self, tree: UnionTree, mountpoint: Path, options: MountOptions, ready: Callable[[], None]
    ) -> None:
        """Mount and serve until unmounted or signalled; see `Driver`.

        The descriptor is closed by the end of the process: a thread that a disk holds up may still
        answer on it, and its number must not have become another file's.
        """
        device = attach(mountpoint, options)
        session = Session(Device(device), Requests(tree))
        waiting = _told_later(mountpoint)

        def stop() -> None:
            detach(mountpoint)
            waiting.start()

        handlers = _on_signals(stop)
        # nodes are given back when the kernel forgets them, by reference count; looking through
        # hundreds of thousands of them for cycles that are not there would cost a third of a walk
        gc.disable()
        try:
            session.negotiate(_wanted(options), _stack_depth(tree))
            tune_readahead(mountpoint)
            ready()
            session.run()
        except BaseException:
            detach(mountpoint)
            raise
        finally:
            waiting.cancel()
            gc.enable()
            for number, handler in handlers.items():
                signal.signal(number, handler)


class Session:
    """The conversation on one descriptor."""

    def __init__(self, device: Device, requests: Requests) -> None:
        """Speak on `device` and answer from `requests`."""
        self._device = device
        self.requests = requests
        self._askers: dict[int, int] = {}  # requests in work: unique → thread ID

    def negotiate(self, wanted: InitFlags = _WANTED, stack_depth: int = 1) -> None:
        """Answer INIT: what is wanted and this kernel lacks is simply not used; raises `MountFailed`.

        `stack_depth` is how many file systems are upon each other here; backing files must be of fewer.
        """
        while True:
            request = self._device.receive(lambda: False)
            if request is None:
                raise MountFailed("unmounted before the mount was ready")
            _, opcode, unique, *_ = IN_HEADER.unpack_from(request)
            if opcode != Opcode.INIT:
                self._device.reply(unique, -errno.EIO)
                continue
            body = request[IN_HEADER.size :]
            major, minor, readahead, flags = INIT_IN_OLD.unpack_from(body)
            if major < KERNEL_VERSION or (major == KERNEL_VERSION and minor < MIN_MINOR):
                self._device.reply(unique, -errno.EPROTO)
                raise MountFailed(
                    f"this kernel speaks FUSE {major}.{minor}; {KERNEL_VERSION}.{MIN_MINOR} is needed",
                    hint="use --driver fusepy",
                )
            if flags & InitFlags.INIT_EXT:
                flags |= INIT_IN.unpack_from(body)[4] << 32
            granted = flags & wanted
            if granted & InitFlags.PASSTHROUGH:
                self.requests.use_passthrough(BackingFiles(self._device.fd))
            self._device.reply(unique, 0, _init_reply(min(minor, MINOR), readahead, granted, stack_depth))
            if major == KERNEL_VERSION:
                return

    def run(self) -> None:
        """Serve until the mount is gone."""
        Crew(self._device.receive, self.answer, self.requests.prefetch.step, _MAX_PAGES * _PAGE).run()

    def answer(self, request: bytes, buffer: memoryview) -> None:
        """Answer one request; whatever is wrong with it becomes an errno. Data are read into `buffer`."""
        if len(request) < IN_HEADER.size:
            return
        _, opcode, unique, node_id, uid, _, asker, *_ = IN_HEADER.unpack_from(request)
        body = request[IN_HEADER.size :]
        self._askers[unique] = asker
        answer = self.requests.answers.get(opcode)
        try:
            if answer is not None:
                self._device.reply(unique, 0, answer(node_id, body))
            elif opcode == Opcode.READ:
                self._device.reply(unique, 0, self.requests.read(node_id, body, buffer))
            elif opcode == Opcode.LISTXATTR:
                self._device.reply(unique, 0, self.requests.listxattr(node_id, body, privileged=uid == 0))
            elif opcode in _SILENT:
                self._note(opcode, node_id, body)
            elif opcode in _REFUSED:
                self._device.reply(unique, -errno.EROFS)
            else:
                # ENOSYS once: the kernel stops asking (OPEN, OPENDIR, ACCESS, FLUSH, …) and caches by itself
                self._device.reply(unique, 0 if opcode == Opcode.DESTROY else -errno.ENOSYS)
        except Exception as error:  # noqa: BLE001 - a request must never end the server
            self._device.reply(unique, -error_number(error))
        finally:
            self._askers.pop(unique, None)

    def _note(self, opcode: int, node_id: int, body: bytes) -> None:
        """A message that has no answer; a malformed one is dropped."""
        try:
            if opcode == Opcode.FORGET:
                self.requests.forget(node_id, body)
            elif opcode == Opcode.BATCH_FORGET:
                self.requests.batch_forget(body)
            elif opcode == Opcode.INTERRUPT:
                self._interrupt(*INTERRUPT_IN.unpack_from(body))
        except Exception as error:  # noqa: BLE001 - see answer()
            error_number(error)

    def _interrupt(self, unique: int) -> None:
        """Release a process that is being killed while the disk does not respond; a later answer is ignored.

        Any other signal waits, as it would on overlayfs: programs do not expect EINTR of a file.
        """
        asker = self._askers.get(unique)
        if asker and is_dying(asker):
            self._device.reply(unique, -errno.EINTR)


def _wanted(options: MountOptions) -> InitFlags:
    """What to ask the kernel for."""
    wanted = _WANTED
    if options.ignore_permissions:
        wanted &= ~InitFlags.POSIX_ACL  # with it, the kernel always checks permissions
    if options.passthrough and is_system_admin():
        wanted |= InitFlags.PASSTHROUGH
    return wanted


def _stack_depth(tree: UnionTree) -> int:
    """2 where layers lie on an overlayfs, as of a container; else 1, so that an overlayfs may lie on ours.

    The kernel takes no more than 2 in all, and backing files of a file system with fewer.
    """
    device = tree.device
    if device < 0:  # none of the host's
        return 1
    name = f"{os.major(device)}:{os.minor(device)}"
    return 2 if any(mount.device == name and mount.fs_type == _OVERLAY for mount in mount_table()) else 1


def _init_reply(minor: int, readahead: int, granted: int, stack_depth: int) -> bytes:
    return INIT_OUT.pack(
        KERNEL_VERSION,
        minor,
        min(readahead, _MAX_READAHEAD),
        granted & 0xFFFFFFFF,
        64,  # max_background
        48,  # congestion_threshold
        _MAX_WRITE,
        1,  # time_gran: nanoseconds
        _MAX_PAGES,
        0,
        granted >> 32,
        stack_depth if granted & InitFlags.PASSTHROUGH else 0,  # max_stack_depth
        0,
    )


def _told_later(mountpoint: Path) -> threading.Timer:
    """What says why a server that was told to end does not, unless it is cancelled before."""
    told = (
        "%s: unmounted; what somebody has open in it is served until it is closed, or a second signal ends it"
    )
    timer = threading.Timer(_SHORT, _log.warning, (told, mountpoint))
    timer.daemon = True
    return timer


def _on_signals(stop: Callable[[], None]) -> dict[int, signal.Handlers | Callable[..., object] | int | None]:
    """Unmount on SIGTERM, SIGINT and SIGHUP; a second one, of any of these, ends the process at once."""

    def handle(_number: int, _frame: object) -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)
        stop()

    heeded = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # a detached server outlives its terminal
    ]
    return {number: signal.signal(number, handle) for number in heeded}
