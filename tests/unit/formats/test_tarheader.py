"""Tar headers: what Python's tarfile and GNU tar write is read back; what is malformed is said."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats import tarheader, tarindex
from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.LNKTYPE: 0,
}

names = st.binary(min_size=1, max_size=300).filter(
    lambda name: b"\0" not in name and b"\n" not in name and name.strip(b"/") == name
)


@st.composite
def infos(draw: st.DrawFn) -> tarfile.TarInfo:
    """A member as `tarfile` describes it, with anything a header can hold."""
    info = tarfile.TarInfo(draw(names).decode("utf-8", "surrogateescape"))
    info.type = draw(st.sampled_from(list(_TYPES)))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 2**32 - 2)), draw(st.integers(0, 2**32 - 2))
    info.mtime = draw(st.integers(0, 2**35))
    if info.type == tarfile.REGTYPE:
        info.size = draw(st.integers(0, 2**40))
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(names).decode("utf-8", "surrogateescape")
    if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = draw(st.integers(0, 2**18)), draw(st.integers(0, 2**20))
    return info


@given(infos(), st.sampled_from([1, 2]))
def test_what_tarfile_writes(info: tarfile.TarInfo, written_as: Literal[1, 2]) -> None:
    """Every attribute that Python's tarfile puts in a GNU or PAX header is read back."""
    found = tarheader.parse(info.tobuf(written_as, "utf-8", "surrogateescape"))
    assert found.name.rstrip(b"/") == info.name.encode("utf-8", "surrogateescape")
    assert found.kind == _TYPES[info.type]
    assert found.is_hard_link == (info.type == tarfile.LNKTYPE)
    assert (found.mode, found.uid, found.gid, found.size) == (info.mode, info.uid, info.gid, info.size)
    assert found.mtime_ns == info.mtime * 1_000_000_000
    assert found.linkname == info.linkname.encode("utf-8", "surrogateescape")
    assert found.device == (info.devmajor, info.devminor)
    assert not found.sparse


@given(st.dictionaries(names.filter(lambda name: b"=" not in name), st.binary(min_size=1, max_size=600)))
def test_extended_attributes(xattrs: dict[bytes, bytes]) -> None:
    """Extended attributes of PAX records have any bytes as their value."""
    records = b""
    for name, value in xattrs.items():
        record = b" SCHILY.xattr." + name + b"=" + value + b"\n"
        length = len(record) + 1
        while len(str(length)) + len(record) != length:
            length += 1
        records += str(length).encode() + record
    extended = tarfile.TarInfo("x")
    extended.type, extended.size = tarfile.XHDTYPE, len(records)
    raw = extended.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    assert tarheader.parse(raw + tarfile.TarInfo("f").tobuf()).xattrs == xattrs


@pytest.mark.parametrize("written_as", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_gnu_tar_writes(tmp_path: Path, written_as: str) -> None:
    """Headers of GNU tar in each of its formats are read, with fractions of a second where it keeps them."""
    name = "d" * 60 + "/" + "f" * (30 if written_as == "v7" else 90)
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(b"content")
    command = [
        "tar",
        f"--format={written_as}",
        "--mtime=@1700000000.123456789",
        "-C",
        tmp_path,
        "-cf",
        "-",
        name,
    ]
    if written_as not in ("v7", "ustar"):
        command.insert(1, "--owner=:3000000")
    archive = subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout
    found = tarheader.parse(archive)
    assert (found.name, found.kind, found.size) == (name.encode(), stat.S_IFREG, 7)
    fraction = 123456789 if written_as == "posix" else 0
    assert found.mtime_ns == 1_700_000_000_000_000_000 + fraction
    if written_as not in ("v7", "ustar"):
        assert found.uid == 3_000_000


def test_old_directory_and_old_file() -> None:
    """In the oldest format a name with a slash at its end is a directory's."""
    for name, kind in (("d/", stat.S_IFDIR), ("f", stat.S_IFREG)):
        info = tarfile.TarInfo(name)
        info.type = tarfile.AREGTYPE
        assert tarheader.parse(info.tobuf()).kind == kind


def test_times_before_1970() -> None:
    """Negative numbers in base 256 and negative PAX times are read as such."""
    info = tarfile.TarInfo("f")
    info.mtime = -3
    assert tarheader.parse(info.tobuf(tarfile.GNU_FORMAT)).mtime_ns == -3_000_000_000
    info.mtime = -1.5
    assert tarheader.parse(info.tobuf(tarfile.PAX_FORMAT)).mtime_ns == -1_500_000_000


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:500],
        lambda raw: bytes(len(raw)),
        lambda raw: raw[:20] + b"!" + raw[21:],
        lambda raw: raw[:148] + b"        " + raw[156:],
        lambda raw: raw[:0],
    ],
    ids=["cut off", "empty block", "changed byte", "no checksum", "nothing"],
)
def test_malformed(damage: object) -> None:
    """A header that is cut off, empty or altered is refused."""
    assert callable(damage)
    with pytest.raises(FormatError):
        tarheader.parse(damage(tarfile.TarInfo("f").tobuf()))


@pytest.mark.parametrize("size", [-1, -512, -(1 << 80), 1 << 63, 1 << 80])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_sizes_that_no_file_has(kind: bytes, size: int) -> None:
    """A size is of 63 bits, as Go's reader has it: one below 0 would lead a reader back to where it was."""
    info = tarfile.TarInfo("f")
    info.type = kind
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = (size & ((1 << 95) - 1) | 1 << 95 | (size < 0) << 94).to_bytes(12)
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    tar = bytes(raw) + bytes(1024)
    with pytest.raises(FormatError):
        next(tarindex.members(lambda offset, length: tar[offset : offset + length], len(tar)))
    info.pax_headers = {"size": str(size)}
    if kind == tarfile.REGTYPE:
        with pytest.raises(FormatError):
            tarheader.parse(info.tobuf(tarfile.PAX_FORMAT))


@given(st.binary(max_size=2048))
def test_any_bytes(raw: bytes) -> None:
    """Whatever the bytes, there is a header or a FormatError."""
    for start in (b"", _extended_header()):
        try:
            tarheader.parse(start + raw)
        except FormatError:
            continue


def _extended_header() -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 600
    return info.tobuf(tarfile.USTAR_FORMAT)


def test_bytes_of_an_archive() -> None:
    """The header after a content is found behind its padding."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("a", b"12345"), ("b", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert tarheader.parse(buffer.getvalue()[512 + 5 :], 507).name == b"b"
