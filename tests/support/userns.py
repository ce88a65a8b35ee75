"""Runs a command as the root of a user namespace of its own: a script for `namespaced`, and nothing else.

    python userns.py UID_MAP GID_MAP COMMAND...       # maps as in uid_map(5), `;` between lines

util-linux needs newuidmap for that, which root can do without. The command is the first process of a
PID namespace: with this script all that it started ends. SIGTERM is handed on to it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_NEW_USER = 0x10000000
_NEW_OTHERS = 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000  # mounts, PIDs, network, IPC
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enter(uid_map: str, gid_map: str) -> None:
    """Become root in a new user namespace; somebody outside has to write its maps."""
    ready, entered = os.pipe()
    me = os.getpid()
    outside = os.fork()
    if not outside:
        os.close(entered)
        os.read(ready, 1)
        Path(f"/proc/{me}/uid_map").write_text(uid_map.replace(";", "\n"))
        Path(f"/proc/{me}/gid_map").write_text(gid_map.replace(";", "\n"))
        os._exit(0)
    _call(_libc.unshare(_NEW_USER))
    os.write(entered, b".")
    if os.waitpid(outside, 0)[1]:
        sys.exit("the maps of the user namespace could not be written")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def main(uid_map: str, gid_map: str, *command: str) -> int:
    """Run `command`; its exit code."""
    _enter(uid_map, gid_map)
    _call(_libc.unshare(_NEW_OTHERS))
    first = os.fork()
    if not first:
        _call(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
        os.execvp(command[0], command)  # noqa: S606 - that is what it is for
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGTERM))
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
