"""The process that serves a mount: in the foreground, or detached once the mount is usable."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, NoReturn

from layerfs.errors import LayerfsError, MountFailed
from layerfs.views.fuse.mountpoint import find_mount, unmount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import Driver, MountOptions

__all__ = ["serve_detached"]

_READY = b"ready"


def serve_detached(driver: Driver, tree: UnionTree, mountpoint: Path, options: MountOptions) -> int:
    """Mount in a process of its own, and return that process's ID when the mount can be used.

    Raises:
        MountFailed: with what the server said; nothing is left mounted.
    """
    listen, speak = os.pipe()
    with tempfile.TemporaryFile() as complaints:
        child = os.fork()
        if child == 0:
            os.close(listen)
            _serve_as_child(driver, tree, mountpoint, options, speak, complaints.fileno())
        os.close(speak)
        try:
            with os.fdopen(listen, "rb") as answers:
                answer = answers.read()
        except BaseException:  # Ctrl-C while waiting: take the half-made mount down with us
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
        if answer == _READY:
            os.stat(mountpoint)  # answered by the server: it does serve
            return child
        os.waitpid(child, 0)
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip()
    reason = answer.decode(errors="replace") or "the server ended before the mount was ready"
    if find_mount(mountpoint):
        unmount(mountpoint, lazy=True)
    raise MountFailed(f"{mountpoint}: {said.splitlines()[-1] if said else reason}")


def _serve_as_child(
    driver: Driver,
    tree: UnionTree,
    mountpoint: Path,
    options: MountOptions,
    speak: int,
    complaints: int,
) -> NoReturn:
    """Become a daemon, serve, and never return to the caller's stack."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(complaints, 2)
        driver.serve(tree, mountpoint, options, _announcer(speak, null))
        status = 0
    except LayerfsError as error:
        _tell(speak, str(error).encode(errors="replace"))
    except BaseException as error:  # noqa: BLE001 - the last resort of a process that must not return
        _tell(speak, f"{type(error).__name__}: {error}".encode(errors="replace"))
    finally:
        os._exit(status)


def _announcer(speak: int, null: int) -> Callable[[], None]:
    """What the driver calls once: tells the waiting parent, and lets go of its terminal."""

    def ready() -> None:
        _tell(speak, _READY)
        os.close(speak)
        os.dup2(null, 2)

    return ready


def _tell(speak: int, message: bytes) -> None:
    try:
        os.write(speak, message)
    except OSError:
        return  # nobody waits any more
