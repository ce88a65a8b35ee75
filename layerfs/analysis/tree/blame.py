"""What each layer did to a path: the steps from its first version to the visible one."""

from __future__ import annotations

import enum
import hashlib
import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.diff.changes import Comparison
from layerfs.analysis.tree.versions import Hidden, How, node_of, versions
from layerfs.errors import TreeError, UnreadableEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.tree.versions import Version
    from layerfs.tree.union import UnionTree

__all__ = ["Action", "Blame", "Content", "Digests", "Event", "Step"]


class Action(enum.StrEnum):
    """What a layer did to a path.

    `ADDED`: it is there for the first time. `CHANGED`: other content, link target or device number; a
    directory was replaced by a new one, which hides the old entries. `METADATA`: the same content, other
    attributes. `COPIED`: the layer has it again without a difference. `TYPE_CHANGED`: it has another type.
    `HIDDEN`: it is gone. `REVEALED`: it is there again after it was hidden, or its directory was moved here.
    """

    ADDED = "added"
    CHANGED = "changed"
    METADATA = "metadata"
    COPIED = "copied"
    TYPE_CHANGED = "type changed"
    HIDDEN = "hidden"
    REVEALED = "revealed"


class Step(NamedTuple):
    """A layer from which on a path shows something else, or nothing.

    Attributes:
        path: the path.
        layer: number of the layer that makes the change, 1 for the base.
        before: what was visible before, or None.
        after: what is visible after, or None.
        first: whether nothing was visible there in any lower layer.
        visible: whether `after` is what the final tree shows.
    """

    path: bytes
    layer: int
    before: Version | None
    after: Version | None
    first: bool
    visible: bool


class Event(NamedTuple):
    """A step, and what the layer did in it.

    Attributes:
        step: the step.
        action: what the layer did.
        changes: which attributes differ, of `changes.ATTRIBUTES`.
        hidden: how the layer hid what was there, or replaced a directory; else None.
    """

    step: Step
    action: Action
    changes: tuple[str, ...] = ()
    hidden: Hidden | None = None


class Content(NamedTuple):
    """The content of a version, where it can be read: sha256 of a file, or target of a symbolic link."""

    sha256: str | None = None
    target: bytes | None = None


class Digests:
    """The sha256 of regular files; each inode is read at most once, also if several trees have it."""

    def __init__(self, problem: Callable[[TreeError], None]) -> None:
        """Call `problem` for what cannot be read."""
        self._problem = problem
        self._known: dict[tuple[int, int], str | None] = {}

    def of(self, tree: UnionTree, version: Version) -> str | None:
        """The sha256 in hexadecimal; None if it is no regular file, or cannot be read."""
        if not version.stat.is_file:
            return None
        key = (version.stat.dev, version.stat.ino)
        if key not in self._known:
            try:
                self._known[key] = _sha256(tree, version)
            except TreeError as error:
                self._problem(error)
                self._known[key] = None
        return self._known[key]


def _sha256(tree: UnionTree, version: Version) -> str:
    digest = hashlib.sha256()
    with tree.open(node_of(tree, version)) as file:
        try:
            for chunk in file.chunks():
                digest.update(chunk)
        except OSError as error:
            raise UnreadableEntry(version.path, error.strerror) from error
    return digest.hexdigest()


class Blame:
    """The steps of the paths of one tree."""

    def __init__(self, tree: UnionTree, digests: Digests, problem: Callable[[TreeError], None]) -> None:
        """Ask about `tree`; `problem` is called for what cannot be read, which is left out."""
        self._tree = tree
        self._digests = digests
        self._problem = problem
        # contents are compared by their digests, which are needed for the output
        self._comparison = Comparison(tree, tree, problem, ignore=("content",))

    def locate(self, path: bytes) -> bytes:
        """The path itself if any layer has it; else the path without links, as the final tree resolves them.

        Raises:
            TreeError: the final tree does not have it.
        """
        literal = b"/" + b"/".join(name for name in path.split(b"/") if name not in (b"", b"."))
        if any(self._steps(literal)):
            return literal
        return self._tree.resolve(path, follow=False).path

    def is_directory(self, path: bytes) -> bool:
        """Whether the final tree has a directory at `path`."""
        last = next((step for step in self._steps(path) if step.visible), None)
        return bool(last and last.after and last.after.stat.is_dir)

    def steps(self, path: bytes) -> list[Step]:
        """The steps of one path, oldest first; nothing below it is read."""
        return list(self._steps(path))

    def _steps(self, path: bytes) -> Iterator[Step]:
        return _steps(versions(self._tree.layers, below=path, depth=0, problem=self._problem))

    def entries(self, path: bytes, *, recursive: bool, hidden: bool) -> Iterator[Step]:
        """The last step of each entry of a directory, in byte order.

        Args:
            path: the directory.
            recursive: also all that is below.
            hidden: also entries that the final tree does not show.
        """
        depth = None if recursive else 1
        found = versions(self._tree.layers, below=path, depth=depth, problem=self._problem)
        for name, group in itertools.groupby(found, key=lambda version: version.path):
            if name != path:
                *_, last = _steps(group)
                if hidden or last.visible:
                    yield last

    def event(self, step: Step) -> Event:
        """What the layer did in a step; reads files of equal size to compare their contents."""
        before, after = step.before, step.after
        if after is None:
            return Event(step, Action.HIDDEN, hidden=before.hidden if before else None)
        if before is None:
            again = not step.first or after.since > after.layer
            return Event(step, Action.REVEALED if again else Action.ADDED)
        if before.stat.kind != after.stat.kind:
            return Event(step, Action.TYPE_CHANGED)
        changes = self._changes(before, after)
        if self._made_anew(after):
            return Event(step, Action.CHANGED, changes, Hidden(step.layer, How.OPAQUE, step.path))
        if {"content", "target", "rdev"}.intersection(changes):
            return Event(step, Action.CHANGED, changes)
        return Event(step, Action.METADATA if changes else Action.COPIED, changes)

    def content(self, step: Step) -> Content:
        """The content after a step; reads it, if it is a regular file."""
        if step.after is None:
            return Content()
        target = None
        if step.after.stat.is_symlink:
            try:
                target = self._tree.readlink(node_of(self._tree, step.after))
            except TreeError as error:
                self._problem(error)
        return Content(self._digests.of(self._tree, step.after), target)

    def _changes(self, before: Version, after: Version) -> tuple[str, ...]:
        """Which attributes differ between two versions of one type, content first."""
        content = ("content",) if after.stat.is_file and not self._same_content(before, after) else ()
        nodes = node_of(self._tree, before), node_of(self._tree, after)
        return content + self._comparison.attributes(*nodes)

    def _same_content(self, before: Version, after: Version) -> bool:
        if before.stat.size != after.stat.size:
            return False
        return self._digests.of(self._tree, before) == self._digests.of(self._tree, after)

    def _made_anew(self, version: Version) -> bool:
        """Whether a directory does not merge with those of lower layers."""
        if not version.stat.is_dir or not version.part:
            return False
        layer = self._tree.layers[-version.layer]
        try:
            marks = layer.marks(version.part)
        except OSError as error:
            self._problem(UnreadableEntry(version.path, f"{layer.label}: {error.strerror or error}"))
            return False
        return marks.opaque or marks.redirect is not None


def _steps(found: Iterable[Version]) -> Iterator[Step]:
    """The steps of one path, oldest first, from all of its versions."""
    known = list(found)
    numbers = {item.since for item in known} | {item.hidden.by for item in known if item.hidden}
    coming = sorted(enumerate(known), key=lambda item: max(item[1].layer, item[1].since), reverse=True)
    seen: list[tuple[int, Version]] = []  # a heap of what is or was visible, in the order of `known`
    before: Version | None = None
    first = True
    for number in sorted(numbers):
        while coming and max(coming[-1][1].layer, coming[-1][1].since) <= number:
            heapq.heappush(seen, coming.pop())
        while seen and not seen[0][1].seen_in(number):
            heapq.heappop(seen)  # a hidden version stays hidden
        after = seen[0][1] if seen else None
        if after is not before:
            visible = after is not None and after.hidden is None
            yield Step(known[0].path, number, before, after, first, visible)
            before, first = after, False
