"""Go's RFC 3339 times as integer nanoseconds since the epoch, whatever the year and offset.

Source: Go `time` package (RFC3339Nano); moby writes every time this way.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

from layerfs.formats.errors import FormatError

__all__ = ["format_time", "parse_time"]

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))"
)
_EPOCH = dt.date(1970, 1, 1).toordinal()
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146097  # the Gregorian calendar repeats after these
_ZERO_TIME = (dt.date(1, 1, 1).toordinal() - _EPOCH) * 86400 * 10**9


@functools.lru_cache(1 << 10)  # the steps of a build often have the same time
def parse_time(text: str) -> int | None:
    """Nanoseconds since the epoch; None for Go's zero time, which stands for "never".

    Raises:
        FormatError: no RFC 3339 time.
    """
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise FormatError("not a time", expected="RFC 3339", found=ascii(text[:60]))
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    try:
        days = dt.date(year, month, day).toordinal() - _EPOCH
    except ValueError as error:
        raise FormatError("not a time", expected="RFC 3339", found=ascii(text[:60])) from error
    if hour > 23 or minute > 59 or second > 59:
        raise FormatError("not a time", expected="RFC 3339", found=ascii(text[:60]))
    offset = int(match[9] or 0) * 3600 + int(match[10] or 0) * 60
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    seconds -= -offset if match[8] == "-" else offset
    nanoseconds = seconds * 10**9 + int((match[7] or "")[:9].ljust(9, "0"))
    return None if nanoseconds == _ZERO_TIME else nanoseconds


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC, with as many digits of the fraction as needed.

    A file system's times have 64 bits: a year may have more than four digits, or a sign, as in date(1).
    """
    seconds, fraction = divmod(nanoseconds, 10**9)
    days, rest = divmod(seconds, 86400)
    cycles, day = divmod(days + _EPOCH - 1, _CYCLE_DAYS)
    date = dt.date.fromordinal(day + 1)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    digits = f".{fraction:09}".rstrip("0") if fraction else ""
    year = date.year + cycles * _CYCLE_YEARS
    return f"{year:04}-{date.month:02}-{date.day:02}T{clock}{digits}Z"
