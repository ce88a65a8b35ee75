"""Our union of layers in fuse-overlayfs's form against a real fuse-overlayfs over the same directories."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.hostdir import HostDir
from layerfs.stores.containers_storage.forms import Form, layer_source
from layerfs.tree.union import UnionTree
from tests.support.fuseoverlayfs import fuse_overlayfs_snapshot, without_link_counts
from tests.support.kernel import private_dir
from tests.support.layerspec import LayerSpec, materialise_stack
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


@settings(max_examples=60)
@given(fuse_stacks())
def test_generated_stacks_look_like_fuse_overlayfss(stack: list[LayerSpec]) -> None:
    """Names, attributes and bytes of any stack with marks of any family are those fuse-overlayfs shows."""
    with private_dir() as work:
        layers = materialise_stack(stack, work)
        expected = fuse_overlayfs_snapshot(layers)
        actual = without_link_counts(tree_snapshot(_union_of(layers)))
        assert diff_snapshots(expected, actual) == []
