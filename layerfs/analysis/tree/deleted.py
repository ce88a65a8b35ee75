"""Finds versions of files that a higher layer hides: where each lies, and the bytes that it wastes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.versions import versions
from layerfs.analysis.tree.waste import waste

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.tree.versions import Hidden, Version
    from layerfs.errors import TreeError
    from layerfs.tree.union import UnionTree

__all__ = ["Deleted", "deleted"]


class Deleted(NamedTuple):
    """A hidden version of an entry that is no directory.

    Attributes:
        version: the version.
        hidden: what hides it.
        wasted: bytes of its inode. They count once, at the name that was visible longest; 0 if another name
            of it, or a metacopy of it, is visible.
    """

    version: Version
    hidden: Hidden
    wasted: int


def deleted(tree: UnionTree, *, problem: Callable[[TreeError], None] | None = None) -> Iterator[Deleted]:
    """Every hidden version of a file in a tree's layers, in the order of a walk, the oldest of a path first.

    Args:
        tree: an image's or a container's.
        problem: called for what cannot be read, which is left out; None raises the error.

    Raises:
        TreeError: as `versions`.
    """
    hidden: list[Version] = []
    account = waste(tree, problem=problem, found=_noted(versions(tree.layers, problem=problem), hidden))
    wasted: Counter[tuple[bytes, int]] = Counter()
    for item in account.paths:
        for file in item.files:
            wasted[item.path, file.layer] += file.size
    for version in hidden:
        if version.hidden:
            # if a layer has two versions at one path, one was moved there: the bytes count once
            yield Deleted(version, version.hidden, wasted.pop((version.path, version.layer), 0))


def _noted(found: Iterable[Version], hidden: list[Version]) -> Iterator[Version]:
    """Pass versions on, and add the hidden files to `hidden`."""
    for version in found:
        if version.hidden and not version.stat.is_dir:
            hidden.append(version)
        yield version
