"""Sizes, ages and times in Docker's words.

Sources: docker/go-units `size.go`, `duration.go`; docker/cli `cli/command/formatter/displayutils.go`;
Go `time` (RFC3339Nano, Time.String).
"""

from __future__ import annotations

import time

__all__ = ["age", "clock", "ellipsis", "human_duration", "human_size", "rfc3339", "short_id"]

ZERO_TIME = "0001-01-01T00:00:00Z"

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NANO = 10**9


def human_size(size: int, digits: int = 3) -> str:
    """Bytes in decimal units with so many significant digits, as go-units writes them."""
    value, unit = float(size), 0
    while value >= 1000.0 and unit < len(_UNITS) - 1:
        value /= 1000.0
        unit += 1
    return f"{_general(value, digits)}{_UNITS[unit]}"


def _general(value: float, digits: int) -> str:
    """Go's %.<digits>g: as C's, but an exponent only from 10**21 on (and never for our range)."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent):+03d}"


def human_duration(seconds: float) -> str:
    """A span in words: `About an hour`, `3 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = int(seconds / _MINUTE)
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
    """How long ago, as Docker's CREATED column; `N/A` where nobody knows."""
    if then_ns is None:
        return "N/A"
    # Docker's own clocks here count whole seconds: the engine gives them so
    passed = ((time.time_ns() if now_ns is None else now_ns) - then_ns // _NANO * _NANO) / _NANO
    return f"{human_duration(passed)} ago"


def clock(then_ns: int | None) -> str:
    """Docker's CreatedAt: `2006-01-02 15:04:05 -0700 MST` in the local zone."""
    if then_ns is None:
        return ""
    try:
        local = time.localtime(then_ns // _NANO)
    except (OverflowError, OSError, ValueError):
        return rfc3339(then_ns) or ""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", local)


def rfc3339(then_ns: int | None) -> str | None:
    """RFC 3339 in UTC with as much of the fraction as there is; None stays None."""
    from layerfs.formats.gotime import format_time

    return None if then_ns is None else format_time(then_ns)


def ellipsis(text: str, width: int) -> str:
    """`text` in at most `width` characters, the last an ellipsis where something was cut."""
    if len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + "…" if width > 0 else ""


def short_id(text: str) -> str:
    """The first 12 characters of an ID, without its algorithm, as Docker's tables show it."""
    return text.partition(":")[2][:12] if ":" in text else text[:12]
