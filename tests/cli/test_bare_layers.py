"""Layers without a record, of containers and of removed ones, beside the disk and the kernel."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs import DataRoot
from layerfs.model import BareLayer
from tests.support.command import layerfs, run_bytes
from tests.support.fixture import private_copy
from tests.support.kernel import kernel_snapshot
from tests.support.mounts import served, stacked_by_docker
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.snapshot import Snapshot

MOUNTS = "image/overlay2/layerdb/mounts"
CONTAINERS = ("changed", "deep", "links", "odd", "zero")
REMOVED = ("changed", "deep")


class Own(NamedTuple):
    """A container's own layer in a root where some containers were removed.

    Attributes:
        container: its name, in the root where all are left.
        cache_id: its directory.
        init: the directory of the -init layer.
    """

    container: str
    cache_id: str
    init: str


@pytest.fixture(scope="module")
def damaged(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded root after the engine forgot `REMOVED`, and left their directories."""
    root = private_copy(dataroot_path, tmp_path_factory.mktemp("bare") / "root")
    for config in (root / "containers").glob("*/config.v2.json"):
        if json.loads(config.read_bytes())["Name"].strip("/") in REMOVED:
            shutil.rmtree(root / MOUNTS / config.parent.name)
            shutil.rmtree(config.parent)
    return root


@pytest.fixture(params=CONTAINERS)
def own(request: pytest.FixtureRequest, dataroot_path: Path) -> Own:
    """The layers of each container."""
    for config in (dataroot_path / "containers").glob("*/config.v2.json"):
        if json.loads(config.read_bytes())["Name"].strip("/") == request.param:
            record = dataroot_path / MOUNTS / config.parent.name
            return Own(request.param, (record / "mount-id").read_text(), (record / "init-id").read_text())
    raise AssertionError(request.param)


def _names(root: Path, cache_id: str) -> list[str]:
    link = (root / "overlay2" / cache_id / "link").read_text()
    return [cache_id, link, f"l/{link}", link[:12]]


def test_names_of_a_container_layer(damaged: Path, own: Own) -> None:
    """Directory and link, and their beginnings, mean the layer, whether its container is left or not."""
    root = DataRoot.open(damaged)
    kind = "directory" if own.container in REMOVED else "read-write layer"
    for name in (*_names(damaged, own.cache_id), own.cache_id[:12]):
        found = root.layer(name)
        assert isinstance(found, BareLayer)
        assert (found.cache_id, found.kind) == (own.cache_id, kind)
    for name in (*_names(damaged, own.init), f"{own.cache_id[:12]}-init"):
        found = root.layer(name)
        assert isinstance(found, BareLayer)
        assert (found.cache_id, found.container_id is None) == (own.init, own.container in REMOVED)


def _unlinked(top: Path) -> Snapshot:
    """A directory, without the links that overlayfs makes between the whiteouts of a mount."""
    found = snapshot(top)
    return {
        path: replace(entry, nlink=1, links=frozenset()) if stat.S_ISCHR(entry.mode) else entry
        for path, entry in found.items()
    }


@pytest.mark.root
def test_copied_as_it_lies(damaged: Path, own: Own, tmp_path: Path) -> None:
    """What is copied out of the layer is what its directory holds, whiteouts and marks included."""
    for number, cache_id in enumerate((own.cache_id, own.init)):
        place = tmp_path / str(number)
        place.mkdir()
        done = layerfs(damaged, "cp", "--specials", f"{cache_id}:/.", str(place))
        assert (done.code, done.stderr) == (0, "")
        theirs, ours = _unlinked(damaged / "overlay2" / cache_id / "diff"), _unlinked(place)
        theirs.pop(b"")
        ours.pop(b"")
        assert diff_snapshots(theirs, ours) == []


@pytest.mark.fuse
@pytest.mark.root
def test_mounted_as_it_lies(damaged: Path, own: Own, tmp_path: Path) -> None:
    """Its mount shows the directory as it is."""
    root = DataRoot.open(damaged)
    with served(root.tree(root.layer(own.cache_id)), tmp_path / "m", "native") as top:
        assert diff_snapshots(snapshot(damaged / "overlay2" / own.cache_id / "diff"), snapshot(top)) == []


@pytest.mark.kernel
def test_union_with_what_is_below(damaged: Path, own: Own) -> None:
    """What it makes of the layers below, by its own `lower`, is what the kernel mounts."""
    root = DataRoot.open(damaged)
    for cache_id in (own.cache_id, own.init):
        theirs = kernel_snapshot(stacked_by_docker(damaged, cache_id))
        ours = tree_snapshot(root.tree_below(root.layer(cache_id)))
        assert diff_snapshots(theirs, ours) == []


def test_compared_and_exported_as_its_container(dataroot_path: Path, damaged: Path, own: Own) -> None:
    """Changes and archive are those of the container, which an Engine agrees with, when it is gone too."""
    theirs = layerfs(dataroot_path, "diff", "--no-docker", own.container)
    ours = layerfs(damaged, "diff", own.cache_id)
    assert (ours.code, ours.stdout) == (theirs.code, theirs.stdout)
    archive = run_bytes(dataroot_path, "export", "--format", "layer", own.container)
    assert archive.code == 0
    assert run_bytes(damaged, "export", own.cache_id) == archive


def test_inspected(damaged: Path, own: Own) -> None:
    """A document of a layer, with null for the IDs that it has not, and its container while there is one."""
    (document,) = layerfs(damaged, "inspect", own.cache_id).json
    assert (document["type"], document["Id"], document["CacheID"]) == ("layer", own.cache_id, own.cache_id)
    assert (document["DiffID"], document["ChainID"], document["Images"]) == (None, None, [])
    assert len(document["Containers"]) == (own.container not in REMOVED)
    depth = len(stacked_by_docker(damaged, own.cache_id))
    assert document["Index"] == depth


def test_what_needs_a_record_is_refused(damaged: Path, own: Own) -> None:
    """It has no archive, no tree of its own and no numbered layers: said, and nothing is shown."""
    for command, code in (
        (["verify", own.cache_id], 3),
        (["blame", own.cache_id, "/etc"], 2),
        (["export", "--format", "oci", own.cache_id], 3),
        (["export", "--format", "rootfs", own.cache_id], 2),
        (["ls", f"{own.cache_id}@1"], 3),
        (["layers", own.cache_id], 3),
    ):
        done = layerfs(damaged, *command)
        assert (done.code, done.stdout) == (code, ""), command


def test_a_lost_link_ends_only_what_needs_it(copy: Path) -> None:
    """Of an orphan whose `lower` leads nowhere the files are listed, and the missing link is named."""
    root = copy
    top = root / "overlay2" / ("0" * 64)
    (top / "diff").mkdir(parents=True)
    (top / "diff/file").write_text("x")
    (top / "link").write_text("A" * 26)
    (top / "lower").write_text("l/" + "B" * 26)
    (root / "overlay2/l" / ("A" * 26)).symlink_to(f"../{top.name}/diff")
    assert layerfs(root, "ls", "A" * 26).stdout == "file\n"
    done = layerfs(root, "diff", "0" * 64)
    assert (done.code, done.stdout) == (5, "")
    assert f"overlay2/l/{'B' * 26}" in done.stderr


# -- layers, history and changes of a container --------------------------------------------------


def _rows(root: Path, *arguments: str) -> list[dict[str, object]]:
    done = layerfs(root, *arguments, "--format", "json")
    assert done.code == 0
    return list(done.json)


def test_layers_history_and_changes_of_a_container(dataroot_path: Path, own: Own) -> None:
    """The rows of its image, and its own two by their directories, without IDs that they have not."""
    (document,) = layerfs(dataroot_path, "inspect", own.container).json
    for command in ("layers", "changes"):
        image, rows = (_rows(dataroot_path, command, name) for name in (document["Image"], own.container))
        assert rows[:-2] == image
        assert [row["cache_id"] for row in rows[-2:]] == [own.init, own.cache_id]
        assert [(row["kind"], row["diff_id"], row["chain_id"]) for row in rows[-2:]] == [
            ("init layer", None, None),
            ("read-write layer", None, None),
        ]
    image, rows = (_rows(dataroot_path, "history", name) for name in (document["Image"], own.container))
    assert rows[2:] == image
    assert [row["cache_id"] for row in rows[:2]] == [own.cache_id, own.init]
    for command in ("layers", "changes", "history"):
        assert f"{own.container} is a container" in layerfs(dataroot_path, command, own.container).stderr


def test_changes_of_the_own_layer_are_its_difference(dataroot_path: Path, own: Own) -> None:
    """`changes --layer N` of the uppermost is what `diff` tells of the container."""
    depth = len(_rows(dataroot_path, "layers", own.container))
    found = layerfs(dataroot_path, "changes", own.container, "--layer", str(depth))
    assert found.stdout == layerfs(dataroot_path, "diff", "--no-docker", own.container).stdout
    assert layerfs(dataroot_path, "changes", own.container, "--layer", str(depth + 1)).code == 3


def test_history_of_a_container_whose_image_is_gone(dataroot_path: Path) -> None:
    """Its layers are still told, without the steps that made them."""
    rows = _rows(dataroot_path, "history", "orphan")
    layers = _rows(dataroot_path, "layers", "orphan")
    assert [row["cache_id"] for row in rows] == [row["cache_id"] for row in reversed(layers)]
    assert {row["created_by"] for row in rows[2:]} == {""}
