"""Tars without the headers of directories: each layer is, from its blob, what a real containerd unpacks."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from layerfs.stores.containerd.store import ContainerdStore
from layerfs.stores.registry import Options
from tests.support.command import layerfs
from tests.support.containerd import running
from tests.support.layouts import Layout, as_tar
from tests.support.snapshot import diff_snapshots, snapshot, without_ghosts
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from layerfs.store import Store
    from tests.support.containerd import Containerd
    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.containerd, pytest.mark.root]

LOWER, WHOLE = "docker.io/library/lower:1", "docker.io/library/whole:1"
LAYERS, CASES = 6, 150


def _header(layer: Layer, path: str, chance: random.Random) -> None:
    """A directory with attributes of its own, or other ones than before."""
    names = chance.sample(["user.a", "user.b", "security.c"], chance.randrange(3))
    xattrs = {name: b"%d" % chance.randrange(100) for name in names}
    mode = chance.choice([0o1777, 0o700, 0o2755, 0o4711, 0])
    layer.dir(
        path, mode, uid=chance.randrange(9), gid=chance.randrange(9), mtime=_time(chance), xattrs=xattrs
    )


def _time(chance: random.Random) -> int:
    return chance.randrange(1, 1 << 30)


def _file(layer: Layer, path: str, chance: random.Random) -> None:
    layer.file(f"{path}/f{chance.randrange(3)}", b"x", mtime=_time(chance))


def _late_header(layer: Layer, path: str, chance: random.Random) -> None:
    _file(layer, path, chance)
    _header(layer, path, chance)


def _opaque(layer: Layer, path: str, chance: random.Random) -> None:
    """Nothing is made in the directory: it keeps the time of the one below."""
    layer.opaque(path)
    if chance.randrange(2):
        _file(layer, path, chance)


def _hidden(layer: Layer, path: str, chance: random.Random) -> None:
    if chance.randrange(2):
        _header(layer, path, chance)
    layer.whiteout(f"{path}/f1")


def _gone(layer: Layer, path: str, chance: random.Random) -> None:
    del chance
    layer.whiteout(path)


def _other(layer: Layer, path: str, chance: random.Random) -> None:
    layer.file(path, b"no directory", mtime=_time(chance))


def _linked(layer: Layer, path: str, chance: random.Random) -> None:
    """A link in the place of the directory, to one with a header, without, or that this layer has not."""
    folder = path.rpartition("/")[0]
    target = f"t{chance.randrange(2)}"
    if kind := chance.randrange(3):
        (_header, _file)[kind - 1](layer, f"{folder}/{target}", chance)
    way = chance.choice([target, f"/{folder}/{target}", f"../{folder.rpartition('/')[2]}/./{target}"])
    layer.symlink(path, way, mtime=_time(chance))
    if chance.randrange(2):
        layer.file(f"{path}/through", b"y", mtime=_time(chance))


FLAT = [_header, _file, _file, _file, _late_header, _opaque, _hidden, _gone, _other, _linked]
DEEP = [_header, _file, _file, _file, _late_header, _opaque, _hidden]


def _in_base(layer: Layer, path: str, chance: random.Random) -> None:
    """Several things in turn: marks of a base delete what came before them in the same tar.

    Only `path` itself may have a header: containerd refuses a base that deletes a directory with one.
    """
    turns = chance.randrange(6)
    headed = chance.randrange(12)  # once, or not at all
    for turn in range(turns):
        place = path + "/e" * chance.randrange(4)
        made = chance.randrange(5)
        if turn == headed:
            _header(layer, path, chance)
        elif made == 0:
            layer.file(f"{place}/.wh..wh..opq")
        elif made == 1:
            layer.whiteout(f"{place}/f1")
        else:
            _file(layer, place, chance)


def _layers(chance: random.Random) -> list[bytes]:
    """Layers with a directory for each case: at a path where each layer has something, or has not."""
    layers = [Layer() for _ in range(LAYERS)]
    for case in range(CASES):
        is_deep = case % 3 == 0  # containerd refuses a layer with a way through what is no directory
        if is_deep:
            _in_base(layers[0], f"c{case}/d", chance)
        for layer in layers[is_deep:]:
            path = f"c{case}/d" + ("/e" * chance.randrange(3) if is_deep else "")
            if chance.randrange(4):
                chance.choice(DEEP if is_deep else FLAT)(layer, path, chance)
    return [layer.done() for layer in layers]


def _archive(chance: random.Random) -> bytes:
    layers, layout = _layers(chance), Layout()
    layout.name(layout.image(layers[: LAYERS // 2]), LOWER)
    layout.name(layout.image(layers), WHOLE)
    return as_tar(layout.done())


def _opened(live: Containerd) -> ContainerdStore:
    return ContainerdStore.open(str(live.root), Options())


def _each(store: Store, image: str) -> list[Snapshot]:
    """The layers of an image, each alone and as it is stored, uppermost first: none was looked at before."""
    return [tree_snapshot(store.tree(layer)) for layer in reversed(store.chain(store.image(image)))]


def _without_unpacking(wanted: Snapshot, found: Snapshot, start: int) -> Snapshot:
    """What is found, with the times that only containerd knows: when it made directories and whiteouts."""
    made = {path: entry.mtime_ns for path, entry in wanted.items() if entry.mtime_ns >= start}
    return {
        path: replace(entry, mtime_ns=made[path])
        if path in made and (entry.mtime_ns == 0 or entry.rdev == (0, 0))
        else entry
        for path, entry in found.items()
    }


def test_directories_without_a_header(tmp_path: Path) -> None:
    """All layers packed, then some of them unpacked, then all; and each is intact when it is unpacked."""
    seed = random.randrange(1 << 32)  # noqa: S311 - no secrets
    (tmp_path / "images.tar").write_bytes(_archive(random.Random(seed)))  # noqa: S311 - no secrets
    (tmp_path / "live").mkdir()
    start = time.time_ns() - 10**9
    with running(tmp_path / "live") as live:
        live.ctr("images", "import", "--no-unpack", str(tmp_path / "images.tar"))
        packed = _each(_opened(live), WHOLE)
        union = tree_snapshot(_opened(live).tree(_opened(live).image(WHOLE)))
        with live.mounted(LOWER, tmp_path / "lower"):
            mixed = _each(_opened(live), WHOLE)
        with live.mounted(WHOLE, tmp_path / "whole") as place:
            mounted = without_ghosts(snapshot(place))
        store = _opened(live)
        for number, layer in enumerate(reversed(store.chain(store.image(WHOLE)))):
            directory = store.place(layer).directory
            assert directory
            wanted = snapshot(Path(directory) / "fs")
            for found in (packed[number], mixed[number]):
                assert diff_snapshots(wanted, _without_unpacking(wanted, found, start)) == [], (seed, number)
        assert diff_snapshots(mounted, _without_unpacking(mounted, union, start)) == [], seed
        assert store.damage == []
    verified = layerfs(tmp_path / "live" / "root", "verify", "--all")
    assert (verified.code, verified.stderr) == (0, ""), (seed, verified.stdout)
