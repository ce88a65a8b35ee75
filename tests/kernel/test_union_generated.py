"""Our union of generated layer stacks against the kernel's mount of the same directories."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from tests.support.kernel import check_trusted_xattrs, overlay_mount, private_dir
from tests.support.layerspec import materialise_stack
from tests.support.snapshot import Entry, diff_snapshots, snapshot, without_ghosts
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import tree_snapshot, union_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.layerspec import LayerSpec
    from tests.support.snapshot import Snapshot

pytestmark = pytest.mark.kernel


def _kernel_snapshot(layers: Sequence[Path], *, userxattr: bool = False, redirects: bool = False) -> Snapshot:
    """What the kernel shows; names that it lists but does not find are not there."""
    redirect = "follow" if redirects else None
    with overlay_mount(layers, userxattr=userxattr, metacopy=redirects, redirect=redirect) as merged:
        found = without_ghosts(snapshot(merged))
    if len(layers) == 1:
        # the oracle's own empty layer below makes the root a merged directory
        found[b""] = replace(found[b""], nlink=layers[0].stat().st_nlink)
    return found


@settings(max_examples=200)
@given(stacks())
def test_generated_stacks_look_like_the_kernels(stack: list[LayerSpec]) -> None:
    """Every name, attribute, byte and hard link of any stack is the kernel's, in both mark dialects."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        for userxattr in (False, True):
            expected = _kernel_snapshot(layers, userxattr=userxattr)
            actual = tree_snapshot(union_of(layers, userxattr=userxattr))
            assert diff_snapshots(expected, actual) == [], f"userxattr={userxattr}"


def _refusals(entries: Snapshot) -> Snapshot:
    """The entries; of one that fails, only that: the kernel refuses at lookup, we when it is read."""
    return {
        path: Entry(failures=("refused",)) if entry.failures else entry for path, entry in entries.items()
    }


@settings(max_examples=200)
@given(redirect_stacks())
def test_generated_redirects_look_like_the_kernels(stack: list[LayerSpec]) -> None:
    """Redirects and metacopies lead where the kernel follows them, and are refused where it refuses."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        expected = _refusals(_kernel_snapshot(layers, redirects=True))
        assert diff_snapshots(expected, _refusals(tree_snapshot(union_of(layers)))) == []
