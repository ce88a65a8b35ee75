r"""tar-split: the headers of a layer's original tar, and the places of its files' contents.

One JSON object a line: `{"type":2,"payload":<base64>}` is a raw segment of the tar, and
`{"type":1,"name":…,"size":…,"payload":<base64 of the CRC-64>}` a file's content. Which directories the
archive marks as opaque, and which names it whites out, follows from the names alone. These are read without
parsing every line as JSON, because a base layer has tens of megabytes of them.

Source: vbatts/tar-split `tar/storage/{entry,packer}.go` (NewJSONPacker refuses a name that comes twice);
OCI image-spec `layer.md` (whiteouts).
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.formats import tarheader
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ArchiveMarks",
    "FilePayload",
    "Member",
    "Paths",
    "Segment",
    "archive_marks",
    "clean_name",
    "entries",
    "members",
]

MAX_BYTES = 2 << 30
"""The most unpacked bytes: the largest real layers stay far below, so more is an attack."""

MAX_LINE = 8 << 20
"""The most bytes in a line: the writer's segments have at most 1 MiB before base64."""

MAX_LINES = 1 << 24
"""The most lines: two or three for each member, several times as many as in the largest real layers."""

MAX_SEGMENTS = 1 << 16
"""The most segments between two contents: the writer makes two or three, and more behind the tar's end."""

_MAX_HEADERS = 16 << 20  # bytes between two contents: PAX records hold names and attributes only
_CHUNK = 1 << 16  # what is unpacked stays in the processor's cache until it is parsed
_SHOWN = 60  # bytes of a malformed line

# What Go writes for nearly every line; whatever is spelled otherwise is left to the JSON parser.
_SEGMENT = b'{"type":2,"payload":"'
_SEGMENT_END = b'","position":'
_CONTENT_LINE = (
    rb'\{"type":1,"name":"([ !#-\[\]-~]*+)"(?:,"size":([0-9]{1,18}))?,'
    rb'"payload":(?:null|"([A-Za-z0-9+/]{11}=)"),"position":[0-9]++\}\r?'
)
_CONTENT = re.compile(_CONTENT_LINE)
_BOTH = re.compile(rb'\{"type":2,"payload":"([^"]*+)","position":[0-9]++\}\n' + _CONTENT_LINE + rb"\n")
"""A segment and the content after it, which is all there is of nearly every member."""
_OPAQUE = b".wh..wh..opq"
_WHITEOUT = b".wh."
_HIDING = (_WHITEOUT, b'"name_raw"')
"""Lines that may name a whiteout have one of these: a name is in clear, or in base64 if it is not UTF-8."""


class Readable(Protocol):
    """A binary stream, such as an open gzip file."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


class Segment(NamedTuple):
    """Bytes of the tar between two contents: headers, padding, the end of the tar."""

    payload: bytes


class FilePayload(NamedTuple):
    """The place of a file's content: its name in the archive, its size, its CRC-64 (empty for none)."""

    name: bytes
    size: int
    crc64: bytes


class Member(NamedTuple):
    """One member of the tar.

    Attributes:
        raw: the bytes that come before its content, verbatim: padding, extended headers, header.
        header: these bytes, parsed.
        content: the place of its content; the size is 0 for a member without content.
        path: where the engine unpacked it below `diff/`; for a whiteout, the path of its `.wh.` name.
        again: whether a member before it has the same path, spelled in another way.
    """

    raw: bytes
    header: tarheader.Header
    content: FilePayload
    path: bytes
    again: bool = False

    @property
    def has_content(self) -> bool:
        """Whether the tar has content for it; a link or directory may have a size without content."""
        return self.content.size > 0 and (self.header.size > 0 or self.header.sparse)


class ArchiveMarks(NamedTuple):
    """What an archive hides in the layers below: paths without a leading slash, `b""` is the root."""

    opaque: frozenset[bytes]
    whiteouts: frozenset[bytes]


class Paths:
    """A set of paths. It keeps a keyed hash of 64 bits of each, so long paths take no more memory."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        """An empty set."""
        self._hashes: set[int] = set()

    def __contains__(self, path: bytes) -> bool:
        """Whether the path was added."""
        return hash(path) in self._hashes

    def __len__(self) -> int:
        """How many there are."""
        return len(self._hashes)

    def add(self, path: bytes) -> bool:
        """Remember a path; False if it was added before."""
        number, hashes = hash(path), self._hashes
        if number in hashes:
            return False
        hashes.add(number)
        return True

    def add_with_parents(self, path: bytes) -> None:
        """Remember a path and all directories that it is in, but for the root."""
        while path and self.add(path):
            path = path.rpartition(b"/")[0]

    def discard(self, path: bytes) -> None:
        """Remove a path, if it is in the set."""
        self._hashes.discard(hash(path))


class _Spellings:
    """The names of the members so far. A spelling may come once; several spellings may have one path.

    tar-split's writer refuses a name that came before, after `filepath.Clean`, which keeps `/etc`, `../etc`
    and `etc` apart.
    """

    def __init__(self, paths: Paths) -> None:
        """Add the path of each member to `paths`."""
        self._paths = paths
        self._odd = Paths()  # spellings that differ from their path, which few archives have
        self._only_odd = Paths()  # paths that did not come spelled as themselves so far

    def add(self, name: bytes, path: bytes) -> bool:
        """Whether the path came by before; raises `FormatError` where this spelling did."""
        again = not self._paths.add(path)
        spelling = path if name == path else _spelling(name, path)
        if spelling == path:
            if again and path not in self._only_odd:
                raise FormatError("a path occurs twice in tar-split data", found=ascii(path))
            self._only_odd.discard(path)
        else:
            if not self._odd.add(spelling):
                raise FormatError("a path occurs twice in tar-split data", found=ascii(spelling))
            if not again:
                self._only_odd.add(path)
        return again


def entries(stream: Readable) -> Iterator[Segment | FilePayload]:
    """Every entry of an unpacked tar-split stream, in order; raises `FormatError`."""
    for payload, content in _steps(stream):
        if payload is not None:
            yield Segment(payload)
        if content is not None:
            yield content


def _steps(stream: Readable) -> Iterator[tuple[bytes | None, FilePayload | None]]:
    """What comes next: the payload of a segment, a content, or one after the other; raises `FormatError`."""
    for lines in _whole_lines(stream):
        at = 0
        while at < len(lines):
            both = _BOTH.match(lines, at)
            if both:
                segment, name, size, checksum = both.groups()
                yield _payload(segment, lines, at), _content(name, size, checksum)
                at = both.end()
                continue
            end = lines.find(b"\n", at)
            line = lines[at : end if end >= 0 else len(lines)]
            at += len(line) + 1
            if line.startswith(_SEGMENT) and (end := line.find(_SEGMENT_END, len(_SEGMENT))) > 0:
                yield _payload(line[len(_SEGMENT) : end], line), None
            elif found := _CONTENT.fullmatch(line):
                yield None, _content(*found.groups())
            elif line.strip():
                yield _entry(line)


def _payload(packed: bytes, lines: bytes, at: int = 0) -> bytes:
    """The bytes of a segment, whose line begins at byte `at` of `lines`."""
    try:
        return binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error as error:
        raise _malformed(lines, at) from error


def _content(name: bytes, size: bytes | None, checksum: bytes | None) -> FilePayload:
    return FilePayload(name, int(size) if size else 0, binascii.a2b_base64(checksum) if checksum else b"")


def members(stream: Readable, seen: Paths | None = None) -> Iterator[Member | Segment]:
    """Every member of the tar, in order, then the bytes behind the last one as segments.

    All `raw`, contents and segments, put together, are the tar byte for byte. The path of every member that
    makes an entry is added to `seen`.

    Raises:
        FormatError: the stream or a header in it is malformed, or a name occurs twice.
    """
    pieces: list[bytes] = []  # joined only once, so that many segments do not cost quadratic time
    length = padding = run = 0
    spellings = _Spellings(Paths() if seen is None else seen)
    for payload, entry in _steps(stream):
        if payload is not None:
            run += 1
            if run > MAX_SEGMENTS:
                raise FormatError("too many tar-split segments in a row", expected=f"at most {MAX_SEGMENTS}")
            if length > _MAX_HEADERS:  # behind the end of the tar there may be anything
                yield Segment(b"".join(pieces))
                pieces, length = [], 0
            pieces.append(payload)
            length += len(payload)
        if entry is None:
            continue
        raw = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        header = tarheader.parse(raw, padding)
        path, is_entry = clean_name(entry.name), header.is_entry
        yield Member(raw, header, entry, path, is_entry and spellings.add(entry.name, path))
        # the content of a global header is among the raw bytes, its padding is not
        padding = -(header.size if is_entry else len(raw) - padding) % tarheader.BLOCK
        pieces, length, run = [], 0, 0
    yield Segment(b"".join(pieces))


def archive_marks(stream: Readable) -> ArchiveMarks:
    """The whiteouts and opaque directories of a layer's archive; raises `FormatError`.

    Whiteouts hide names of the layers below only: one may have the name of an entry of the same archive.
    """
    opaque: set[bytes] = set()
    whiteouts: set[bytes] = set()
    for lines in _whole_lines(stream):
        if not any(word in lines for word in _HIDING):
            continue
        for line in lines.split(b"\n"):
            entry = _entry(line)[1] if any(word in line for word in _HIDING) else None
            if entry is None:
                continue
            directory, _, name = clean_name(entry.name).rpartition(b"/")
            if name == _OPAQUE:
                opaque.add(directory)
            elif name.startswith(_WHITEOUT) and len(name) > len(_WHITEOUT):
                hidden = name[len(_WHITEOUT) :]
                whiteouts.add(directory + b"/" + hidden if directory else hidden)
    return ArchiveMarks(frozenset(opaque), frozenset(whiteouts))


def clean_name(name: bytes) -> bytes:
    """The path to which a name of the archive is unpacked: below the root, without `.` and `..`."""
    if b"/." not in name and b"//" not in name and name[:1] not in (b"/", b".", b""):
        return name[:-1] if name.endswith(b"/") else name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _spelling(name: bytes, path: bytes) -> bytes:
    """A name as Go's `filepath.Clean` gives it: its path, but a slash or `..` at the front stays."""
    if name.startswith(b"/"):
        return b"/" + path
    cleaned = posixpath.normpath(name) if b".." in name else path
    return cleaned if cleaned != b"." else path


def _whole_lines(stream: Readable) -> Iterator[bytes]:
    """The stream in pieces of whole lines, each and all of them bounded; the last may lack its end."""
    rest, total, count = b"", 0, 0
    for chunk in _with_line_ends(stream):
        total += len(chunk)
        if total > MAX_BYTES:
            raise FormatError("tar-split data is too large", expected=f"at most {MAX_BYTES} bytes unpacked")
        data = rest + chunk
        end = data.rfind(b"\n") + 1
        lines, rest = data[:end], data[end:]
        count += lines.count(b"\n")
        if count > MAX_LINES:
            raise FormatError("tar-split data have too many lines", expected=f"at most {MAX_LINES}")
        yield lines
        if len(rest) > MAX_LINE:
            raise FormatError("a tar-split line is too long", expected=f"at most {MAX_LINE} bytes")
    yield rest


def _with_line_ends(stream: Readable) -> Iterator[bytes]:
    """The stream in pieces that end at the end of a line, but for the last; a read may give one byte."""
    held: list[bytes] = []
    size = 0
    while chunk := stream.read(_CHUNK):
        held.append(chunk)
        size += len(chunk)
        if b"\n" in chunk or size > MAX_LINE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _entry(line: bytes) -> tuple[bytes | None, FilePayload | None]:
    """A line of any spelling, as `_steps` gives it."""
    try:
        found = json.loads(line)
        kind, payload = found["type"], base64.b64decode(found.get("payload") or "", validate=True)
        if kind == 2:
            return payload, None
        raw = found.get("name_raw")
        name = (
            base64.b64decode(raw, validate=True) if raw else found["name"].encode("utf-8", "surrogateescape")
        )
        size = found.get("size", 0)
        if kind != 1 or not isinstance(size, int) or size < 0 or b"\0" in name:
            raise _malformed(line)
        return None, FilePayload(name, size, payload)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, binascii.Error) as error:
        raise _malformed(line) from error


def _malformed(line: bytes, at: int = 0) -> FormatError:
    line = line[at : at + _SHOWN].partition(b"\n")[0]
    return FormatError("malformed tar-split entry", found=ascii(line.decode("latin-1")))
