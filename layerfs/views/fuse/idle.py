"""Backing IDs that nobody has open, kept for who opens their file again.

Registering a file costs more than all the rest of answering OPEN. Each ID kept holds a file of the kernel and
what that holds of its own file system, some two KiB in all, but no descriptor of ours. Which makes room for
another is left to chance: of a scan of more files than are kept, the next finds a part, where it would find
none if the one used longest ago had to go.
"""

from __future__ import annotations

import os

__all__ = ["IdleFiles", "share_of_files"]

_MOST = 1 << 16
_FILE_SIZE = 2048
_PART_OF_MEMORY, _PART_OF_FILES = 64, 8
_FILE_MAX = "/proc/sys/fs/file-max"


def share_of_files() -> int:
    """How many files to keep: a small part of the memory, and of the files that this host may have open."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open(_FILE_MAX, "rb") as limit:
            files = int(limit.read())
    except (OSError, ValueError):
        files = _MOST
    return min(_MOST, memory // _PART_OF_MEMORY // _FILE_SIZE, files // _PART_OF_FILES)


class IdleFiles:
    """Backing IDs by node ID; not safe to use from several threads."""

    def __init__(self, most: int) -> None:
        """Keep at most `most`."""
        self.most = most
        self._chance = 0
        self._kept: dict[int, tuple[int, int]] = {}  # node ID → backing ID, place in the list
        self._nodes: list[int] = []

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._nodes)

    def add(self, node_id: int, backing: int) -> int | None:
        """Keep one; the backing ID that has to be given back instead, if any."""
        dropped = backing if self.most <= 0 else None
        if len(self._nodes) >= self.most > 0:
            dropped = self.drop()
        if self.most > 0:
            self._kept[node_id] = backing, len(self._nodes)
            self._nodes.append(node_id)
        return dropped

    def drop(self) -> int | None:
        """Take out any one; None where there is none."""
        if not self._nodes:
            return None
        # a linear congruential generator (Numerical Recipes) will do, and `random` takes 4 ms to load
        self._chance = (self._chance * 1664525 + 1013904223) % (1 << 32)
        return self.take(self._nodes[self._chance * len(self._nodes) >> 32])

    def take(self, node_id: int) -> int | None:
        """Take out the one of a node; None where it is not kept."""
        found = self._kept.pop(node_id, None)
        if found is None:
            return None
        backing, place = found
        last = self._nodes.pop()
        if last != node_id:  # it takes the free place
            self._nodes[place] = last
            self._kept[last] = self._kept[last][0], place
        return backing
