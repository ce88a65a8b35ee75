"""What the engine makes of an archive: its rules of names, links, whiteouts and repeated headers."""

from __future__ import annotations

import itertools
import os
import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.tarheader import Header
from layerfs.formats.tarsplit import FilePayload, Member, Segment, clean_name
from layerfs.tree.originals import Originals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OPAQUE = b"trusted.overlay.opaque"
FILE, LINK, SYMLINK, DEVICE, DIRECTORY = b"0", b"1", b"2", b"3", b"5"


def _header(name: bytes, kind: bytes = FILE, target: bytes = b"", **fields: object) -> Header:
    plain = Header(name, kind, 0o640, 1, 2, 0, 1_700_000_000_000_000_000, target)
    return plain._replace(**fields)  # type: ignore[arg-type]  # each test knows the fields it names


def _members(headers: Iterable[Header]) -> Iterator[Member | Segment]:
    for header in headers:
        yield Member(b"", header, FilePayload(header.name, header.size, b""), clean_name(header.name))
    yield Segment(b"")


def _unpacked(*headers: Header) -> Originals:
    return Originals(_members(headers), OPAQUE, 1000)


def _kinds(found: Originals) -> dict[bytes, int]:
    """Every path with its type."""
    kinds: dict[bytes, int] = {}
    pending = [(b"", found.root)]
    while pending:
        path, original = pending.pop()
        kinds[path] = original.kind
        children = original.children or {}
        pending += [(path + b"/" + name if path else name, child) for name, child in children.items()]
    return kinds


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"a", b"a"),
        (b"./a", b"a"),
        (b"/a", b"a"),
        (b"../../a", b"a"),
        (b"x/../a", b"a"),
        (b"b//./a", b"b/a"),
    ],
)
def test_names_are_confined_and_cleaned(name: bytes, path: bytes) -> None:
    """Wherever a name points, it is unpacked inside the layer."""
    found = _unpacked(_header(name)).find(path)
    assert found
    assert (found.mode, found.uid, found.gid) == (stat.S_IFREG | 0o640, 1, 2)


def test_longest_names() -> None:
    """A name too long is not there; a whiteout of the longest is, though its marker is longer."""
    longest = b"n" * 255
    kinds = _kinds(_unpacked(_header(b".wh." + longest), _header(longest + b"x"), _header(b"d/" + longest)))
    assert kinds[longest] == stat.S_IFCHR
    assert kinds[b"d/" + longest] == stat.S_IFREG
    assert longest + b"x" not in kinds


def test_missing_parents_are_roots() -> None:
    """A directory without a header is 0755 of root, of an unknown time; with one it is as that says."""
    found = _unpacked(_header(b"a/b/c"), _header(b"a", DIRECTORY, mode=0o700))
    implied, told = found.find(b"a/b"), found.find(b"a")
    assert implied
    assert told
    assert (implied.mode, implied.uid, implied.mtime_ns) == (stat.S_IFDIR | 0o755, 0, None)
    assert (told.mode, told.uid, told.mtime_ns) == (stat.S_IFDIR | 0o700, 1, 1_700_000_000_000_000_000)
    assert set(told.children or ()) == {b"b"}
    assert (found.root.links, told.links, implied.links) == (3, 3, 2)


@pytest.mark.parametrize(
    ("name", "mode"), [(b"./", 0o755), (b".", 0o755), (b"x/..", 0o755), (b"/", 0o640), (b"..", 0o640)]
)
def test_root_is_told_by_a_slash(name: bytes, mode: int) -> None:
    """`./` says nothing of the layer's root, `/` does."""
    assert _unpacked(_header(name, DIRECTORY)).root.mode == stat.S_IFDIR | mode


def test_whiteouts_in_order() -> None:
    """What comes after its whiteout is there; else there is a device 0:0 of the marker's owner."""
    found = _unpacked(
        _header(b".wh.gone"),
        _header(b".wh.p"),
        _header(b"p", DIRECTORY),
        _header(b"p/kept"),
        _header(b"d/.wh..wh..opq"),
        _header(b".wh..wh.plnk"),
        _header(b".wh..wh.plnk/1"),
        _header(b".wh."),
    )
    assert _kinds(found) == {
        b"": stat.S_IFDIR,
        b"gone": stat.S_IFCHR,
        b"p": stat.S_IFDIR,
        b"p/kept": stat.S_IFREG,
        b"d": stat.S_IFDIR,
        b".wh.plnk": stat.S_IFCHR,
        b".wh..wh.plnk": stat.S_IFDIR,
        b".wh..wh.plnk/1": stat.S_IFREG,
    }
    gone, opaque, after = (found.find(path) for path in (b"gone", b"d", b"p"))
    assert gone
    assert opaque
    assert after
    assert (gone.mode, gone.rdev, gone.uid, gone.gid) == (stat.S_IFCHR, 0, 1, 2)
    assert opaque.xattrs == {OPAQUE: b"y"}
    assert after.xattrs == {}


def test_hard_links_are_one() -> None:
    """Names of one inode share all attributes, those of the last header, and its number."""
    found = _unpacked(
        _header(b"a", size=5, xattrs={b"user.a": b"1", b"security.capability": b"x" * 20}),
        _header(b"d/b", LINK, b"./a", mode=0o600, uid=9, xattrs={b"user.b": b"2"}),
        _header(b"c", LINK, b"/d/b", mode=0o644),
        _header(b"lost", LINK, b"nowhere"),
        _header(b"dir", LINK, b"d"),
    )
    first = found.find(b"a")
    assert first is found.find(b"d/b") is found.find(b"c")
    assert first
    assert (first.links, first.size, first.mode, first.uid) == (3, 5, stat.S_IFREG | 0o644, 1)
    assert first.xattrs == {b"user.a": b"1", b"user.b": b"2"}
    assert found.names == {first.number: [b"a", b"d/b", b"c"]}
    assert found.find(b"lost") is found.find(b"dir") is None


def test_links_on_the_way_stay_inside() -> None:
    """A name through a symbolic link of the same layer lands where the link leads, inside the layer."""
    found = _unpacked(
        _header(b"real/deep", DIRECTORY),
        _header(b"absolute", SYMLINK, b"/real"),
        _header(b"upwards", SYMLINK, b"../../real/./deep/.."),
        _header(b"absolute/a"),
        _header(b"upwards/b"),
        _header(b"upwards/deep/.wh.c"),
        _header(b"file"),
        _header(b"file/x"),
        _header(b"hard", LINK, b"absolute/a"),
    )
    assert set(_kinds(found)) == {
        *(b"", b"real", b"real/deep", b"real/a", b"real/b", b"real/deep/c"),
        *(b"absolute", b"upwards", b"file", b"hard"),
    }
    assert found.find(b"absolute/a") is None
    assert found.find(b"hard") is found.find(b"real/a")


def test_links_in_circles_end() -> None:
    """Links that lead nowhere cost what is behind them, and nothing else."""
    found = _unpacked(
        _header(b"a", SYMLINK, b"b"),
        _header(b"b", SYMLINK, b"a"),
        _header(b"a/lost"),
        _header(b"self", SYMLINK, b"self/self"),
        _header(b"self/lost"),
        _header(b"kept"),
    )
    assert set(_kinds(found)) == {b"", b"a", b"b", b"self", b"kept"}


def test_types_and_devices() -> None:
    """Devices have their numbers, cut as the engine cuts them; other types of header make nothing."""
    found = _unpacked(
        _header(b"null", DEVICE, device=(1, 3)),
        _header(b"wide", b"4", device=(0x1008, 0x100001)),
        _header(b"pipe", b"6"),
        _header(b"unknown", b"Z"),
        _header(b"link", SYMLINK, b"/etc", mode=0o600),
    )
    null, wide, link = (found.find(name) for name in (b"null", b"wide", b"link"))
    assert null
    assert wide
    assert link
    assert (null.kind, null.rdev) == (stat.S_IFCHR, os.makedev(1, 3))
    assert (wide.kind, wide.rdev) == (stat.S_IFBLK, os.makedev(8, 1))
    assert (link.mode, link.target) == (stat.S_IFLNK | 0o777, b"/etc")
    assert found.find(b"unknown") is None


def test_times_and_attributes_are_those_the_kernel_keeps() -> None:
    """Times before 1970 are the epoch; attributes of no namespace, or that cannot be, are dropped."""
    odd = {b"user.a": b"1", b"trusted.b": b"2", b"nonsense": b"3", b"user." + b"n" * 300: b"4"}
    found = _unpacked(
        _header(b"old", mtime_ns=-1, xattrs=odd | {b"user.huge": b"x" * 70_000}),
        _header(b"pipe", b"6", xattrs=odd),
        _header(b"owner", uid=0xFFFFFFFF, gid=-2),
    )
    old, pipe, owner = (found.find(name) for name in (b"old", b"pipe", b"owner"))
    assert old
    assert pipe
    assert owner
    assert (old.mtime_ns, old.xattrs) == (0, {b"user.a": b"1", b"trusted.b": b"2"})
    assert pipe.xattrs == {b"trusted.b": b"2"}
    assert (owner.uid, owner.gid) == (0, 0xFFFFFFFE)


HOSTILE = {
    "many entries": lambda: (_header(b"%d" % number) for number in itertools.count()),
    "deep names": lambda: (_header(b"%d/" % number + b"a/" * 2000) for number in itertools.count()),
    "large attributes": lambda: (
        _header(b"%d" % number, xattrs={b"user.a": b"x" * 60_000}) for number in itertools.count()
    ),
    "one inode of many names": lambda: itertools.chain(
        [_header(b"0")], (_header(b"%d" % number, LINK, b"0") for number in itertools.count(1))
    ),
    "ways through links": lambda: itertools.chain(
        [_header(b"l", SYMLINK, b"./" * 2000)],
        # a link that is replaced may lead elsewhere: the way must be gone again
        itertools.cycle([_header(b"l/l/l/.wh..wh..opq"), _header(b"other", SYMLINK, b"x")]),
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
def test_endless_archives_end(headers: object) -> None:
    """However an archive spends memory or time, it is given up."""
    assert callable(headers)
    with pytest.raises(FormatError):
        Originals(_members(headers()), OPAQUE, 100_000)


def test_what_the_kernel_refuses_is_left_out() -> None:
    """Names longer than it takes were never unpacked."""
    found = _unpacked(_header(b"n" * 256), _header(b"d/" * 2100 + b"x"), _header(b"n" * 255))
    assert set(_kinds(found)) == {b"", b"n" * 255}
