"""Our union of layers in fuse-overlayfs's form against a real fuse-overlayfs over the same directories."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings

from layerfs.formats.overridestat import ATTRIBUTES
from layerfs.hostdir import HostDir
from layerfs.stores.containers_storage.forms import Form, layer_source
from layerfs.tree.union import UnionTree
from tests.support.fuseoverlayfs import fuse_overlayfs_snapshot, without_link_counts
from tests.support.kernel import private_dir
from tests.support.layerspec import Dir, File, LayerSpec, Meta, Symlink, materialise_stack
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import fuse_stacks
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(not shutil.which("fuse-overlayfs"), reason="fuse-overlayfs is not installed"),
]


def _union_of(layers: Sequence[Path]) -> UnionTree:
    return UnionTree([layer_source(HostDir.open(layer), Form.FUSE) for layer in layers])


@settings(max_examples=25)
@given(fuse_stacks())
def test_generated_stacks_look_like_fuse_overlayfss(stack: list[LayerSpec]) -> None:
    """Names, attributes and bytes of any stack with marks of any family are those fuse-overlayfs shows."""
    with private_dir() as work:
        layers = materialise_stack(stack, work)
        expected = fuse_overlayfs_snapshot(layers)
        assume(not any(entry.failures for entry in expected.values()))  # a few odd stacks it cannot list
        actual = without_link_counts(tree_snapshot(_union_of(layers)))
        assert diff_snapshots(expected, actual) == []


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_kept_beside_files_are_those_fuse_overlayfs_shows(name: bytes, tmp_path: Path) -> None:
    """Each of the names, in a layer whose root carries it; beside a layer whose root does not."""
    told = {b"": b"0:0:555", b"f": b"5:6:4711", b"d": b"7:8:1770", b"d/g": b"4294967294:1:0644"}
    over = LayerSpec(
        Dir(
            {
                b"f": File(b"x", meta=_carrying(name, told[b"f"])),
                b"s": Symlink(b"f"),
                b"d": Dir({b"g": File(meta=_carrying(name, told[b"d/g"]))}, _carrying(name, told[b"d"])),
            },
            _carrying(name, told[b""]),
        )
    )
    plain = LayerSpec(Dir({b"own": File(b"y", meta=_carrying(name, b"1:1:777"))}))
    layers = materialise_stack([over, plain], tmp_path)
    expected = fuse_overlayfs_snapshot(layers)
    actual = without_link_counts(tree_snapshot(_union_of(layers)))
    assert diff_snapshots(expected, actual) == []
    owners = {path: (actual[path].uid, actual[path].gid, actual[path].mode & 0o7777) for path in actual}
    assert owners[b"f"] == (5, 6, 0o4711)
    assert owners[b"own"] == (0, 0, 0o755)


def _carrying(name: bytes, value: bytes) -> Meta:
    return Meta(xattrs={name: value})
