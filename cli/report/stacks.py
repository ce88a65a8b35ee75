"""One image or container as a part of the twin: layers, changes, what is hidden, where the bytes are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ..messages import say_error
from ..rows.entries import lossless, type_word
from ..rows.provenance import maker, open_stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.analysis.diff.changes import Change
    from layerfs.analysis.diff.layerchanges import LayerChanges
    from layerfs.analysis.tree.versions import Version
    from layerfs.analysis.tree.waste import Waste
    from layerfs.errors import TreeError
    from layerfs.store import Store
    from layerfs.subject import Subject

    from .times import FileTimes

__all__ = ["Problems", "Told", "stack_part"]

Json = dict[str, Any]


class Problems:
    """What could not be read, each sentence once."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.texts: dict[str, None] = {}

    def add(self, error: TreeError) -> None:
        """Note an error about an entry, and say it the first time: images share layers."""
        if str(error) not in self.texts:
            self.texts[str(error)] = None
            say_error(error)


class _Seen:
    """What a walk through all versions tells: sizes of directories, and what is hidden."""

    def __init__(self, subject: Subject, times: FileTimes) -> None:
        self._subject = subject
        self._times = times
        self._linked: set[tuple[int, int, int]] = set()
        self._path = b""
        self._group: list[Version] = []
        self.shown: defaultdict[tuple[bytes, int], int] = defaultdict(int)
        self.hidden: list[Version] = []
        self.lanes: list[list[Version]] = []

    def watched(self, found: Iterable[Version]) -> Iterator[Version]:
        """Pass the versions on."""
        for version in found:
            if not version.stat.is_dir:
                self._add(version)
            yield version
        self._close_group()

    def _add(self, version: Version) -> None:
        if version.path != self._path:
            self._close_group()
            self._path = version.path
        self._group.append(version)
        self._times.add(self._subject.layer(version.layer), version.stat.mtime_ns)
        if version.hidden:
            self.hidden.append(version)
        elif self._is_new(version):
            directory = version.path.rpartition(b"/")[0] or b"/"
            self.shown[directory, version.layer] += version.stat.size

    def _is_new(self, version: Version) -> bool:
        """Whether its inode is met for the first time, so that each counts once."""
        if version.stat.nlink == 1:
            return True
        inode = version.layer, version.stat.dev, version.stat.ino
        if inode in self._linked:
            return False
        self._linked.add(inode)
        return True

    def _close_group(self) -> None:
        if any(version.hidden for version in self._group):
            self.lanes.append(self._group)
        self._group = []


class Told(NamedTuple):
    """What goes through all images and containers of a report.

    Attributes:
        problems: takes what cannot be read.
        times: takes the times of files, of each layer once.
        changes: by chain ID whose layer it was when its changes were told.
    """

    problems: Problems
    times: FileTimes
    changes: dict[str, str]


def stack_part(store: Store, name: str, kind: str, told: Told) -> Json:
    """What the twin says of the layers of an image or container, base first.

    Args:
        store: where it is.
        name: its ID.
        kind: `image` or `container`.
        told: of the images and containers before; what is told here is added.

    Raises:
        CorruptStore: a layer is missing or damaged.
    """
    from layerfs.analysis.diff.layerchanges import layer_changes
    from layerfs.analysis.tree.versions import versions
    from layerfs.analysis.tree.waste import waste
    from layerfs.model import Container, Image

    subject = open_stack(store, name, kind)
    owner = subject.of
    assert isinstance(owner, (Container, Image))  # noqa: S101 - as asked for
    seen = _Seen(subject, told.times)
    found = seen.watched(versions(subject.tree.layers, problem=told.problems.add))
    account = waste(subject.tree, problem=told.problems.add, found=found)
    changes: defaultdict[int, list[Json]] = defaultdict(list)

    first = {layer.number: told.changes.get(layer.chain_id or "") for layer in subject.layers}

    def noted(number: int, change: Change) -> None:
        if first[number] is None:
            changes[number].append(_change(change))

    layers = [
        _layer(subject, layer, changes[layer.number], account) | {"changes_in": first[layer.number]}
        for layer in layer_changes(store, owner, told.problems.add, noted)
    ]
    for layer in subject.layers:
        if layer.chain_id:
            told.changes.setdefault(layer.chain_id, name)
    return {
        "layers": layers,
        "waste": {"stored": account.stored, "wasted": account.wasted, "efficiency": account.efficiency},
        "hidden": _hidden(seen, account),
        "lanes": [_lane(group) for group in seen.lanes],
        "directories": _directories(seen, account),
    }


def _layer(subject: Subject, layer: LayerChanges, changes: list[Json], account: Waste) -> Json:
    info, sums, tally = subject.layer(layer.number), account.layers[layer.number - 1], layer.tally
    return {
        "index": layer.number,
        "kind": layer.kind,
        "diff_id": info.diff_id,
        "chain_id": info.chain_id,
        "place": info.cache_id,
        "size": layer.size,
        "step": maker(subject, layer.number),
        "stored": sums.stored,
        "wasted": sums.wasted,
        "hides": sums.hides,
        "counts": {str(kind): count for kind, count in sorted(tally.entries.items())},
        "identical": tally.identical,
        "changes": changes,
    }


def _change(change: Change) -> Json:
    node = change.node
    old = change.before.stat if change.before and change.after else None
    return {
        "kind": str(change.kind),
        "path": lossless(node.path),
        "type": type_word(node.stat.mode),
        "size": 0 if node.stat.is_dir else node.stat.size,
        "size_before": old.size if old and not old.is_dir else None,
        "attributes": list(change.attributes),
    }


class _Key(NamedTuple):
    """A hidden file and its layer."""

    path: bytes
    layer: int


def _hidden(seen: _Seen, account: Waste) -> list[Json]:
    """The files that later layers hide, the largest waste first."""
    wasted: defaultdict[_Key, int] = defaultdict(int)
    for item in account.paths:
        for file in item.files:
            wasted[_Key(item.path, file.layer)] += file.size
    rows = [
        {
            "path": lossless(version.path),
            "type": type_word(version.stat.mode),
            "size": version.stat.size,
            "layer": version.layer,
            "hidden_by": version.hidden.by,
            "how": str(version.hidden.how),
            "at": lossless(version.hidden.at),
            "wasted": wasted.pop(_Key(version.path, version.layer), 0),
        }
        for version in seen.hidden
        if version.hidden
    ]
    return sorted(rows, key=lambda row: (-row["wasted"], -row["size"]))


def _lane(group: list[Version]) -> Json:
    """One path through the layers: where it has a version, and where that is hidden."""
    return {
        "path": lossless(group[0].path),
        "versions": [
            {
                "layer": version.layer,
                "size": version.stat.size,
                "hidden_by": version.hidden.by if version.hidden else None,
                "how": str(version.hidden.how) if version.hidden else None,
            }
            for version in group
        ],
    }


def _directories(seen: _Seen, account: Waste) -> list[Json]:
    """Bytes by directory and layer: shown, and wasted; those of a directory itself, not of those below it."""
    wasted: defaultdict[tuple[bytes, int], int] = defaultdict(int)
    for item in account.paths:
        for file in item.files:
            wasted[item.path.rpartition(b"/")[0] or b"/", file.layer] += file.size
    return [
        {
            "path": lossless(path),
            "layer": layer,
            "shown": seen.shown.get((path, layer), 0),
            "wasted": wasted.get((path, layer), 0),
        }
        for path, layer in sorted({*seen.shown, *wasted})
    ]
