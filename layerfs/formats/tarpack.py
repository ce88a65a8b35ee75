"""Makes tar headers, byte for byte as Go's `archive/tar` writes them for the engine.

Values that do not fit into a USTAR header are PAX records. A tar of the same entries in the same order is the
one that the engine would make, and has the same digest.

Sources: Go `archive/tar` (`writer.go`, `strconv.go`, `common.go`: allowedFormats).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.tarheader import BLOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.formats.tarheader import Header

__all__ = ["END", "pack", "padding"]

END = bytes(2 * BLOCK)
"""The end of an archive."""

_NAME, _PREFIX = 100, 155
_NANOSECONDS = 1_000_000_000
_NOT_ASCII = bytes([0, *range(0x80, 0x100)])


def pack(header: Header) -> bytes:
    """The bytes before a member's content: its PAX records, if it needs any, and its header.

    `mode` is written as it is, type bits included. `sparse` is ignored: the content is written in full.

    Raises:
        ValueError: a device number that no format has room for.
    """
    records = _records(header)
    prefix, name = _split(header.name)
    only_name = not records.keys() - {b"path"}
    if only_name and (not records or prefix):
        return _block(header, name, prefix)
    return _extended(header.name, records) + _block(header, _ascii(header.name), b"", _ascii(header.linkname))


def padding(size: int) -> bytes:
    """The zeros between a content of `size` bytes and the next header."""
    return bytes(-size % BLOCK)


def _records(header: Header) -> dict[bytes, bytes]:
    """The values for which the fields of the USTAR header have no room, as PAX records."""
    records = {b"SCHILY.xattr." + name: value for name, value in header.xattrs.items()}
    names = {b"path": header.name, b"linkpath": header.linkname}
    records |= {key: name for key, name in names.items() if len(name) > _NAME or _ascii(name) != name}
    numbers = {b"uid": (header.uid, 8), b"gid": (header.gid, 8), b"size": (header.size, 12)}
    records |= {key: b"%d" % number for key, (number, width) in numbers.items() if not _fits(number, width)}
    seconds, nanoseconds = divmod(header.mtime_ns, _NANOSECONDS)
    if nanoseconds or not _fits(seconds, 12):
        records[b"mtime"] = _time(header.mtime_ns)
    return records


def _time(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), _NANOSECONDS)
    sign = "-" if nanoseconds < 0 else ""
    return f"{sign}{seconds}.{fraction:09d}".rstrip("0").rstrip(".").encode()


def _split(name: bytes) -> tuple[bytes, bytes]:
    """A name as USTAR's prefix and name, split at a slash if it is long; ("", name) if it cannot be split."""
    if len(name) <= _NAME or _ascii(name) != name:
        return b"", name
    length = _PREFIX + 1 if len(name) > _PREFIX + 1 else len(name) - name.endswith(b"/")
    cut = name.rfind(b"/", 0, length)
    rest = len(name) - cut - 1
    if cut <= 0 or not 0 < rest <= _NAME or cut > _PREFIX:
        return b"", name
    return name[:cut], name[cut + 1 :]


def _extended(name: bytes, records: Mapping[bytes, bytes]) -> bytes:
    """The extended header with these records, which precedes the header of `name`."""
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    directory, _, last = name.rpartition(b"/")
    parts = [directory.strip(b"/"), b"PaxHeaders.0", last]
    title = _ascii(b"/".join(part for part in parts if part))[:_NAME].rstrip(b"/")
    fields = [_text(title, _NAME), *(_octal(0, 8),) * 3, _octal(len(data), 12), _octal(0, 12)]
    return _summed(b"".join(fields), b"x", bytes(_NAME), bytes(16), b"") + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value` and a newline; the length counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d" % length + rest


def _block(header: Header, name: bytes, prefix: bytes, link: bytes | None = None) -> bytes:
    """The USTAR header; a field whose value is in the PAX records is cut, or zero."""
    major, minor = header.device
    if not (_fits(major, 8) and _fits(minor, 8)):
        raise ValueError(f"no tar format has room for the device {major}:{minor}")
    fields = [
        _text(name, _NAME),
        *(_octal(number, 8) for number in (header.mode, header.uid, header.gid)),
        *(_octal(number, 12) for number in (header.size, header.mtime_ns // _NANOSECONDS)),
    ]
    target = _text(header.linkname if link is None else link, _NAME)
    return _summed(b"".join(fields), header.type, target, _octal(major, 8) + _octal(minor, 8), prefix)


def _summed(fields: bytes, kind: bytes, target: bytes, device: bytes, prefix: bytes) -> bytes:
    """The header from its fields, with the checksum; names of user and group are empty."""
    rest = kind + target + b"ustar\x0000" + bytes(64) + device + prefix
    total = sum(fields) + sum(rest) + 8 * ord(" ")
    return (fields + b"%06o\0 " % total + rest).ljust(BLOCK, b"\0")


def _text(text: bytes, width: int) -> bytes:
    if len(text) > width and text[width - 1 : width] == b"/":
        return text[:width].rstrip(b"/").ljust(width, b"\0")  # a slash at the end would mean a directory
    return text[:width].ljust(width, b"\0")


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number if _fits(number, width) else 0)


def _fits(number: int, width: int) -> bool:
    return 0 <= number < 1 << 3 * (width - 1)


def _ascii(text: bytes) -> bytes:
    return text.translate(None, _NOT_ASCII)
