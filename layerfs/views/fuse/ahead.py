"""Directories that will probably be listed next, merged in the moments when nothing is asked.

Whoever lists a directory often goes on into those in it: find, du, tar, rsync, grep -r. Between a reply
and the next request the asker is busy, and the server would only wait. What is done ahead is bounded by
these moments: whoever lists one directory and leaves costs us no more than them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from layerfs.errors import TreeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["Ahead"]

_EXPECTED = 1024
"""Directories remembered; what lies further back in a walk is expected anew when its turn comes."""


class Ahead:
    """The directories expected, the next one last; safe to use from several threads."""

    def __init__(self, tree: UnionTree) -> None:
        """Expect nothing yet."""
        self._tree = tree
        self._expected: list[Node] = []

    def expect(self, listed: Iterable[Node]) -> None:
        """A directory was listed: those in it are next, in its order."""
        directories = [node for node in listed if node.is_dir and node.entries is None]
        self._expected.extend(reversed(directories))
        del self._expected[:-_EXPECTED]

    def step(self) -> bool:
        """Merge one directory; returns whether there may be more to do."""
        try:
            node = self._expected.pop()
        except IndexError:
            return False
        if node.entries is None and node.handle is not None:  # else it was listed already, or forgotten
            with suppress(TreeError):  # whoever asks for it will be told
                self._tree.children(node)
        return True
