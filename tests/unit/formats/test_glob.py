"""Shell patterns against fnmatch(3) of the C library, which is what find(1) calls."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerfs.formats.glob import compile_glob

_CASEFOLD = 16
_SETS = (
    "[ab]",
    "[!ab]",
    "[^a-c]",
    "[]a]",
    "[a-]",
    "[--0]",
    "[b-a]",
    "[a\\]b]",
    "[[:digit:]x]",
    "[![:space:]]",
)
_PARTS = (
    "*",
    "?",
    "a",
    "B",
    ".",
    "/",
    "\\*",
    "\\a",
    "]",
    "-",
    "\n",
    "[[:alpha:]]",
    "[[=a=]]",
    "[[.-.]]",
    *_SETS,
)
_PATTERNS = st.lists(st.sampled_from(_PARTS), max_size=5).map("".join)
_NAMES = st.text("abAB.-]/*\\\n 09", max_size=6)


def _fnmatch(pattern: str, name: str, flags: int) -> bool:
    return bool(ctypes.CDLL(None).fnmatch(pattern.encode(), name.encode(), flags) == 0)


@given(_PATTERNS, _NAMES)
@example("*", ".hidden")
@example("*.c", "a/b.c")
@example("\\", "\\")
@example("[", "[")
@example("[a", "[a")
@example("a[!]b", "a[!]b")
def test_patterns_match_what_fnmatch_matches(pattern: str, name: str) -> None:
    """Any pattern fits any name exactly where the C library says so."""
    assert bool(compile_glob(pattern).fullmatch(name)) == _fnmatch(pattern, name, 0)


@given(
    st.lists(st.sampled_from(("*", "?", "a", "B", "[ab]", "[!A]", "[a-c]")), max_size=5).map("".join), _NAMES
)
def test_case_is_folded_as_fnmatch_folds_it(pattern: str, name: str) -> None:
    """Without case a pattern fits where the C library says so with FNM_CASEFOLD."""
    assert bool(compile_glob(pattern, ignore_case=True).fullmatch(name)) == _fnmatch(pattern, name, _CASEFOLD)


def test_stars_do_not_multiply() -> None:
    """A pattern of many stars is decided at once also where it does not fit."""
    assert not compile_glob("*a" * 60 + "*b").fullmatch("a" * 4000)
    assert compile_glob("*a" * 60 + "*b").fullmatch("a" * 4000 + "b")


@pytest.mark.parametrize(
    ("pattern", "name"), [("?", "\udcff"), ("☃*", "☃x"), ("[à-ü]", "é"), ("*\udcfe", "\udcff\udcfe")]
)
def test_names_are_text(pattern: str, name: str) -> None:
    """A character beyond ASCII is one, and so is a byte that is no UTF-8."""
    assert compile_glob(pattern).fullmatch(name)
