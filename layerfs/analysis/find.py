"""What fits in one tree: the entries it shows, and those that its layers have and it hides.

`predicates` says what fits; contents are another step (`Digests`), as reading files takes long. Used by
the command `find`; `findall` is the same for a whole data root.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.predicates import Candidate
from layerfs.analysis.versions import How, versions
from layerfs.errors import LookupFailed, TreeError, UnreadableEntry
from layerfs.tree.node import Part
from layerfs.tree.openfile import OpenFile
from layerfs.tree.union import UnionTree
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.analysis.predicates import Predicate
    from layerfs.analysis.versions import Hidden, Version
    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.source import LayerSource

__all__ = ["Digests", "Finding", "find", "is_superseded", "number_of", "open_part"]

_OWNERS_LIMIT = 16 << 20


class Finding(NamedTuple):
    """An entry that fits.

    Attributes:
        path: where the tree has it, or had it as of the layers below what hides it.
        stat: its attributes.
        part: the layer it lies in, as an index of the stack (0 is uppermost), and its path there.
        hidden: what hides it; None where the tree shows it.
    """

    path: bytes
    stat: FileStat
    part: Part
    hidden: Hidden | None = None


def find(
    tree: UnionTree,
    test: Predicate,
    problem: Callable[[TreeError], None],
    *,
    live: bool = True,
    deleted: bool = False,
    depth: int | None = None,
) -> Iterator[Finding]:
    """The entries of a tree that fit, parents first, names in byte order.

    Args:
        tree: where to look.
        test: what fits.
        problem: told of directories that cannot be read, before the search goes on.
        live: find what the tree shows.
        deleted: find what a layer hides from it. That a directory has another's attributes above its own
            does not count: nothing of it is gone.
        depth: how many levels below the root to go down; None is all.
    """
    if not deleted:
        return _live(tree, test, problem, depth)
    return (
        Finding(found.path, found.stat, _place(tree.layers, found), found.hidden)
        for found in versions(tree.layers, problem=problem, depth=depth)
        if (live if found.hidden is None else not is_superseded(found.stat, found.hidden))
        and test(Candidate(found.path, found.stat, functools.partial(_has_entries, tree, found)))
    )


def _live(
    tree: UnionTree, test: Predicate, problem: Callable[[TreeError], None], depth: int | None
) -> Iterator[Finding]:
    for visit in walk(tree, tree.root, depth=depth):
        node = visit.node
        if visit.problem:
            problem(visit.problem)
        if test(Candidate(node.path, node.stat, functools.partial(_is_filled, tree, node))):
            yield Finding(node.path, node.stat, node.part)


def is_superseded(stat: FileStat, hidden: Hidden) -> bool:
    """Whether of a directory nothing is hidden but its attributes, by those of one above it."""
    return stat.is_dir and hidden.how is How.REPLACED


def _place(layers: Sequence[LayerSource], found: Version) -> Part:
    return Part(len(layers) - found.layer, found.part)


def _has_entries(tree: UnionTree, found: Version) -> bool:
    """Whether a directory holds anything: in the tree, or of a hidden one as its own layer has it."""
    if found.hidden is None:
        return _is_filled(tree, tree.resolve(found.path, follow=False))
    layer, path = _place(tree.layers, found)
    try:
        return any(not entry.whiteout for entry in tree.layers[layer].scan(path))
    except OSError:
        return True  # nobody knows; what made it unreadable is told by the walk


def _is_filled(tree: UnionTree, node: Node) -> bool:
    try:
        return bool(tree.children(node))
    except TreeError:
        return True


# -- contents ------------------------------------------------------------------------------------


class Digests:
    """sha256 of the files of a tree's layers; an inode of several names is read once."""

    def __init__(self, layers: Sequence[LayerSource]) -> None:
        """Read files of `layers`, uppermost first."""
        self._layers = layers
        self._known: dict[tuple[int, int], str] = {}

    def of(self, part: Part, stat: FileStat) -> str:
        """The digest of a regular file, as hexadecimal digits; raises `TreeError`."""
        inode = (stat.dev, stat.ino)
        if inode in self._known:
            return self._known[inode]
        digest = hashlib.sha256()
        try:
            with open_part(self._layers, part) as file:
                for chunk in file.chunks():
                    digest.update(chunk)
        except TreeError:
            raise
        except OSError as error:
            label = self._layers[part.layer].label
            raise UnreadableEntry(b"/" + part.path, f"{label}: {error.strerror or error}") from error
        if stat.nlink > 1:
            self._known[inode] = digest.hexdigest()
        return digest.hexdigest()


def open_part(layers: Sequence[LayerSource], part: Part) -> OpenFile:
    """A regular file of one layer, hidden or not; a metacopy's data are those the layers below have.

    Raises:
        TreeError: it cannot be read.
    """
    layer = layers[part.layer]
    try:
        opened = OpenFile(layer.open(part.path))
        if layer.has_data(opened.fileno()):
            return opened
    except OSError as error:
        raise UnreadableEntry(b"/" + part.path, f"{layer.label}: {error.strerror or error}") from error
    # as of its own layer every object of that layer is in the tree, where the layer has it
    tree = UnionTree(layers[part.layer :])
    return tree.open(tree.resolve(b"/" + part.path, follow=False))


# -- owners --------------------------------------------------------------------------------------


def number_of(tree: UnionTree, database: bytes, name: str) -> str:
    """The number that a tree's own `/etc/passwd` or `/etc/group` has for a name.

    A name that is a number stands for itself, unless it is listed.

    Raises:
        LookupFailed: it is not listed there.
        TreeError: the file cannot be read.
    """
    wanted = name.encode("utf-8", "surrogateescape")
    try:
        with tree.open(tree.resolve(database)) as file:
            content = file.pread(_OWNERS_LIMIT, 0)
    except FileNotFoundError:
        content = b""
    for line in content.splitlines():
        fields = line.split(b":")
        if len(fields) > 2 and fields[0] == wanted and fields[2].isdigit():
            return fields[2].decode("ascii")
    if not (name.isascii() and name.isdigit()):
        shown = database.decode("ascii")
        raise LookupFailed(f"{name!r} is not in {shown} of the image", hint="a number always works")
    return name
