"""Searches the entries of all layers of a store; a layer that several images use is read once.

The search goes through the layers from the bases upwards. When a layer hides something that was found in a
lower one, that is noted, and undone when the search leaves the layer. So it is known of each finding which
images and containers show it, and which do not. Only the findings of one chain of layers are in memory at a
time.

Sources: Linux `Documentation/filesystems/overlayfs.rst`; the rules are those of `versions`.
"""

from __future__ import annotations

import functools
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.seen import LayerHit, Seen, Sights
from layerfs.analysis.tree.find import Contents
from layerfs.analysis.tree.predicates import Candidate
from layerfs.analysis.tree.versions import Hidden, How, versions
from layerfs.errors import UnreadableEntry
from layerfs.tree.lower import join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.forest import Forest, Stage
    from layerfs.analysis.store.seen import SeenDirectory
    from layerfs.analysis.tree.predicates import Predicate
    from layerfs.errors import TreeError
    from layerfs.tree.node import FileStat
    from layerfs.tree.source import Entry, LayerSource

__all__ = ["Below", "contents_of", "find_all"]


class _Level(NamedTuple):
    """A layer in which the search is, or above which.

    Attributes:
        mark: the state of `Seen` to go back to when the layer is left.
        found: the findings in it.
        moves: whether it, or a layer below it, has redirects.
    """

    mark: int
    found: list[LayerHit]
    moves: bool


def find_all(
    forest: Forest,
    test: Predicate,
    problem: Callable[[TreeError], None],
    whiteout: Callable[[LayerHit], None] | None = None,
    hidden: Callable[[LayerHit, Stage, Hidden | None], None] | None = None,
) -> Iterator[list[LayerHit]]:
    """Search all layers of a store; gives `len(forest)` lists of findings, of which many may be empty.

    The list of a layer comes when all is known of it, which is after the lists of the layers above.

    Args:
        forest: the layers of the store; missing and damaged ones are reported.
        test: the test of an entry. A directory counts as empty if its layer has nothing in it.
        problem: called for each directory that cannot be read, and is left out.
        whiteout: called with every whiteout on disk; these are not tested.
        hidden: called with a finding, a layer that hides it, and how: None if that layer is missing.
    """
    seen = Seen(hidden)
    levels: list[_Level] = []
    for stage, entering in forest.walk():
        if not entering:
            level = levels.pop()
            seen.go_back(level.mark)
            yield level.found
            continue
        mark, moves = seen.mark(), bool(levels) and levels[-1].moves
        found: list[LayerHit] = []
        layer = forest.source(stage)
        if layer is None:
            seen.hide_all(seen.root, stage, None)
        else:
            reading = _Reading(layer, stage, seen, problem)
            clear = Sights.clear(forest.owners_of(stage))
            found = [LayerHit(stage, clear, path, stat) for path, stat in reading.fitting(test)]
            moves = moves or reading.moves
            if whiteout:
                for path, stat in reading.whiteouts:
                    whiteout(LayerHit(stage, clear, path, stat))
        for item in found:
            seen.add(item)
        levels.append(_Level(mark, found, moves))
        if moves and stage.owners:
            _ask_versions(forest, stage, [item for level in levels for item in level.found])


class Below:
    """The test of a search below some paths. They are paths of layers: no link is followed.

    Attributes:
        missing: those of the paths that no layer had.
    """

    def __init__(self, starts: Iterable[bytes], test: Predicate) -> None:
        """Accept entries at or below one of `starts` (absolute paths) that pass `test` there."""
        self._test = test
        self._starts = {start: start.rstrip(b"/") + b"/" for start in map(_normal, starts)}
        self.missing = list(self._starts)

    def __call__(self, found: Candidate) -> bool:
        """Whether an entry fits."""
        levels = [
            found.path.removeprefix(prefix).count(b"/") + 1 if found.path != start else 0
            for start, prefix in self._starts.items()
            if found.path == start or found.path.startswith(prefix)
        ]
        if self.missing and found.path in self.missing:
            self.missing.remove(found.path)
        return any(self._test(found._replace(depth=level)) for level in levels)


def _normal(path: bytes) -> bytes:
    return b"/" + posixpath.normpath(path).lstrip(b"/")


def contents_of(forest: Forest, stage: Stage) -> Contents:
    """Reads the contents of one layer, which has index 0; data of metacopies come from the layers below."""

    def below() -> list[LayerSource]:
        return [layer for layer in map(forest.source, stage.chain()[1:]) if layer]

    own = forest.source(stage)
    return Contents([own] if own else [], below)


def _ask_versions(forest: Forest, stage: Stage, findings: Iterable[LayerHit]) -> None:
    """A redirect gives an entry other paths in higher layers, so `versions` of the whole stack is asked."""
    chain = stage.chain()
    layers = [layer for layer in map(forest.source, chain) if layer]
    if len(layers) < len(chain):
        return
    sights: dict[tuple[Stage, bytes], Hidden | None] = {}
    for found in versions(layers, problem=lambda _: None):
        place = (chain[len(chain) - found.layer], b"/" + found.part)
        if place not in sights or found.hidden is None:  # visible at one of its paths is visible
            sights[place] = found.hidden
    for item in findings:
        if (item.stage, item.path) in sights:
            item.tell(stage, sights[item.stage, item.path])


class _Reading:
    """Reads one layer: gives its findings, and notes what it hides of the findings below.

    Attributes:
        moves: whether it has a redirect.
        whiteouts: the absolute paths and attributes of those met on the way.
    """

    def __init__(
        self, layer: LayerSource, stage: Stage, seen: Seen, problem: Callable[[TreeError], None]
    ) -> None:
        self._layer = layer
        self._stage = stage
        self._seen = seen
        self._problem = problem
        self.moves = False
        self.whiteouts: list[tuple[bytes, FileStat]] = []

    def fitting(self, test: Predicate) -> Iterator[tuple[bytes, FileStat]]:
        """The absolute paths and attributes of the entries that fit: parents first, names in byte order."""
        seen = self._seen.root
        try:
            root = self._layer.entry(b"")
        except OSError as error:
            self._refuse(b"", error)
            return
        if root is None or not root.stat.is_dir:
            return
        self._seen.hide_one(seen, self._stage, self._hidden(How.REPLACED, b""))
        pending: list[tuple[bytes, FileStat, SeenDirectory]] = [(b"", root.stat, seen)]
        while pending:
            path, stat, seen = pending.pop()
            entries = self._entries(path) if stat.is_dir else []
            filled = entries is None or any(not entry.whiteout for entry in entries)
            level = path.count(b"/") + 1 if path else 0
            if test(Candidate(b"/" + path, stat, functools.partial(bool, filled), level)):
                yield b"/" + path, stat
            for entry in reversed(entries or ()):
                below = self._hide(join(path, entry.name), entry, self._seen.below(seen, entry.name))
                if entry.whiteout:
                    self.whiteouts.append((b"/" + join(path, entry.name), entry.stat))
                else:
                    pending.append((join(path, entry.name), entry.stat, below))

    def _entries(self, path: bytes) -> list[Entry] | None:
        """The entries of a directory, sorted; None if it cannot be read."""
        try:
            return sorted(self._layer.scan(path))
        except OSError as error:
            self._refuse(path, error)
            return None

    def _hide(self, path: bytes, entry: Entry, seen: SeenDirectory) -> SeenDirectory:
        """Note what an entry hides; gives the findings below it that are still visible."""
        if not seen:
            self._merges(path, entry)
            return seen
        if entry.whiteout:
            self._hide_all(seen, How.WHITEOUT, path)
            return {}
        if found := self._seen.here(seen):
            same = found.stat.kind == entry.stat.kind
            hidden = self._hidden(How.REPLACED if same else How.TYPE_CHANGED, path)
            self._seen.hide_one(seen, self._stage, hidden)
        if not entry.stat.is_dir:
            self._hide_all(seen, How.TYPE_CHANGED, path)
        elif not self._merges(path, entry):
            self._hide_all(seen, How.OPAQUE, path)
        return seen

    def _merges(self, path: bytes, entry: Entry) -> bool:
        """Whether a directory merges with lower ones; its marks are read only if there are findings below."""
        if self._stage.below is None or not self._seen.root or entry.whiteout or not entry.stat.is_dir:
            return True
        try:
            marks = self._layer.marks(path)
        except OSError as error:
            self._refuse(path, error)
            return False
        self.moves = self.moves or (marks.redirect is not None and not marks.opaque)
        return not marks.opaque and marks.redirect is None

    def _hide_all(self, seen: SeenDirectory, how: How, path: bytes) -> None:
        self._seen.hide_all(seen, self._stage, self._hidden(how, path))

    def _hidden(self, how: How, path: bytes) -> Hidden:
        return Hidden(self._stage.number or 1, how, b"/" + path)

    def _refuse(self, path: bytes, error: OSError) -> None:
        self._problem(UnreadableEntry(b"/" + path, f"{self._layer.label}: {error.strerror or error}"))
