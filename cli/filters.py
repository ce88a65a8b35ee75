"""`--filter NAME=VALUE`: Docker's filters as the listings of images and containers take them.

Sources: docker/cli `opts/opts.go` (FilterOpt);
moby `api/types/filters/parse.go`, `api/types/time/timestamp.go`; Go `time.ParseDuration`.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click
from click.shell_completion import CompletionItem

from .guesses import did_you_mean
from .subjects import silently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerfs.store import Store

__all__ = ["Filters", "filter_option", "invalid_filter", "labels", "moment", "point_in_time"]

Filters: TypeAlias = dict[str, list[str]]
"""Every value given, by the filter's name."""

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_NANO = 10**9
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": _NANO}
_UNITS |= {"m": 60 * _NANO, "h": 3600 * _NANO}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_PIECE = re.compile(r"(\d{1,20}\.?\d{0,20}|\.\d{1,20})" + f"({_UNIT})")
_DURATION = re.compile(rf"([+-]?)((?:{_PIECE.pattern})+)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d\d:\d\d)?")
_UNIX = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?")


def filter_option(
    *names: str, values: Callable[[Store, str], Iterable[Any]] = lambda _root, _name: ()
) -> Callable[[_Function], _Function]:
    """Add `--filter`, which takes these names; `values` gives what completion offers for a name."""

    def parse(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> Filters:
        return _parse(parameter, values, names)

    def complete(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        name, equals, _ = typed.partition("=")
        if not equals:
            return [CompletionItem(f"{name}=") for name in names if name.startswith(typed)]
        found = silently(context, lambda root: sorted({str(value) for value in values(root, name)}))
        return [CompletionItem(f"{name}={value}") for value in found if f"{name}={value}".startswith(typed)]

    return click.option(
        "-f",
        "--filter",
        "filters",
        multiple=True,
        metavar="NAME=VALUE",
        callback=parse,
        shell_complete=complete,
        help=f"Show only what matches; NAME is one of {', '.join(names)}. Can be repeated.",
    )


def _parse(parameter: click.Parameter, values: Sequence[str], names: Sequence[str]) -> Filters:
    found: Filters = {}
    for given in filter(None, values):
        name, equals, value = given.partition("=")
        name = name.strip().lower()
        if not equals:
            raise click.BadParameter("bad format of filter (expected name=value)", param=parameter)
        if name not in names:
            message = f"invalid filter {name!r}: there are {', '.join(names)}{did_you_mean(name, names)}"
            raise click.BadParameter(message, param=parameter)
        found.setdefault(name, []).append(value.strip())
    return found


def invalid_filter(name: str, value: str, reason: str) -> click.BadParameter:
    """The usage error for a value that a filter does not take."""
    return click.BadParameter(f"invalid filter '{name}={value}': {reason}", param_hint="--filter")


def labels(filters: Filters) -> tuple[tuple[str, str | None], ...]:
    """The labels asked for: `label=NAME` with any value, `label=NAME=VALUE` with that one."""
    parts = [text.partition("=") for text in filters.get("label", ())]
    return tuple((name, value if equals else None) for name, equals, value in parts)


def moment(filters: Filters, name: str, now_ns: int | None = None) -> int | None:
    """The earliest of the times given, in ns since the epoch; None where none is.

    A time is a Go duration before now (`24h`), a date or RFC 3339 time (without a zone the local one),
    or seconds since the epoch.
    """
    now = time.time_ns() if now_ns is None else now_ns
    found = []
    for text in filters.get(name, ()):
        when = point_in_time(text, now)
        if when is None:
            raise invalid_filter(name, text, "expected a duration such as 24h, a date or time, or seconds")
        found.append(when)
    return min(found, default=None)


def point_in_time(text: str, now_ns: int) -> int | None:
    """The time that a text means, in ns since the epoch, by the forms of `moment`; None for any other."""
    for read in (_date, _unix):
        if (when := read(text)) is not None:
            return when
    return _ago(text, now_ns)


def _ago(text: str, now_ns: int) -> int | None:
    """A duration before now, in whole seconds as the engine counts."""
    match = _DURATION.fullmatch(text)
    if not match:
        return None
    pieces = _PIECE.findall(match[2])
    length = sum(int(float(number) * _UNITS[unit]) for number, unit in pieces)
    passed = now_ns + length if match[1] == "-" else now_ns - length
    return passed // _NANO * _NANO


def _date(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    clock = ":".join(group or "00" for group in match.groups()[1:4])
    try:
        seconds = int(dt.datetime.fromisoformat(f"{match[1]}T{clock}{match[6] or ''}").timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * _NANO + int((match[5] or "").ljust(9, "0"))


def _unix(text: str) -> int | None:
    match = _UNIX.fullmatch(text)
    return int(match[1]) * _NANO + int((match[2] or "").ljust(9, "0")) if match else None
