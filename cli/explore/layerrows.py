"""The rows of an image's layers: number, size, waste, and the step that made each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.store.history import history
from layerfs.model import Container, Image

from ..rows.provenance import maker
from ..units import human_size
from .spans import Span, column, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.analysis.tree.waste import Waste

    from .opening import Stack

__all__ = ["LayerRows", "plain_step"]


class LayerRows:
    """The layers of a stack, uppermost first."""

    def __init__(self, stack: Stack) -> None:
        """Show the layers of `stack`."""
        self._stack = stack
        self._sizes, self._comments = _noted(stack)
        self.waste: Waste | None = None

    def __len__(self) -> int:
        """How many layers."""
        return self._stack.depth

    def number(self, index: int) -> int:
        """The number of the layer in a row."""
        return self._stack.depth - index

    def step(self, index: int) -> str:
        """What made it, as far as that is told; else a comment of who did."""
        number = self.number(index)
        made = maker(self._stack.subject, number) or ""
        return made or self._comments.get(number) or "(no step is recorded)"

    def size(self, index: int) -> int | None:
        """Its bytes, as the engine noted them."""
        return self._sizes.get(self.number(index))

    def wasted(self, index: int) -> int | None:
        """Its bytes that no one sees, when they are counted."""
        if self.waste is None:
            return None
        return next((row.wasted for row in self.waste.layers if row.number == self.number(index)), 0)

    def heading(self, width: int) -> Sequence[Span]:
        """The names of the columns."""
        return (Span(column(f"  N{'SIZE':>9}{'WASTED':>9}  STEP", width), "head"),)

    def row(self, index: int, width: int) -> Sequence[Span]:
        """One layer."""
        size, wasted = self.size(index), self.wasted(index)
        told = "…" if wasted is None else "-" if not wasted else human_size(wasted)
        bytes_ = "N/A" if size is None else human_size(size)
        begin = f"{self.number(index):>3}{bytes_:>9}{told:>9}  "
        return (Span(begin), Span(cut(plain_step(self.step(index)), width - len(begin))))


def plain_step(text: str) -> str:
    """A step without what every classic build writes before it."""
    text = text.replace("\t", " ").strip()
    for begin in ("/bin/sh -c #(nop) ", "/bin/sh -c ", "RUN /bin/sh -c "):
        if text.startswith(begin):
            return text.removeprefix(begin).strip()
    return text


def _noted(stack: Stack) -> tuple[dict[int, int | None], dict[int, str]]:
    """The size of each layer, and the comment of its step, by its number."""
    subject = stack.subject
    store, owner = subject.store, subject.of
    rows = history(store, owner) if isinstance(owner, (Image, Container)) else ()
    numbered = {row.number: row for row in rows if row.number is not None}
    sizes = {number: row.size for number, row in numbered.items()}
    comments = {number: row.entry.comment for number, row in numbered.items() if row.entry.comment}
    for layer in subject.layers:
        if layer.number is not None and layer.number not in sizes:
            sizes[layer.number] = store.layer_size(layer.chain_id) if layer.chain_id else None
    return sizes, comments
