"""Recovers hidden versions of files: copies each, as its layer has it, to a directory for that layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.versions import node_of
from layerfs.tree.node import Node, Part
from layerfs.views.copyout import CopySource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.tree.versions import Version
    from layerfs.tree.union import UnionTree
    from layerfs.views.copyout import CopyOut

__all__ = ["Recovered", "recover"]


class Recovered(NamedTuple):
    """The result for one version.

    Attributes:
        version: the hidden version.
        path: the path of its copy below the target. Two versions may have the same path here, because a file
            in a renamed directory is a version at two paths.
        error: why it was not copied (`NotCopied`: it is a special file), or None.
    """

    version: Version
    path: bytes
    error: OSError | None


def recover(
    tree: UnionTree, found: Iterable[Version], folder: Callable[[int], bytes], copy: CopyOut
) -> Iterator[Recovered]:
    """Copy versions, one after another, each to `<folder>/<its path in its layer>`.

    Directories on the way get the attributes that they have in the layer.

    Args:
        tree: the tree that the versions are of.
        found: the versions to copy, no directories.
        folder: called with a layer's number, gives the name of its directory.
        copy: makes the copies.
    """
    done: dict[bytes, OSError | None] = {}
    for version in found:
        top = folder(version.layer)
        path = top + b"/" + version.part
        if path not in done:
            try:
                _make_parents(tree, version, top, copy)
                copy.file(path, CopySource(tree, node_of(tree, version)))
                done[path] = None
            except OSError as error:
                done[path] = error
        yield Recovered(version, path, done[path])


def _make_parents(tree: UnionTree, version: Version, top: bytes, copy: CopyOut) -> None:
    """Make the directory for the layer (mode 0700), and in it the directories on the way to the version."""
    copy.directory(top, None)
    index = len(tree.layers) - version.layer
    missing: list[bytes] = []
    within = version.part.rpartition(b"/")[0]
    while within and not copy.has(top + b"/" + within):
        missing.append(within)
        within = within.rpartition(b"/")[0]
    for within in reversed(missing):
        copy.directory(top + b"/" + within, CopySource(tree, _directory(tree, Part(index, within))))


def _directory(tree: UnionTree, part: Part) -> Node:
    """A directory of a layer as a node; raises `OSError`."""
    entry = tree.layers[part.layer].entry(part.path)
    if entry is None or not entry.stat.is_dir:
        raise NotADirectoryError(part.path)
    root = Node(b"", None, tree.root.stat, Part(part.layer, b""))
    return Node(part.path, root, entry.stat, root.within)
