"""Sizes and limits as they are typed."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs_cli.amounts import parse_limit, parse_size

SIZES = {
    "0": 0,
    "4096": 4096,
    "10b": 10,
    "10kB": 10_000,
    "10K": 10_000,
    "64KiB": 65_536,
    "64ki": 65_536,
    "1.5MB": 1_500_000,
    "0.5GiB": 1 << 29,
    " 2 TB ": 2 * 10**12,
    "0.29kB": 290,
}


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_size(text: str, size: int) -> None:
    """Powers of 1000 as Docker prints them, of 1024 with an i, case and the B left to the user."""
    assert parse_size(None, None, text) == size


@pytest.mark.parametrize("text", ["", "B", "-1", "1e3", "1XB", "1kBB", "0x10", "1,5MB", "\u0664", "5%"])
def test_what_is_no_size(text: str) -> None:
    """Anything else is refused, percentages and other alphabets' digits too."""
    with pytest.raises(click.BadParameter):
        parse_size(None, None, text)


def test_nothing_given_is_nothing() -> None:
    """An option that was not given has no value."""
    assert parse_size(None, None, None) is None
    assert parse_limit(None, None, None) is None


@given(st.integers(0, 100), st.integers(0, 10**15))
def test_percentage_is_exceeded_by_more_than_that_part(percent: int, whole: int) -> None:
    """A part of exactly so much is within the limit, a byte more is not, whatever floats would say."""
    limit = parse_limit(None, None, f"{percent}%")
    assert limit is not None
    most = percent * whole // 100
    assert not limit.exceeded(most, whole)
    assert limit.exceeded(most + 1, whole)


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_size_is_exceeded_by_a_byte_more(size: int, whole: int) -> None:
    """A limit in bytes does not depend on the whole."""
    limit = parse_limit(None, None, str(size))
    assert limit is not None
    assert not limit.exceeded(size, whole)
    assert limit.exceeded(size + 1, whole)


@pytest.mark.parametrize("text", ["", "%", "5 %%", "-5%", "many"])
def test_what_is_no_limit(text: str) -> None:
    """A limit is a size or a percentage."""
    with pytest.raises(click.BadParameter):
        parse_limit(None, None, text)
