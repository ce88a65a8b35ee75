"""Sizes, ages and times in Docker's words.

Sources: docker/go-units `size.go`, `duration.go`;
docker/cli `cli/command/formatter/displayutils.go`; Go `time` (RFC3339Nano, Time.String, Duration).
"""

from __future__ import annotations

import time
import unicodedata

__all__ = [
    "ZERO_TIME_NS",
    "age",
    "clock",
    "ellipsis",
    "human_duration",
    "human_size",
    "local_clock",
    "local_offset",
    "local_rfc3339",
    "local_time",
    "middle_ellipsis",
    "plural",
    "rfc3339",
    "short_id",
    "text_width",
]

ZERO_TIME_NS = -62135596800 * 10**9
"""Go's zero time, the start of the year 1: what Docker counts from where a time is missing."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NANO = 10**9
_LONGEST = 2**63 / _NANO
"""Seconds in Go's longest Duration, where its subtraction of times ends."""


def human_size(size: int, digits: int = 3) -> str:
    """Bytes in decimal units with so many significant digits, as go-units writes them."""
    value, unit = float(size), 0
    while value >= 1000.0 and unit < len(_UNITS) - 1:
        value /= 1000.0
        unit += 1
    return f"{value:.{digits}g}{_UNITS[unit]}"  # Go's %g with a precision is C's: 999999 is 1e+03kB


def human_duration(seconds: float) -> str:
    """A span in words: `About an hour`, `3 weeks`."""
    seconds = min(seconds, _LONGEST)
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / _HOUR) // 24 // 365} years"


def age(then_ns: int | None, now_ns: int | None = None) -> str:
    """How long ago, as in Docker's CREATED column; `N/A` if that is not known."""
    if then_ns is None:
        return "N/A"
    # Docker's own clocks here count whole seconds: the engine gives them so
    passed = ((time.time_ns() if now_ns is None else now_ns) - then_ns // _NANO * _NANO) / _NANO
    return f"{human_duration(passed)} ago"


def clock(then_ns: int | None) -> str:
    """Docker's CreatedAt: `2006-01-02 15:04:05 -0700 MST` in the local zone, whole seconds."""
    if then_ns is None:
        return ""
    local = local_time(then_ns)
    return f"{local_clock(local)} {local_offset(local)} {local.tm_zone}" if local else rfc3339(then_ns) or ""


def local_rfc3339(then_ns: int) -> str:
    """RFC 3339 in the local zone, whole seconds: `2006-01-02T15:04:05+07:00`."""
    local = local_time(then_ns)
    if local is None:
        return rfc3339(then_ns // _NANO * _NANO) or ""
    zone = local_offset(local, ":") if local.tm_gmtoff else "Z"
    return local_clock(local, "T") + zone


def local_time(then_ns: int) -> time.struct_time | None:
    """The local time, or None for one whose year has too many digits for the C library."""
    try:
        return time.localtime(then_ns // _NANO)
    except (OverflowError, OSError, ValueError):
        return None


def local_clock(local: time.struct_time, between: str = " ") -> str:
    """`2006-01-02 15:04:05` of any year: strftime neither pads those before 1000 nor takes all others."""
    date = f"{local.tm_year:04}-{local.tm_mon:02}-{local.tm_mday:02}"
    return f"{date}{between}{local.tm_hour:02}:{local.tm_min:02}:{local.tm_sec:02}"


def local_offset(local: time.struct_time, colon: str = "") -> str:
    """The offset of the zone from UTC: `+0700`."""
    seconds = local.tm_gmtoff or 0
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02}{colon}{minutes % 60:02}"


def rfc3339(then_ns: int | None) -> str | None:
    """RFC 3339 in UTC with as much of the fraction as there is; None for unknown."""
    from layerfs.formats.gotime import format_time

    return None if then_ns is None else format_time(then_ns)


def ellipsis(text: str, width: int) -> str:
    """`text` in at most `width` columns, the last an ellipsis where something was cut."""
    if text_width(text) <= width:
        return text
    return text[: _fitting(text, width - 1)] + "…" if width > 0 else ""


def middle_ellipsis(text: str, width: int) -> str:
    """`text` in at most `width` columns, with an ellipsis in place of its middle where something was cut."""
    if text_width(text) <= width:
        return text
    head = text[: _fitting(text, width // 3)]
    tail = _fitting(text[::-1], width - width // 3 - 1)
    return f"{head}…{text[len(text) - tail :]}" if width > 0 else ""


def text_width(text: str) -> int:
    """The columns of a text on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _fitting(text: str, width: int) -> int:
    """How many of the first characters take at most `width` columns."""
    taken = 0
    for kept, char in enumerate(text):
        taken += _columns(char)
        if taken > width:
            return kept
    return len(text)


def _columns(char: str) -> int:
    """The columns a character takes on a terminal: two for East Asian wide and full-width ones."""
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def plural(count: int, noun: str) -> str:
    """`1 byte`, `2 bytes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def short_id(text: str) -> str:
    """The first 12 characters of an ID, without its algorithm, as Docker's tables show it."""
    return text.partition(":")[2][:12] if ":" in text else text[:12]
