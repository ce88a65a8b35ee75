"""What the screens ask the engine, as plain values; each question can be given up by its ticket."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.diff.changes import Kind
from layerfs.analysis.diff.difference import differences
from layerfs.analysis.tree.versions import node_of, versions
from layerfs.analysis.tree.waste import waste
from layerfs.tree.glance import glance
from layerfs.tree.node import FileStat, Node
from layerfs.tree.union import UnionTree
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.diff.changes import Change
    from layerfs.analysis.tree.versions import Version
    from layerfs.analysis.tree.waste import Waste
    from layerfs.errors import TreeError

    from .opening import Stack
    from .reader import Ticket

__all__ = [
    "Found",
    "Marks",
    "Total",
    "Totals",
    "changed",
    "children",
    "counted",
    "counted_waste",
    "first_look",
    "letter",
    "looked_at",
    "marks",
    "quickly",
    "search",
]

_LETTERS = {
    Kind.ADDED: "A",
    Kind.DELETED: "D",
    Kind.MODIFIED: "M",
    Kind.METADATA: "m",
    Kind.TYPE: "T",
    Kind.CHANGED: "M",
}

MOST_HITS = 10_000

HUGE = 2_000
"""Entries from which on a directory is shown by names before it is read."""

SCREENFUL = 64

_UNSEEN = FileStat(*[0] * len(FileStat._fields))


class Found(NamedTuple):
    """An entry of a directory, as the tree shows it or as what is gone.

    Attributes:
        node: the entry.
        tree: the tree that reads it.
        mark: what happened to it: a letter of `theme.MARK_WORDS`, or nothing.
        version: of a hidden version what is known of it; else None.
        seen: whether it was looked at; else only its name and its type are known.
    """

    node: Node
    tree: UnionTree
    mark: str = ""
    version: Version | None = None
    seen: bool = True

    @property
    def path(self) -> bytes:
        """Where it is, or was."""
        return self.version.path if self.version else self.node.path

    @property
    def layer(self) -> int:
        """The number of the layer it comes from."""
        return self.version.layer if self.version else len(self.tree.layers) - self.node.part.layer

    @property
    def gone(self) -> bool:
        """Whether the tree does not show it."""
        return self.mark in ("D", "~")


@dataclass
class Marks:
    """What some layers did: a letter for each path, and what they deleted, by the directory it was in.

    Attributes:
        all_added: whether everything is new, as in a base layer.
        touched: the directories that contain a change, however deep.
    """

    all_added: bool = False
    letters: dict[bytes, str] = field(default_factory=dict)
    gone: dict[bytes, list[Node]] = field(default_factory=dict)
    before: UnionTree = field(default_factory=lambda: UnionTree(()))
    touched: set[bytes] = field(default_factory=set)

    def of(self, path: bytes) -> str:
        """The letter of an entry that the tree shows."""
        return "A" if self.all_added else self.letters.get(path, "")

    def add(self, change: Change) -> None:
        """Take one change."""
        path = change.path
        self.letters[path] = _LETTERS[change.kind]
        parent = path.rpartition(b"/")[0] or b"/"
        if change.kind is Kind.DELETED and change.before is not None:
            self.gone.setdefault(parent, []).append(change.before)
        while path != b"/" and parent not in self.touched:
            self.touched.add(parent)
            path, parent = parent, parent.rpartition(b"/")[0] or b"/"


def marks(
    stack: Stack, number: int, since: int, complain: Callable[[TreeError], None], ticket: Ticket
) -> Marks:
    """What the layers above `since` up to `number` did; of the base layer everything is added."""
    if since < 1:
        return Marks(all_added=True)
    before, after = stack.as_of(since), stack.as_of(number)
    found = Marks(before=before)
    for change in ticket.watch(differences(before, after, complain)):
        if change.path != b"/":
            found.add(change)
            if change.kind is Kind.ADDED and change.node.is_dir and _is_moved(after, change.node):
                found.letters[change.path] = "R"
    return found


def letter(change: Change) -> str:
    """The mark of a change."""
    return _LETTERS[change.kind]


def _is_moved(tree: UnionTree, node: Node) -> bool:
    """Whether a layer says of a directory that it had another path below."""
    part = node.part
    try:
        return tree.layers[part.layer].marks(part.path).redirect is not None
    except OSError:
        return False


def children(tree: UnionTree, found: Found, known: Marks, *, hidden: bool) -> list[Found]:
    """The entries of a directory, also of one that is gone, in byte order.

    Raises:
        TreeError: it cannot be read.
    """
    path = found.path
    if found.version:
        below = versions(tree.layers, below=path, depth=1)
        return [_hidden(tree, item) for item in below if item.path != path and item.hidden]
    if found.gone:
        return [Found(node, found.tree, "D") for _, node in sorted(found.tree.children(found.node).items())]
    shown = [Found(node, tree, known.of(node.path)) for node in tree.children(found.node).values()]
    shown += [Found(node, known.before, "D") for node in known.gone.get(path, ())]
    if hidden:
        dead = {item.path for item in shown if item.mark == "D"}
        live = {item.path for item in shown}
        for item in versions(tree.layers, below=path, depth=1):
            if item.path == path or not item.hidden or item.path in dead:
                continue
            if not item.stat.is_dir or item.path not in live:
                shown.append(_hidden(tree, item))
    return sorted(shown, key=lambda item: (item.path, item.gone))


def first_look(tree: UnionTree, found: Found) -> list[Found] | None:
    """The entries of a huge directory by their names alone, but for the first screenful; in byte order.

    None of a directory that is as soon read as a whole. Raises as `children`.
    """
    if found.gone or found.node.refusal:
        return None
    names = glance(tree, found.node)
    if names is None or len(names) < HUGE:
        return None
    node, part = found.node, found.node.part
    first: list[Found] = []
    order = sorted(names)
    for name in order[:SCREENFUL]:
        entry = tree.look_up(node, name)
        if entry is not None:
            first.append(Found(entry, tree))
    kinds = {kind: _UNSEEN._replace(mode=kind) for kind in set(names.values())}
    rest = (Node(name, node, kinds[names[name]], part) for name in order[SCREENFUL:])
    return first + [Found(entry, tree, seen=False) for entry in rest]


def quickly(tree: UnionTree, found: Found) -> list[Found]:
    """The entries of a directory without what happened to them; of a huge one `first_look`. As `children`."""
    return first_look(tree, found) or children(tree, found, Marks(), hidden=False)


def looked_at(found: Found, known: Marks) -> Found:
    """An entry of which only the name was known, with all that is known of it.

    Raises:
        TreeError: it cannot be read.
    """
    assert found.node.parent is not None  # noqa: S101 - the root is looked at first of all
    node = found.tree.look_up(found.node.parent, found.node.name)
    return found if node is None else Found(node, found.tree, known.of(node.path))


def _hidden(tree: UnionTree, item: Version) -> Found:
    return Found(node_of(tree, item), tree, "~", item)


class Total(NamedTuple):
    """What a directory contains: bytes of its files, each inode once, and the number of entries."""

    size: int
    entries: int


Totals = dict[bytes, Total]


def counted(tree: UnionTree, ticket: Ticket) -> Totals:
    """The totals of every directory of a tree."""
    sums: dict[bytes, list[int]] = {}
    seen: set[tuple[int, int]] = set()
    for visit in ticket.watch(walk(tree, tree.root)):
        node = visit.node
        if node.is_dir:
            sums[node.path] = [0, 0]
        key = (node.stat.dev, node.stat.ino)
        again = node.nlink > 1 and key in seen
        if node.nlink > 1:
            seen.add(key)
        size = node.stat.size if node.stat.is_file and not again else 0
        above = node.parent
        while above is not None:
            total = sums[above.path]
            total[0] += size
            total[1] += 1
            above = above.parent
    return {path: Total(*total) for path, total in sums.items()}


def counted_waste(stack: Stack, complain: Callable[[TreeError], None], ticket: Ticket) -> Waste:
    """The bytes that are stored and never shown, as `layerfs waste` counts them."""
    tree = stack.subject.tree
    return waste(tree, problem=complain, found=ticket.watch(versions(tree.layers, problem=complain)))


def changed(
    before: Stack, after: Stack, complain: Callable[[TreeError], None], ticket: Ticket
) -> list[Change]:
    """What differs between two images, as `layerfs diff` lists it."""
    return list(ticket.watch(differences(before.subject.tree, after.subject.tree, complain)))


# -- search ----------------------------------------------------------------------------------------

_UNITS = {"": 1, "b": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


class BadSearch(ValueError):
    """What was typed means nothing; the message says what would."""


def search(
    tree: UnionTree, known: Marks, typed: str, complain: Callable[[TreeError], None], ticket: Ticket
) -> tuple[list[Found], bool]:
    """The entries that fit all words of a search, and whether there are more than are shown.

    Raises:
        BadSearch: a word of it means nothing.
    """
    tests = [_test(word) for word in typed.split()]
    hits: list[Found] = []
    for found in ticket.watch(_everything(tree, known, complain)):
        if all(test(found) for test in tests):
            if len(hits) == MOST_HITS:
                return hits, True
            hits.append(found)
    return hits, False


def _everything(tree: UnionTree, known: Marks, complain: Callable[[TreeError], None]) -> Iterator[Found]:
    for visit in walk(tree, tree.root):
        if visit.problem:
            complain(visit.problem)
        if visit.depth:
            yield Found(visit.node, tree, known.of(visit.node.path))
    for nodes in known.gone.values():
        for node in nodes:
            yield Found(node, known.before, "D")


def _test(word: str) -> Callable[[Found], bool]:
    """The test that one word of a search is."""
    if word.startswith("layer:"):
        if not word[6:].isdecimal():
            raise BadSearch("write a number behind layer:, as layer:4")
        number = int(word[6:])
        return lambda found: found.layer == number
    if word.startswith("is:"):
        letters = {"added": "AR", "changed": "MmT", "deleted": "D"}.get(word[3:])
        if letters is None:
            raise BadSearch("write is:added, is:changed or is:deleted")
        return lambda found: bool(found.mark) and found.mark in letters
    if word[0] in "<>" and word[1:]:
        limit = _size(word[1:])
        if word[0] == ">":
            return lambda found: found.node.stat.is_file and found.node.stat.size > limit
        return lambda found: found.node.stat.is_file and found.node.stat.size < limit
    wanted = word.encode("utf-8", "surrogateescape")
    if set(word) & set("*?["):
        return lambda found: fnmatch.fnmatchcase(found.node.name, wanted)
    lower = wanted.lower()
    return lambda found: lower in found.node.name.lower()


def _size(text: str) -> int:
    digits = text.lower().rstrip("bkmg")
    unit = (
        text.lower()[len(digits) :].removesuffix("b")
        if len(text) - len(digits) > 1
        else text.lower()[len(digits) :]
    )
    try:
        return int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise BadSearch("write a size as >1M, >20k or <512") from None
