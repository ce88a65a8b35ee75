"""Images, containers and single snapshots of real containerd stores, beside the kernel's overlayfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs.formats.bolt import buffer_reader, open_bolt
from layerfs.formats.snapshotdb import SnapshotDB
from layerfs.stores.registry import Options, open_store
from tests.support.kernel import kernel_snapshot
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layerfs.formats.snapshotdb import Snapshot
    from layerfs.model import Container, Image
    from layerfs.store import Store

pytestmark = pytest.mark.kernel

SAMPLES = {
    "docker29-containerd": ("containerd/daemon", None),
    "containerd-1.6-store": (".", "default"),
    "containerd-2.1-cri": (".", None),
}
"""Each store, where in it the containerd root is, and the namespace."""


@pytest.fixture(scope="module", params=SAMPLES)
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, Path, Mapping[str, Snapshot]]:
    """A real store, its snapshots' directory, and the records of these by their keys."""
    inside, namespace = SAMPLES[request.param]
    root = unpack_sample(request.param, tmp_path_factory.mktemp("containerd"))
    snapshotter = root / inside / "io.containerd.snapshotter.v1.overlayfs"
    content = (snapshotter / "metadata.db").read_bytes()
    found = SnapshotDB(open_bolt(*buffer_reader(content)), lambda error: pytest.fail(str(error))).all
    store = open_store(root, Options(namespace=namespace))
    wanted = [space.name for space in store.spaces]  # type: ignore[attr-defined]
    assert len(wanted) == 1
    return (
        store,
        snapshotter / "snapshots",
        {name: item for name, item in found.items() if name.split("/")[0] == wanted[0]},
    )


def _directories(snapshots: Path, records: Mapping[str, Snapshot], key: str) -> list[Path]:
    """What overlayfs is given for the snapshot of a key, uppermost first."""
    at: Snapshot | None = next(item for name, item in records.items() if name.split("/", 2)[2] == key)
    found: list[Path] = []
    while at is not None:
        found.append(snapshots / str(at.number) / "fs")
        at = records.get(at.parent)
    return found


def _subjects(store: Store) -> Iterator[tuple[str, Image | Container]]:
    """The key of a snapshot, and what has its tree."""
    for image in store.images():
        if image.chain:
            yield image.chain[-1], image
    for container in store.containers():
        yield container.id, container


def test_trees_are_the_kernel_s(opened: tuple[Store, Path, Mapping[str, Snapshot]]) -> None:
    """Every unpacked image and every container shows what the kernel shows of its snapshots."""
    store, snapshots, records = opened
    keys = {name.split("/", 2)[2] for name in records}
    compared = 0
    for key, subject in _subjects(store):
        if key in keys:
            wanted = kernel_snapshot(_directories(snapshots, records, key))
            assert diff_snapshots(wanted, tree_snapshot(store.tree(subject))) == []
            compared += 1
    assert compared > len(store.containers())
    assert store.damage == []


def test_every_snapshot_can_be_shown_by_its_key(opened: tuple[Store, Path, Mapping[str, Snapshot]]) -> None:
    """Active, view and left-over snapshots too: below a key lies what the kernel shows of it."""
    store, snapshots, records = opened
    for name in records:
        key = name.split("/", 2)[2]
        found = store.layer(key)
        wanted = kernel_snapshot(_directories(snapshots, records, key))
        assert diff_snapshots(wanted, tree_snapshot(store.tree_below(found))) == [], key
