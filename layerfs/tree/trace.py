"""`TracedTree`: a union that notes what its look-ups asked of each layer, and what was answered.

It adds no rule. What it notes are the questions of `union.py`, `merge.py` and `lower.py` themselves, as they
come to the layers; so a trace cannot tell of another search than the one that was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from layerfs.errors import TreeError
from layerfs.tree.lower import join
from layerfs.tree.node import Part
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.tree.node import Node
    from layerfs.tree.source import Entry, LayerSource, Marks

__all__ = ["Answer", "Lookup", "TracedTree"]


class Answer(NamedTuple):
    """What one layer answered when it was asked for one entry.

    Attributes:
        part: which layer, 0 for the uppermost, and the path in it.
        entry: what it has there; None for nothing.
        marks: of a directory its marks, if they were asked for: of the base they are not.
        error: why it could not answer, else None.
    """

    part: Part
    entry: Entry | None = None
    marks: Marks | None = None
    error: OSError | None = None


@dataclass(slots=True, eq=False)
class Lookup:
    """One name that was looked up in one directory.

    Attributes:
        directory: the directory.
        name: the name.
        answers: what was answered, in the order of the questions.
        found: what the union has there; None for nothing.
        error: why that cannot be told, else None.
        target: of a link that was followed, where it leads.
    """

    directory: Node
    name: bytes
    answers: list[Answer] = field(default_factory=list)
    found: Node | None = None
    error: TreeError | None = None
    target: bytes | None = None

    @property
    def path(self) -> bytes:
        """The absolute path of the name."""
        return join(self.directory.path, self.name)


class TracedTree(UnionTree):
    """The tree of some layers, whose look-ups are noted; for one thread.

    Attributes:
        lookups: what was looked up, in order; a name of a directory that is asked for again is not looked up
            again.
    """

    def __init__(self, layers: Sequence[LayerSource]) -> None:
        """Stack `layers`, uppermost first."""
        self.lookups: list[Lookup] = []
        self._known: dict[tuple[Node, bytes], Lookup] = {}
        self._answers: list[Answer] = []
        noting = [_NotingLayer(layer, index, self._note) for index, layer in enumerate(layers)]
        super().__init__(cast("list[LayerSource]", noting))

    def child(self, node: Node, name: bytes) -> Node | None:
        """As in every tree, but each name is looked up alone, however many were asked for."""
        known = self._known.get((node, name))
        if known is None:
            known = self._known[node, name] = Lookup(node, name)
            self.lookups.append(known)
            self._answers = known.answers
            try:
                known.found = self.look_up(node, name)
            except TreeError as error:
                known.error = error
            finally:
                self._answers = []  # what is asked between look-ups belongs to none
        if known.error:
            raise known.error
        return known.found

    def readlink(self, node: Node) -> bytes:
        """As in every tree."""
        target = super().readlink(node)
        if node.parent and (known := self._known.get((node.parent, node.name))):
            known.target = target
        return target

    def _note(self, answer: Answer) -> None:
        """Note an answer; marks belong to the entry that was asked for just before."""
        if answer.entry is None and answer.marks and self._answers and self._answers[-1].part == answer.part:
            answer = self._answers.pop()._replace(marks=answer.marks)
        self._answers.append(answer)


class _NotingLayer:
    """A layer that notes what it is asked for by name; all else is the layer's own."""

    def __init__(self, layer: LayerSource, index: int, note: Callable[[Answer], None]) -> None:
        self._layer = layer
        self._index = index
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def entry(self, path: bytes) -> Entry | None:
        """The layer's entry, noted."""
        part = Part(self._index, path)
        try:
            found = self._layer.entry(path)
        except OSError as error:
            self._note(Answer(part, error=error))
            raise
        self._note(Answer(part, found))
        return found

    def marks(self, path: bytes) -> Marks:
        """The layer's marks, noted."""
        part = Part(self._index, path)
        try:
            found = self._layer.marks(path)
        except OSError as error:
            self._note(Answer(part, error=error))
            raise
        self._note(Answer(part, marks=found))
        return found
