"""Layers of which a copy kept nothing but contents look, beside their archives, as the kernel saw them."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from layerfs import DataRoot
from tests.support.kernel import check_trusted_xattrs, kernel_snapshot, private_dir, refusals
from tests.support.layerspec import Device, Dir, LayerSpec, Link, materialise_stack
from tests.support.rootbuilder import RootBuilder
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import redirect_stacks, stacks
from tests.support.tarsplit import tar_split
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hypothesis import strategies as st

    from tests.support.layerspec import Inode, Node

pytestmark = pytest.mark.kernel


def _archivable(spec: LayerSpec) -> LayerSpec:
    """The layer without what no archive of it can tell: sockets, `.wh.` names, empty values, old times."""

    def dressed(node: Node) -> Node:
        if isinstance(node, Link):
            return node
        xattrs = {name: value for name, value in node.meta.xattrs.items() if value}
        meta = replace(node.meta, mtime_ns=max(node.meta.mtime_ns, 0), xattrs=xattrs)
        if isinstance(node, Device) and node.kind == stat.S_IFSOCK:
            return Device(stat.S_IFIFO, meta=meta)
        if isinstance(node, Dir):
            below = {n: dressed(child) for n, child in node.children.items() if not n.startswith(b".wh.")}
            return Dir(below, meta)
        return replace(node, meta=meta)

    def inode(node: Inode) -> Inode:
        made = dressed(node)
        assert not isinstance(made, (Dir, Link))
        return made

    root = dressed(spec.root)
    assert isinstance(root, Dir)
    return LayerSpec(root, tuple(map(inode, spec.shared)))


def _contents(source: Path) -> Callable[[Path], None]:
    """Copies files that have content, one name of each, and nothing else: no attributes, no links."""

    def fill(target: Path) -> None:
        seen: set[int] = set()
        for place, _, names in os.walk(os.fsencode(source)):
            for name in names:
                path = os.path.join(place, name)
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode) and found.st_size and found.st_ino not in seen:
                    seen.add(found.st_ino)
                    copy = os.path.join(os.fsencode(target), os.path.relpath(path, os.fsencode(source)))
                    os.makedirs(os.path.dirname(copy), exist_ok=True)
                    with open(path, "rb") as file, open(copy, "wb") as copied:
                        copied.write(file.read())

    return fill


def _copied_root(layers: Sequence[Path], place: Path) -> DataRoot:
    """A data root with an image of these layers, uppermost first, as such a copy has it."""
    builder = RootBuilder(place)
    top = None
    for directory in reversed(layers):
        top = builder.layer(top, _contents(directory))
        record = place / "image/overlay2/layerdb/sha256" / top.chain_id.hex
        (record / "tar-split.json.gz").write_bytes(tar_split(directory))
    builder.image(top, "copied:1")
    return DataRoot.open(builder.finish(), metadata="tar-split")


def _check(stack: list[LayerSpec], *, redirects: bool = False) -> None:
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack([_archivable(spec) for spec in stack], work)
        expected = refusals(kernel_snapshot(layers, redirects=redirects))
        root = _copied_root(layers, work / "root")
        found = refusals(tree_snapshot(root.tree(root.image("copied:1"))))
        assert diff_snapshots(expected, found) == []


def _generated(strategy: st.SearchStrategy[list[LayerSpec]]) -> Callable[..., Callable[..., None]]:
    return lambda test: settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])(
        given(stack=strategy)(test)
    )


@pytest.mark.timeout(240)
@_generated(stacks())
def test_generated_stacks_are_the_kernels(stack: list[LayerSpec]) -> None:
    """Every entry and attribute of any stack comes back from its archives: all but contents were lost."""
    _check(stack)


@pytest.mark.timeout(240)
@_generated(redirect_stacks())
def test_generated_redirects_are_the_kernels(stack: list[LayerSpec]) -> None:
    """Marks that overlayfs itself writes are honoured where only the archive has them."""
    _check(stack, redirects=True)
