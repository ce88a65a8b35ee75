"""The process that serves a mount: detached once the mount is usable, or in the foreground."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from layerfs.errors import LayerfsError, MountFailed, reason
from layerfs.views.fuse.driver import Unattended
from layerfs.views.fuse.mounted import mark_server
from layerfs.views.fuse.mountpoint import find_mount, unmount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import Driver, MountOptions

__all__ = ["Job", "serve", "serve_detached"]

_READY = b"ready"


class Job(NamedTuple):
    """What to serve, how, and where.

    Attributes:
        driver: talks to the kernel.
        tree: what is shown.
        mountpoint: an absolute path that `check_mountpoint` approved.
        options: how it is mounted.
        detached: called in the server when it lets go of its standard error, to log elsewhere.
    """

    driver: Driver
    tree: UnionTree
    mountpoint: Path
    options: MountOptions
    detached: Callable[[], None]


def serve(job: Job, ready: Callable[[], None]) -> None:
    """Mount, call `ready` when the mount can be used, and serve until it is gone; raises `MountFailed`."""
    with ExitStack() as held:

        def marked() -> None:
            with suppress(OSError):  # then it is served, and nobody finds by whom
                held.callback(os.close, mark_server(job.mountpoint))
            ready()

        job.driver.serve(job.tree, job.mountpoint, job.options, marked)


def serve_detached(job: Job) -> int | None:
    """Mount in a process of its own, and return that process's ID when the mount can be used.

    A mount that needs no process has none.

    Raises:
        MountFailed: with what the server said; nothing is left mounted.
    """
    if isinstance(job.driver, Unattended):
        job.driver.mount(job.tree, job.mountpoint, job.options)
        return None
    if sys.stdout is not None:
        sys.stdout.flush()  # or both processes would write what is still buffered
    listen, speak = os.pipe()
    with os.fdopen(os.memfd_create("layerfs-complaints"), "w+b") as complaints:
        child = os.fork()
        if child == 0:
            os.close(listen)
            _serve_as_child(job, speak, complaints.fileno())
        os.close(speak)
        try:
            with os.fdopen(listen, "rb") as answers:
                answer = answers.read()
            if answer == _READY:
                os.stat(job.mountpoint)  # answered by the server: it does serve
                return child
        except BaseException:  # Ctrl-C while waiting, or no answer: take the half-made mount down
            os.kill(child, signal.SIGTERM)
            _bury(child, job.mountpoint)
            raise
        _bury(child, job.mountpoint)
        complaints.seek(0)
        said = os.fsdecode(complaints.read()).strip().splitlines()
    said_so = os.fsdecode(answer) or f"{job.mountpoint}: the server ended before the mount was ready"
    # libfuse says what is wrong on standard error only, and at the end
    raise MountFailed(f"{job.mountpoint}: {said[-1]}" if said else said_so)


def _bury(child: int, mountpoint: Path) -> None:
    """Wait for a server that is about to end, and leave nothing of it mounted."""
    os.waitpid(child, 0)
    mounted = find_mount(mountpoint)
    if mounted and mounted.is_ours:
        unmount(mountpoint, lazy=True)


def _serve_as_child(job: Job, speak: int, complaints: int) -> NoReturn:
    """Become a daemon, serve, and never return to the caller's stack."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the end of a login does not end its mounts
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(complaints, 2)

        def ready() -> None:
            job.detached()
            os.dup2(null, 2)
            _tell(speak, _READY)
            os.close(speak)

        serve(job, ready)
        status = 0
    except LayerfsError as error:
        _tell(speak, os.fsencode(str(error)))
    except BaseException as error:  # noqa: BLE001 - the last resort of a process that must not return
        _tell(speak, os.fsencode(_last_words(error)))
    finally:
        os._exit(status)


def _last_words(error: BaseException) -> str:
    return reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _tell(speak: int, message: bytes) -> None:
    try:
        os.write(speak, message)
    except OSError:
        return  # nobody waits any more
