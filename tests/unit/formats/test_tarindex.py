"""Members of tars that GNU tar wrote, beside what GNU tar takes out of them again."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.tarindex import TarMember, members

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = {
    "v7": ["--format=v7"],
    "ustar": ["--format=ustar"],
    "gnu": ["--format=gnu"],
    "pax": ["--format=posix"],
    "gnu sparse": ["--format=gnu", "--sparse"],
    **{
        f"pax sparse {version}": ["--format=posix", "--sparse", f"--sparse-version={version}"]
        for version in ("0.0", "0.1", "1.0")
    },
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with files of all shapes."""
    top = tmp_path_factory.mktemp("tree")
    (top / "d").mkdir()
    (top / "d/empty").touch()
    (top / "d/small").write_bytes(b"hello")
    (top / "d/block").write_bytes(b"x" * 1024)
    (top / ("n" * 90)).write_bytes(b"n")
    with (top / "d/sparse").open("wb") as file:
        for place in (3, 40_000, 90_000):
            file.seek(place)
            file.write(b"data")
        file.truncate(1 << 20)
    with (top / "d/many").open("wb") as file:
        for place in range(0, 60 * 8192, 8192):
            file.seek(place)
            file.write(b"q")
    (top / "link").symlink_to("d/small")
    (top / "hard").hardlink_to(top / "d/small")
    os.utime(top / "d/small", ns=(0, 1_600_000_000_123_456_789))
    return top


def _members(path: Path) -> list[TarMember]:
    with path.open("rb") as file:
        return list(
            members(lambda at, length: os.pread(file.fileno(), length, at), os.fstat(file.fileno()).st_size)
        )


def _content(path: Path, member: TarMember) -> bytes:
    data, content = path.read_bytes(), bytearray(member.size)
    for extent in member.extents:
        content[extent.start : extent.start + extent.length] = data[
            extent.offset : extent.offset + extent.length
        ]
    return bytes(content)


@pytest.mark.parametrize("name", FORMATS)
def test_members_are_what_gnu_tar_packed(name: str, tree: Path, tmp_path: Path) -> None:
    """Names, types, sizes, and every byte of every content, holes included, in all of GNU tar's formats."""
    archive = tmp_path / "x.tar"
    subprocess.run(["tar", "-C", tree, *FORMATS[name], "-cf", archive, "."], check=True)
    listed = subprocess.run(
        ["tar", "-tf", archive, "--quoting-style=literal"], capture_output=True, check=True
    ).stdout.split(b"\n")[:-1]
    found = _members(archive)
    assert [member.header.name for member in found] == listed
    for member in found:
        path = tree / os.fsdecode(member.header.name)
        status = path.lstat()
        if not member.header.is_hard_link:
            assert member.header.kind == stat.S_IFMT(status.st_mode)
        if member.header.kind == stat.S_IFREG:
            content = path.read_bytes()
            assert member.size == len(content)
            assert hashlib.sha256(_content(archive, member)).digest() == hashlib.sha256(content).digest()


def test_where_a_tar_ends(tree: Path, tmp_path: Path) -> None:
    """Two blocks of zeros end it, and so does the end of the file; what follows the zeros is not read."""
    archive = tmp_path / "x.tar"
    subprocess.run(["tar", "-C", tree, "-b1", "-cf", archive, "."], check=True)
    whole = _members(archive)
    data = archive.read_bytes()
    assert data.endswith(bytes(1024))
    for changed in (data[:-1024], data + b"what follows" * 100):
        archive.write_bytes(changed)
        assert _members(archive) == whole


@pytest.mark.parametrize("what", ["header", "content", "checksum", "zeros"])
def test_a_damaged_tar_is_refused(what: str, tree: Path, tmp_path: Path) -> None:
    """A tar that is cut off, or has something else where a header must be, never ends in silence."""
    archive = tmp_path / "x.tar"
    subprocess.run(["tar", "-C", tree, "-b1", "-cf", archive, "d"], check=True)
    data = bytearray(archive.read_bytes())
    at = next(member for member in _members(archive) if member.header.name == b"d/block").at
    if what == "header":
        del data[at + 300 :]
    elif what == "content":
        del data[at + 600 :]
    elif what == "checksum":
        data[at] ^= 1
    else:
        data[at:at] = bytes(512)
    archive.write_bytes(data)
    with pytest.raises(FormatError):
        _members(archive)


def test_global_headers_change_nothing(tree: Path, tmp_path: Path) -> None:
    """As the engines' own reader, and unlike pax(1): what a global header says is passed over."""
    archive = tmp_path / "x.tar"
    options = ["--format=posix", "--pax-option=globexthdr.name=g,mtime=1"]
    subprocess.run(["tar", "-C", tree, *options, "-cf", archive, "d"], check=True)
    assert b"mtime=1" in archive.read_bytes()[:2048]
    assert _members(archive)[0].header.name == b"d/"
    assert _members(archive)[0].header.mtime_ns != 1_000_000_000


def test_a_hostile_map_is_refused(tree: Path, tmp_path: Path) -> None:
    """The parts of a sparse file must lie in order inside of it."""
    archive = tmp_path / "x.tar"
    subprocess.run(["tar", "-C", tree, *FORMATS["pax sparse 1.0"], "-cf", archive, "d/many"], check=True)
    data = archive.read_bytes()
    for before, after in ((b"\n8192\n", b"\n0000\n"), (b"\n8192\n", b"\n-192\n"), (b"\n4096\n", b"\n9999\n")):
        assert before in data
        archive.write_bytes(data.replace(before, after, 1))
        with pytest.raises(FormatError):
            _members(archive)


@pytest.mark.parametrize("step", [0, 1, 500, 4000, 100_000, 131_000, 140_000, 2_000_000])
def test_members_at_every_distance(step: int) -> None:
    """Headers near and far, of a tar that is a part of its file: nothing outside of it is read."""
    sizes = [*range(0, 5 * step, max(1, step)), 0, 3 * step, *[step] * 5, 7]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as made:
        for number, size in enumerate(sizes):
            header = tarfile.TarInfo(f"{number}" + "n" * (number % 2 * 200))
            header.size = size
            made.addfile(header, io.BytesIO(b"%d" % (number % 10) * size))
    tar, before = packed.getvalue(), b"x" * 1000
    whole = before + tar + b"y" * 1000

    def read(at: int, length: int) -> bytes:
        assert len(before) <= at <= at + length <= len(before) + len(tar)
        return whole[at : at + length]

    found = list(members(read, len(tar), len(before)))
    assert [member.size for member in found] == sizes
    for number, member in enumerate(found):
        content = b"".join(whole[part.offset : part.offset + part.length] for part in member.extents)
        assert content == b"%d" % (number % 10) * sizes[number]
