"""Maps of users: what an ID inside is outside, as in uid_map(5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats.errors import FormatError
from layerfs.formats.idmap import OVERFLOW, SAME, IDMap, IDRange, Owners, nested, parse_owners, shifted

ROOTLESS = IDMap((IDRange(0, 1000, 1), IDRange(1, 100_000, 65_536)))


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("none", SAME),
        ("0", SAME),
        ("231072", Owners(shifted(231072), shifted(231072))),
        ("231072.5000", Owners(shifted(231072), shifted(5000))),
        ("0:1000:1,1:100000:65536", Owners(ROOTLESS, ROOTLESS)),
        ("0:1:1/0:1000:1,1:100000:65536", Owners(IDMap((IDRange(0, 1, 1),)), ROOTLESS)),
    ],
)
def test_spellings(text: str, owners: Owners) -> None:
    """A base, the two of a directory's name, and ranges are understood."""
    assert parse_owners(text) == owners


@pytest.mark.parametrize(
    "text",
    ["", "auto", "-1", "1.2.3", "0:1", "0:1:0", "0:1:4294967295", "4294967295", "0:1:1/", "1,2", "0x10"],
)
def test_nonsense_is_refused(text: str) -> None:
    """What is no map is refused, also numbers that no user can have."""
    with pytest.raises(FormatError):
        parse_owners(text)


def test_both_ways() -> None:
    """A rootless map has its root apart; who is in no range is nobody inside, and nowhere outside."""
    assert [ROOTLESS.outside(number) for number in (0, 1, 33, 65536)] == [1000, 100_000, 100_032, 165_535]
    assert [ROOTLESS.inside(number) for number in (1000, 100_000, 100_032)] == [0, 1, 33]
    assert [ROOTLESS.inside(number) for number in (0, 999, 1001, 165_536)] == [OVERFLOW] * 4
    assert ROOTLESS.outside(65_537) is None
    known = IDMap((IDRange(0, 1000, 1),), whole=False)
    assert (known.inside(1000), known.inside(100_032), known.outside(33)) == (0, 100_032, None)


@given(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2))
def test_a_shift_is_undone(base: int, inside: int) -> None:
    """What a shift makes of an ID, it takes back; without a base nothing changes."""
    outside = shifted(base).outside(inside)
    if outside is not None:
        assert shifted(base).inside(outside) == inside
    assert shifted(0).inside(inside) == inside


_RANGES = st.builds(IDRange, st.integers(0, 40), st.integers(0, 40), st.integers(1, 20))


@given(_RANGES, _RANGES, st.integers(0, 80))
def test_a_namespace_in_another_is_one_after_the_other(inner: IDRange, outer: IDRange, inside: int) -> None:
    """What is inside of both is looked up in the inner map, and then in the outer one."""
    maps = IDMap((inner,)), IDMap((outer,))
    both = nested(*(Owners(item, item) for item in maps))
    shared = range(
        max(inner.outside, outer.inside), min(inner.outside + inner.length, outer.inside + outer.length)
    )
    if shared:
        between = maps[0].outside(inside)
        assert both.users.outside(inside) == (None if between is None else maps[1].outside(between))
    else:  # a record that contradicts its engine says nothing
        assert both.users == both.groups == maps[1]


def test_a_namespace_in_none_is_itself() -> None:
    """Without one of the two the other is the map."""
    own = Owners(ROOTLESS, shifted(7))
    assert nested(own, SAME) == nested(SAME, own) == own
