"""What a mount shows is what the kernel's overlayfs shows of the same layers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from layerfs import DataRoot
from layerfs.errors import MountFailed
from tests.support.kernel import kernel_snapshot, overlay_mount, private_dir, refusals
from tests.support.layerspec import Dir, File, LayerSpec, materialise_stack
from tests.support.mounts import KERNEL, have_far_marks, served, shown, stacked_by_docker
from tests.support.snapshot import diff_snapshots, open_below, snapshot
from tests.support.stacks import stacks
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.tree.union import UnionTree

pytestmark = [pytest.mark.fuse, pytest.mark.kernel]


def _differences(tree: UnionTree, layers: list[Path], place: Path, variant: str) -> list[str]:
    """Against a kernel that follows redirects and metacopies, as we do; ours of the kernel refuses to."""
    if variant in KERNEL and have_far_marks(layers):
        with pytest.raises(MountFailed, match=r"(redirect|metacopy) mark"), served(tree, place, variant):
            pass
        return []
    expected = refusals(kernel_snapshot(layers, redirects=True))
    with served(tree, place, variant) as mounted:
        return diff_snapshots(expected, refusals(shown(mounted, variant, layers)))


def test_every_image_is_the_kernels(dataroot_path: Path, tmp_path: Path, variant: str) -> None:
    """A mount of each recorded image equals kernel overlayfs over the directories Docker's files name."""
    root = DataRoot.open(dataroot_path)
    different: dict[str, list[str]] = {}
    images = [image for image in root.images() if image.config.diff_ids]
    for image in images:
        layers = stacked_by_docker(dataroot_path, root.chain(image)[-1].cache_id)
        if lines := _differences(root.tree(image), layers, tmp_path / "m", variant):
            different[image.name] = lines
    assert different == {}
    assert images


def test_every_container_is_the_kernels(dataroot_path: Path, tmp_path: Path, variant: str) -> None:
    """A mount of each recorded container equals kernel overlayfs over its layers."""
    root = DataRoot.open(dataroot_path)
    different: dict[str, list[str]] = {}
    containers = [container for container in root.containers() if container.mount]
    for container in containers:
        assert container.mount
        layers = stacked_by_docker(dataroot_path, container.mount.mount_id)
        if lines := _differences(root.tree(container), layers, tmp_path / "m", variant):
            different[container.name] = lines
    assert different == {}
    assert containers


def test_inode_numbers_are_the_kernels(dataroot_path: Path, tmp_path: Path, variant: str) -> None:
    """Whatever is no directory has the inode number that overlayfs gives it: the backing file's own."""

    def numbers(top: Path) -> dict[str, int]:
        found = {}
        for place, _, names in os.walk(top):
            for name in names:
                path = os.path.join(place, name)
                found[os.path.relpath(path, top)] = os.lstat(path).st_ino
        return found

    root = DataRoot.open(dataroot_path)
    image = root.image("lab/links:1")
    layers = stacked_by_docker(dataroot_path, root.chain(image)[-1].cache_id)
    with served(root.tree(image), tmp_path / "m", variant) as mounted, overlay_mount(layers) as expected:
        assert numbers(mounted) == numbers(expected) != {}


def test_image_of_no_layers_is_an_empty_directory(dataroot_path: Path, tmp_path: Path, variant: str) -> None:
    """An image without layers mounts, and is empty."""
    root = DataRoot.open(dataroot_path)
    with served(root.tree(root.image("zero/scratch:1")), tmp_path / "m", variant) as mounted:
        assert set(snapshot(mounted)) == {b""}
        assert os.listxattr(mounted) == []
        assert os.statvfs(mounted).f_namemax == 255


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks())
def test_generated_stacks_are_the_kernels(variant: str, stack: list[LayerSpec]) -> None:
    """A mount of any stack equals the kernel's, name by name, to the last attribute and byte."""
    with private_dir() as work:
        layers = materialise_stack(stack, work)
        with served(union_of(layers), work / "m", variant) as mounted:
            assert diff_snapshots(kernel_snapshot(layers), shown(mounted, variant, layers)) == []


def test_reaches_below_path_max(tmp_path: Path, variant: str) -> None:
    """A file deeper than any path a system call takes is found and read through the mount."""
    deep: Dir | File = File(b"bottom")
    for _ in range(20):
        deep = Dir({b"n" * 255: deep})
    assert isinstance(deep, Dir)
    layers = materialise_stack([LayerSpec(deep)], tmp_path)
    with served(union_of(layers), tmp_path / "m", variant) as mounted:
        top = os.open(mounted, os.O_RDONLY)
        try:
            file = open_below(top, b"/".join([b"n" * 255] * 20), os.O_RDONLY)
            try:
                assert os.pread(file, 10, 0) == b"bottom"
            finally:
                os.close(file)
        finally:
            os.close(top)
