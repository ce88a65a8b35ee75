"""`layerfs find --all`: who sees what, against the kernel's mounts of every image; and how often it reads."""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import stat
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs import DataRoot
from layerfs.analysis.store.findall import find_all
from layerfs.analysis.store.forest import Forest
from layerfs.analysis.store.wasteall import WasteOfAll
from layerfs.analysis.tree.versions import versions
from layerfs.analysis.tree.waste import waste
from tests.support.command import layer_files, layerfs
from tests.support.kernel import check_trusted_xattrs, overlay_mount, private_dir
from tests.support.layerspec import materialise
from tests.support.opens import Opens
from tests.support.places import Places
from tests.support.rootbuilder import BuiltLayer, RootBuilder
from tests.support.stacks import redirect_stacks, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.layerspec import LayerSpec

pytestmark = pytest.mark.kernel

Place = tuple[str, str]
"""A cache ID, and an absolute path."""


def _findings(root: Path, *tests: str) -> list[dict[str, Any]]:
    gc.collect()  # each run leaves a data root open until then
    done = layerfs(root, "find", "--all", *tests, "--format", "jsonl")
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _grown(
    root: Path, trunk: Sequence[LayerSpec], branches: Sequence[Sequence[LayerSpec]]
) -> dict[str, BuiltLayer]:
    """Images on a trunk of layers, on each of its branches, and on its base; the stacks uppermost first."""
    builder = RootBuilder(root)
    tops: dict[str, BuiltLayer] = {}
    top: BuiltLayer | None = None
    for spec in reversed(trunk):
        top = builder.layer(top, functools.partial(materialise, spec))
        tops.setdefault("base:1", top)
    assert top
    tops["trunk:1"] = top
    for number, branch in enumerate(branches, 1):
        above = top
        for spec in reversed(branch):
            above = builder.layer(above, functools.partial(materialise, spec))
        tops[f"branch:{number}"] = above
    for name, layer in tops.items():
        builder.image(layer, name, config={"comment": name})
    builder.finish()
    return tops


def _entries(layer: BuiltLayer) -> Iterator[tuple[str, os.stat_result]]:
    """Everything in a layer's directory that is no whiteout, by the marks on disk."""
    top = os.fsencode(layer.diff)
    yield "/", os.lstat(top)
    for directory, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = directory + b"/" + name
            found = os.lstat(path)
            is_empty = stat.S_ISREG(found.st_mode) and not found.st_size
            if not (stat.S_ISCHR(found.st_mode) and not found.st_rdev) and not (
                is_empty and "trusted.overlay.whiteout" in os.listxattr(path, follow_symlinks=False)
            ):
                yield path.removeprefix(top).decode("utf-8", "surrogateescape"), found


def _mounted(layers: Sequence[Path]) -> dict[str, os.stat_result]:
    """Every path of the kernel's mount, without the names that it lists and does not find."""
    found = {}
    with overlay_mount(layers) as mount:
        top = os.fsencode(mount)
        found["/"] = os.lstat(top)
        for directory, directories, files in os.walk(top):
            for name in [*directories, *files]:
                path = directory + b"/" + name
                if os.path.lexists(path):
                    found[path.removeprefix(top).decode("utf-8", "surrogateescape")] = os.lstat(path)
    return found


@settings(max_examples=40)
@given(stacks(max_layers=3), stacks(max_layers=3), stacks(max_layers=2))
def test_images_see_what_the_kernel_shows(
    trunk: list[LayerSpec], first: list[LayerSpec], second: list[LayerSpec]
) -> None:
    """Of all entries of its layers an image sees exactly those that its mount shows; the rest is hidden."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        tops = _grown(work / "root", trunk, (first, second))
        findings = _findings(work / "root")
        by_place = {(item["cache_id"], item["path"]): item for item in findings}
        assert len(by_place) == len(findings)
        for name, top in tops.items():
            stack = list(top.stack())
            seen, hidden = _sights(by_place, name)
            shown = _mounted([layer.diff for layer in stack])
            assert sorted(path for _, path in seen) == sorted(shown)
            on_disk: dict[Place, os.stat_result] = {
                (str(layer.cache_id), path): found for layer in stack for path, found in _entries(layer)
            }
            assert seen | hidden == on_disk.keys()
            assert not seen & hidden
            for place in seen:
                if not stat.S_ISDIR(on_disk[place].st_mode):
                    assert on_disk[place].st_ino == shown[place[1]].st_ino, place


def _sights(by_place: dict[Place, dict[str, Any]], name: str) -> tuple[set[Place], set[Place]]:
    """What an image sees, and what is hidden from it."""
    seen = {place for place, item in by_place.items() if name in _names(item["visible_in"])}
    return seen, {place for place, item in by_place.items() if name in _names(item["hidden_in"])}


def _names(owners: list[dict[str, Any]]) -> set[str]:
    return {owner["name"] for owner in owners}


@settings(max_examples=40)
@given(stacks(max_layers=3), stacks(max_layers=3), redirect_stacks(max_layers=3))
def test_reasons_are_those_of_the_walk_through_one_stack(
    trunk: list[LayerSpec], first: list[LayerSpec], moving: list[LayerSpec]
) -> None:
    """What hides an entry from an image, and how, is what the walk through that image alone finds.

    Also where layers move directories, and an object may be seen at a path that is not its own.
    """
    with private_dir() as work:
        check_trusted_xattrs(work)
        _grown(work / "root", trunk, (first, [*moving, *first]))
        root = DataRoot.open(work / "root")
        forest = Forest(root)
        found: dict[tuple[str, str, bytes], object] = {}
        for step in find_all(forest, lambda _: True, lambda _: None):
            for item in step:
                for sight in item.sights().every:
                    assert sight.known
                    found[sight.owner.id, str(item.stage.cache_id), item.path] = sight.hidden
        for image in root.images():
            chain = root.chain(image)
            expected: dict[tuple[str, str, bytes], object] = {}
            for version in versions(root.tree(image).layers, problem=lambda _: None):
                place = (image.id, str(chain[version.layer - 1].cache_id), b"/" + version.part)
                if place not in expected or version.hidden is None:
                    expected[place] = version.hidden
            assert {place: hidden for place, hidden in found.items() if place[0] == image.id} == expected


@settings(max_examples=8)
@given(stacks(max_layers=3), stacks(max_layers=3), redirect_stacks(max_layers=3), st.booleans())
def test_sums_of_waste_are_those_of_each_image(
    trunk: list[LayerSpec],
    first: list[LayerSpec],
    moving: list[LayerSpec],
    allocated: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """What all images waste, each layer read once, is what the account of each says, or is left to that.

    That is where a layer moves something, as in one of the branches, and where a file has several names.
    """
    with private_dir() as work:
        check_trusted_xattrs(work)
        _grown(work / "root", trunk, (first, [*moving, *first]))
        root = DataRoot.open(work / "root")
        forest = Forest(root)
        found = WasteOfAll(forest, allocated=allocated)
        assert sum(1 for _ in found.steps()) == len(forest)
        sums = found.sums()
        for image in root.images():
            tree = root.tree(image)
            assert forest.shows(image, tree.layers)
            told = waste(tree, allocated=allocated, problem=lambda _: None)
            if image.id in sums:
                assert sums[image.id] == (told.stored, told.wasted, len(told.paths))
            else:
                names = (version for version in versions(tree.layers) if not version.stat.is_dir)
                assert image.name == "branch:2" or any(version.stat.nlink > 1 for version in names)


# -- reading once --------------------------------------------------------------------------------


class _Watch:
    """Which directories below a place this process lists; a hook stays for ever."""

    def __init__(self) -> None:
        self.below: Places | None = None
        self.listed: Counter[str] = Counter()
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.below is None or event not in ("os.scandir", "os.listdir"):
            return
        path = self.below.path(arguments[0] or "")
        if "/overlay2/" in path:
            self.listed[path] += 1


@pytest.fixture(scope="module")
def watch() -> _Watch:
    """The hook, set once."""
    return _Watch()


def _watched(watch: _Watch, root: Path, *arguments: str) -> list[dict[str, Any]]:
    watch.listed.clear()
    watch.below = Places(root / "overlay2")
    try:
        return _findings(root, *arguments)
    finally:
        watch.below = None


def test_each_directory_of_each_layer_is_read_once(dataroot_path: Path, watch: _Watch) -> None:
    """However many images use a layer, a search of the root lists each of its directories once, and all."""
    found = _watched(watch, dataroot_path, "-name", "motd")
    assert found
    everything = {
        directory
        for layer in (dataroot_path / "overlay2").iterdir()
        if layer.name != "l"
        for directory, _, _ in os.walk(layer / "diff")
    }
    assert set(watch.listed) >= everything
    assert {path: times for path, times in watch.listed.items() if times > 1 and "/diff" in path} == {}
    roots = _findings(dataroot_path, "-path", "/")
    uses = [image for item in roots for image in item["visible_in"] + item["hidden_in"]]
    assert len(uses) > 2 * len(layer_files(dataroot_path))


def test_each_inode_that_passes_all_else_is_read_once(copy: Path) -> None:
    """--sha256 opens the regular files that pass the other tests, each inode once, and nothing else."""
    root = copy
    for layer in DataRoot.open(root).chain(DataRoot.open(root).image("lab/metacopy:1")):
        shutil.rmtree(root / "overlay2" / layer.cache_id / "diff")  # the data of such files lie elsewhere
        (root / "overlay2" / layer.cache_id / "diff").mkdir()
    watch = Opens([str(layer) for layer in (root / "overlay2").glob("*/diff")])
    assert _findings(root, "-size", "+0", "--sha256", "0" * 64) == []
    opened = watch.opened()
    files = [os.lstat(path) for path in opened]
    assert all(stat.S_ISREG(found.st_mode) for found in files)
    on_disk = {
        found.st_ino
        for layer in (root / "overlay2").glob("*/diff")
        for directory, _, names in os.walk(os.fsencode(layer))
        for found in (os.lstat(directory + b"/" + name) for name in names)
        if stat.S_ISREG(found.st_mode) and found.st_size
    }
    assert {found.st_ino for found in files} == on_disk
    assert sum(opened.values()) == len(on_disk)
