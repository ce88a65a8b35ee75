"""The set-user-ID helper that mounts and unmounts for who is not root; imported by nobody else.

Sources: fusermount3(1); libfuse `lib/mount.c` (the protocol of `_FUSE_COMMFD`).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from layerfs.errors import MountFailed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["mount_by_helper", "unmount_by_helper"]


def mount_by_helper(mountpoint: Path, flags: str) -> int:
    """Mount with the options `flags`; the descriptor to serve, which the helper hands over on a socket.

    Raises:
        MountFailed: with what the helper said, or that there is none.
    """
    command = [_helper(mountpoint), "-o", flags, "--", os.fspath(mountpoint)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(  # noqa: S603 - a fixed helper, and a path as one argument
            command,
            env={"PATH": os.defpath, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MountFailed(f"{mountpoint}: {done.stderr.strip() or 'fusermount3 failed'}")
        _, received, _, _ = socket.recv_fds(ours, 1, 1)
    if not received:
        raise MountFailed(f"{mountpoint}: fusermount3 handed no descriptor over")
    os.set_inheritable(received[0], False)  # noqa: FBT003 - the signature is the os module's
    return received[0]


def unmount_by_helper(path: Path, *, lazy: bool) -> str | None:
    """Unmount, or detach with `lazy`; why that failed, None where it did not.

    Raises:
        MountFailed: there is no helper.
    """
    command = [_helper(path), "-u", *(["-z"] if lazy else []), "--", str(path)]
    done = subprocess.run(  # noqa: S603 - a list, and the helper's own `--` before the path
        command, capture_output=True, text=True, errors="surrogateescape", check=False
    )
    return (done.stderr.strip() or "fusermount3 failed") if done.returncode else None


def _helper(mountpoint: Path) -> str:
    found = shutil.which("fusermount3") or shutil.which("fusermount")
    if found is None:
        raise MountFailed(f"{mountpoint}: fusermount3 is not installed", hint="install the package fuse3")
    return found
