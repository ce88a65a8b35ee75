"""Which layers are a container's, by time: never another's, whatever was made when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layerfs.ids import CacheID, ContainerID
from layerfs.stores.docker.creation import made_together

SECOND = 1_000_000_000

begun_and_lasted = st.lists(
    st.tuples(st.integers(0, 30 * SECOND), st.integers(-SECOND // 100, SECOND // 2)), min_size=1, max_size=12
)
"""Of each container when it was begun, and how long it took to make its layer; clocks of files are behind."""


def _ids(number: int) -> tuple[ContainerID, CacheID]:
    return ContainerID(f"{number:064x}"), CacheID(f"{number + 1000:064x}")


@given(begun_and_lasted)
def test_no_container_is_given_anothers(times: list[tuple[int, int]]) -> None:
    """However many were made at once: each has its own layer or none."""
    ids = [_ids(number) for number in range(len(times))]
    begun = {container: start for (container, _), (start, _) in zip(ids, times, strict=True)}
    made = {own: start + lasted for (_, own), (start, lasted) in zip(ids, times, strict=True)}
    assert made_together(begun, made).items() <= dict(ids).items()


def test_what_takes_turns_is_told() -> None:
    """Containers made one after the other, a tick of the clock early or half a second late, have theirs."""
    ids = [_ids(number) for number in range(4)]
    starts = (0, SECOND // 2, 2 * SECOND, 9 * SECOND)
    lasted = (-SECOND // 200, 1000, SECOND // 2, 0)
    begun = {container: start for (container, _), start in zip(ids, starts, strict=True)}
    made = {own: start + took for (_, own), start, took in zip(ids, starts, lasted, strict=True)}
    assert made_together(begun, made) == dict(ids)
    assert made_together(begun, {}) == made_together({}, made) == made_together({}, {}) == {}


def test_one_that_is_gone_leaves_the_others_of_then_open() -> None:
    """A layer without its container, or the other way round, puts in doubt what was made about then alone."""
    ids = [_ids(number) for number in range(3)]
    begun = {container: SECOND // 2 * number for number, (container, _) in enumerate(ids[:2])}
    made = {own: SECOND // 2 * number + 5 for number, (_, own) in enumerate(ids)}
    assert made_together(begun, made) == {}
    made[ids[2][1]] = 10 * SECOND
    assert made_together(begun, made) == dict(ids[:2])
    del made[ids[0][1]]
    assert made_together(begun, made) == {}
