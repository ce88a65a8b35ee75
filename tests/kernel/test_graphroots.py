"""Images and containers of graph roots that Podman made, beside what their own mounts show of the layers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs.stores.registry import Options, open_store
from tests.support.fuseoverlayfs import fuse_overlayfs_snapshot, without_link_counts
from tests.support.graphroots import GraphRootFiles
from tests.support.kernel import kernel_snapshot
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from layerfs.store import Store
    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.kernel, pytest.mark.root]


class Sample(NamedTuple):
    """A recorded root, the others beside it that have layers of it, and who mounts its layers."""

    name: str
    inside: str = "."
    others: Sequence[str] = ()
    mount: Callable[[Sequence[Path]], Snapshot] = kernel_snapshot


SAMPLES = (
    Sample("podman-4.3-rootful"),
    Sample("podman-4.3-rootless-native", mount=functools.partial(kernel_snapshot, userxattr=True)),
    pytest.param(
        Sample("podman-4.3-rootless-fuse", mount=fuse_overlayfs_snapshot),
        marks=[pytest.mark.fuse, pytest.mark.fuse_overlayfs],
    ),
    Sample("podman-5.8-zstd-chunked"),
    Sample("podman-5.8-imagestore", "graphroot", ["imagestore"]),
    Sample("podman-5.8-imagestore", "graphroot-additional", ["imagestore"]),
)


def _stack(roots: Sequence[GraphRootFiles], top: str) -> list[Path]:
    """The directories that are mounted for a layer, uppermost first, some in one root and some in others."""
    known = {item["id"]: (root, item) for root in reversed(roots) for item in root.records(root.layers_file)}
    found: list[Path] = []
    at: str | None = top
    while at:
        root, record = known[at]
        found.append(root.directory(at) / "diff")
        at = record.get("parent")
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.name}-{sample.inside}".rstrip("-."))
def test_trees_are_those_of_its_own_mounts(sample: Sample, tmp_path: Path) -> None:
    """Every image and every container, with the owners that are on the disk."""
    top = unpack_sample(sample.name, tmp_path / "sample")
    roots = [GraphRootFiles(top / inside) for inside in (sample.inside, *sample.others)]
    others = tuple(str(root.path) for root in roots[1:])
    store: Store = open_store(roots[0].path, Options(userns="none", additional_stores=others))
    subjects = {container.id: container for container in store.containers()}
    layers = {row["id"]: row["layer"] for root in roots for row in root.records(root.containers_file)}
    assert subjects.keys() == layers.keys()
    images = {row["id"]: row["layer"] for root in roots for row in root.records(root.images_file)}
    found = {image.id.hex: image for image in store.images()}
    assert found.keys() == images.keys()
    for name, subject in (found | subjects).items():
        wanted = sample.mount(_stack(roots, (images | layers)[name]))
        ours = tree_snapshot(store.tree(subject))
        if sample.mount is fuse_overlayfs_snapshot:
            ours = without_link_counts(ours)
        assert diff_snapshots(wanted, ours) == [], name
    assert store.damage == []
