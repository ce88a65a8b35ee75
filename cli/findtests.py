"""The tests of `layerfs find` as options: with one dash, as find(1) has them, or with two.

A test may be given several times, and all of them must hold; so there are no operators.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from .filters import point_in_time
from .subjects import tree_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layerfs.analysis.tree.predicates import Predicate
    from layerfs.tree.union import UnionTree

__all__ = ["Wanted", "dashed", "test_options", "wanted"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_TIMES = "a date, a time such as 2024-05-01T12:00Z or @SECONDS, or a duration before now such as 24h"
_ANY_CASE = "The same, ignoring case."


class Wanted(NamedTuple):
    """The entries to find.

    Attributes:
        test: the test of the entry itself.
        live: whether to find visible entries.
        deleted: whether to find hidden entries.
        depth: levels below a start path; None is all.
        digests: the content must have one of these; empty for any content.
        starts: the start paths; empty for the root.
    """

    test: Predicate
    live: bool
    deleted: bool
    depth: int | None
    digests: frozenset[str]
    starts: tuple[bytes, ...]


def dashed(name: str, variable: str, **settings: Any) -> Callable[[_Function], _Function]:
    """An option with one dash or two; with a value it may be repeated."""
    several = {"multiple": True} if not settings.get("is_flag") and settings.get("multiple", True) else {}
    return click.option(f"-{name}", f"--{name}", variable, **{**settings, **several})


def _test(name: str, maker: str, metavar: str, text: str, *, clock: bool = False, **settings: bool) -> Any:
    """An option whose values a function of `analysis.tree.predicates` makes into predicates.

    With `clock` that function gets the present time.
    """

    def parse(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[Predicate]:
        settings_now = settings | {"now_ns": time.time_ns()} if clock else settings
        return [_predicate(maker, value, parameter, **settings_now) for value in values]

    return dashed(name, f"test_{name}", callback=parse, metavar=metavar, help=text)


def _predicate(maker: str, value: str, parameter: click.Parameter | None, **settings: Any) -> Predicate:
    from layerfs.analysis.tree import predicates
    from layerfs.formats.errors import FormatError

    if "\0" in value:
        raise click.BadParameter(f"{value!r}: no name has a NUL in it", param=parameter)
    try:
        made: Predicate = getattr(predicates, maker)(value, **settings)
    except FormatError as error:
        expected = f"; expected {error.expected}" if error.expected else ""
        raise click.BadParameter(f"{value!r}: {error.problem}{expected}", param=parameter) from error
    return made


def _digests(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> frozenset[str]:
    """64 hexadecimal digits each, perhaps after `sha256:`; in lower case."""
    from layerfs.ids import Digest, InvalidID

    try:
        return frozenset(Digest.from_hex(value.lower().removeprefix("sha256:")).hex for value in values)
    except InvalidID as error:
        raise click.BadParameter("a sha256 has 64 hexadecimal digits", param=parameter) from error


_OPTIONS = (
    _test("name", "is_named", "GLOB", "Its name fits a shell pattern."),
    _test("iname", "is_named", "GLOB", _ANY_CASE, ignore_case=True),
    _test("path", "lies_at", "GLOB", "Its whole path fits; `*` also matches slashes."),
    _test("ipath", "lies_at", "GLOB", _ANY_CASE, ignore_case=True),
    _test("regex", "path_matches", "REGEX", "Its whole path matches; the syntax is Python's."),
    _test("iregex", "path_matches", "REGEX", _ANY_CASE, ignore_case=True),
    _test("type", "any_of_types", "T[,T...]", "One of the types f, d, l, c, b, p, s."),
    _test("size", "takes", "[+-]N[bcwkMG]", "N units of 512 bytes, or of bytes (c), k, M, G: rounded up."),
    _test("perm", "permits", "[-/]MODE", "This mode; all bits of -MODE; any of /MODE. Octal or symbolic."),
    _test("uid", "user_is", "[+-]N", "The number of its owner."),
    _test("gid", "group_is", "[+-]N", "The number of its group."),
    dashed("user", "users", metavar="NAME|N", help="Its owner, by the tree's own /etc/passwd."),
    dashed("group", "groups", metavar="NAME|N", help="Its group, by the tree's own /etc/group."),
    dashed("newer", "newer", metavar="FILE|TIME", help="Modified after a file of the tree, or after a time."),
    dashed("newermt", "newermt", metavar="TIME", help="Modified after a time."),
    _test("mtime", "days_old", "[+-]N", "Modified N whole days ago, more (+N) or less (-N).", clock=True),
    _test("mmin", "minutes_old", "[+-]N", "The same in minutes, rounded up.", clock=True),
    dashed("empty", "empty", is_flag=True, help="A file of no bytes, or a directory with nothing in it."),
    dashed(
        "sha256",
        "digests",
        callback=_digests,
        metavar="HEX",
        help="Its content has this digest; if given twice, one of them.",
    ),
    dashed(
        "maxdepth",
        "depth",
        type=click.IntRange(0),
        multiple=False,
        metavar="N",
        help="No more than N levels below a start path.",
    ),
    dashed(
        "mindepth",
        "mindepth",
        type=click.IntRange(0),
        multiple=False,
        metavar="N",
        help="At least N levels below a start path.",
    ),
    dashed("live", "live", is_flag=True, help="What the tree shows; the default without --all."),
    dashed("deleted", "deleted", is_flag=True, help="What a later layer hides; with -live both are shown."),
)


def test_options(function: _Function) -> _Function:
    """Add them all."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


def wanted(
    options: Mapping[str, Any], pattern: str | None, tree: UnionTree | None, starts: Iterable[str]
) -> Wanted:
    """The entries to find below `starts`; `tree` is the tree that is searched, None for all layers.

    Raises:
        click.UsageError: a value is invalid, or cannot be used for all layers. LookupFailed: a user or group
        is not known in the tree. TreeError: a file to compare with cannot be found.
    """
    from layerfs.analysis.tree import predicates

    tests: list[Predicate] = [] if pattern is None else [_bare(pattern)]
    tests += [test for name in options if name.startswith("test_") for test in options[name]]
    tests += [predicates.user_is(_number(tree, b"/etc/passwd", name, "-user")) for name in options["users"]]
    tests += [predicates.group_is(_number(tree, b"/etc/group", name, "-group")) for name in options["groups"]]
    tests += [predicates.is_newer(_moment(text, "-newermt")) for text in options["newermt"]]
    tests += [predicates.is_newer(_reference(tree, text)) for text in options["newer"]]
    tests += [predicates.empty] if options["empty"] else []
    tests += [predicates.any_of_types("f")] if options["digests"] else []
    tests += [predicates.at_most_down(options["depth"])] if options["depth"] is not None else []
    tests += [predicates.at_least_down(options["mindepth"])] if options["mindepth"] else []
    if any("\0" in path for path in starts):
        raise click.UsageError("no path has a NUL in it")
    return Wanted(
        predicates.every(tests),
        options["live"],
        options["deleted"],
        options["depth"],
        options["digests"],
        tuple(map(tree_path, starts)),
    )


def _bare(pattern: str) -> Predicate:
    """The test of a pattern without an option: for the name, or for the path if it has a slash."""
    if "/" not in pattern:
        return _predicate("is_named", pattern, None)
    return _predicate("lies_at", pattern if pattern.startswith(("/", "*")) else f"/{pattern}", None)


def _number(tree: UnionTree | None, database: bytes, name: str, option: str) -> str:
    """The ID of a user or group; a name needs a tree, as it may have another ID in another image."""
    from layerfs.analysis.tree.find import number_of

    if tree is not None:
        return number_of(tree, database, name)
    if not (name.isascii() and name.isdigit()):
        message = f"{name!r}: with --all give a number, as each image has names of its own"
        raise click.BadParameter(message, param_hint=option)
    return name


def _time(text: str) -> int | None:
    return point_in_time(text.removeprefix("@").replace(" ", "T", 1), time.time_ns())


def _moment(text: str, option: str) -> int:
    when = _time(text)
    if when is None:
        raise click.BadParameter(f"{text!r}: expected {_TIMES}", param_hint=option)
    return when


def _reference(tree: UnionTree | None, text: str) -> int:
    """The time of modification of a file in the tree (of a link itself), or the time that a text means."""
    when = None if text.startswith("/") and tree is not None else _time(text)
    if when is not None:
        return when
    if tree is None or "\0" in text:
        raise click.BadParameter(f"{text!r}: here expected {_TIMES}", param_hint="-newer")
    return tree.resolve(tree_path(text), follow=False).stat.mtime_ns
