"""Prefetch: what will probably be requested next is prepared while there are no requests.

Whoever lists a directory often goes on into those in it (find, du, tar, rsync, grep -r), and whoever looks
a file up often opens it. Between a reply and the next request the asker is busy, and the server would
only wait. What is prefetched is bounded by these moments: a guess that fails costs no more than them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.views.fuse.nodetable import NodeTable

__all__ = ["Prefetch"]

_EXPECTED = 1024
"""Directories remembered; what lies further back in a walk is expected anew when its turn comes."""


class Prefetch:
    """What is expected, directories in a stack, the next one last; safe to use from several threads."""

    def __init__(self, nodes: NodeTable, prepare: Callable[[int], object]) -> None:
        """Expect nothing yet.

        Args:
            nodes: makes a directory ready to be listed.
            prepare: makes the file of a node ID ready to be read.
        """
        self._nodes = nodes
        self._prepare = prepare
        self._expected: list[int] = []
        self._file: int | None = None

    def expect_file(self, node_id: int) -> None:
        """A file was looked up."""
        self._file = node_id

    def expect(self, directories: Sequence[int]) -> None:
        """A directory was listed: those in it are next, in its order."""
        self._expected.extend(reversed(directories))
        del self._expected[:-_EXPECTED]

    def step(self) -> bool:
        """Prepare one file, or merge one directory; returns whether there may be more to do."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(Exception):  # whoever asks for it will be told; or it was forgotten meanwhile
                self._prepare(file)
            return True
        try:
            directory = self._expected.pop()
        except IndexError:
            return False
        with suppress(Exception):  # likewise: a guess must never end the server
            self._nodes.prepare(directory)
        return True
