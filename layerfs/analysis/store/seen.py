"""The findings of `findall`, and which of them are visible at the layer that the search has reached.

`Seen` is a tree of the visible findings by path. A layer that hides some changes it, and when the search
leaves the layer the change is undone. A `LayerHit` keeps which layers hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.analysis.tree.find import is_superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.forest import Owner, Stage
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.tree.node import FileStat

__all__ = ["LayerHit", "Seen", "SeenDirectory", "Sight", "Sights"]


class Sight(NamedTuple):
    """Whether the tree of one image or container shows a finding.

    Attributes:
        owner: the image or container.
        known: whether that is known; it is not if a layer above it is missing or damaged.
        hidden: what hides it there; None if it is visible.
    """

    owner: Owner
    known: bool
    hidden: Hidden | None


class Sights:
    """How all trees with one layer stand to an entry of it; entries that nothing hides share one of these.

    Attributes:
        every: of each tree, in the order of `Forest.owners`.
        seen: of the trees that show it.
        missed: of those that hide it.
    """

    __slots__ = ("every", "missed", "seen")

    def __init__(self, every: Iterable[Sight]) -> None:
        """Sort them by what they say."""
        self.every = tuple(every)
        self.seen = tuple(sight for sight in self.every if sight.known and sight.hidden is None)
        self.missed = tuple(sight for sight in self.every if sight.hidden)

    @classmethod
    def clear(cls, owners: Iterable[Owner]) -> Sights:
        """All of these show it."""
        return cls(Sight(owner, known=True, hidden=None) for owner in owners)


class LayerHit:
    """An entry of a layer that fits the search.

    Attributes:
        path: its absolute path in its layer.
        stat: its attributes.
        stage: its layer.
        clear: how all trees with its layer stand to what nothing hides; entries of a layer share it.
    """

    __slots__ = ("_hiding", "_told", "clear", "path", "stage", "stat")

    def __init__(self, stage: Stage, clear: Sights, path: bytes, stat: FileStat) -> None:
        """An entry of `stage`, not hidden so far."""
        self._hiding: list[tuple[Stage, Hidden | None]] | None = None  # of most entries it stays so
        self._told: dict[int, Hidden | None] | None = None
        self.path = path
        self.stage = stage
        self.stat = stat
        self.clear = clear

    def hide(self, stage: Stage, hidden: Hidden | None) -> None:
        """Note that it is hidden in all trees with `stage`; None if it is not known whether it is."""
        self._hiding = self._hiding or []
        self._hiding.append((stage, hidden))

    def tell(self, stage: Stage, hidden: Hidden | None) -> None:
        """Note whether it is hidden for the owners of one stage; this overrules `hide`."""
        self._told = self._told or {}
        for index in range(stage.first, stage.first + len(stage.owners)):
            self._told[index] = hidden

    @property
    def told(self) -> Iterable[int]:
        """The indices of the owners for which `tell` was called, as redirects may show it at another path."""
        return self._told or ()

    def sights(self) -> Sights:
        """For every tree with this layer whether it shows it; final when the search has left the layer."""
        return Sights(self._sights()) if self._hiding or self._told else self.clear

    def _sights(self) -> Iterator[Sight]:
        hiding = iter(self._hiding or ())  # in the order of the walk; none of these stages is above another
        told = self._told or {}
        stage, hidden = next(hiding, (None, None))
        for index, clear in enumerate(self.clear.every, self.stage.first):
            while stage and index >= stage.last:
                stage, hidden = next(hiding, (None, None))
            if index in told:
                yield Sight(clear.owner, known=True, hidden=told[index])
            elif stage and index >= stage.first:
                yield Sight(clear.owner, hidden is not None, hidden)
            else:
                yield clear

    @property
    def is_live(self) -> bool:
        """Whether any tree shows it."""
        return bool(self.sights().seen)

    @property
    def is_deleted(self) -> bool:
        """Whether any tree hides it; a directory whose attributes alone are replaced does not count."""
        hidden = (sight.hidden for sight in self.sights().missed)
        return any(item is not None and not is_superseded(self.stat, item) for item in hidden)


SeenDirectory: TypeAlias = "dict[bytes, SeenDirectory | LayerHit]"
"""The visible findings at and below a path: a dict for each name, and under `HERE` the finding itself."""

HERE = b""


class _Change(NamedTuple):
    where: SeenDirectory
    name: bytes
    before: SeenDirectory | LayerHit | None


class Seen:
    """The visible findings, by path.

    Attributes:
        root: those at and below `/`.
    """

    def __init__(self, hidden: Callable[[LayerHit, Stage, Hidden | None], None] | None = None) -> None:
        """No findings; `hidden` is told what `LayerHit.hide` is."""
        self.root: SeenDirectory = {}
        self._told = hidden
        self._changes: list[_Change] = []

    def mark(self) -> int:
        """The current state, for `go_back`."""
        return len(self._changes)

    def go_back(self, mark: int) -> None:
        """Undo every change since that state."""
        while len(self._changes) > mark:
            where, name, before = self._changes.pop()
            if before is None:
                where.pop(name, None)
            else:
                where[name] = before

    def add(self, found: LayerHit) -> None:
        """Add a visible finding."""
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
        """The findings at and below a name in `at`; a new empty dict if there are none."""
        found = at.get(name)
        return found if isinstance(found, dict) else {}

    @staticmethod
    def here(at: SeenDirectory) -> LayerHit | None:
        """The finding at a path itself."""
        found = at.get(HERE)
        return found if isinstance(found, LayerHit) else None

    def hide_one(self, at: SeenDirectory, stage: Stage, hidden: Hidden) -> None:
        """Hide the finding at a path itself, not those below it."""
        if found := self.here(at):
            self._hide(found, stage, hidden)
            self._set(at, HERE, None)

    def hide_all(self, at: SeenDirectory, stage: Stage, hidden: Hidden | None) -> None:
        """Hide the findings at and below a path; None if it is not known whether they are hidden."""
        pending = [at]
        while pending:
            for item in pending.pop().values():
                if isinstance(item, LayerHit):
                    self._hide(item, stage, hidden)
                else:
                    pending.append(item)
        for name in list(at):
            self._set(at, name, None)

    def _hide(self, found: LayerHit, stage: Stage, hidden: Hidden | None) -> None:
        found.hide(stage, hidden)
        if self._told:
            self._told(found, stage, hidden)

    def _set(self, where: SeenDirectory, name: bytes, value: SeenDirectory | LayerHit | None) -> None:
        self._changes.append(_Change(where, name, where.get(name)))
        if value is None:
            where.pop(name, None)
        else:
            where[name] = value
