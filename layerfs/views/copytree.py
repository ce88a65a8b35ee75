"""Copies a part of a tree to the host: an entry, or a directory with all that is below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.views.copyout import CopySource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree
    from layerfs.tree.walk import Visit
    from layerfs.views.copyout import CopyOut

__all__ = ["Copied", "copy_tree"]


class Copied(NamedTuple):
    """The result for one entry.

    Attributes:
        node: the entry.
        path: the path of its copy below the target; empty for the target itself.
        error: why it was not copied, or not wholly (`NotCopied`: it is a special file); or None.
    """

    node: Node
    path: bytes
    error: OSError | None


def copy_tree(tree: UnionTree, visits: Iterable[Visit], path: bytes, copy: CopyOut) -> Iterator[Copied]:
    """Copy the entries of a walk, one after another.

    Where a directory cannot be made, what is below it is left out.

    Args:
        tree: the tree that is walked.
        visits: as `tree.walk.walk` gives them: the top first, parents before their children.
        path: the path of the top below the target; empty to add the top's entries to the target itself.
        copy: makes the copies.
    """
    refused: int | None = None  # the depth of a directory that was not made; what is below it is left out
    places: list[bytes] = []  # paths of the copies of the directories that the walk is in
    for visit in visits:
        node = visit.node
        if refused is not None and visit.depth > refused:
            continue
        del places[visit.depth :]
        at = _place(places[-1], node.name) if places else path
        places.append(at)
        error: OSError | None = visit.problem
        refused = None
        try:
            if node.is_dir:
                copy.directory(at, CopySource(tree, node))
            else:
                copy.file(at, CopySource(tree, node))
        except OSError as failure:
            error = failure
            refused = visit.depth if node.is_dir else None
        yield Copied(node, at, error)


def _place(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
