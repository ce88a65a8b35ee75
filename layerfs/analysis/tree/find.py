"""Searches the entries of one tree, visible ones and those of its layers that it hides.

The tests are made by `predicates`. Contents are read separately (`Contents`), as that takes long.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import os
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.predicates import Candidate
from layerfs.analysis.tree.versions import How, versions
from layerfs.errors import LookupFailed, TreeError, UnreadableEntry
from layerfs.tree.node import Part
from layerfs.tree.union import UnionTree
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.analysis.tree.predicates import Predicate
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.tree.content import Content
    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.source import LayerSource

__all__ = ["Contents", "Hit", "find", "is_superseded", "number_of", "without_links"]

_OWNERS_LIMIT = 16 << 20
_LARGEST_OWNER = (1 << 32) - 2  # the last number of 32 bits is -1, which means no owner


class Hit(NamedTuple):
    """An entry that passes the test.

    Attributes:
        path: its path in the tree, or in the tree of the layers below the one that hides it. It begins with
            the start path as that was given, also if links are in it.
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
    starts: Iterable[bytes] = (b"/",),
) -> Iterator[Hit]:
    """The entries at and below each start path that pass a test: parents first, names in byte order.

    Args:
        tree: the tree to search.
        test: the test.
        problem: called for each directory that cannot be read, and is left out.
        live: find visible entries.
        deleted: find hidden entries. A directory that merges with one above it, which replaces only its
            attributes, does not count as hidden.
        depth: how many levels to go down from a start path; None is all.
        starts: absolute paths. As in find(1), a link at the end of a path is followed only if there is a
            slash behind it. `problem` is called for a path that the tree does not have, and, if `deleted`,
            that no layer had.
    """
    for path in starts:
        start = _Start.of(tree, path)
        if not deleted:
            yield from _shown(start, test, problem, depth)
        elif not live:
            yield from _hidden(start, test, problem, depth)
        else:
            shown = _shown(start, test, lambda _: None, depth)  # the other walk reports the same problems
            hidden = _hidden(start, test, problem, depth)
            yield from heapq.merge(shown, hidden, key=lambda found: found.path.split(b"/"))


class _Start(NamedTuple):
    """A start path of a search.

    Attributes:
        tree: the tree.
        typed: the path as the caller gave it.
        path: the same without links.
        found: the node at this path, or the error why there is none.
    """

    tree: UnionTree
    typed: bytes
    path: bytes
    found: Node | TreeError

    @classmethod
    def of(cls, tree: UnionTree, typed: bytes) -> _Start:
        """Resolve a path."""
        try:
            node = tree.resolve(typed, follow=False)
        except TreeError as error:
            return cls(tree, typed, without_links(tree, typed), error)
        return cls(tree, typed, node.path, node)

    def renamed(self, path: bytes) -> tuple[bytes, int]:
        """A path at or below this one as find(1) prints it, and its depth below this one."""
        if path == self.path:
            return self.typed, 0
        below = path.removeprefix(self.path).lstrip(b"/")
        return self.typed.rstrip(b"/") + b"/" + below, below.count(b"/") + 1


def without_links(tree: UnionTree, typed: bytes, *, follow: bool = False) -> bytes:
    """A path with its links resolved; if the tree does not have it, as far as the tree has its components.

    With `follow` a link at its end is resolved too.
    """
    try:
        return tree.resolve(typed, follow=follow).path
    except TreeError:
        pass
    names = [name for name in typed.split(b"/") if name]
    for end in range(len(names) - 1, 0, -1):
        try:
            top = tree.resolve(b"/" + b"/".join(names[:end]))
        except TreeError:
            continue
        return b"/".join([top.path.rstrip(b"/"), *names[end:]])
    return b"/" + b"/".join(names)


def _shown(
    start: _Start, test: Predicate, problem: Callable[[TreeError], None], depth: int | None
) -> Iterator[Hit]:
    if isinstance(start.found, TreeError):
        problem(start.found)
        return
    for visit in walk(start.tree, start.found, depth=depth):
        node = visit.node
        if visit.problem:
            problem(visit.problem)
        path, _ = start.renamed(node.path)
        filled = functools.partial(_is_filled, start.tree, node)
        if test(Candidate(path, node.stat, filled, visit.depth)):
            # for merged directories the kernel gives a link count of 1
            yield Hit(path, node.stat._replace(nlink=node.nlink), node.part)


def _hidden(
    start: _Start, test: Predicate, problem: Callable[[TreeError], None], depth: int | None
) -> Iterator[Hit]:
    layers = start.tree.layers
    is_known = False
    for found in versions(layers, below=start.path, problem=problem, depth=depth):
        is_known = True
        if found.hidden and not is_superseded(found.stat, found.hidden):
            place = Part(len(layers) - found.layer, found.part)
            path, level = start.renamed(found.path)
            if test(Candidate(path, found.stat, functools.partial(_has_entries, layers, place), level)):
                yield Hit(path, found.stat, place, found.hidden)
    if not is_known and isinstance(start.found, TreeError):
        problem(start.found)


def is_superseded(stat: FileStat, hidden: Hidden) -> bool:
    """Whether only the attributes of a directory are hidden, by a directory that merges with it."""
    return stat.is_dir and hidden.how is How.REPLACED


def _has_entries(layers: Sequence[LayerSource], place: Part) -> bool:
    """Whether a hidden directory has entries in its own layer."""
    try:
        return any(not entry.whiteout for entry in layers[place.layer].scan(place.path))
    except OSError:
        return True  # not known; the walk reports why it cannot be read


def _is_filled(tree: UnionTree, node: Node) -> bool:
    try:
        return bool(tree.children(node))
    except TreeError:
        return True


# -- contents ------------------------------------------------------------------------------------


class Contents:
    """Reads the contents of entries; a file with several names is read once."""

    def __init__(
        self, layers: Sequence[LayerSource], below: Callable[[], Sequence[LayerSource]] = tuple
    ) -> None:
        """Read entries of `layers`.

        Args:
            layers: the layers whose entries are read, uppermost first.
            below: gives the layers below these; called only for a file without data of its own.
        """
        self._layers = layers
        self._below = below
        self._digests: dict[tuple[int, int, str], str] = {}

    def location(self, part: Part) -> str:
        """The place of an entry, for messages and tools; bytes that are not UTF-8 as in `os.fsdecode`."""
        label = self._layers[part.layer].label if self._layers else ""
        return f"{label}/{os.fsdecode(part.path)}" if part.path else label

    def target(self, part: Part) -> bytes:
        """The target of a symbolic link; raises `TreeError`."""
        try:
            return self._layers[part.layer].readlink(part.path)
        except OSError as error:
            raise self._unreadable(part, error) from error

    def sha256(self, part: Part, stat: FileStat) -> str:
        """The digest of a regular file as hexadecimal digits; raises `TreeError`."""
        return self.digest(part, stat, "sha256")

    def digest(self, part: Part, stat: FileStat, algorithm: str) -> str:
        """As `sha256`, with an algorithm that `hashlib` knows."""
        inode = (stat.dev, stat.ino, algorithm)
        if inode in self._digests:
            return self._digests[inode]
        digest = hashlib.new(algorithm, usedforsecurity=False)
        try:
            with self.open(part) as file:
                for chunk in file.chunks():
                    digest.update(chunk)
        except OSError as error:
            raise self._unreadable(part, error) from error
        if stat.nlink > 1:
            self._digests[inode] = digest.hexdigest()
        return digest.hexdigest()

    def open(self, part: Part) -> Content:
        """The content of a regular file; raises `OSError`."""
        layer = self._layers[part.layer]
        opened = layer.open(part.path)
        if layer.has_data(part.path, opened):
            return opened
        # a metacopy: a tree up to its own layer has each entry of that layer at its path in the layer
        tree = UnionTree([*self._layers[part.layer :], *self._below()])
        return tree.open(tree.resolve(b"/" + part.path, follow=False))

    def _unreadable(self, part: Part, error: OSError) -> TreeError:
        if isinstance(error, TreeError):
            return error
        label = self._layers[part.layer].label
        return UnreadableEntry(b"/" + part.path, f"{label}: {error.strerror or error}")


# -- owners --------------------------------------------------------------------------------------


def number_of(tree: UnionTree, database: bytes, name: str) -> str:
    """The ID that a tree's own `/etc/passwd` or `/etc/group` has for a name.

    A number is its own ID, unless it is listed as a name.

    Raises:
        LookupFailed: it has no such name. TreeError: the file cannot be read.
    """
    wanted = name.encode("utf-8", "surrogateescape")
    try:
        with tree.open(tree.resolve(database)) as file:
            content = file.pread(_OWNERS_LIMIT, 0)
    except FileNotFoundError:
        content = b""
    for line in content.splitlines():
        fields = line.split(b":")
        if len(fields) > 2 and fields[0] == wanted and (owner := _owner(fields[2])) is not None:
            return str(owner)
    if not (name.isascii() and name.isdigit()):
        shown = database.decode("ascii")
        raise LookupFailed(f"{name!r} is not in {shown} of the image", hint="a number always works")
    return name


def _owner(field: bytes) -> int | None:
    """The ID in a field; None if it is no number, or larger than the kernel's IDs."""
    digits = field.lstrip(b"0") or field[-1:]
    number = int(digits) if digits.isdigit() and len(digits) <= 10 else None
    return number if number is not None and number <= _LARGEST_OWNER else None
