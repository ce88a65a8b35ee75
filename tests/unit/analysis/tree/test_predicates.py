"""The tests of find(1), each beside what its manual says of the entry."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.tree import predicates
from layerfs.analysis.tree.predicates import Candidate, permits, takes
from layerfs.formats.errors import FormatError
from layerfs.tree.node import FileStat

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.tree.predicates import Predicate

NOW = 1_700_000_000 * 10**9
MINUTE, DAY = 60 * 10**9, 86400 * 10**9
FILE, DIRECTORY = stat.S_IFREG, stat.S_IFDIR


def _entry(
    path: bytes = b"/a",
    *,
    mode: int = FILE | 0o644,
    size: int = 0,
    mtime_ns: int = NOW,
    uid: int = 0,
    gid: int = 0,
    filled: bool = False,
    depth: int = 1,
) -> Candidate:
    found = FileStat(mode, 1, uid, gid, 0, size, 0, 0, 0, 0, mtime_ns, 0)
    return Candidate(path, found, lambda: filled, depth)


@pytest.mark.parametrize(
    ("predicate", "path", "expected"),
    [
        (predicates.is_named("a*"), b"/b/abc", True),
        (predicates.is_named("a*"), b"/abc/b", False),
        (predicates.is_named("*"), b"/.hidden", True),
        (predicates.is_named("A?C"), b"/abc", False),
        (predicates.is_named("A?C", ignore_case=True), b"/abc", True),
        (predicates.is_named("/"), b"/", True),
        (predicates.is_named("l"), b"/l/", True),
        (predicates.is_named("[!a]"), b"/b", True),
        (predicates.is_named("\udcff"), b"/\xff", True),
        (predicates.lies_at("/a*c"), b"/a/b/c", True),
        (predicates.lies_at("a*c"), b"/a/b/c", False),
        (predicates.lies_at("/A/*", ignore_case=True), b"/a/b", True),
        (predicates.path_matches("/a"), b"/ab", False),
        (predicates.path_matches("/a.*"), b"/a\nb", True),
        (predicates.path_matches("/A", ignore_case=True), b"/a", True),
        (predicates.every([predicates.is_named("a"), predicates.is_named("b")]), b"/a", False),
        (predicates.every([]), b"/a", True),
    ],
)
def test_names(predicate: Predicate, path: bytes, *, expected: bool) -> None:
    """Patterns fit the last component or the whole path, as written or in either case."""
    assert predicate(_entry(path)) is expected


@pytest.mark.parametrize(
    ("size", "length", "expected"),
    [
        ("1", 1, True), ("1", 512, True), ("1", 513, False), ("0", 0, True), ("-1", 0, True),
        ("-1", 1, False), ("+1", 512, False), ("+1", 513, True), ("3c", 3, True), ("2w", 3, True),
        ("1b", 512, True), ("1k", 1025, False), ("2k", 1025, True), ("-1M", 1, False), ("1M", 1, True),
        ("1G", 1 << 30, True),
    ],
)  # fmt: skip
def test_sizes_are_rounded_up_to_their_unit(size: str, length: int, *, expected: bool) -> None:
    """`-size -1M` is empty files alone, as the manual warns."""
    assert takes(size)(_entry(size=length)) is expected


@pytest.mark.parametrize(
    ("days", "age", "expected"),
    [
        ("0", 0, True), ("0", DAY - 1, True), ("0", DAY, False), ("1", DAY, True), ("1", 2 * DAY - 1, True),
        ("+1", 2 * DAY - 1, False), ("+1", 2 * DAY + 1, True), ("-1", DAY - 1, True), ("-1", 2 * DAY, False),
        (".5", DAY // 2, True), ("1.5", DAY, False),
    ],
)  # fmt: skip
def test_days(days: str, age: int, *, expected: bool) -> None:
    """Ages are whole days, the fraction dropped."""
    assert predicates.days_old(days, now_ns=NOW)(_entry(mtime_ns=NOW - age)) is expected


@pytest.mark.parametrize(
    ("minutes", "age", "expected"),
    [
        ("1", 0, True), ("1", MINUTE - 1, True), ("1", MINUTE, False), ("+1", MINUTE, False),
        ("+1", MINUTE + 1, True), ("-1", MINUTE - 1, True), ("-1", MINUTE, False), ("2", MINUTE, True),
    ],
)  # fmt: skip
def test_minutes(minutes: str, age: int, *, expected: bool) -> None:
    """The Nth minute before now, longer ago than it, or after it began."""
    assert predicates.minutes_old(minutes, now_ns=NOW)(_entry(mtime_ns=NOW - age)) is expected


@pytest.mark.parametrize(
    ("mode", "bits", "expected"),
    [
        ("644", FILE | 0o644, True),
        ("644", FILE | 0o4644, False),
        ("0644", FILE | 0o644, True),
        ("-644", FILE | 0o755, True),
        ("-022", FILE | 0o020, False),
        ("/022", FILE | 0o020, True),
        ("/022", FILE | 0o755, False),
        ("/0", FILE, True),
        ("-0", FILE, True),
        ("u=rw,g=r,o=r", FILE | 0o644, True),
        ("-u+s", FILE | 0o4755, True),
        ("/u+s,g+s", FILE | 0o2755, True),
        ("-a+x", FILE | 0o111, True),
        ("-o+t", DIRECTORY | 0o1777, True),
        ("u=rwx,go=u-w", FILE | 0o755, True),
        ("a=rwx,o-x", FILE | 0o776, True),
        ("-u+X", FILE | 0o644, True),
        ("-u+X", DIRECTORY | 0o644, False),
        ("u=x,o+X", FILE | 0o101, True),
    ],
)
def test_permissions(mode: str, bits: int, *, expected: bool) -> None:
    """Exactly, all of, or any of the bits; symbolic modes are what chmod(1) makes of none."""
    assert permits(mode)(_entry(mode=bits)) is expected


def test_types_owners_depths_and_times() -> None:
    """The simple ones: a list of types is any of them, numbers may be less or more."""
    kinds = {letter: getattr(stat, f"S_IF{name}") for letter, name in zip("fdlcbps", _KINDS, strict=True)}
    for letter, kind in kinds.items():
        fits = predicates.any_of_types(letter)
        assert [other for other in kinds.values() if fits(_entry(mode=other))] == [kind]
    assert predicates.any_of_types("f,d")(_entry(mode=DIRECTORY))
    owners = [
        predicates.user_is(number)(_entry(uid=5, gid=1)) for number in ("5", "+4", "-6", "+5", "-5", "1")
    ]
    assert owners == [True, True, True, False, False, False]
    groups = [predicates.group_is(number)(_entry(uid=5, gid=1)) for number in ("1", "5")]
    assert groups == [True, False]
    depths = [_entry(depth=depth) for depth in range(4)]
    assert [predicates.at_most_down(2)(entry) for entry in depths] == [True, True, True, False]
    assert [predicates.at_least_down(2)(entry) for entry in depths] == [False, False, True, True]
    assert [predicates.is_newer(NOW)(_entry(mtime_ns=NOW + more)) for more in (-1, 0, 1)] == [
        False,
        False,
        True,
    ]


_KINDS = ("REG", "DIR", "LNK", "CHR", "BLK", "IFO", "SOCK")


def test_empty() -> None:
    """Files of no bytes and directories with nothing in them; nothing else is ever empty."""
    assert predicates.empty(_entry())
    assert not predicates.empty(_entry(size=1))
    assert predicates.empty(_entry(mode=DIRECTORY, size=4096))
    assert not predicates.empty(_entry(mode=DIRECTORY, filled=True))
    assert not predicates.empty(_entry(mode=stat.S_IFIFO))


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        (predicates.any_of_types, ["", "x", "f,", "ff", "f d"]),
        (takes, ["", "1x", "k", "1.5k", "--1", "1" * 20]),
        (lambda text: predicates.days_old(text, now_ns=NOW), ["", ".", "1e3", "+", "1,5"]),
        (predicates.user_is, ["", "root", "+-1", "1.0"]),
        (predicates.path_matches, ["(", "*", "a{2,1}"]),
        (permits, ["", "8", "10000", "u", "u+", "x=r", "-", "u=rq", "u+r,"]),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(make: Callable[[str], Predicate], texts: list[str]) -> None:
    """No test is made of a typing error."""
    for text in texts:
        if (make, text) in _UNDERSTOOD:
            continue
        with pytest.raises(FormatError):
            make(text)


_UNDERSTOOD = {(permits, "u+")}
"""chmod(1) takes an action without permissions: it does nothing."""
