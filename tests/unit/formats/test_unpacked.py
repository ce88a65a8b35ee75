"""The engine's rules for unpacking a header; that they are the engine's is shown with one, in `dockerd/`."""

from __future__ import annotations

import stat
import struct

import pytest

from layerfs.formats import unpacked
from layerfs.formats.tarheader import Header

SECOND = 10**9


def _header(kind: bytes = b"0", **fields: object) -> Header:
    return Header(b"x", kind, 0o644, 1, 2, 0, 5 * SECOND)._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (b"./", True),
        (b".", True),
        (b"a/..", True),
        (b"/", False),
        (b"//", False),
        (b"..", False),
        (b"../", False),
    ],
)
def test_names_of_the_root(name: bytes, *, ignored: bool) -> None:
    """What cleans to a dot is passed over; what is absolute, or leads above, sets the root's attributes."""
    assert unpacked.ignores_root(name) is ignored


@pytest.mark.parametrize(
    ("kind", "time", "stored"),
    [
        (b"0", 1, 1),
        (b"0", -1, 0),
        (b"5", -SECOND, 0),
        (b"0", 2**63 - 1, 2**63 - 1),
        (b"0", 2**63, 0),
        (b"2", -SECOND, -SECOND),
        (b"2", 2**63, -(2**63)),
        (b"2", 2**64 + 5, 5),
    ],
)
def test_times(kind: bytes, time: int, stored: int) -> None:
    """Times out of range become the epoch; those of symbolic links wrap."""
    assert unpacked.stored_mtime(_header(kind, mtime_ns=time)) == stored


def test_user_attributes_of_links() -> None:
    """The kernel takes user attributes on files and directories only; others stay."""
    xattrs = {b"user.a": b"1", b"trusted.b": b"2"}
    assert unpacked.stored_xattrs(xattrs, stat.S_IFREG, 0o644) == xattrs
    assert unpacked.stored_xattrs(xattrs, stat.S_IFLNK, 0o777) == {b"trusted.b": b"2"}


def test_access_lists_follow_the_mode() -> None:
    """A list's own classes are those of the mode, its mask the group's; one that says no more is none."""

    def acl(*entries: tuple[int, int, int]) -> bytes:
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

    nobody = 0xFFFFFFFF
    written = acl((1, 7, 5), (2, 7, 1234), (4, 5, 6), (16, 7, 7), (32, 7, 8))
    stored = acl((1, 6, nobody), (2, 7, 1234), (4, 5, nobody), (16, 4, nobody), (32, 0, nobody))
    name = unpacked.ACL_ACCESS
    assert unpacked.stored_xattrs({name: written}, stat.S_IFREG, 0o640) == {name: stored}
    assert unpacked.stored_xattrs({name: written}, stat.S_IFLNK, 0o777) == {}
    assert unpacked.stored_xattrs({name: acl((1, 6, 0), (4, 4, 0), (32, 4, 0))}, stat.S_IFREG, 0o644) == {}
    assert unpacked.stored_xattrs({name: b"odd"}, stat.S_IFREG, 0o644) == {name: b"odd"}


def test_the_last_name_decides() -> None:
    """One more name changes owner, mode and time; capabilities go, unless it brings some."""
    first = _header(xattrs={unpacked.CAPABILITY: b"c", b"user.a": b"1"})
    link = _header(b"1", mode=0o600, uid=8, gid=9, mtime_ns=7, xattrs={b"user.b": b"2"})
    after = unpacked.add_hard_link(first, dict(first.xattrs), link, stat.S_IFREG)
    assert (after.mode, after.uid, after.gid, after.mtime_ns) == (0o600, 8, 9, 7)
    assert after.xattrs == {b"user.a": b"1", b"user.b": b"2"}
    again = link._replace(xattrs={unpacked.CAPABILITY: b"d"})
    kept = unpacked.add_hard_link(first, dict(first.xattrs), again, stat.S_IFREG)
    assert kept.xattrs == {unpacked.CAPABILITY: b"d", b"user.a": b"1"}
    symlink = unpacked.add_hard_link(first, dict(first.xattrs), link, stat.S_IFLNK)
    assert (symlink.mode, symlink.uid, symlink.mtime_ns) == (0o644, 8, 5 * SECOND)


def test_capabilities_of_a_namespace() -> None:
    """Revision 3 without its user is revision 2; anything else stays."""
    third = bytes.fromhex("01000003") + bytes(range(20))
    assert unpacked.plain_capability(third) == bytes.fromhex("01000002") + bytes(range(16))
    for other in (bytes.fromhex("01000002") + bytes(16), b"", b"\3\3\3\3"):
        assert unpacked.plain_capability(other) == other
