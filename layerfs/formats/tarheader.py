"""Tar headers, read as the engine's own reader reads them: one member's name, type and attributes.

`parse` takes the bytes that lie between the content of one member and that of the next: padding,
extended headers, and the header itself. What the engine ignores is ignored here: global extended
headers change nothing, and types without content have no size.

Sources: POSIX pax(1) "ustar" and "pax" formats; Go `archive/tar` (`reader.go`, `strconv.go`, `format.go`);
moby `pkg/archive/archive.go` (createTarFile: which attributes reach the disk).
"""

from __future__ import annotations

import binascii
import functools
import stat
import struct
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BLOCK", "Header", "is_header", "number", "parse", "parse_block", "parse_with_records", "size_of"]

BLOCK = 512
"""Bytes; everything in a tar is padded to a multiple of it."""

_FORMATS = {
    b"0": stat.S_IFREG,
    b"7": stat.S_IFREG,  # "contiguous": POSIX lets readers treat it as a regular file
    b"S": stat.S_IFREG,  # GNU sparse
    b"2": stat.S_IFLNK,
    b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK,
    b"5": stat.S_IFDIR,
    b"6": stat.S_IFIFO,
}
_LONG_NAMES = {b"path", b"linkpath"}
_LINK, _GLOBAL, _EXTENDED, _LONG_NAME, _LONG_LINK = b"1", b"g", b"x", b"L", b"K"
_BEFORE_A_HEADER = (_EXTENDED, _LONG_NAME, _LONG_LINK)
_WITH_CONTENT = (b"0", b"7", b"S")

_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_SPARSE_MAP = b"GNU.sparse.map"
_SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_TEXTS = (b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name")
_MOST_DIGITS = 20  # with a sign, or the blank behind the length of a record
_MAGIC_POSIX, _MAGIC_GNU = b"ustar\0", b"ustar  \0"
_FIELDS = struct.Struct("100s 24s 12s 12s 8s 1s 100s 6s")
"""Name; mode, uid and gid; size, mtime, checksum, type, link name, magic."""
_NANOSECONDS = 1_000_000_000
_LIMIT = 1 << 63  # numbers are of 64 bits, with a sign
_ADLER_MODULUS = 65521
_NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})
_NO_RECORDS: Mapping[bytes, bytes] = MappingProxyType({})


class Header(NamedTuple):
    """One member of a tar, without its content.

    Attributes:
        name: as in the archive, not cleaned.
        type: the type flag; a regular file of the oldest format is `b"0"`, or `b"5"` if its name ends in `/`.
        mode: permissions with set-ID and sticky bits, without the type.
        uid, gid: numeric owner.
        size: bytes of content; 0 for types that have none.
        mtime_ns: nanoseconds since 1970.
        linkname: the target of a symbolic link, or the member that a hard link repeats.
        device: major and minor number of a device.
        xattrs: extended attributes from PAX records.
        sparse: whether holes are left out of the stored content; then tar-split cannot rebuild the tar.
    """

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    linkname: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[bytes, bytes] = _NO_XATTRS
    sparse: bool = False

    @property
    def kind(self) -> int:
        """The file type bits, as `stat.S_IFREG`; 0 for hard links and what makes no entry."""
        return _FORMATS.get(self.type, 0)

    @property
    def is_hard_link(self) -> bool:
        """Whether it is a hard link: another name of a member before it."""
        return self.type == _LINK

    @property
    def is_entry(self) -> bool:
        """Whether the engine makes an entry of it; not of global extended headers."""
        return self.type != _GLOBAL


def parse(raw: bytes, at: int = 0) -> Header:
    """Parse the header of one member from byte `at` of `raw` on, with the extended headers before it.

    Raises:
        FormatError: there is no header, or it is malformed.
    """
    return parse_with_records(raw, at)[0]


def parse_with_records(raw: bytes, at: int = 0) -> tuple[Header, Mapping[bytes, bytes]]:
    """The header as `parse` gives it, and the records of its extended headers by name."""
    records: dict[bytes, bytes] = {}
    long_names: dict[bytes, bytes] = {}
    while at + BLOCK <= len(raw):
        kind = raw[at + 156 : at + 157]
        if kind not in _BEFORE_A_HEADER:
            records |= {key: name for key, name in long_names.items() if name}
            return parse_block(raw[at : at + BLOCK], records), records
        size = size_of(raw[at + 124 : at + 136])
        at += BLOCK
        content = raw[at : at + size]
        if len(content) != size:
            raise FormatError("an extended tar header is cut off", expected=f"{size} bytes")
        at += -(-size // BLOCK) * BLOCK
        if kind == _EXTENDED:
            records = _records_of(content)  # of several the last counts, as GNU's names count before it
        else:
            key = b"path" if kind == _LONG_NAME else b"linkpath"
            long_names[key] = content.split(b"\0", 1)[0]
    raise FormatError("no tar header", found=f"{len(raw)} bytes")


def is_header(block: bytes) -> bool:
    """Whether a block is a header of any type: its checksum is right."""
    try:
        return any(block) and _is_sound(block, block[148:156])
    except FormatError:
        return False


def parse_block(block: bytes, records: Mapping[bytes, bytes] = _NO_RECORDS) -> Header:
    """The header in one block, extended by `records`; raises as `parse`."""
    name, owner, size, mtime, checksum, kind, link, magic = _FIELDS.unpack_from(block)
    if not _is_sound(block, checksum):
        if not any(block):
            raise FormatError("no tar header", found="an empty block")
        raise FormatError("a tar header's checksum is wrong")
    name = (records and records.get(b"path")) or _name(block, name, magic)
    if kind == b"\0":
        kind = b"5" if name.endswith(b"/") else b"0"
    header = tuple.__new__(Header, (  # as _make does: every member of every layer goes through here
        name,
        kind,
        *_mode_and_owner(owner),
        size_of(size) if kind in _WITH_CONTENT else 0,
        _nanoseconds(mtime),
        link.split(b"\0", 1)[0] if link[0] else b"",
        _device(block, magic) if kind in b"34" else (0, 0),
        _NO_XATTRS,
        kind == b"S",
    ))  # fmt: skip
    return _extended(header, records) if records else header


def _extended(header: Header, records: Mapping[bytes, bytes]) -> Header:
    """The header with what PAX records, or GNU's long names, say instead."""
    if records.keys() <= _LONG_NAMES:
        linkname = records.get(b"linkpath")
        return header._replace(linkname=linkname) if linkname else header
    return header._replace(
        name=records.get(b"GNU.sparse.name", header.name),
        uid=_record(records, b"uid", header.uid),
        gid=_record(records, b"gid", header.gid),
        size=_size(_record(records, b"size", header.size)) if header.type in _WITH_CONTENT else 0,
        mtime_ns=_time(records[b"mtime"]) if b"mtime" in records else header.mtime_ns,
        linkname=records.get(b"linkpath") or header.linkname,
        xattrs=_xattrs(records),
        sparse=header.sparse or any(key.startswith(_SPARSE) for key in records),
    )


def _device(block: bytes, magic: bytes) -> tuple[int, int]:
    if magic != _MAGIC_POSIX and block[257:265] != _MAGIC_GNU:
        return 0, 0  # the oldest format has none
    return number(block[329:337], "devmajor"), number(block[337:345], "devminor")


def _name(block: bytes, name: bytes, magic: bytes) -> bytes:
    name = name.split(b"\0", 1)[0]
    if not block[345] or (magic != _MAGIC_POSIX and not _has_mistaken_prefix(block)):
        return name  # GNU and the oldest format have other fields in the place of the prefix
    is_star = magic == _MAGIC_POSIX and block[508:512] == b"tar\0"
    prefix = block[345:476] if is_star else block[345:500]  # the prefix of star is shorter
    prefix = prefix.split(b"\0", 1)[0]
    return prefix + b"/" + name


def _has_mistaken_prefix(block: bytes) -> bool:
    """Whether a header of GNU's has a prefix instead of its times, as Go before 1.8 wrote (`readHeader`)."""
    if block[257:265] != _MAGIC_GNU or not block[345:500].split(b"\0", 1)[0].isascii():
        return False
    try:
        for time in (block[345:357], block[357:369]):
            if time[0]:
                number(time, "time")
    except FormatError:
        return True
    return False


def _xattrs(records: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    found = {key[len(_XATTR) :]: value for key, value in records.items() if key.startswith(_XATTR)}
    return MappingProxyType(found) if found else _NO_XATTRS


def _is_sound(block: bytes, field: bytes) -> bool:
    """Whether the checksum is the sum of the bytes, its own counted as spaces; of signed bytes in old tars.

    Adler-32 holds that sum in its lower half, and takes a tenth of the time of `sum`. Of a block of ASCII it
    is less than the modulus.
    """
    if block.isascii() and zlib.adler32(block) & 0xFFFF == _lower_half(field):
        return True
    wanted = _octal(field, "checksum")
    others = block[:148] + b" " * len(field) + block[156:]
    return wanted in (sum(others), sum(others) - 256 * sum(byte > 127 for byte in others))


@functools.lru_cache(8192)
def _lower_half(field: bytes) -> int:
    """The lower half of the Adler-32 of a block of ASCII with this checksum in it; -1 if there is none."""
    found = _octal(field, "checksum") + sum(field) - len(field) * ord(" ") + 1
    return found if found < _ADLER_MODULUS else -1


def _record(records: Mapping[bytes, bytes], key: bytes, otherwise: int) -> int:
    return _integer(records[key], key.decode()) if key in records else otherwise


def _integer(text: bytes, what: str) -> int:
    """A decimal number of 64 bits (Go `strconv.ParseInt`): Python takes blanks and underscores too."""
    if (
        not text.removeprefix(text[:1] if text[:1] in (b"+", b"-") else b"").isdigit()
        or len(text) > _MOST_DIGITS
    ):
        raise _malformed(what, text)
    value = int(text)
    if not -_LIMIT <= value < _LIMIT:
        raise _malformed(what, text)
    return value


def number(field: bytes, what: str) -> int:
    """An octal number, or one in base 256, of 64 bits (Go `strconv.go`, parseNumeric)."""
    if field[0] & 0x80:
        value = int.from_bytes(field) & ~(0x80 << 8 * (len(field) - 1))
        value -= (1 << 8 * len(field) - 1) if field[0] & 0x40 else 0
        if not -_LIMIT <= value < _LIMIT:
            raise _malformed(what, field)
        return value
    return _octal(field, what)


def _octal(field: bytes, what: str) -> int:
    """Octal digits, blanks and zero bytes around them (Go `strconv.go`, parseOctal); 0 where there are none.

    Python's `int` takes signs, underscores and other blanks too.
    """
    text = field.strip(b" \0")
    digits = text if text.isdigit() else text.split(b"\0", 1)[0]
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:
        pass
    if text:
        raise _malformed(what, field)
    return 0


def size_of(field: bytes) -> int:
    """A number of bytes (Go `reader.go` refuses those below 0)."""
    return _size(number(field, "size"))


def _size(size: int) -> int:
    if not 0 <= size < _LIMIT:
        raise FormatError("malformed size in a tar header", found=str(size))
    return size


@functools.lru_cache(1024)
def _mode_and_owner(field: bytes) -> tuple[int, int, int]:
    """Three numbers that repeat from member to member."""
    mode, uid, gid = field[:8], field[8:16], field[16:]
    return number(mode, "mode") & 0o7777, number(uid, "uid"), number(gid, "gid")


@functools.lru_cache(1024)
def _nanoseconds(field: bytes) -> int:
    """A time, which repeats too: what was installed together has one."""
    return number(field, "mtime") * _NANOSECONDS


def _time(text: bytes) -> int:
    """Decimal seconds as nanoseconds, more digits cut off."""
    seconds, _, fraction = text.partition(b".")
    if fraction and not fraction.isdigit():
        raise _malformed("mtime", text)
    nanoseconds = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    sign = -1 if seconds.startswith(b"-") else 1
    return _integer(seconds, "mtime") * _NANOSECONDS + sign * nanoseconds


def _pax_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header (Go `strconv.go`, parsePAXRecord, validPAXRecord)."""
    at = 0
    while at < len(content):
        digits, space, _ = content[at : at + _MOST_DIGITS].partition(b" ")
        length = int(digits) if digits.isdigit() and space else 0
        key, equals, value = content[at + len(digits) + 1 : at + length].partition(b"=")
        if at + length > len(content) or not key or not equals or value[-1:] != b"\n":
            raise _malformed("PAX record", content[at : at + 40])
        if b"\0" in key or (key in _TEXTS and b"\0" in value):
            raise _malformed("PAX record", content[at : at + 40])
        yield key, value[:-1]
        at += length


def _records_of(content: bytes) -> dict[bytes, bytes]:
    """The records of an extended header by name, of several of a name the last.

    Those with an empty value replace no field; of sparse format 0.0 there is the map of 0.1 (Go `parsePAX`).
    """
    records: dict[bytes, bytes] = {}
    for key, value in _pax_records(content):
        if key in _SPARSE_PAIR:
            before = records.get(_SPARSE_MAP)
            records[_SPARSE_MAP] = value if before is None else before + b"," + value
        else:
            records[key] = value
    return {key: value for key, value in records.items() if value}


def _malformed(what: str, found: bytes) -> FormatError:
    shown = binascii.b2a_qp(found[:40]).decode("ascii")
    return FormatError(f"malformed {what} in a tar header", found=shown)
