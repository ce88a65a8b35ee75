"""The values in containerd's bolt databases: times, integers, protobuf's `Any`, labels.

Sources: containerd `core/metadata/boltutil/helpers.go`, `core/snapshots/storage/bolt.go`; Go
`time.MarshalBinary`, `encoding/binary` (Varint); protobuf `any.proto`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.bolt import Bucket

__all__ = [
    "STRICTLY",
    "Leniently",
    "TypedValue",
    "any_of",
    "as_bytes",
    "as_text",
    "integer_of",
    "texts_of",
    "time_of",
    "unsigned_of",
]

_Value = TypeVar("_Value")

_TIME = struct.Struct(">BqIh")  # version, seconds since year 1, nanoseconds, minutes of the zone
_TIME_SIZES = {1: 15, 2: 16}  # by version; the second ends in seconds of the zone
_YEAR_1 = -62_135_596_800  # in seconds since 1970
_NANO = 10**9
_MOST_DIGITS = 10  # bytes of a varint of 64 bits
_MORE = 0x80  # set in every byte of a varint but the last
_TYPE_URL, _VALUE = 0x0A, 0x12  # fields 1 and 2, of bytes


class TypedValue(NamedTuple):
    """A protobuf `Any`: bytes, and the name of their type."""

    type_url: str
    value: bytes


def as_text(raw: bytes) -> str:
    """A text or key; bytes that are not UTF-8 become surrogates, as `os.fsdecode` makes them."""
    return raw.decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    """The bytes of a text that `as_text` made."""
    return text.encode("utf-8", "surrogateescape")


def time_of(raw: bytes | None) -> int | None:
    """A time in ns since 1970; None where there is none, or Go's zero time; raises `FormatError`."""
    if not raw:
        return None
    if len(raw) != _TIME_SIZES.get(raw[0]):
        raise FormatError("malformed time", found=raw[:20].hex())
    _, seconds, nanoseconds, _ = _TIME.unpack_from(raw)
    if nanoseconds >= _NANO:
        raise FormatError("malformed time", found=raw.hex())
    return (seconds + _YEAR_1) * _NANO + nanoseconds if seconds or nanoseconds else None


def unsigned_of(raw: bytes) -> int:
    """An unsigned varint; raises `FormatError`."""
    if raw and raw[0] < _MORE:
        return raw[0]  # most are so small
    return _varint(raw, 0)[0]


def integer_of(raw: bytes) -> int:
    """A signed varint, as Go zigzags it; raises `FormatError`."""
    found = unsigned_of(raw)
    return (found >> 1) ^ -(found & 1)


def any_of(raw: bytes) -> TypedValue:
    """An `Any`; raises `FormatError`."""
    fields = {_TYPE_URL: b"", _VALUE: b""}
    at = 0
    while at < len(raw):
        tag = raw[at]
        size, start = _varint(raw, at + 1)
        if tag not in fields or start + size > len(raw):
            raise FormatError("malformed protobuf Any", found=raw[at : at + 20].hex())
        fields[tag] = raw[start : start + size]
        at = start + size
    return TypedValue(as_text(fields[_TYPE_URL]), fields[_VALUE])


def texts_of(bucket: Bucket | None) -> dict[str, str]:
    """The texts in a bucket, as labels, by their names; a bucket that is not there is empty."""
    return {as_text(key): as_text(value) for key, value in bucket.contents()[0].items()} if bucket else {}


class Leniently:
    """Reads optional values of a record: a malformed one is reported and becomes None."""

    def __init__(self, told: Callable[[FormatError], None]) -> None:
        """Report malformed values to `told`."""
        self._told = told

    def time(self, raw: bytes | None) -> int | None:
        """See `time_of`."""
        return self._read(time_of, raw) if raw else None

    def integer(self, raw: bytes | None) -> int | None:
        """See `integer_of`; None where there is none."""
        return self._read(integer_of, raw) if raw else None

    def typed(self, raw: bytes | None) -> TypedValue | None:
        """See `any_of`; None where there is none."""
        return self._read(any_of, raw) if raw else None

    def _read(self, parse: Callable[[bytes], _Value], raw: bytes) -> _Value | None:
        try:
            return parse(raw)
        except FormatError as error:
            self._told(error)
            return None


def _refuse(error: FormatError) -> None:
    raise error


STRICTLY = Leniently(_refuse)
"""Raises `FormatError` for a malformed value: for a first look at records, which are many and sound."""


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The unsigned varint at `at`, and where it ends."""
    value = 0
    for number, byte in enumerate(raw[at : at + _MOST_DIGITS]):
        value |= (byte & 0x7F) << (7 * number)
        if byte < _MORE:
            if value >> 64:
                break
            return value, at + number + 1
    raise FormatError("malformed varint", found=raw[at : at + _MOST_DIGITS].hex())
