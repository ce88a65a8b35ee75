"""The tree as of a layer, with what that layer did: what is open, what is shown, in which order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from . import questions
from .place import Place
from .questions import Found, Marks
from .rowsview import RowsView
from .spans import name_text
from .treerows import COUNTED, GROUPS, SORTS, TreeRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.errors import TreeError
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

    from .opening import Stack
    from .reader import Ticket

__all__ = ["TreePlace"]

MOST_OPENED = 12
"""Directories that are opened by themselves to show what a layer did."""

MOST_KEPT = 3
"""Layers whose tree and marks are kept for who comes back to them."""


@dataclass
class Known:
    """What some layers did, and what of it could not be read."""

    marks: Marks = field(default_factory=Marks)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, stack: Stack, number: int, since: int, ticket: Ticket) -> Known:
        """Of the layers above `since` up to `number`."""
        problems: list[str] = []
        marks = questions.marks(stack, number, since, lambda error: problems.append(str(error)), ticket)
        return cls(marks, problems)


class Listed(NamedTuple):
    """The entries of the root, and of each directory that is open, upper ones first."""

    entries: list[Found]
    opened: dict[bytes, list[Found]]


def listed(
    tree: UnionTree, paths: Sequence[bytes], read: Callable[[Found], list[Found]], ticket: Ticket
) -> Listed:
    """Read the root and the directories at some paths, as far as the tree has them."""
    opened = {}
    for path in ticket.watch(paths):
        node = _at(tree, path)
        if node is not None:
            opened[path] = read(Found(node, tree))
    return Listed(read(Found(tree.root, tree)), opened)


class TreePlace(Place):
    """A screen with the tree of a stack of layers.

    Attributes:
        stack: the layers.
        number: the tree is as of this one.
        since_base: whether the marks are of all layers above the base, not of this one alone.
        rows: the rows of the tree.
        marks: what the layers did.
        problems: what could not be read.
    """

    def __init__(self, stack: Stack) -> None:
        """The tree of `stack` as of its uppermost layer."""
        super().__init__()
        self.stack = stack
        self.number = stack.depth
        self.since_base = False
        self.rows = TreeRows()
        self.marks = Marks()
        self.problems: list[str] = []
        self.hits: TreeRows | None = None
        self._hidden = False
        self._unions: dict[int, UnionTree] = {}
        self._known: dict[tuple[int, int], Known] = {}
        self._opened_here: set[bytes] = set()

    @property
    def tree_view(self) -> RowsView:
        """The pane of the tree."""
        return self.query_one("#tree", RowsView)

    @property
    def union(self) -> UnionTree:
        """The tree as of the chosen layer; the last few are kept, with what was read of them."""
        tree = self._unions.pop(self.number, None) or self.stack.as_of(self.number)
        self._unions[self.number] = tree
        if len(self._unions) > MOST_KEPT:
            del self._unions[next(iter(self._unions))]
        return tree

    # -- the tree as of a layer ------------------------------------------------------------------

    @property
    def shown(self) -> TreeRows:
        """The rows in the pane: of the tree, or of what was found in it."""
        return self.hits if self.hits is not None else self.rows

    @property
    def current(self) -> Found | None:
        """The entry that the cursor is on."""
        items = self.shown.items
        if not items:
            return None
        item = items[min(self.tree_view.cursor, len(items) - 1)]
        if not item.found.seen:
            with suppress(OSError):  # what is wrong with it is told when the directory is read
                item.found = questions.looked_at(item.found, self.marks)
        return item.found

    def complain(self, error: TreeError) -> None:
        """Note what could not be read; called from threads too."""
        self.problems.append(str(error))

    def show_layer(self) -> None:
        """Read what the layer did and the tree as of it; what is open stays, and the cursor.

        Where that takes a while the tree is shown before its marks, and a huge directory by its names.
        """
        number, stack, hidden = self.number, self.stack, self._hidden
        since = min(1, number - 1) if self.since_base else number - 1
        keep = [path for path in self.rows.opened() if path not in self._opened_here]
        if self.hits is not None:
            at = self.current.path if self.current else None
            self.hits = None
            self.tree_view.show(self.rows, (self.rows.find(at) if at else None) or 0)
        tree, count, known = self.union, self.rows.order in COUNTED, self._known.get((number, since))
        early = known is None and self.rows.order == "name" and len(self.rows.shown) == len(GROUPS)

        def work(ticket: Ticket) -> tuple[Known, Listed, questions.Totals]:
            if early:
                first = listed(tree, keep, lambda found: questions.quickly(tree, found), ticket)
                ticket.tell(lambda: self._fill(Known(), first, keep))
            told = known or Known.of(stack, number, since, ticket)
            marks = told.marks
            below = listed(
                tree,
                sorted({*keep, *_few(marks.touched)}),
                lambda found: questions.children(tree, found, marks, hidden=hidden),
                ticket,
            )
            return told, below, questions.counted(tree, ticket) if count else {}

        def answer(found: tuple[Known, Listed, questions.Totals]) -> None:
            self._known[number, since], below, self.rows.totals = found
            if len(self._known) > MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._fill(found[0], below, keep)

        order = self.rows.order
        what = f"what layer {number} did" if order == "name" else f"all, to sort by {order}"
        self.ask(work, answer, key="tree", awaiting=f"reading {what} … (Esc: give up)")

    def _fill(self, known: Known, below: Listed, keep: Sequence[bytes]) -> None:
        """Show the tree with what is known of it; the cursor stays where it is."""
        at = self.current.path if self.current else None
        self.marks, self.problems = known.marks, known.problems
        self._opened_here = below.opened.keys() - set(keep)
        self.rows.fill(below.entries, self.marks)
        for path, entries in below.opened.items():
            index = self.rows.find(path)
            if index is not None and not self.rows.items[index].found.gone:
                self.rows.unfold(index, entries, self.marks)
        self.tree_view.show(self.rows, (self.rows.find(at) if at else None) or 0)

    # -- folding ---------------------------------------------------------------------------------

    def do_toggle(self) -> None:
        """Open or close a directory."""
        if self.hits is None and self.rows.items and self.rows.items[self.tree_view.cursor].open:
            self.rows.fold(self.tree_view.cursor)
            self.tree_view.changed()
        else:
            self.do_unfold()

    def do_unfold(self) -> None:
        """Open a directory; of an open one go to its first entry."""
        found, index = self.current, self.tree_view.cursor
        if found is None or not found.node.is_dir or self.hits is not None:
            return
        item = self.rows.items[index]
        if item.open:
            if self.rows.end(index) > index + 1:
                self.tree_view.move_to(index + 1)
            return
        tree, known, hidden = self.union, self.marks, self._hidden

        def show(entries: list[Found]) -> None:
            if item not in self.rows.items:
                return
            at = self.current.path if self.current else None
            index = self.rows.items.index(item)
            self.rows.fold(index)
            self.rows.unfold(index, entries, known)
            self.tree_view.changed(self.rows.find(at) if at else None)

        def work(ticket: Ticket) -> list[Found]:
            first = questions.first_look(tree, found) if self.rows.order == "name" else None
            if first:
                ticket.tell(lambda: show(first))
            return questions.children(tree, found, known, hidden=hidden)

        def answer(entries: list[Found]) -> None:
            show(entries)
            if not entries:
                self.say(f"{name_text(found.path)} is empty")

        self.ask(work, answer, key="open", awaiting="reading its entries … (Esc: give up)")

    def do_fold(self) -> None:
        """Close a directory; of anything else go to the directory it is in."""
        index = self.tree_view.cursor
        if self.hits is not None or not self.rows.items:
            return
        if self.rows.items[index].open:
            self.do_toggle()
            return
        above = self.rows.parent(index)
        if above is not None:
            self.tree_view.move_to(above)

    def do_fold_all(self) -> None:
        """Close all directories."""
        if self.hits is None:
            for index in range(len(self.rows) - 1, -1, -1):
                if (
                    index < len(self.rows)
                    and self.rows.items[index].open
                    and not self.rows.items[index].depth
                ):
                    self.rows.fold(index)
            self.tree_view.changed(0)

    # -- order and choice ------------------------------------------------------------------------

    def do_sort(self) -> None:
        """The next order."""
        self.rows.order = SORTS[(SORTS.index(self.rows.order) + 1) % len(SORTS)]
        self.show_layer()
        self.say(f"sorted by {self.rows.order}")

    def do_reverse(self) -> None:
        """The other way round."""
        self.rows.backwards = not self.rows.backwards
        self.show_layer()

    def do_hidden(self) -> None:
        """Hidden versions on or off."""
        self._hidden = not self._hidden
        self.show_layer()
        self.say("hidden versions are shown, as ~" if self._hidden else "hidden versions are not shown")

    def do_attributes(self) -> None:
        """Owners and times on or off."""
        self.rows.attributes = not self.rows.attributes
        self.tree_view.refresh()
        if self.tree_view.size.width < 80 and self.rows.attributes:
            self.say("owners and times need a tree of 80 columns: widen the terminal, or press _")

    def _show_group(self, group: str) -> None:
        self.rows.shown ^= {group}
        self.show_layer()
        self.say(f"shown: {', '.join(sorted(self.rows.shown)) or 'nothing'}")

    def do_show_added(self) -> None:
        """Added entries on or off."""
        self._show_group("added")

    def do_show_removed(self) -> None:
        """Removed entries on or off."""
        self._show_group("removed")

    def do_show_changed(self) -> None:
        """Changed entries on or off."""
        self._show_group("changed")

    def do_show_unchanged(self) -> None:
        """Unchanged entries on or off."""
        self._show_group("unchanged")

    def do_marks_of_layer(self) -> None:
        """Marks of this layer alone."""
        self.since_base = False
        self.show_layer()
        self.say("marks: what this layer did")

    def do_marks_since_base(self) -> None:
        """Marks of all layers up to here."""
        self.since_base = True
        self.show_layer()
        self.say("marks: what the layers above the base did, up to this one")


def _few(touched: set[bytes]) -> set[bytes]:
    """The directories that are opened to show what a layer did; none if they are many."""
    return touched - {b"/"} if len(touched) <= MOST_OPENED else set()


def _at(tree: UnionTree, path: bytes) -> Node | None:
    """The directory at a path, no link followed; None if there is none."""
    node = tree.root
    try:
        for name in path.strip(b"/").split(b"/"):
            child = tree.child(node, name)
            if child is None or not child.is_dir:
                return None
            node = child
    except OSError:
        return None
    return node
