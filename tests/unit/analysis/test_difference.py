"""What the differences of two trees are read from: which directories are listed, which files opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerfs.analysis.difference import differences
from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import HostDir
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerfs.errors import TreeError
    from layerfs.tree.content import Content
    from layerfs.tree.source import Entry


class Watched(OverlayLayer):
    """A real layer that remembers what it was asked to list and to open."""

    def __init__(self, directory: Path) -> None:
        super().__init__(RawLayer(HostDir.open(directory)), TRUSTED)
        self.listed: list[bytes] = []
        self.opened: list[bytes] = []

    def scan(self, path: bytes) -> Iterable[Entry]:
        self.listed.append(path)
        return super().scan(path)

    def open(self, path: bytes) -> Content:
        self.opened.append(path)
        return super().open(path)


def _layer(place: Path, files: dict[str, str]) -> Path:
    """A directory of files, each with the same time."""
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (0, 0))
    return place


def _fail(error: TreeError) -> None:
    raise AssertionError(error)


def test_only_what_may_differ_is_read(tmp_path: Path) -> None:
    """Files are opened only if both have the same size, base directories are never listed."""
    base = Watched(_layer(tmp_path / "base", {f"{name}/{name}": name for name in "abcdef"} | {"d/x": "x"}))
    above = Watched(_layer(tmp_path / "above", {"a/a": "a", "b/b": "B", "c/c": "longer", "d/new": "new"}))
    before, after = UnionTree([base]), UnionTree([above, base])
    told = {change.path: change.kind for change in differences(before, after, _fail, ignore=["mtime"])}
    assert told == {b"/b/b": "modified", b"/c/c": "modified", b"/d/new": "added"}
    assert base.listed == []
    assert sorted(above.listed) == [b"", b"a", b"b", b"c", b"d"]
    assert sorted(base.opened) == sorted(above.opened) == [b"a/a", b"b/b"]


def test_contents_that_do_not_count_are_not_read(tmp_path: Path) -> None:
    """Where contents are ignored no file is opened."""
    base = Watched(_layer(tmp_path / "base", {"a": "a"}))
    above = Watched(_layer(tmp_path / "above", {"a": "b"}))
    trees = UnionTree([base]), UnionTree([above, base])
    assert list(differences(*trees, _fail, ignore=["mtime", "content"])) == []
    assert base.opened == above.opened == []


def test_one_layer_on_both_sides_is_not_read_at_all(tmp_path: Path) -> None:
    """Equal stacks, opened twice, are known to be equal without listing anything."""
    place = _layer(tmp_path / "base", {"a/b": "c"})
    first, second = Watched(place), Watched(place)
    assert list(differences(UnionTree([first]), UnionTree([second]), _fail)) == []
    assert first.listed == second.listed == []
