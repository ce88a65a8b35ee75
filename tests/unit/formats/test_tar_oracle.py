"""Tars with odd headers are read as Go's `archive/tar` reads them, which the engines use.

`fixtures/tarheaders.json.xz` has tars and what Go said of each (`fixtures/tarheaders.py`): numbers,
checksums, prefixes and PAX records that are malformed or rare, several extended headers before one member.
"""

from __future__ import annotations

import base64
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from layerfs.formats import tarindex
from layerfs.formats.errors import FormatError

_CASES = Path(__file__).parents[3] / "fixtures/tarheaders.json.xz"
_ID = 1 << 32  # what chown(2) takes


def test_go_says_the_same() -> None:
    """Every member has the attributes that Go gives it; what is not read is what Go does not read."""
    refused = 0
    for text, answer, whole in json.loads(lzma.decompress(_CASES.read_bytes())):
        tar = base64.b64decode(text)
        theirs = [_theirs(member) for member in answer["Members"] or ()]
        if answer["Err"].startswith("content"):  # Go gives a member before it finds it cut off
            theirs.pop()
        mine, error = _mine(tar)
        assert (tar, mine[: len(theirs)]) == (tar, theirs)
        if whole or not answer["Err"]:  # Go reads also fields that mean nothing to a member of its type
            assert (tar, len(mine), bool(error)) == (tar, len(theirs), bool(answer["Err"]))
            refused += bool(error)
    assert refused > 50


@pytest.mark.parametrize("before", [b"", b"9 size=5\n", b"9 size=5\n" * 40])
@pytest.mark.parametrize(
    "record", [b"9" * 20 + b" a=b\n", b"9" * 30, b"0 a=b\n", b" a=b\n", b"-9 a=b\n", b"7"]
)
def test_lengths_of_records_end(before: bytes, record: bytes) -> None:
    """A record without a length that leads on is refused: a reader would stay where it is for ever."""
    content = before + record
    header = bytearray(512)
    header[:1], header[124:136], header[156:157] = b"x", b"%011o\0" % len(content), b"x"
    header[148:156] = b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:])
    tar = bytes(header) + content + bytes(-len(content) % 512 + 1024)
    assert "PAX record" in _mine(tar)[1]


def _mine(tar: bytes) -> tuple[list[tuple[Any, ...]], str]:
    found: list[tuple[Any, ...]] = []
    try:
        for member in tarindex.members(lambda at, length: tar[at : at + length], len(tar)):
            header = member.header
            owners = header.uid % _ID, header.gid % _ID
            rest = header.mtime_ns, header.linkname, header.device, dict(header.xattrs)
            size = member.size if header.type in b"07" else 0
            found.append((header.name, header.type, header.mode, *owners, size, *rest))
    except FormatError as error:
        return found, str(error)
    return found, ""


def _theirs(member: dict[str, Any]) -> tuple[Any, ...]:
    kind = bytes([member["Type"]])
    return (
        base64.b64decode(member["Name"] or ""), kind, member["Mode"] & 0o7777,
        member["Uid"] % _ID, member["Gid"] % _ID, member["Size"] if kind in b"07" else 0,
        member["Sec"] * 10**9 + member["Nsec"], base64.b64decode(member["Link"] or ""),
        (member["Major"], member["Minor"]) if kind in b"34" else (0, 0),
        {name.encode(): base64.b64decode(value or "") for name, value in member["X"].items()},
    )  # fmt: skip
