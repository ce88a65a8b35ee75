"""What a case file needs to know of a reading: by whom, of what, when, and the digest of each record."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from ..units import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.store import Store

__all__ = ["Witness", "evidence_part", "root_part"]

Json = dict[str, Any]


class Witness:
    """Notes each record that is read, once: its size and its sha256."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self.started_ns = time.time_ns()
        self._read: dict[str, tuple[int, str]] = {}

    def told(self, name: str, pieces: Iterator[bytes]) -> None:
        """A record was read; see `layerfs.witness`."""
        if name in self._read:
            return
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
        self._read[name] = size, digest.hexdigest()

    def rows(self, root: str) -> list[Json]:
        """Each record by its path below `root`, or its name in the archive `root`, in order."""
        top = root.rstrip("/")
        return [
            {"path": name.removeprefix(f"{top}/").removeprefix(f"{top}:"), "size": size, "sha256": digest}
            for name, (size, digest) in sorted(self._read.items())
        ]


def evidence_part(store: Store, witness: Witness, *, reproducible: bool) -> Json:
    """How the report came about; reproducibly without times, and without what is only so on this host."""
    from importlib.metadata import version

    rows = witness.rows(store.path)
    part: Json = {
        "tool": f"layerfs {version('layerfs')}",
        "metadata_files": rows,
        "metadata_count": len(rows),
        "metadata_bytes": sum(row["size"] for row in rows),
    }
    if reproducible:
        return part
    host = os.uname()
    return part | {
        "python": platform.python_version(),
        "kernel": f"{host.sysname} {host.release} {host.machine}",
        "arguments": sys.argv[1:],
        "uid": os.geteuid(),
        "started": rfc3339(witness.started_ns),
        "ended": rfc3339(time.time_ns()),
        "clock": "the system clock of the host that wrote this report",
    }


def root_part(store: Store, *, reproducible: bool) -> Json:
    """Which store it is."""
    part: Json = {"kind": store.kind, "driver": store.driver}
    if reproducible:
        return part
    return part | {"path": store.path, "resolved": os.path.realpath(store.path)} | _place(store.path)


def _place(path: str) -> Json:
    """The device, inode and file system of a path of this host, size and time of a file; null: not known."""
    try:
        found, system = os.stat(path), os.statvfs(path)
    except OSError:
        return dict.fromkeys(("device", "inode", "file_system", "mount_options", "read_only"))
    kind, options = _mounted(found.st_dev)
    file = {"size": found.st_size, "modified": rfc3339(found.st_mtime_ns)} if S_ISREG(found.st_mode) else {}
    return file | {
        "device": f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}",
        "inode": found.st_ino,
        "file_system": kind,
        "mount_options": options,
        "read_only": bool(system.f_flag & os.ST_RDONLY),
    }


def _mounted(device: int) -> tuple[str | None, str | None]:
    """The type and the options of the file system of a device, as /proc/self/mountinfo has them (proc(5))."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                front, _, back = line.partition(" - ")
                fields = front.split(" ")
                if fields[2] == wanted:
                    return back.split(" ")[0], fields[5]
    except OSError:
        pass
    return None, None
