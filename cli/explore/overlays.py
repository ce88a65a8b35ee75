"""Screens that open from any other: help, waste, comparison, and the choice of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..units import human_size
from . import keys, questions
from .opening import Stack, stack_of
from .place import Place
from .questions import Found
from .rootscreen import Listed, ListRows, image_rows
from .rowsview import RowsView
from .spans import Span, column, cut_middle, name_text
from .theme import MARK_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.diff.changes import Change
    from layerfs.analysis.tree.waste import Waste
    from layerfs.errors import TreeError

    from .reader import Ticket

__all__ = ["CompareScreen", "HelpScreen", "PickScreen", "WasteScreen"]


class HelpRows:
    """The keys of a pane, and then the marks."""

    def __init__(self, keymap: keys.KeyMap, pane: str) -> None:
        """The keys of `pane`."""
        self.keys = keymap.in_pane(pane)
        marks = MARK_WORDS.items() if pane in ("tree", "compare") else ()
        self._lines = [(key.shown, key.does, "") for key in self.keys]
        self._lines += [(mark, f"mark: {words}", mark) for mark, words in marks]

    def __len__(self) -> int:
        """How many rows."""
        return len(self._lines)

    def heading(self, width: int) -> Sequence[Span]:
        """The names of the columns."""
        return (Span(column(" KEY         DOES", width), "head"),)

    def row(self, index: int, width: int) -> Sequence[Span]:  # noqa: ARG002 - cut where drawn
        """One key."""
        shown, does, style = self._lines[index]
        if style:
            return (Span(" "), Span(shown, f"sign-{style}"), Span(" " * (12 - len(shown))), Span(does))
        return (Span(f" {shown:<12}", "bold"), Span(does))


class HelpScreen(Place):
    """All keys of the pane it was opened from; Enter does one of them there."""

    def __init__(self, below: Place) -> None:
        """The keys of a screen's pane."""
        super().__init__()
        self._below = below
        self._of = below.pane
        self._rows = HelpRows(below.explorer.keymap, below.pane)

    def panes(self) -> Iterator[RowsView]:
        """One list."""
        yield RowsView("help")

    def where(self) -> Sequence[str]:
        """Whose keys."""
        return ("layerfs", f"keys of the {keys.PANES[self._of]}")

    def about(self) -> str:
        """What can be done here."""
        return "Enter does the key under the cursor; Esc goes back. docs/explore.md has all of them"

    def begin(self) -> None:
        """Show the keys."""
        self.query_one(RowsView).show(self._rows)

    def do_open(self) -> None:
        """Go back, and do what the cursor is on."""
        index = self.view.cursor
        self.explorer.pop_screen()
        if index < len(self._rows.keys) and self._rows.keys[index].action != "help":
            action, below = self._rows.keys[index].action, self._below
            below.call_after_refresh(lambda: below.do(action))

    def do_help(self) -> None:
        """Go back."""
        self.do_back()

    def command(self) -> Sequence[str]:
        """The help of the command."""
        return ("explore", "--help")


class WasteScreen(Place):
    """The bytes of an image that are stored and never shown, by the layer that hides them."""

    def __init__(self, stack: Stack) -> None:
        """Of `stack`."""
        super().__init__()
        self._stack = stack
        self.total: int | None = None
        self._problems = 0
        self._paths: list[tuple[bytes, int]] = []

    def panes(self) -> Iterator[RowsView]:
        """One list."""
        yield RowsView("waste")

    def where(self) -> Sequence[str]:
        """The image."""
        return ("layerfs", self._stack.title, "waste")

    def facts(self) -> str:
        """The total."""
        return "" if self.total is None else f"{human_size(self.total)} wasted"

    def about(self) -> str:
        """What the row tells."""
        if self.total is None:
            return ""
        unread = f"; {self._problems} could not be read" if self._problems else ""
        if not self._paths:
            return f"nothing is wasted: every stored byte is shown{unread}"
        row = self.view.model
        assert isinstance(row, ListRows)  # noqa: S101 - as it shows no other
        return row.rows[self.view.cursor].about + unread

    def begin(self) -> None:
        """Count."""
        stack = self._stack

        def complain(_error: TreeError) -> None:
            self._problems += 1

        self.ask(lambda ticket: questions.counted_waste(stack, complain, ticket), self._counted, key="waste")

    def _counted(self, found: Waste) -> None:
        self.total = found.wasted
        files = [(file, item.path) for item in found.paths for file in item.files]
        files.sort(key=lambda pair: (-pair[0].hidden.by, -pair[0].size, pair[1]))
        self._paths = [(path, file.layer) for file, path in files]
        rows = [
            Listed(
                (
                    name_text(path),
                    human_size(file.size),
                    str(file.hidden.by),
                    str(file.layer),
                    str(file.hidden.how),
                ),
                about=f"{file.size:,} bytes stored by layer {file.layer}, hidden by layer {file.hidden.by} "
                f"({file.hidden.how})",
            )
            for file, path in files
        ]
        columns = [("PATH", 0), ("WASTED", 8), ("HIDDEN BY", 9), ("STORED IN", 9), ("HOW", 12)]
        self.query_one(RowsView).show(ListRows(columns, rows))

    def do_open(self) -> None:
        """Show the versions of the path."""
        from layerfs.analysis.tree.versions import node_of, versions

        from .filescreen import FileScreen

        if not self._paths:
            return
        path, layer = self._paths[self.view.cursor]
        tree = self._stack.subject.tree
        for item in versions(tree.layers, below=path, depth=0):
            if item.layer == layer:
                found = Found(node_of(tree, item), tree, "~" if item.hidden else "", item)
                self.explorer.push_screen(FileScreen(self._stack, layer, found))
                return

    def command(self) -> Sequence[str]:
        """The command."""
        return ("waste", "--paths", "--top", "0", self._stack.word)


class CompareRows:
    """Every path that differs."""

    def __init__(self, changes: Sequence[Change]) -> None:
        """Show `changes`."""
        self.changes = changes

    def __len__(self) -> int:
        """How many."""
        return len(self.changes)

    def heading(self, width: int) -> Sequence[Span]:
        """The names of the columns."""
        return (Span(column(f"  {'BEFORE':>9}{'AFTER':>9}  PATH", width), "head"),)

    def row(self, index: int, width: int) -> Sequence[Span]:
        """One path."""
        change = self.changes[index]
        mark = questions.letter(change)
        sizes = "".join(
            f"{human_size(node.stat.size) if node is not None and node.stat.is_file else '-':>9}"
            for node in (change.before, change.after)
        )
        path = name_text(change.path) + "/" * (change.node.is_dir and change.path != b"/")
        return (Span(mark, f"sign-{mark}"), Span(f" {sizes}  "), Span(cut_middle(path, width - 22), mark))


class CompareScreen(Place):
    """What differs between two images."""

    def __init__(self, before: Stack, after: Stack) -> None:
        """Compare two."""
        super().__init__()
        self._stacks = before, after
        self.rows: CompareRows | None = None
        self._problems = 0

    def panes(self) -> Iterator[RowsView]:
        """One list."""
        yield RowsView("compare")

    def where(self) -> Sequence[str]:
        """Which two."""
        before, after = self._stacks
        return ("layerfs", f"{before.title} against {after.title}")

    def facts(self) -> str:
        """How many layers they share."""
        before, after = (stack.subject.tree.layers[::-1] for stack in self._stacks)
        shared = 0
        for one, other in zip(before, after, strict=False):
            if one.identity != other.identity:
                break
            shared += 1
        return f"{len(before)} and {len(after)} layers, {shared} shared"

    def about(self) -> str:
        """What differs at the path."""
        if self.rows is None:
            return ""
        unread = f"; {self._problems} could not be read" if self._problems else ""
        if not self.rows:
            return "nothing differs" + unread
        change = self.rows.changes[self.view.cursor]
        differs = f": {', '.join(change.attributes)}" if change.attributes else ""
        return f"{self.view.cursor + 1:,} of {len(self.rows):,}  {change.kind}{differs}{unread}"

    def begin(self) -> None:
        """Compare."""
        before, after = self._stacks

        def complain(_error: TreeError) -> None:
            self._problems += 1

        def answer(found: list[Change]) -> None:
            self.rows = CompareRows(found)
            self.query_one(RowsView).show(self.rows)

        self.ask(lambda ticket: questions.changed(before, after, complain, ticket), answer, key="compare")

    def do_open(self) -> None:
        """Show the file, as the second image has it, or else the first."""
        from .filescreen import FileScreen

        if not self.rows:
            return
        change = self.rows.changes[self.view.cursor]
        stack = self._stacks[0] if change.after is None else self._stacks[1]
        found = Found(change.node, stack.subject.tree)
        self.explorer.push_screen(FileScreen(stack, stack.depth, found))

    def command(self) -> Sequence[str]:
        """The command."""
        return ("diff", self._stacks[0].word, self._stacks[1].word)


class PickScreen(Place):
    """The images to compare with."""

    def __init__(self, stack: Stack) -> None:
        """Choose one to compare `stack` with."""
        super().__init__()
        self._stack = stack
        self._rows: ListRows | None = None

    def panes(self) -> Iterator[RowsView]:
        """One list."""
        yield RowsView("pick")

    def where(self) -> Sequence[str]:
        """What is chosen."""
        return ("layerfs", f"compare {self._stack.title} with …")

    def about(self) -> str:
        """What to do."""
        return "Enter compares with the image under the cursor; Esc goes back"

    def begin(self) -> None:
        """Read the images."""
        store = self._stack.subject.store

        def answer(rows: ListRows) -> None:
            self._rows = rows
            self.query_one(RowsView).show(rows)

        self.ask(lambda _ticket: image_rows(store), answer, key="pick")

    def do_open(self) -> None:
        """Compare."""
        if not self._rows or not len(self._rows):
            return
        row = self._rows.rows[self.view.cursor]
        store, opens = self._stack.subject.store, row.opens
        assert opens is not None  # noqa: S101 - every row is an image

        def work(_ticket: Ticket) -> Stack:
            return stack_of(store, opens, row.word)

        def answer(other: Stack) -> None:
            self.explorer.pop_screen()
            self.explorer.push_screen(CompareScreen(self._stack, other))

        self.ask(work, answer, key="open")

    def command(self) -> Sequence[str]:
        """The list."""
        return ("images",)
