"""`Reusable`: one copy of a data root for many tests, each of which finds it as if newly made.

To copy the whole recorded root takes as long as many a test, and a test damages a few files of it. So
what changed is found by the change times, which no one can set, and only that is copied again.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.fixture import private_copy
from tests.support.leftovers import remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Reusable"]

_COARSE = 5  # CLOCK_REALTIME_COARSE of clock_gettime(2): the clock of file systems
_MANY = 40  # pieces, each copied by a process: to copy all is as fast


class _Seen(NamedTuple):
    """What changes whenever an entry does, or another takes its place."""

    mode: int
    inode: int
    changed_ns: int
    size: int


class Reusable:
    """A copy of a data root, lent to one test after the other."""

    def __init__(self, source: Path, place: Path) -> None:
        """Copies of `source`, which nobody changes; between two tests one lies in the directory `place`."""
        self._source = source
        self._waiting = place / "waiting"
        self._right: Mapping[str, _Seen] = {}

    def lend(self, target: Path) -> Path:
        """Make the copy `target`, which is not there yet; returns it."""
        if self._waiting.exists():
            self._waiting.rename(target)
        else:
            private_copy(self._source, target)
        self._right = dict(_seen(target))
        newest = max(seen.changed_ns for seen in self._right.values())
        while time.clock_gettime_ns(_COARSE) <= newest:  # what is changed now is newer
            time.sleep(0.001)
        return target

    def take_back(self, target: Path) -> None:
        """Put in order what was changed; a copy for which that is too much stays where it is."""
        try:
            found = dict(_seen(target))
        except (OSError, RecursionError):  # out of reach, or deeper than paths go
            return
        changed = {path for path in {*self._right, *found} if self._right.get(path) != found.get(path)}
        if self._put_back(target, changed, found):
            target.rename(self._waiting)

    def _put_back(self, target: Path, changed: set[str], found: Mapping[str, _Seen]) -> bool:
        kept = {path for path in changed if self._is_directory_in_both(path, found)}
        lost = [path for path in changed - kept if path in self._right]
        if any(_has_other_names(self._source / path) for path in lost):
            return False
        gone = _topmost(changed - kept)
        if len(gone) > _MANY:
            return False
        for path in gone & found.keys():
            remove(target / path)
        for path in gone & self._right.keys():
            private_copy(self._source / path, target / path)
        for path in {"", *kept, *map(os.path.dirname, gone)}:
            _copy_attributes(self._source / path, target / path)
        return True

    def _is_directory_in_both(self, path: str, found: Mapping[str, _Seen]) -> bool:
        ours, theirs = self._right.get(path), found.get(path)
        return bool(ours and theirs and stat.S_ISDIR(ours.mode) and stat.S_ISDIR(theirs.mode))


def _seen(root: Path, below: str = "") -> Iterator[tuple[str, _Seen]]:
    """Every entry below a directory, by its path."""
    with os.scandir(root / below) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            found = entry.stat(follow_symlinks=False)
            yield path, _Seen(found.st_mode, found.st_ino, found.st_ctime_ns, found.st_size)
            if stat.S_ISDIR(found.st_mode):
                yield from _seen(root, path)


def _topmost(paths: Iterable[str]) -> set[str]:
    """Those that are not below another."""
    found: set[str] = set()
    for path in sorted(paths, key=lambda path: path.split("/")):
        if not any(str(above) in found for above in Path(path).parents):
            found.add(path)
    return found


def _has_other_names(path: Path) -> bool:
    found = path.lstat()
    return found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)


def _copy_attributes(source: Path, target: Path) -> None:
    """Make a directory's owner, mode, times and extended attributes those of another."""
    found = source.stat()
    os.chown(target, found.st_uid, found.st_gid)
    for name in {*os.listxattr(target)} - {*os.listxattr(source)}:
        os.removexattr(target, name)
    shutil.copystat(source, target)
