"""The findings of a search through the layers, and which are still visible at the layer it has reached.

`Seen` is a tree of findings by path, changed as layers hide some of them and put back as the search
leaves those layers; a `LayerHit` keeps who hides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.analysis.tree.find import is_superseded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.store.forest import Forest, Owner, Stage
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.tree.node import FileStat

__all__ = ["LayerHit", "Seen", "SeenDirectory", "Sight"]


class Sight(NamedTuple):
    """How one tree stands to a finding.

    Attributes:
        owner: the image or container.
        known: whether it is known at all; not, where a layer between is missing or damaged.
        hidden: what hides it there; None where it is seen.
    """

    owner: Owner
    known: bool
    hidden: Hidden | None


class LayerHit:
    """An entry of a layer that fits.

    Attributes:
        path: absolute, as its layer has it.
        stat: its attributes.
        stage: its layer.
    """

    __slots__ = ("_forest", "_hiding", "_told", "path", "stage", "stat")

    def __init__(self, forest: Forest, stage: Stage, path: bytes, stat: FileStat) -> None:
        """An entry of `stage`, which nothing hides yet."""
        self._forest = forest
        self._hiding: list[tuple[Stage, Hidden | None]] = []
        self._told: dict[int, Hidden | None] = {}
        self.path = path
        self.stage = stage
        self.stat = stat

    def hide(self, stage: Stage, hidden: Hidden | None) -> None:
        """Note that a stage hides it from all above; None where what the stage does is not known."""
        self._hiding.append((stage, hidden))

    def tell(self, stage: Stage, hidden: Hidden | None) -> None:
        """Note how the owners of one stage stand to it, whatever `hide` was told."""
        for index in range(stage.first, stage.first + len(stage.owners)):
            self._told[index] = hidden

    def sights(self) -> Iterator[Sight]:
        """Every tree with this layer; final once the search has left the layer."""
        hiding = iter(self._hiding)  # in the order of the walk, and none above another
        stage, hidden = next(hiding, (None, None))
        for index in range(self.stage.first, self.stage.last):
            while stage and index >= stage.last:
                stage, hidden = next(hiding, (None, None))
            owner = self._forest.owners[index]
            if index in self._told:
                yield Sight(owner, known=True, hidden=self._told[index])
            elif stage and index >= stage.first:
                yield Sight(owner, hidden is not None, hidden)
            else:
                yield Sight(owner, known=True, hidden=None)

    @property
    def is_live(self) -> bool:
        """Whether a tree shows it."""
        return any(sight.known and sight.hidden is None for sight in self.sights())

    @property
    def is_deleted(self) -> bool:
        """Whether it is hidden from a tree, by more than another directory's attributes."""
        hidden = (sight.hidden for sight in self.sights())
        return any(item is not None and not is_superseded(self.stat, item) for item in hidden)


SeenDirectory: TypeAlias = "dict[bytes, SeenDirectory | LayerHit]"
"""What is seen at a path and below it: by name again such a dict, and under `HERE` the finding itself."""

HERE = b""


class _Change(NamedTuple):
    where: SeenDirectory
    name: bytes
    before: SeenDirectory | LayerHit | None


class Seen:
    """The findings that are seen, by path.

    Attributes:
        root: all of them.
    """

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self.root: SeenDirectory = {}
        self._changes: list[_Change] = []

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._changes)

    def go_back(self, mark: int) -> None:
        """Undo every change since that point."""
        while len(self._changes) > mark:
            where, name, before = self._changes.pop()
            if before is None:
                where.pop(name, None)
            else:
                where[name] = before

    def add(self, found: LayerHit) -> None:
        """See one more."""
        at = self.root
        for name in filter(None, found.path.split(b"/")):
            below = at.get(name)
            if not isinstance(below, dict):
                below = {}
                self._set(at, name, below)
            at = below
        self._set(at, HERE, found)

    @staticmethod
    def below(at: SeenDirectory, name: bytes) -> SeenDirectory:
        """What is seen at a name; an empty place of its own where nothing is."""
        found = at.get(name)
        return found if isinstance(found, dict) else {}

    @staticmethod
    def here(at: SeenDirectory) -> LayerHit | None:
        """The finding at a place itself."""
        found = at.get(HERE)
        return found if isinstance(found, LayerHit) else None

    def hide_one(self, at: SeenDirectory, stage: Stage, hidden: Hidden) -> None:
        """Hide what is at a place itself, not what is below it."""
        if found := self.here(at):
            found.hide(stage, hidden)
            self._set(at, HERE, None)

    def hide_all(self, at: SeenDirectory, stage: Stage, hidden: Hidden | None) -> None:
        """Hide what is at a place and below it; None where it is not known whether that is so."""
        pending = [at]
        while pending:
            for item in pending.pop().values():
                if isinstance(item, LayerHit):
                    item.hide(stage, hidden)
                else:
                    pending.append(item)
        for name in list(at):
            self._set(at, name, None)

    def _set(self, where: SeenDirectory, name: bytes, value: SeenDirectory | LayerHit | None) -> None:
        self._changes.append(_Change(where, name, where.get(name)))
        if value is None:
            where.pop(name, None)
        else:
            where[name] = value
