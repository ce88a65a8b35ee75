"""The files of one log: the one that is written to, and those put away before, packed or not.

Sources: moby `daemon/logger/loggerutils/logfile.go` (`NAME.1` is the youngest; packed it is `NAME.1.gz`);
Kubernetes kubelet `logs/container_log_manager.go` (`NAME.20060102-150405`, likewise).
"""

from __future__ import annotations

import errno
import logging
import os
import re
from typing import TYPE_CHECKING

from layerfs.containerlog import LogPart
from layerfs.errors import MalformedFile
from layerfs.stores.files import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.hostdir import HostDir

__all__ = ["log_parts"]

_NUMBERED = re.compile(rb"\.(\d{1,9})(\.gz)?")
_DATED = re.compile(rb"\.(\d{8}-\d{6})(\.gz)?")
_ABSENT = (errno.ENOENT, errno.ENOTDIR)

_log = logging.getLogger(__name__)


def log_parts(root: HostDir, path: str) -> tuple[LogPart, ...]:
    """The files of the log whose youngest is called `path`, oldest first; empty where there are none.

    Raises:
        CorruptStore: their directory cannot be read.
    """
    folder, _, base = path.rpartition("/")
    try:
        with root.subdir(folder) as directory:
            names = directory.names()
    except OSError as error:
        if error.errno in _ABSENT:
            return ()
        raise explain(error, root.name_of(folder)) from error
    found = [os.fsdecode(name) for name in _in_order(names, os.fsencode(base))]
    return tuple(_part(root, f"{folder}/{name}".lstrip("/")) for name in found)


def _in_order(names: list[bytes], base: bytes) -> Iterator[bytes]:
    """Those names that are of the log, oldest first; of one that is there packed and not, the latter."""
    numbered: dict[int, bytes] = {}
    dated: dict[bytes, bytes] = {}
    for name in sorted(names, reverse=True):  # so that the one without .gz is the last
        if not name.startswith(base + b"."):
            continue
        if match := _NUMBERED.fullmatch(name, len(base)):
            numbered[int(match[1])] = name
        elif match := _DATED.fullmatch(name, len(base)):
            dated[match[1]] = name
    if base in names:
        numbered[0] = base
    _tell_of_gaps(base, numbered)
    yield from (dated[date] for date in sorted(dated))
    yield from (numbered[number] for number in sorted(numbered, reverse=True))


def _tell_of_gaps(base: bytes, numbered: dict[int, bytes]) -> None:
    """Say where a number is left out: a part that is lost, or an engine that ended while it renamed them."""
    missing = next((number for number in range(len(numbered)) if number not in numbered), None)
    if missing is not None:
        older = min(number for number in numbered if number > missing)
        name = os.fsdecode(base)
        lost = f"{name}.{missing}" if missing else name
        _log.warning("%s is not there, and %s.%d is: lines may be missing", lost, name, older)


def _part(root: HostDir, path: str) -> LogPart:
    return LogPart(root.name_of(path), _opener(root, path))


def _opener(root: HostDir, path: str) -> Callable[[], int]:
    """Opens a file, and never another that has its name by then."""
    known: list[tuple[int, int]] = []

    def open_again() -> int:
        try:
            fd = root.open_file(path)
        except OSError as error:
            raise explain(error, root.name_of(path)) from error
        found = os.fstat(fd)
        if known and known[0] != (found.st_dev, found.st_ino):
            os.close(fd)
            raise MalformedFile(root.name_of(path), "the engine put another file in its place meanwhile")
        known[:] = [(found.st_dev, found.st_ino)]
        return fd

    return open_again
