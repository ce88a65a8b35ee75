"""The tests of find(1): each function turns the text of an option into a predicate over an entry.

They mean the same as in GNU find: sizes are rounded up to their unit, patterns match a leading dot, a list of
types matches any of them. All raise `FormatError` for a text they do not understand.

Source: GNU findutils 4.9 `find/parser.c`, `find/pred.c`; gnulib `lib/modechange.c`.
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.formats.errors import FormatError
from layerfs.formats.glob import compile_glob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.tree.node import FileStat

__all__ = [
    "Candidate",
    "Predicate",
    "any_of_types",
    "at_least_down",
    "at_most_down",
    "days_old",
    "empty",
    "every",
    "group_is",
    "is_named",
    "is_newer",
    "lies_at",
    "minutes_old",
    "path_matches",
    "permits",
    "takes",
    "user_is",
]


class Candidate(NamedTuple):
    """An entry to test.

    Attributes:
        path: its absolute path; as in find(1), it begins with the start path as that was typed.
        stat: its attributes.
        has_entries: for a directory, whether there is anything in it.
        depth: levels below the start path.
    """

    path: bytes
    stat: FileStat
    has_entries: Callable[[], bool]
    depth: int


Predicate: TypeAlias = "Callable[[Candidate], bool]"

_TYPES = {
    "f": stat.S_IFREG,
    "d": stat.S_IFDIR,
    "l": stat.S_IFLNK,
    "c": stat.S_IFCHR,
    "b": stat.S_IFBLK,
    "p": stat.S_IFIFO,
    "s": stat.S_IFSOCK,
}
_UNITS = {"": 512, "b": 512, "c": 1, "w": 2, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_NUMBER = re.compile(r"([+-]?)([0-9]{1,19})")
_AGE = re.compile(r"([+-]?)([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})")
_NANO = 10**9
_MINUTE = 60 * _NANO
_DAY = 24 * 60 * _MINUTE
_SIZE = re.compile(r"([+-]?)([0-9]{1,19})([bcwkMG]?)")

_MODE_BITS = 0o7777
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": _MODE_BITS}
_WHAT = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_OCTAL = re.compile(r"[0-7]{1,5}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)")


def every(predicates: Iterable[Predicate]) -> Predicate:
    """A predicate that is true if all are; with no predicates it is always true."""
    wanted = tuple(predicates)
    return lambda found: all(predicate(found) for predicate in wanted)


# -- names ---------------------------------------------------------------------------------------


def is_named(pattern: str, *, ignore_case: bool = False) -> Predicate:
    """`-name`, `-iname`: the last component fits a shell pattern; that of the root is `/`."""
    fits = compile_glob(pattern, ignore_case=ignore_case).fullmatch
    return lambda found: fits(_text(found.path.rstrip(b"/").rpartition(b"/")[2] or b"/")) is not None


def lies_at(pattern: str, *, ignore_case: bool = False) -> Predicate:
    """`-path`, `-ipath`: the whole path fits a shell pattern, in which a slash is nothing special."""
    fits = compile_glob(pattern, ignore_case=ignore_case).fullmatch
    return lambda found: fits(_text(found.path)) is not None


def path_matches(pattern: str, *, ignore_case: bool = False) -> Predicate:
    """`-regex`, `-iregex`: the whole path matches a regular expression in Python's syntax."""
    try:
        fits = re.compile(pattern, re.DOTALL | (re.IGNORECASE if ignore_case else 0)).fullmatch
    except (re.error, RecursionError, OverflowError) as error:
        raise FormatError(f"no regular expression: {error}", found=pattern) from error
    return lambda found: fits(_text(found.path)) is not None


def at_most_down(depth: int) -> Predicate:
    """`-maxdepth`: no more than so many levels below the start path, which is at 0."""
    return lambda found: found.depth <= depth


def at_least_down(depth: int) -> Predicate:
    """`-mindepth`: at least so many levels below the start path."""
    return lambda found: found.depth >= depth


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


# -- attributes ----------------------------------------------------------------------------------


def any_of_types(letters: str) -> Predicate:
    """`-type`: letters separated by commas."""
    kinds = set()
    for letter in letters.split(","):
        if letter not in _TYPES:
            raise FormatError("no list of types", expected=f"some of {', '.join(_TYPES)}", found=letters)
        kinds.add(_TYPES[letter])
    return lambda found: found.stat.kind in kinds


def takes(size: str) -> Predicate:
    """`-size`: `[+-]N` units, rounded up: `b` 512 bytes (the default), `c` one, `w` two, `k`, `M` or `G`."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise FormatError("no size", expected="[+-]N and one of b c w k M G", found=size)
    compare = _comparison(match[1], int(match[2]))
    unit = _UNITS[match[3]]
    return lambda found: compare(-(-found.stat.size // unit))


def is_newer(than_ns: int) -> Predicate:
    """`-newer`, `-newermt`: modified after a time, in ns since the epoch."""
    return lambda found: found.stat.mtime_ns > than_ns


def days_old(days: str, *, now_ns: int) -> Predicate:
    """`-mtime`: modified so many whole days before now; `+N` more, `-N` less; N may have a fraction."""
    sign, age = _age(days, _DAY)
    # findutils adds a second for `-N` (parse_time, DAYSECS - 1)
    return _modified(sign, now_ns - age - (_NANO if sign == "-" else _DAY), _DAY)


def minutes_old(minutes: str, *, now_ns: int) -> Predicate:
    """`-mmin`: modified within the Nth minute before now; `+N` before that, `-N` after it."""
    sign, age = _age(minutes, _MINUTE)
    return _modified(sign, now_ns - age, _MINUTE)


def _age(text: str, unit: int) -> tuple[str, int]:
    match = _AGE.fullmatch(text)
    if not match:
        raise FormatError("no number", expected="[+-]N", found=text)
    from fractions import Fraction  # noqa: PLC0415 - with decimal: too large to load for who asks no age

    return match[1], int(Fraction(match[2].rstrip(".")) * unit)


def _modified(sign: str, then_ns: int, window: int) -> Predicate:
    """Modified before (`+`) or after (`-`) a time, else within `window` ns after it."""
    if sign == "+":
        return lambda found: found.stat.mtime_ns < then_ns
    if sign == "-":
        return lambda found: found.stat.mtime_ns > then_ns
    return lambda found: then_ns < found.stat.mtime_ns <= then_ns + window


def user_is(number: str) -> Predicate:
    """`-uid`: the owner's number, or `+N` more, `-N` less than it."""
    compare = _numbered(number)
    return lambda found: compare(found.stat.uid)


def group_is(number: str) -> Predicate:
    """`-gid`: the group's number, or `+N` more, `-N` less than it."""
    compare = _numbered(number)
    return lambda found: compare(found.stat.gid)


def _numbered(number: str) -> Callable[[int], bool]:
    match = _NUMBER.fullmatch(number)
    if not match:
        raise FormatError("no number", expected="[+-]N", found=number)
    return _comparison(match[1], int(match[2]))


def _comparison(sign: str, limit: int) -> Callable[[int], bool]:
    if sign == "+":
        return lambda value: value > limit
    if sign == "-":
        return lambda value: value < limit
    return lambda value: value == limit


def empty(found: Candidate) -> bool:
    """`-empty`: a regular file of no bytes, or a directory with nothing in it."""
    if found.stat.is_dir:
        return not found.has_entries()
    return found.stat.is_file and found.stat.size == 0


# -- permissions ---------------------------------------------------------------------------------


def permits(mode: str) -> Predicate:
    """`-perm`: exactly a mode, `-MODE` all of its bits, `/MODE` any of them; octal or symbolic.

    A mode of 0 with a sign is always true.
    """
    sign = mode[:1] if mode[:1] in ("-", "/") else ""
    of_file, of_directory = _modes(mode.removeprefix(sign), mode)

    def test(found: Candidate) -> bool:
        wanted = of_directory if found.stat.is_dir else of_file
        given = found.stat.mode & _MODE_BITS
        if sign == "-":
            return given & wanted == wanted
        if sign == "/":
            return not wanted or bool(given & wanted)
        return given == wanted

    return test


def _modes(text: str, whole: str) -> tuple[int, int]:
    """The mode for a file, and the one for a directory, which differ with `X`."""
    if _OCTAL.fullmatch(text) and int(text, 8) <= _MODE_BITS:
        return int(text, 8), int(text, 8)
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if None in clauses:
        raise FormatError("no mode", expected="octal, or such as u+s,g=w, perhaps after - or /", found=whole)
    modes = [0, 0]
    for clause in filter(None, clauses):
        for sign, what in _ACTION.findall(clause[2]):
            modes = [
                _changed(mode, clause[1], sign, what, is_dir=bool(index)) for index, mode in enumerate(modes)
            ]
    return modes[0], modes[1]


def _changed(mode: int, who: str, sign: str, what: str, *, is_dir: bool) -> int:
    """The mode after a chmod(1) with a umask of 0."""
    affected = 0
    for letter in who or "a":
        affected |= _WHO[letter]
    bits = 0
    for letter in what:
        if letter in "ugo":
            bits |= 0o111 * (mode >> {"u": 6, "g": 3, "o": 0}[letter] & 7)
        elif letter == "X":
            bits |= 0o111 if is_dir or mode & 0o111 else 0
        else:
            bits |= _WHAT[letter]
    bits &= affected
    if sign == "=":
        return mode & ~affected | bits
    return mode | bits if sign == "+" else mode & ~bits
