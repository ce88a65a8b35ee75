"""Whether a mount still answers; a mount that does not answer does not block the check.

Source: Linux `fs/fuse/{dev,dir,inode}.c`: statfs(2) always asks the server, but on behalf of a user who may
not look in, it is answered without; a server that has ended is ENOTCONN.
"""

from __future__ import annotations

import enum
import errno
import os
import select
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from layerfs.views.fuse.mountpoint import Mount

__all__ = ["State", "ask"]

_PATIENCE_MS = 1000


class State(enum.StrEnum):
    """What became of a mount's server."""

    ALIVE = "alive"
    DEAD = "dead"
    SILENT = "not answering"
    UNKNOWN = "unknown"


_STATES = {0: State.ALIVE, errno.ENOTCONN: State.DEAD, errno.ECONNABORTED: State.DEAD}


def ask(mount: Mount) -> State:
    """The state of a mount that no other hides, asked by a user who may access it.

    In a process of its own, which can be given up. Where we cannot become its owner, nobody knows.
    """
    child = os.fork()
    if child == 0:
        _ask_and_exit(mount)
    watched = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        answered = poll.poll(_PATIENCE_MS)
        if not answered:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(watched)
    return _STATES.get(os.waitstatus_to_exitcode(status), State.UNKNOWN) if answered else State.SILENT


def _ask_and_exit(mount: Mount) -> NoReturn:
    """Exit with the errno of statfs(2), or 0."""
    status = errno.EPERM
    try:
        if "allow_other" not in mount.options and (mount.uid, mount.gid) != (os.geteuid(), os.getegid()):
            os.setgroups([])
            os.setresgid(mount.gid, mount.gid, mount.gid)
            os.setresuid(mount.uid, mount.uid, mount.uid)
        os.statvfs(mount.path)
        status = 0
    except OSError as error:
        status = error.errno or status
    finally:
        os._exit(status)
