"""One file: its text, its bytes, its versions in all layers, and what each layer did to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.blame import Blame, Digests
from layerfs.analysis.tree.versions import node_of, versions
from layerfs.errors import reason

from ..rows.provenance import maker
from ..units import clock, human_size
from .filerows import ByteRows, TextFile, looks_binary
from .layerrows import plain_step
from .place import Place
from .questions import Found
from .rootscreen import Listed, ListRows
from .rowsview import RowsView, TextRows
from .seeking import BadNeedle, needle_of, seek
from .spans import name_text, wrapped
from .treerows import mode_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.tree.versions import Version
    from layerfs.errors import TreeError
    from layerfs.tree.content import Content

    from .opening import Stack
    from .reader import Ticket
    from .rowsview import RowModel
    from .seeking import Needle

__all__ = ["FileScreen"]

TABS = ("Text", "Hex", "Versions", "Blame", "Explain")
PANES = ("text", "hex", "versions", "blame", "explain")
KINDS = {0o010000: "a FIFO", 0o020000: "a character device", 0o060000: "a block device", 0o140000: "a socket"}


class _Opened(NamedTuple):
    content: Content
    binary: bool


class FileScreen(Place):
    """The tabs of one entry, as one layer has it."""

    def __init__(self, stack: Stack, number: int, found: Found, tab: int = 0) -> None:
        """Show an entry of the tree as of a layer; `tab` is the first tab, of `TABS`."""
        super().__init__()
        self._stack = stack
        self._number = number
        self.found = found
        self.tab = tab
        self._content: Content | None = None
        self._versions: list[Version] = []
        self._known: dict[int, RowModel] = {}
        self._needle: Needle | None = None
        self._found_at: int | None = None

    def panes(self) -> Iterator[RowsView]:
        """One list."""
        yield RowsView(PANES[self.tab])

    def tabs(self) -> Sequence[str]:
        """The four views."""
        return TABS

    def where(self) -> Sequence[str]:
        """The image, the layer, the path."""
        title = self._stack.title
        return (
            "layerfs",
            title,
            f"as of layer {self._number} of {self._stack.depth}",
            name_text(self.found.path),
        )

    def facts(self) -> str:
        """Its size, and the layer that it comes from."""
        about = self.found.node.stat
        gone = {"D": "deleted", "~": "hidden"}.get(self.found.mark, "")
        size = human_size(about.size) if about.is_file else ""
        return "  ".join(filter(None, (size, f"layer {self.found.layer}", gone)))

    def about(self) -> str:
        """Which line is seen."""
        rows = self._known.get(self.tab)
        if rows is None:
            return ""
        text = f"{self.view.cursor + 1:,} of {len(rows):,}" if len(rows) else "empty"
        if isinstance(rows, TextFile):
            more = " lines; more are not shown: see the bytes, or layerfs cat" if rows.cut else " lines"
            return text + (more if rows.complete else " lines so far")
        if isinstance(rows, ByteRows) and len(rows):
            return f"byte {rows.offset(self.view.cursor):,} of {self.found.node.stat.size:,}"
        if isinstance(rows, ListRows) and len(rows):
            return f"{text}  {rows.rows[self.view.cursor].about}"
        return text

    def begin(self) -> None:
        """Show the first tab; of a binary file its bytes."""
        self.show_tab(self.tab, first=True)

    def fit(self) -> None:
        """Lay the explanation out anew."""
        if self._known.pop(4, None) is not None and self.tab == 4:
            self.show_tab(4)

    def on_unmount(self) -> None:
        """Close the file."""
        if self._content is not None:
            self._content.close()

    def show_tab(self, number: int, *, first: bool = False) -> None:
        """Show a tab, which is read if it was not yet."""
        self.tab = number
        view = self.query_one(RowsView)
        view.pane = PANES[number]
        if number in self._known:
            view.show(self._known[number])
            return
        view.show(TextRows(()))
        if number >= 2:
            work = (self._versions_rows, self._blame_rows, self._explained_rows)[number - 2]
            self.ask(work, self._shown(number), key="tab")
        elif (why := self._not_a_file()) is not None:
            self._shown(number)(TextRows(why))
        else:
            self._read(number, first=first)

    def _shown(self, number: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def answer(rows: RowModel) -> None:
            self._known[number] = rows
            if self.tab == number:
                self.query_one(RowsView).show(rows)

        return answer

    def _not_a_file(self) -> list[str] | None:
        """What to say of what has no contents; None of a regular file."""
        node = self.found.node
        if node.stat.is_file:
            return None
        if node.stat.is_symlink:
            try:
                return ["a symbolic link to", name_text(self.found.tree.readlink(node))]
            except OSError as error:
                return [f"a symbolic link that cannot be read: {reason(error)}"]
        if node.is_dir:
            return ["a directory; 3 shows its versions, 4 what each layer did to it"]
        return [f"{KINDS.get(node.stat.kind, 'no regular file')}; it has no contents, and is never opened"]

    def _read(self, number: int, *, first: bool) -> None:
        found = self.found

        def work(_ticket: Ticket) -> _Opened:
            content = self._content or found.tree.open(found.node)
            try:
                return _Opened(content, looks_binary(content))
            except BaseException:
                content.close()
                raise

        def answer(opened: _Opened) -> None:
            if not self.is_attached:
                opened.content.close()
                return
            self._content = opened.content
            if number == 0 and opened.binary and first:
                self.show_tab(1)
                self.say("it holds NUL bytes, so its bytes are shown; 1 shows it as text")
            elif number == 1:
                self._shown(1)(ByteRows(opened.content))
            else:
                self._index(TextFile(opened.content))

        self.ask(work, answer, key="tab")

    def _index(self, rows: TextFile) -> None:
        view = self.query_one(RowsView)
        timer = self.set_interval(0.1, lambda: view.changed() if view.model is rows else None)

        def answer(_done: None) -> None:
            timer.stop()
            if view.model is rows:
                view.changed()

        self._shown(0)(rows)
        self.ask(rows.index, answer, key="index", awaiting="finding the lines … (Esc: enough)")

    # -- versions and blame ----------------------------------------------------------------------

    def _versions_rows(self, ticket: Ticket) -> ListRows:
        tree = self._stack.subject.tree
        below = versions(tree.layers, below=self.found.path, depth=0)
        self._versions = list(ticket.watch(below))[::-1]
        rows = []
        for item in self._versions:
            hidden = item.hidden
            state = "shown" if hidden is None else f"{hidden.how} by layer {hidden.by}"
            cells = (
                state,
                "*" if hidden is None else "",
                str(item.layer),
                human_size(item.stat.size),
                mode_text(item.stat.mode),
                (clock(item.stat.mtime_ns) or "?")[:19],
            )
            step = plain_step(maker(self._stack.subject, item.layer) or "")
            rows.append(Listed(cells, about=f"layer {item.layer}: {step}"))
        columns = [("STATE", 0), ("*", 1), ("LAYER", 5), ("SIZE", 8), ("MODE", 10), ("MODIFIED", 19)]
        return ListRows(columns, rows)

    def _blame_rows(self, ticket: Ticket) -> ListRows:
        tree = self._stack.subject.tree
        problems: list[TreeError] = []
        blame = Blame(tree, Digests(problems.append), problems.append)
        rows = []
        for step in ticket.watch(blame.steps(self.found.path)):
            event, content = blame.event(step), blame.content(step)
            detail = ", ".join(event.changes) or (str(event.hidden.how) if event.hidden else "")
            after = step.after.stat if step.after else None
            made = plain_step(maker(self._stack.subject, step.layer) or "")
            cells = (
                f"{event.action}  {detail}",
                str(step.layer),
                "*" if step.visible else "",
                human_size(after.size) if after else "",
                (content.sha256 or "")[:12],
                made,
            )
            rows.append(Listed(cells, about=f"layer {step.layer}: {made}"))
        columns = [("ACTION", 0), ("LAYER", 5), ("*", 1), ("SIZE", 8), ("SHA256", 12), ("STEP", 30)]
        return ListRows(columns, rows)

    def _explained_rows(self, _ticket: Ticket) -> TextRows:
        width = max(self.app.size.width - 1, 1)  # a command that is cut could not be copied from the screen
        lines = self.explorer.explain(self._stack, self.found.path, width)
        return TextRows([part for line in lines for part in wrapped(line, width, len(line) + 1) or [""]])

    # -- search ----------------------------------------------------------------------------------

    def do_seek(self) -> None:
        """Let the user type what is searched in the contents."""
        self.ask_for("a text, or bytes as hex:7f 45; Enter searches", self._seek_typed)

    def _seek_typed(self, typed: str) -> None:
        self._found_at = None
        try:
            self._needle = needle_of(typed) if typed else None
        except BadNeedle as error:
            self.tell(error)
            return
        self._seek(back=False)

    def do_seek_next(self) -> None:
        """The next place of what was searched."""
        self._seek(back=False)

    def do_seek_previous(self) -> None:
        """The place before."""
        self._seek(back=True)

    def _seek(self, *, back: bool) -> None:
        rows, needle, content = self.view.model, self._needle, self._content
        if not isinstance(rows, (TextFile, ByteRows)) or content is None or not len(rows):
            self.say("there is nothing to search in")
            return
        if needle is None:
            self._mark(rows, None)
            self.say("nothing is searched; / asks what")
            return
        row, found = rows.offset(self.view.cursor), self._found_at
        here = found if found is not None and rows.index_of(found) == self.view.cursor else None
        start = row if here is None else here + (not back)

        def work(ticket: Ticket) -> tuple[int | None, bool]:
            at = seek(content, needle, start, ticket, back=back)
            if at is not None:
                return at, False
            return seek(content, needle, content.size if back else 0, ticket, back=back), True

        def answer(result: tuple[int | None, bool]) -> None:
            at, again = result
            self._found_at = at
            if at is None:
                self.say("it is nowhere in this file")
                return
            self._mark(rows, at)
            index = rows.index_of(at)
            if index is None:
                self.say(f"found at byte {at:,}, behind the lines that are known: 2 shows it there")
                return
            self.view.move_to(index)
            around = "; from the end on" if back else "; from the beginning on"
            self.say(f"found at byte {at:,} (0x{at:x}){around if again else ''}; n next, N before")

        self.ask(work, answer, key="seek", awaiting="searching … (Esc: give up)")

    def _mark(self, rows: TextFile | ByteRows, at: int | None) -> None:
        """Draw what is found."""
        if isinstance(rows, TextFile):
            rows.needle = self._needle
        else:
            rows.hit = (at, len(self._needle.data)) if self._needle and at is not None else (0, 0)
        self.view.refresh()

    def do_open(self) -> None:
        """Show the version under the cursor."""
        if self.tab == 2 and self._versions:
            item = self._versions[self.view.cursor]
            tree = self._stack.subject.tree
            mark = "~" if item.hidden else ""
            found = Found(node_of(tree, item), tree, mark, item)
            self.explorer.push_screen(FileScreen(self._stack, item.layer, found))

    def do_text(self) -> None:
        """The text."""
        self.show_tab(0)

    def do_hex(self) -> None:
        """The bytes."""
        self.show_tab(1)

    def do_versions(self) -> None:
        """The versions."""
        self.show_tab(2)

    def do_blame(self) -> None:
        """What each layer did."""
        self.show_tab(3)

    def do_explain(self) -> None:
        """Why it is there, or not."""
        self.show_tab(4)

    def do_copy_path(self) -> None:
        """Copy the path."""
        self.copy_path(self.found.path)

    def command(self) -> Sequence[str]:
        """The command for this tab."""
        path, word = os.fsdecode(self.found.path), self._stack.word
        if self.tab == 4:
            return ("explain", word, path)
        if self.tab >= 2:
            return ("blame", word, path)
        if self.found.gone:
            number = self.found.layer
            return ("cat", "--layer", str(number), word, path)
        return ("cat", self._stack.word_as_of(self._number), path)
