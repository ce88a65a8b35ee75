"""Every image and container of the recorded data root, as the kernel mounts it and as we show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.kernel import kernel_snapshot, refusals
from tests.support.mounts import stacked_by_docker
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.tree.union import UnionTree

pytestmark = pytest.mark.kernel


def _differences(layers: list[Path], tree: UnionTree) -> list[str]:
    """Against a kernel that follows metacopies, as we do; by default it refuses them."""
    expected = refusals(kernel_snapshot(layers, redirects=True))
    return diff_snapshots(expected, refusals(tree_snapshot(tree)))


def test_every_image_looks_as_the_kernel_mounts_it(dataroot_path: Path) -> None:
    """Each image's tree equals kernel overlayfs over the directories that Docker's own files name."""
    root = DataRoot.open(dataroot_path)
    images = [image for image in root.images() if image.config.diff_ids]
    different: dict[str, list[str]] = {}
    for image in images:
        top = str(root.chain(image)[-1].cache_id)
        if lines := _differences(stacked_by_docker(dataroot_path, top), root.tree(image)):
            different[image.name] = lines
    assert different == {}
    assert max(len(image.config.diff_ids) for image in images) >= 100


def test_every_container_looks_as_the_kernel_mounts_it(dataroot_path: Path) -> None:
    """Each container's tree, its own changes on top, equals kernel overlayfs over the same directories."""
    root = DataRoot.open(dataroot_path)
    containers = [container for container in root.containers() if container.mount]
    different: dict[str, list[str]] = {}
    for container in containers:
        assert container.mount is not None
        top = str(container.mount.mount_id)
        if lines := _differences(stacked_by_docker(dataroot_path, top), root.tree(container)):
            different[container.name] = lines
    assert different == {}
    assert containers
