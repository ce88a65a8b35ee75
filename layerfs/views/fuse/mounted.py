"""What is mounted now: our mounts, the process that serves each, and whether it still does.

No kernel tells which process serves a mount. So a server holds an empty file in memory whose name says
which mount it serves: it goes with the process, and needs no place on a disk.

Source: memfd_create(2), proc_pid_fd(5).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from layerfs.views.fuse.liveness import State, ask
from layerfs.views.fuse.mountpoint import Mount, mount_on, mount_table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Served", "mark_server", "our_mounts"]

_MARK = "layerfs-mount-"
_MARKED = re.compile(rf"/memfd:{_MARK}([0-9]+:[0-9]+) \(deleted\)")


class Served(NamedTuple):
    """A mount of ours.

    Attributes:
        mount: its line of the mount table.
        pid: the process that serves it, or waits for its end; None where there is none that we may see.
        state: whether it is served; what the kernel does by itself always is.
    """

    mount: Mount
    pid: int | None
    state: State


def mark_server(mountpoint: Path) -> int:
    """Let this process be found as the server of what is mounted there, as long as the descriptor is open."""
    mount = mount_on(mountpoint)
    return os.memfd_create(_MARK + (mount.device if mount else ""))


def our_mounts() -> list[Served]:
    """Every layerfs mount in the mount table, in its order."""
    mounts = [mount for mount in mount_table() if mount.is_ours]
    visible = {mount.path: mount for mount in mounts}  # of several on one path, the last
    servers = {(device, uid): pid for device, uid, pid in _servers()} if mounts else {}
    found = []
    for mount in mounts:
        pid = servers.get((mount.device, mount.uid))
        state = State.UNKNOWN if pid is None and mount.is_served else State.ALIVE
        if state is State.UNKNOWN and visible[mount.path] is mount:
            state = ask(mount)
        found.append(Served(mount, pid, state))
    return found


def _servers() -> Iterator[tuple[str, int, int]]:
    """The device, user and number of each process that says it serves a mount."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            uid, descriptors = process.stat().st_uid, os.listdir(process / "fd")
        except OSError:  # ended meanwhile, or not ours to look at
            continue
        for descriptor in descriptors:
            with suppress(OSError):  # closed meanwhile
                if marked := _MARKED.fullmatch(os.readlink(process / "fd" / descriptor)):
                    yield marked[1], uid, int(process.name)
