"""Whether a root has changed since it was read: by the state of each record, and of the directories above.

Nothing is read again: a file that is written, and a directory in which one comes or goes, has another time of
change or another inode. Knows no Textual.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from layerfs.hostdir import HostDir

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Watch"]

MOST = 4096
"""Records that are looked at; a root with more of them changes in the directories above, too."""

State: TypeAlias = "tuple[int, int, int] | None"


class Watch:
    """Knows the records of one root that were read."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._names: set[str] = set()
        self._states: dict[str, State] = {}

    def told(self, name: str, _pieces: Iterator[bytes]) -> None:
        """A record was read; see `layerfs.witness`."""
        if len(self._names) < MOST:
            self._names.add(name)

    def begin_again(self) -> None:
        """The root is read anew."""
        self._names, self._states = set(), {}

    def changed(self, root: str) -> bool:
        """Whether anything differs from the first look; what was read since then has its first look now."""
        now = dict(self._now(root))
        before = self._states
        self._states = now | before
        return any(now.get(path, state) != state for path, state in before.items())

    def _now(self, root: str) -> Iterator[tuple[str, State]]:
        """The state of each record below `root`, and of each directory above one; of an archive its own."""
        try:
            if not os.path.isdir(root):
                yield "", _state(os.stat(root))
                return
            top = HostDir.open(root)
        except OSError:
            yield "", None
            return
        with top:
            for path in self._paths(f"{root.rstrip('/')}/"):
                try:
                    yield path, _state(top.lstat(path))
                except OSError:
                    yield path, None

    def _paths(self, top: str) -> list[str]:
        paths = {""}
        for name in list(self._names):
            path = name.removeprefix(top)
            while path and path != name and path not in paths:
                paths.add(path)
                path = path.rpartition("/")[0]
        return sorted(paths)


def _state(found: os.stat_result) -> State:
    return found.st_ino, found.st_size, found.st_mtime_ns
