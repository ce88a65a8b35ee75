"""Backing IDs that wait for who opens their file again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layerfs.views.fuse.idle import IdleFiles, share_of_files

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = st.lists(st.tuples(st.sampled_from(["add", "take", "drop"]), st.integers(0, 9)), max_size=60)


@given(STEPS, st.integers(0, 5))
def test_every_id_is_kept_or_given_back_once(steps: Sequence[tuple[str, int]], most: int) -> None:
    """Never more than were allowed are kept, and none gets lost or is given back twice."""
    idle = IdleFiles(most)
    kept: dict[int, int] = {}
    for backing, (step, node) in enumerate(steps, 1):
        if step == "add" and node not in kept:
            kept[node] = backing
            dropped = idle.add(node, backing)
        elif step == "take":
            assert idle.take(node) == kept.pop(node, None)
            continue
        elif step == "drop":
            dropped = idle.drop()
            assert (dropped is None) == (not kept)
        else:
            continue
        if dropped is not None:
            (gone,) = [node for node, held in kept.items() if held == dropped]
            del kept[gone]
        assert len(idle) == len(kept) <= most
    assert {node: idle.take(node) for node in kept} == kept


def test_a_scan_of_more_finds_a_part_again() -> None:
    """Going through more files than are kept, again and again in one order, finds some of them each time."""
    idle = IdleFiles(500)
    for node in range(1000):
        idle.add(node, node + 1)
    for _ in range(3):
        found = 0
        for node in range(1000):
            found += idle.take(node) is not None
            idle.add(node, node + 1)
        assert found > 50


def test_the_host_always_has_files_left() -> None:
    """At most an eighth of what may be open is kept."""
    with open("/proc/sys/fs/file-max", encoding="ascii") as limit:
        assert 0 < share_of_files() <= int(limit.read()) // 8
