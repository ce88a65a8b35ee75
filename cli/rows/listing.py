"""The text of `ls`: lines in the long format, or names, one in a line or in columns.

Sizes, widths and dates follow GNU coreutils (`src/ls.c`, gnulib `lib/human.c`) in the C locale, with
owners as numbers: what a number is called depends on files that the image may have changed.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from ..units import local_clock, local_offset, local_time
from .entries import Entry, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..colors import EntryColors

__all__ = ["Line", "Style", "clock_full", "clock_short", "lines", "total_line"]

_NANO = 10**9
_HALF_YEAR = 31556952 // 2  # seconds; older or future times show the year instead of the hour
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GAP = 2


class Style(NamedTuple):
    """What a listing shows.

    Attributes:
        long: mode, links, owners, size and time before each name.
        human: sizes in powers of 1024.
        full_time: times to the nanosecond.
        inode: the inode number before each line.
        layers: the number of the layer before each line.
        width: the most characters of a line of columns; None for one name in a line.
        now_ns: the present time, for recent times.
        has_acl: tells whether an entry has an access list.
        colors: the colours of entries, or None.
    """

    long: bool
    human: bool
    full_time: bool
    inode: bool
    layers: bool
    width: int | None
    now_ns: int
    has_acl: Callable[[Entry], bool]
    colors: EntryColors | None = None

    def painted(self, line: Line, name: str) -> str:
        """The name of a line, in its colour."""
        return self.colors.paint(line.entry, name) if self.colors else name


class Line(NamedTuple):
    """An entry, and the name in the list: its own, a path as typed, `.` or `..`."""

    label: bytes
    entry: Entry


def total_line(listed: Sequence[Line], style: Style) -> str:
    """The first line of a directory in the long format: the blocks of its entries."""
    taken = sum(line.entry.node.stat.blocks for line in listed) * 512
    return f"total {_human(taken) if style.human else -(-taken // 1024)}\n"


def lines(listed: Sequence[Line], style: Style, measured: Sequence[Line]) -> Iterator[str]:
    """The lines of a directory, each with its newline, in columns as wide as `measured` needs."""
    prefixes = dict(zip(map(id, measured), _prefixes(measured, style), strict=True))
    names = [escaped(line.label) for line in listed]
    shown = [
        prefixes[id(line)] + style.painted(line, name) + _mark(line)
        for line, name in zip(listed, names, strict=True)
    ]
    if style.long:
        for text, line in zip(shown, listed, strict=True):
            target = line.entry.target
            yield text + (f" -> {escaped(target)}" if target is not None else "") + "\n"
    elif style.width is None:
        yield from (text + "\n" for text in shown)
    else:
        plain = [
            len(prefixes[id(line)]) + len(name) + len(_mark(line))
            for line, name in zip(listed, names, strict=True)
        ]
        yield from _columns(shown, plain, style.width)


def _mark(line: Line) -> str:
    """The marks behind a name, in the tree of a single layer."""
    text = line.entry.mark_text
    return text and f" {text}"


def _prefixes(listed: Sequence[Line], style: Style) -> list[str]:
    """The fields before the names, with equal widths."""
    cells: list[list[str]] = []
    entries = [line.entry for line in listed]
    if style.layers:
        cells.append(_right(["-" if entry.layer is None else str(entry.layer) for entry in entries]))
    if style.inode:
        cells.append(_right([str(entry.subject.tree.inode(entry.node)) for entry in entries]))
    if style.long:
        cells.append(_modes(entries, style))
        cells.append(_right([str(entry.node.nlink) for entry in entries]))
        cells.append(_right([str(entry.node.stat.uid) for entry in entries]))
        cells.append(_right([str(entry.node.stat.gid) for entry in entries]))
        cells.append(_sizes(entries, style))
        show = _clock_long if style.full_time else lambda then: clock_short(then, style.now_ns)
        cells.append([show(entry.node.stat.mtime_ns) for entry in entries])
    return (
        ["".join(cell + " " for cell in row) for row in zip(*cells, strict=True)]
        if cells
        else [""] * len(entries)
    )


def _right(cells: list[str]) -> list[str]:
    width = max(map(len, cells), default=0)
    return [cell.rjust(width) for cell in cells]


def _modes(entries: Sequence[Entry], style: Style) -> list[str]:
    """The mode in letters, with a `+` column where any entry has an access list."""
    marks = ["+" if style.has_acl(entry) else " " for entry in entries]
    if "+" not in marks:
        marks = [""] * len(entries)
    return [stat.filemode(entry.node.stat.mode) + mark for entry, mark in zip(entries, marks, strict=True)]


def _sizes(entries: Sequence[Entry], style: Style) -> list[str]:
    """Sizes, or device numbers with their commas below each other."""
    devices = [entry.node.stat.rdev for entry in entries if entry.is_device]
    minor = max((len(str(os.minor(number))) for number in devices), default=0)

    def cell(entry: Entry) -> str:
        found = entry.node.stat
        if entry.is_device:
            return f"{os.major(found.rdev)}, {os.minor(found.rdev):>{minor}}"
        return _human(found.size) if style.human else str(found.size)

    return _right([cell(entry) for entry in entries])


def _human(size: int) -> str:
    """A size in powers of 1024, rounded up, as `ls -h`."""
    if size < 1024:
        return str(size)
    for power, unit in enumerate("KMGTPE", 1):
        tenths, whole = -(-size * 10 // 1024**power), -(-size // 1024**power)
        if tenths < 100:
            return f"{tenths // 10}.{tenths % 10}{unit}"
        if whole < 1024:
            break
    return f"{whole}{unit}"


def clock_short(then_ns: int, now_ns: int) -> str:
    """A local time as ls(1) shows it: in twelve characters, or more where the year needs them."""
    then = local_time(then_ns)
    if then is None:
        return f"{then_ns // _NANO:12}"
    recent = now_ns - _HALF_YEAR * _NANO < then_ns <= now_ns
    day = f"{_MONTHS[then.tm_mon - 1]} {then.tm_mday:2} "
    return day + (f"{then.tm_hour:02}:{then.tm_min:02}" if recent else f" {then.tm_year:04}")


def clock_full(then_ns: int) -> str:
    """A local time with its nanoseconds and offset, as stat(1) shows it."""
    seconds, nanoseconds = divmod(then_ns, _NANO)
    then = local_time(then_ns)
    if then is None:
        return f"{seconds}.{nanoseconds:09}"
    return f"{local_clock(then)}.{nanoseconds:09} {local_offset(then)}"


def _clock_long(then_ns: int) -> str:
    """The same as `ls --full-time` shows it."""
    return clock_full(then_ns) if local_time(then_ns) else f"{then_ns // _NANO:35}"


def _columns(cells: Sequence[str], lengths: Sequence[int], width: int) -> Iterator[str]:
    """Cells in as few lines as fit, down each column first; `lengths` without what is only colour."""
    if not cells:
        return
    for height in range(1, len(cells) + 1):
        starts = range(0, len(cells), height)
        widths = [max(lengths[start : start + height]) + _GAP for start in starts]
        if sum(widths) - _GAP < width or height == len(cells):
            break
    for row in range(height):
        line = ""
        for start, wide in zip(starts, widths, strict=True):
            if (place := start + row) < min(start + height, len(cells)):
                line += cells[place] + " " * (wide - lengths[place])
        yield line.rstrip(" ") + "\n"
