"""Tables of contents of zstd:chunked layers, sound and hostile."""

from __future__ import annotations

import json
import stat
from typing import Any

import pytest

from layerfs.formats.chunkedtoc import parse_toc
from layerfs.formats.errors import FormatError

_DIGEST = "sha256:" + "ab" * 32


def _toc(*entries: object) -> bytes:
    return json.dumps({"version": 1, "entries": entries}).encode()


def test_entries_are_the_headers_of_a_tar() -> None:
    """Each type with what it has; chunks are of no interest."""
    found = list(
        parse_toc(
            _toc(
                {"type": "dir", "name": "d/", "mode": 0o1777, "uid": 1, "gid": 2},
                {
                    "type": "reg", "name": "d/f", "mode": 0o644, "size": 7, "digest": _DIGEST,
                    "modtime": "2023-11-14T22:13:20.5Z", "xattrs": {"user.a": "AP8="},
                },
                {"type": "chunk", "name": "d/f", "chunkOffset": 3},
                {"type": "hardlink", "name": "d/g", "linkName": "d/f"},
                {"type": "symlink", "name": "s", "linkName": "../x", "mode": 0o777},
                {"type": "char", "name": "c", "devMajor": 1, "devMinor": 3},
                {"type": "block", "name": "b", "devMajor": 8},
                {"type": "fifo", "name": "p"},
            )
        )
    )  # fmt: skip
    headers = [entry.header for entry in found]
    assert [header.name for header in headers] == [b"d/", b"d/f", b"d/g", b"s", b"c", b"b", b"p"]
    assert [header.kind for header in headers] == [
        stat.S_IFDIR, stat.S_IFREG, 0, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO
    ]  # fmt: skip
    assert (headers[0].mode, headers[0].uid, headers[0].gid) == (0o1777, 1, 2)
    assert (headers[1].size, headers[1].mtime_ns) == (7, 1_700_000_000_500_000_000)
    assert headers[1].xattrs == {b"user.a": b"\x00\xff"}
    assert (headers[2].is_hard_link, headers[2].linkname) == (True, b"d/f")
    assert (headers[3].linkname, headers[4].device, headers[5].device) == (b"../x", (1, 3), (8, 0))
    assert [entry.digest for entry in found[:3]] == ["", "ab" * 32, ""]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"type": "door", "name": "x"},
        {"type": "reg", "name": 5},
        {"type": "reg", "name": "x", "size": -1},
        {"type": "reg", "name": "x", "size": 1 << 70},
        {"type": "reg", "name": "x", "mode": "0644"},
        {"type": "reg", "name": "x\0y"},
        {"type": "reg", "name": "x", "digest": "md5:00"},
        {"type": "reg", "name": "x", "digest": "sha256:../../etc/passwd"},
        {"type": "reg", "name": "x", "digest": "sha256:" + "AB" * 32},
        {"type": "reg", "name": "x", "modtime": "yesterday"},
        {"type": "reg", "name": "x", "xattrs": {"user.a": "%%"}},
        {"type": "reg", "name": "x", "xattrs": {"user.a": 1}},
        {"type": "reg", "name": "x", "xattrs": []},
    ],
)
def test_a_malformed_entry_is_named(entry: Any) -> None:
    """What is wrong is told with the number of the entry."""
    with pytest.raises(FormatError) as caught:
        list(parse_toc(_toc({"type": "dir", "name": "d"}, entry)))
    assert caught.value.part == "entry 1"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"entries": 1}', b'{"entries": ' + b"[" * 100_000])
def test_what_is_no_table(content: bytes) -> None:
    """Anything but an object with entries is refused."""
    with pytest.raises(FormatError):
        list(parse_toc(content))
