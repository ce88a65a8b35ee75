"""Wasted bytes against the kernel, which shows what is not wasted, and against a naive model."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs import DataRoot
from layerfs.analysis.tree.waste import waste
from layerfs.errors import UnsupportedOverlay
from tests.support.kernel import check_trusted_xattrs, overlay_mount, private_dir
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Meta, materialise_stack
from tests.support.mounts import stacked_by_docker
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import union_of
from tests.support.wastemodel import entries, inodes, model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerfs.errors import LayerfsError
    from tests.support.judge import Stack

pytestmark = pytest.mark.kernel


def _shown(layers: list[Path], *, redirect: str | None = None) -> dict[int, os.stat_result]:
    """What the kernel shows of the layers by inode, directories left out."""
    found: dict[int, os.stat_result] = {}
    with overlay_mount(layers, redirect=redirect) as merged:
        pending = [os.fsencode(merged)]
        while pending:
            directory = pending.pop()
            for name in os.listdir(directory):
                try:
                    item = os.lstat(path := os.path.join(directory, name))
                except OSError:  # a whiteout that is listed, or a redirect that is refused
                    continue
                if stat.S_ISDIR(item.st_mode):
                    pending.append(path)
                else:
                    found[item.st_ino] = item
    return found


def _objects(layer: Path) -> Iterator[os.stat_result]:
    """What a layer has but directories and whiteouts: these are marks, though attributes may take a block."""
    for parts, item in entries(os.fsencode(layer)):
        path = os.path.join(os.fsencode(layer), *parts)
        is_mark = stat.S_ISCHR(item.st_mode) and item.st_rdev == 0
        if stat.S_ISREG(item.st_mode) and not item.st_size:
            is_mark = "trusted.overlay.whiteout" in os.listxattr(path)
        if not (is_mark or stat.S_ISDIR(item.st_mode)):
            yield item


def _judge(layers: list[Path], *, redirect: str | None = None) -> None:
    """Compare the account of each layer, in bytes and in blocks, with what the kernel leaves out."""
    shown = _shown(layers, redirect=redirect)
    tree = union_of(layers)
    for allocated in (False, True):
        found = waste(tree, allocated=allocated)
        for layer, account in zip(reversed(layers), found.layers, strict=True):
            stored = {item.st_ino: _size(item, allocated) for item in _objects(layer)}
            visible = sum(size for ino, size in stored.items() if ino in shown)
            assert account.stored == sum(stored.values())
            assert account.stored - visible == account.wasted
        assert sum(item.wasted for item in found.paths) == found.wasted
        assert sum(layer.hides for layer in found.layers) == found.wasted


def _size(item: os.stat_result, allocated: bool) -> int:  # noqa: FBT001
    return item.st_blocks * 512 if allocated else item.st_size


@settings(max_examples=100)
@given(stacks(max_layers=6))
def test_wasted_is_what_the_kernel_does_not_show(stack: list[LayerSpec]) -> None:
    """In each layer of any stack, stored less wasted is what the kernel's mount shows of it, by inode."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        _judge(materialise_stack(stack, work))


def _without_metacopies(directory: Dir) -> Dir:
    children = {
        name: _without_metacopies(node)
        if isinstance(node, Dir)
        else File(node.content)
        if isinstance(node, File)
        else node
        for name, node in directory.children.items()
    }
    return Dir(children, directory.meta)


@settings(max_examples=100)
@given(redirect_stacks())
def test_wasted_follows_redirects_as_the_kernel_does(stack: list[LayerSpec]) -> None:
    """What lies in a directory that was moved is shown at its new place, so it is not wasted."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        plain = [LayerSpec(_without_metacopies(layer.root)) for layer in stack]
        _judge(materialise_stack(plain, work), redirect="follow")


@settings(max_examples=100)
@given(stacks(max_layers=6))
def test_account_is_the_models(stack: list[LayerSpec]) -> None:
    """Stored, wasted and hidden bytes of each layer, and those of each path, are a naive model's."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        told, found = model(layers), waste(union_of(layers))
        assert {layer.number: layer.stored for layer in found.layers} == told.stored
        assert {layer.number: layer.wasted for layer in found.layers} == told.wasted
        assert {layer.number: layer.hides for layer in found.layers} == told.hides
        assert {item.path: item.wasted for item in found.paths} == told.paths
        order = [(-item.wasted, item.path) for item in found.paths]
        assert order == sorted(order)


def test_every_recorded_image_wastes_what_the_kernel_does_not_show(dataroot_path: Path) -> None:
    """The same for every image of the recorded data root, over the directories that Docker's files name."""
    root = DataRoot.open(dataroot_path)
    wasteful = 0
    for image in root.images():
        name = str(image.name)
        if not image.config.diff_ids or name.startswith("lab/metacopy"):
            continue
        top = str(root.chain(image)[-1].cache_id)
        layers = stacked_by_docker(dataroot_path, top)
        shown = _shown(layers, redirect="follow")
        found = waste(root.tree(image))
        stored = [inodes(layer) for layer in layers]
        hidden = [item for layer in stored for (_, ino), item in layer.items() if ino not in shown]
        assert found.wasted == sum(item.st_size for item in hidden), name
        assert found.stored == sum(item.st_size for layer in stored for item in layer.values()), name
        wasteful += bool(found.wasted)
    assert wasteful > 10


_METACOPY = Meta(xattrs={b"trusted.overlay.metacopy": b""})


def _renamed(name: bytes) -> Meta:
    return Meta(xattrs={b"trusted.overlay.metacopy": b"", b"trusted.overlay.redirect": name})


def test_data_of_a_metacopy_are_not_wasted(stack: Stack) -> None:
    """A file that a layer gave new attributes or a new name alone still has its data below."""
    layers = stack.make(
        {
            b"chmod": File(hole=7, meta=_METACOPY),
            b"new": File(hole=9, meta=_renamed(b"/old")),
            b"old": WHITEOUT,
            b"dead": File(b"new data"),
        },
        {b"chmod": File(hole=7, meta=_METACOPY)},
        {b"chmod": File(b"7 bytes"), b"old": File(b"nine byte"), b"dead": File(b"7 bites")},
    )
    with overlay_mount(layers, metacopy=True, redirect="follow") as merged:
        assert (merged / "chmod").read_bytes() == b"7 bytes"
        assert (merged / "new").read_bytes() == b"nine byte"
    found = waste(union_of(layers))
    assert {item.path: [file.layer for file in item.files] for item in found.paths} == {
        b"/chmod": [2],  # the attributes in between
        b"/dead": [1],
    }
    assert found.wasted == 7 + 7


def test_metacopy_without_data_is_told_and_the_rest_counted(stack: Stack) -> None:
    """A metacopy whose data are nowhere is a problem, and no end."""
    layers = stack.make(
        {b"lost": File(hole=7, meta=_renamed(b"/nowhere")), b"f": File(b"new")},
        {b"f": File(b"7 bytes")},
    )
    problems: list[LayerfsError] = []
    assert waste(union_of(layers), problem=problems.append).wasted == 7
    assert len(problems) == 1
    with pytest.raises(UnsupportedOverlay):
        waste(union_of(layers))
