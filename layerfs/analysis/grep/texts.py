"""What can be searched of one tree: its files, and with them those that its layers hide.

`everywhere` and `records` have other texts. Each is a generator of `Text`s, so that the search knows nothing
of where a text is from.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.versions import node_of, versions
from layerfs.errors import PathNotFound, TreeError
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.forest import Owner
    from layerfs.analysis.store.seen import LayerHit
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.tree.content import Content
    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.union import UnionTree

__all__ = ["Selection", "Text", "every_version", "inode_of", "shown_files"]


class Text(NamedTuple):
    """Something to search.

    Attributes:
        path: of a file its absolute path, as the caller began it; of a record where in it the text stands.
        open: gives the content; raises `OSError`.
        layer: of a file its layer, as an index of the stack (0 is uppermost); None for what is in no tree.
        hidden: what hides it; None where the tree shows it.
        hit: of a file found in a whole store, what is known of it there.
        owner: of a record whose it is; None for a file.
        inode: the same for names of one file; None if it has one name only.
    """

    path: bytes
    open: Callable[[], Content]
    layer: int | None = None
    hidden: Hidden | None = None
    hit: LayerHit | None = None
    owner: Owner | None = None
    inode: tuple[int, int] | None = None


class Selection(NamedTuple):
    """Which files are searched, by their paths.

    Attributes:
        takes: whether a file is; None for all.
        enters: whether what is below a directory is; None for all.
    """

    takes: Callable[[bytes], bool] | None = None
    enters: Callable[[bytes], bool] | None = None

    def keeps(self, node: Node) -> bool:
        """Whether an entry, and what is below it, is looked at."""
        return self.enters is None or self.enters(node.path)

    def has(self, path: bytes) -> bool:
        """Whether a file is searched."""
        return (self.takes is None or self.takes(path)) and (self.enters is None or self.enters(path))


def shown_files(
    tree: UnionTree, tops: Iterable[bytes], chosen: Selection, problem: Callable[[TreeError], None]
) -> Iterator[Text]:
    """The regular files at and below some paths, parents first, names in byte order.

    Args:
        tree: the tree.
        tops: absolute paths; a link that is one is followed, as grep -r does.
        chosen: which files.
        problem: called for a path that is not there, and for what cannot be read.
    """
    for typed in tops:
        try:
            top = tree.resolve(typed)
        except TreeError as error:
            problem(error)
            continue
        for visit in walk(tree, top, keep=chosen.keeps):
            node = visit.node
            if visit.problem:
                problem(visit.problem)
            if node.stat.is_file and chosen.has(found := node.path):
                path = _renamed(found, top.path, typed)
                yield Text(
                    path, functools.partial(tree.open, node), node.part.layer, inode=inode_of(node.stat)
                )


def _renamed(path: bytes, top: bytes, typed: bytes) -> bytes:
    """A path at or below one that was typed, which began differently if links led there."""
    if path == top:
        return typed
    return typed.rstrip(b"/") + b"/" + path.removeprefix(top).lstrip(b"/")


def every_version(
    tree: UnionTree, tops: Iterable[bytes], chosen: Selection, problem: Callable[[TreeError], None]
) -> Iterator[Text]:
    """Every version of the regular files at and below some paths, hidden ones too; as `shown_files`.

    No link is followed.
    """
    for typed in tops:
        known = False
        for found in versions(tree.layers, below=typed, problem=problem):
            known = True
            if found.stat.is_file and chosen.has(found.path):
                node = node_of(tree, found)
                layer = len(tree.layers) - found.layer
                inode = inode_of(found.stat)
                yield Text(found.path, functools.partial(tree.open, node), layer, found.hidden, inode=inode)
        if not known:
            problem(PathNotFound(typed))


def inode_of(found: FileStat) -> tuple[int, int] | None:
    """What names of one file have in common; None for a file with one name."""
    return (found.dev, found.ino) if found.nlink > 1 else None
