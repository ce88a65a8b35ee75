"""The rows of the tree: the directories that are open, flat, with what a layer did to each entry."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from ..units import clock, human_size
from .spans import Span, column, cut, cut_middle, name_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .questions import Found, Marks, Totals

__all__ = ["COUNTED", "GROUPS", "SORTS", "Item", "TreeRows", "layers_text", "mode_text"]

SORTS = ("name", "size", "entries", "time")
COUNTED = ("size", "entries")
"""Orders for which all directories must be counted."""

GROUP_OF = {
    "A": "added",
    "R": "added",
    "M": "changed",
    "m": "changed",
    "T": "changed",
    "D": "removed",
    "": "unchanged",
}
GROUPS = frozenset(GROUP_OF.values())
OPEN, CLOSED = "▾ ", "▸ "


class Item:
    """One row: an entry at a depth; `open` if its entries are the rows below it."""

    __slots__ = ("depth", "found", "open")

    def __init__(self, found: Found, depth: int) -> None:
        """A closed row."""
        self.found = found
        self.depth = depth
        self.open = False


class TreeRows:
    """The rows of a tree.

    Attributes:
        items: the rows, from the first to the last.
        marked: what is to be copied out, by path and layer.
        totals: what directories contain, where it was counted.
        flat: whether the rows are hits of a search: each shows its whole path.
    """

    def __init__(self) -> None:
        """No rows."""
        self.items: list[Item] = []
        self.marked: dict[tuple[bytes, int], Found] = {}
        self.totals: Totals = {}
        self.order = "name"
        self.backwards = False
        self.attributes = False
        self.flat = False
        self.shown = set(GROUPS)

    # -- what is in it ---------------------------------------------------------------------------

    def fill(self, entries: Sequence[Found], known: Marks) -> None:
        """Show the entries of the root, all closed."""
        self.items = [Item(found, 0) for found in self.arranged(entries, known)]

    def unfold(self, index: int, entries: Sequence[Found], known: Marks) -> None:
        """Open a row, with its entries below."""
        item = self.items[index]
        if not item.open:
            item.open = True
            below = [Item(found, item.depth + 1) for found in self.arranged(entries, known)]
            self.items[index + 1 : index + 1] = below

    def fold(self, index: int) -> None:
        """Close a row."""
        self.items[index].open = False
        del self.items[index + 1 : self.end(index)]

    def end(self, index: int) -> int:
        """The index behind the last row that is below a row."""
        depth = self.items[index].depth
        at = index + 1
        while at < len(self.items) and self.items[at].depth > depth:
            at += 1
        return at

    def parent(self, index: int) -> int | None:
        """The row of the directory that a row is in; None at the top."""
        depth = self.items[index].depth
        return next((at for at in range(index - 1, -1, -1) if self.items[at].depth < depth), None)

    def find(self, path: bytes) -> int | None:
        """The row of a path."""
        return next((at for at, item in enumerate(self.items) if item.found.path == path), None)

    def opened(self) -> list[bytes]:
        """The paths of the open directories, upper ones first."""
        return [item.found.path for item in self.items if item.open]

    def arranged(self, entries: Sequence[Found], known: Marks) -> list[Found]:
        """Entries as they are wanted: those that are shown, in order."""
        wanted = self._wanted(entries, known)
        if self.order == "size":
            wanted.sort(key=lambda item: -self.size_of(item))
        elif self.order == "entries":
            wanted.sort(key=lambda item: -self.totals.get(item.path, (0, 0))[1])
        elif self.order == "time":
            wanted.sort(key=lambda item: -item.node.stat.mtime_ns)
        return wanted[::-1] if self.backwards else wanted

    def _wanted(self, entries: Sequence[Found], known: Marks) -> list[Found]:
        if len(self.shown) == len(GROUPS):
            return list(entries)
        return [
            found
            for found in entries
            if GROUP_OF.get(found.mark, "removed") in self.shown
            or (found.node.is_dir and not found.gone and found.path in known.touched)
        ]

    def size_of(self, found: Found) -> int:
        """The bytes of a file, or of all in a directory where they were counted."""
        if found.node.is_dir:
            return self.totals[found.path].size if not found.gone and found.path in self.totals else 0
        return found.node.stat.size

    def _has_modes(self, width: int) -> bool:
        """Whether modes are shown: where names have room beside them, or where they are asked for."""
        return width >= (44 if self.attributes else 60)

    # -- how it looks ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many rows."""
        return len(self.items)

    def heading(self, width: int) -> Sequence[Span]:
        """The names of the columns."""
        size = f"{'SIZE':>8} " if width >= 34 else ""
        mode = "MODE       " if self._has_modes(width) else ""
        layers = "LAYERS  " if width >= 40 else ""
        more = f"{'OWNER':<12}{'MODIFIED':<20}" if self.attributes and width >= 80 else ""
        arrow = {"name": "", "size": " by size", "entries": " by entries", "time": " by time"}[self.order]
        name = f"NAME{arrow}{', reversed' if self.backwards else ''}"
        return (Span(column(f"   {mode}{more}{size}{layers}{name}", width), "head"),)

    def row(self, index: int, width: int) -> Sequence[Span]:
        """One entry."""
        item = self.items[index]
        found = item.found
        about = found.node.stat
        chosen = "*" if (found.path, found.layer) in self.marked else " "
        spans = [
            Span(chosen, "marked"),
            Span(found.mark or " ", f"sign-{found.mark}"),
            Span(" "),
        ]
        if self._has_modes(width):
            spans.append(Span(f"{mode_text(about.mode) if found.seen else '…':<10} "))
        if self.attributes and width >= 80:
            spans.append(Span(column(f"{about.uid}:{about.gid}" if found.seen else "…", 12)))
            spans.append(Span(column((clock(about.mtime_ns) or "?")[:19] if found.seen else "…", 20)))
        if width >= 34:
            spans.append(Span(f"{self._size(found):>8} "))
        if width >= 40:
            spans.append(Span(column(layers_text(found), 7) + " ", "dim"))
        left = width - sum(len(span.text) for span in spans)
        indent = self._indent(item, left)
        return (*spans, Span(indent), Span(self._name(found, left - len(indent)), self._style(found)))

    def _size(self, found: Found) -> str:
        if not found.seen:
            return "…"
        if not found.node.is_dir:
            return human_size(found.node.stat.size) if found.node.stat.is_file else "-"
        if found.gone or found.path not in self.totals:
            return ""
        total = self.totals[found.path]
        return str(total.entries) if self.order == "entries" else human_size(total.size)

    def _indent(self, item: Item, width: int) -> str:
        """What is before the name: how deep it lies, and whether it is open."""
        if self.flat:
            return ""
        fold = (OPEN if item.open else CLOSED) if item.found.node.is_dir else "  "
        return "  " * min(item.depth, max(width // 4, 1)) + fold

    def _name(self, found: Found, width: int) -> str:
        if self.flat:
            return cut_middle(name_text(found.path) + "/" * found.node.is_dir, width)
        end = f"  (layer {found.layer})" if found.mark == "~" else ""
        return cut_middle(name_text(found.node.name) + _tail(found), max(width - len(end), 1)) + end

    @staticmethod
    def _style(found: Found) -> str:
        if found.node.refusal:
            return "!"
        if found.gone:
            return found.mark
        return "directory" if found.node.is_dir else ""


def _tail(found: Found) -> str:
    """What follows the name, as `ls -F` has it."""
    node = found.node
    if node.stat.is_symlink and found.seen:
        try:
            return f" -> {name_text(found.tree.readlink(node))}"
        except OSError:
            return " -> ?"
    return ""


def layers_text(found: Found) -> str:
    """The numbers of the layers that an entry is made of, uppermost first."""
    if not found.seen:
        return "…"
    if found.version or not found.node.lower:
        return str(found.layer)
    count = len(found.tree.layers)
    return cut(",".join(str(count - part.layer) for part in found.node.parts), 7)


def mode_text(mode: int) -> str:
    """The type and the permissions as `ls -l` has them."""
    return stat.filemode(mode)
