"""Our union of generated layer stacks against the kernel's mount of the same directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from tests.support.kernel import check_trusted_xattrs, kernel_snapshot, private_dir, refusals
from tests.support.layerspec import materialise_stack
from tests.support.snapshot import diff_snapshots
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import tree_snapshot, union_of

if TYPE_CHECKING:
    from tests.support.layerspec import LayerSpec

pytestmark = pytest.mark.kernel


@settings(max_examples=200)
@given(stacks())
def test_generated_stacks_look_like_the_kernels(stack: list[LayerSpec]) -> None:
    """Every name, attribute, byte and hard link of any stack is the kernel's, in both mark dialects."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        for userxattr in (False, True):
            expected = kernel_snapshot(layers, userxattr=userxattr)
            actual = tree_snapshot(union_of(layers, userxattr=userxattr))
            assert diff_snapshots(expected, actual) == [], f"userxattr={userxattr}"


@settings(max_examples=200)
@given(redirect_stacks())
def test_generated_redirects_look_like_the_kernels(stack: list[LayerSpec]) -> None:
    """Redirects and metacopies lead where the kernel follows them, and are refused where it refuses."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        expected = refusals(kernel_snapshot(layers, redirects=True))
        assert diff_snapshots(expected, refusals(tree_snapshot(union_of(layers)))) == []
