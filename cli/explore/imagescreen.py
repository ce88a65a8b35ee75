"""One image: its layers, and the tree as of one of them, with what that layer did."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..units import human_size, short_id
from . import questions
from .layerrows import LayerRows
from .opening import open_stack
from .preview import PreviewRows, preview
from .rowsview import RowsView
from .spans import name_text
from .theme import MARK_WORDS
from .treeplace import TreePlace
from .treerows import TreeRows, mode_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.timer import Timer

    from layerfs.analysis.tree.waste import Waste
    from layerfs.store import Store

    from .opening import Stack
    from .questions import Found

__all__ = ["ImageScreen"]

NARROW = 72
"""Columns below which one pane is shown at a time."""

WIDE = 160
"""Columns from which on the entry under the cursor is shown beside the tree."""

REST = 0.15
"""Seconds that the cursor rests until it is."""


class ImageScreen(TreePlace):
    """The layers of an image beside the tree as of one of them."""

    DEFAULT_CSS = """
    ImageScreen #left { width: 40%; border-right: solid ansi_bright_black; }
    ImageScreen #tree { width: 1fr; }
    ImageScreen #preview { display: none; border-left: solid ansi_bright_black; }
    """

    def __init__(self, stack: Stack) -> None:
        """Show `stack`, as of its uppermost layer."""
        super().__init__(stack)
        self._layers = LayerRows(stack)
        self._share = 40
        self._resting: Timer | None = None

    # -- what is on it ---------------------------------------------------------------------------

    def panes(self) -> Iterator[RowsView]:
        """The layers and the tree."""
        yield RowsView("layers", id="left")
        yield RowsView("tree", id="tree")
        yield RowsView("preview", id="preview", keys=False)

    @property
    def layers_view(self) -> RowsView:
        """The pane of layers."""
        return self.query_one("#left", RowsView)

    def where(self) -> Sequence[str]:
        """The image, the layer, the directory."""
        item = self.current
        at = name_text(item.path) if item else "/"
        return ("layerfs", self.stack.title, f"as of layer {self.number} of {self.stack.depth}", at)

    def facts(self) -> str:
        """What is wasted, what could not be read, what is marked."""
        words = []
        if self.rows.marked:
            words.append(f"{len(self.rows.marked)} marked")
        if self.problems:
            words.append(f"! {len(self.problems)} unreadable")
        if self._layers.waste is not None:
            words.append(f"{human_size(self._layers.waste.wasted)} wasted")
        return "  ".join(words)

    def about(self) -> str:
        """What made the layer; or what happened to the entry."""
        if self.pane == "layers":
            return self._of_layer(self.layers_view.cursor) if len(self._layers) else self._empty()
        found = self.current
        if found is None:
            return self._empty()
        mode = mode_text(found.node.stat.mode) if found.seen else ""
        return f"{name_text(found.path)}  {mode}  {self._story(found)}"

    def _of_layer(self, index: int) -> str:
        info = self.stack.subject.layer(self._layers.number(index))
        name = short_id(info.diff_id or info.cache_id or "")
        return f"layer {info.number} of {self.stack.depth}, {name}: {self._layers.step(index)}"

    def _empty(self) -> str:
        if self.hits is not None:
            return "nothing fits; Esc ends the search"
        return "this image has no files" if not self.stack.depth else ""

    def _story(self, found: Found) -> str:
        about = found.node.stat
        what = (
            f"{about.size:,} bytes" if about.is_file else "directory" if about.is_dir else "no regular file"
        )
        text = f"{what} of layer {found.layer}"
        if found.version and found.version.hidden:
            return f"{text}; hidden by layer {found.version.hidden.by} ({found.version.hidden.how})"
        if found.mark:
            since = "above the base" if self.since_base else f"by layer {self.number}"
            return f"{text}; {MARK_WORDS[found.mark]} {since}"
        return found.node.refusal or text

    def begin(self) -> None:
        """Show the layers and the tree, then count what is wasted."""
        self.layers_view.show(self._layers, self.stack.depth - self.number)
        if not self.stack.depth:
            self.tree_view.show(self.rows)
            return
        self.show_layer()
        stack = self.stack

        def counted(found: Waste) -> None:
            self._layers.waste = found
            self.layers_view.refresh()

        self.ask(
            lambda ticket: questions.counted_waste(stack, lambda _error: None, ticket),
            counted,
            key="waste",
            awaiting="",
            wait=0,
        )

    def fit(self) -> None:
        """Show one pane at a time where two have no room."""
        narrow = self.app.size.width < NARROW
        left, tree, beside = self.layers_view, self.tree_view, self.query_one("#preview", RowsView)
        width = self.app.size.width
        beside.display = width >= WIDE
        beside.styles.width = rest = width * 3 // 10 if width >= WIDE else 0
        left.display = not narrow or self.focused is left
        tree.display = not narrow or self.focused is not left
        left.styles.width = "100%" if narrow else (width - rest) * self._share // 100
        self._show_beside()

    # -- panes ------------------------------------------------------------------------------

    def moved(self, view: RowsView) -> None:
        """Another layer: show the tree as of it. Another entry: show what it is, beside the tree."""
        if view is self.tree_view:
            self._show_beside()
        if view is self.layers_view and view.model is self._layers and len(self._layers):
            number = self._layers.number(view.cursor)
            if number != self.number:
                self.number = number
                self.show_layer()

    def _show_beside(self) -> None:
        """Show the entry under the cursor beside the tree, when the cursor rests."""
        if self._resting:
            self._resting.stop()
            self._resting = None
        if self.app.size.width >= WIDE:
            self._resting = self.set_timer(REST, self._read_beside)

    def _read_beside(self) -> None:
        stack, found, view = self.stack, self.current, self.query_one("#preview", RowsView)
        if found is None:
            view.show(PreviewRows())
            return
        self.ask(lambda ticket: preview(stack, found, ticket), view.show, key="preview", awaiting="", wait=0)

    def do_next_pane(self) -> None:
        """Give the keys to the other pane."""
        other = self.tree_view if self.view is self.layers_view else self.layers_view
        other.display = True
        self.set_focus(other)
        self.fit()

    def do_open(self) -> None:
        """Of a layer: go to its tree; open a directory; show a file."""
        if self.pane == "layers":
            self.do_next_pane()
            return
        found = self.current
        if found is None:
            return
        if found.node.is_dir and self.hits is None:
            self.do_toggle()
        elif found.node.is_dir:
            self.go_to(found.path)
        else:
            self.do_text()

    def do_wider(self) -> None:
        """More room for the layers."""
        self._share = min(self._share + 5, 70)
        self.fit()

    def do_narrower(self) -> None:
        """Less room for the layers."""
        self._share = max(self._share - 5, 15)
        self.fit()

    # -- search ----------------------------------------------------------------------------------

    def do_filter(self) -> None:
        """Let the user type what is searched."""
        self.ask_for("part of a name, *.so, >1M, layer:4, is:deleted; Enter searches", self.search)

    def search(self, typed: str) -> None:
        """Show what fits; of nothing typed the whole tree."""
        if not typed.strip():
            self._end_search()
            return
        tree, known = self.union, self.marks

        def answer(found: tuple[list[Found], bool]) -> None:
            hits, more = found
            rows = TreeRows()
            rows.flat, rows.marked, rows.attributes = True, self.rows.marked, self.rows.attributes
            rows.fill(hits, known)
            self.hits = rows
            self.tree_view.show(rows, 0)
            count = f"the first {len(hits):,}" if more else f"{len(hits):,}"
            self.say(f"{count} found; Enter on a directory goes there, Esc ends the search")

        self.ask(
            lambda ticket: questions.search(tree, known, typed, self.complain, ticket), answer, key="search"
        )

    def _end_search(self) -> None:
        self.hits = None
        self.tree_view.show(self.rows, 0)

    def do_back(self) -> None:
        """End a search; else as everywhere."""
        if self.hits is not None and not self._awaited:
            self._end_search()
        else:
            super().do_back()

    def go_to(self, path: bytes) -> None:
        """End a search, and open the directories down to a path."""
        self.hits = None
        names = path.strip(b"/").split(b"/")
        at = 0
        for depth in range(1, len(names) + 1):
            index = self.rows.find(b"/" + b"/".join(names[:depth]))
            if index is None:
                break
            at = index
            item = self.rows.items[index]
            if depth < len(names) and not item.open:
                try:
                    below = questions.children(self.union, item.found, self.marks, hidden=self._hidden)
                except OSError as error:
                    self.tell(error)
                    break
                self.rows.unfold(index, below, self.marks)
        self.tree_view.show(self.rows, at)

    # -- other screens ---------------------------------------------------------------------------

    def _file(self, tab: int) -> None:
        from .filescreen import FileScreen

        found = self.current
        if found is not None:
            self.explorer.push_screen(FileScreen(self.stack, self.number, found, tab))

    def do_text(self) -> None:
        """The text of a file."""
        self._file(0)

    def do_hex(self) -> None:
        """The bytes of a file."""
        self._file(1)

    def do_versions(self) -> None:
        """The versions of an entry."""
        self._file(2)

    def do_blame(self) -> None:
        """What each layer did to an entry."""
        self._file(3)

    def do_explain(self) -> None:
        """Why an entry is there, or not."""
        self._file(4)

    def do_reload(self) -> None:
        """Read the root anew, and the image of this name in it."""
        word, number = self.stack.word, self.number

        def show(stack: Stack) -> None:
            screen = ImageScreen(stack)
            screen.number = min(number, stack.depth)
            self.explorer.switch_screen(screen)

        def then(store: Store) -> None:
            self.ask(lambda _ticket: open_stack(store, word), show, key="open")

        self.explorer.reopen(then)

    def do_waste(self) -> None:
        """What is stored and never shown."""
        from .overlays import WasteScreen

        self.explorer.push_screen(WasteScreen(self.stack))

    def do_compare(self) -> None:
        """Choose an image to compare with."""
        from .overlays import PickScreen

        self.explorer.push_screen(PickScreen(self.stack))

    # -- copying ---------------------------------------------------------------------------------

    def do_mark(self) -> None:
        """Mark or unmark an entry, and go on to the next."""
        found = self.current
        if found is not None:
            key = (found.path, found.layer)
            if self.rows.marked.pop(key, None) is None:
                self.rows.marked[key] = found
            self.tree_view.move_to(self.tree_view.cursor + 1)
            self.tree_view.refresh()

    def do_unmark(self) -> None:
        """Unmark all."""
        self.rows.marked.clear()
        self.tree_view.refresh()

    def do_copy_out(self) -> None:
        """Count what is marked, then ask where to."""
        from .copying import amount

        marked = list(self.rows.marked.values())
        if not marked:
            self.say("nothing is marked; m marks what the cursor is on")
            return

        def answer(found: tuple[int, int]) -> None:
            count, size = found
            plural = "entry" if count == 1 else "entries"
            hint = f"{count:,} {plural}, {human_size(size)}: name a new directory for them"
            self.ask_for(hint, self.copy_to)

        self.ask(lambda ticket: amount(marked, ticket), answer, key="copy")

    def copy_to(self, typed: str) -> None:
        """Copy what is marked to a new or empty directory."""
        from .copying import copy_marked

        if not typed.strip():
            self.say("nothing was copied")
            return
        marked, store = list(self.rows.marked.values()), self.stack.subject.store
        self.ask(
            lambda ticket: copy_marked(marked, os.fsencode(typed.strip()), store.evidence(), ticket),
            self.say,
            key="copy",
            awaiting="copying … (Esc: stop)",
        )

    def do_copy_path(self) -> None:
        """Copy the path."""
        found = self.current
        self.copy_path(found.path if found else b"")

    def command(self) -> Sequence[str]:
        """The command for what this pane shows."""
        if self.pane == "layers":
            return ("changes", self.stack.word, "--layer", str(self.number))
        name, found = self.stack.word_as_of(self.number), self.current
        if found is None or (not found.node.is_dir and found.path.rpartition(b"/")[0] == b"/"):
            return ("ls", "-la", name, "/")
        path = found.path if found.node.is_dir else found.path.rpartition(b"/")[0] or b"/"
        if found.gone:
            return ("blame", self.stack.word, os.fsdecode(found.path))
        return ("ls", "-la", name, os.fsdecode(path))
