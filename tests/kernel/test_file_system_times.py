"""Times that a file system cannot keep: what the engine's call leaves there is what `verify` expects."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Archive, Image, Layer
from layerfs.formats import unpacked
from layerfs.formats.tarheader import Header
from tests.support.command import layerfs
from tests.support.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.kernel

SECOND = 10**9
YEAR = 31_556_952 * SECOND
TIMES = [
    *(0, 5, 1_700_000_000 * SECOND + 123_456_789, -5, -YEAR, -60 * YEAR, -70 * YEAR, -290 * YEAR),
    *(69 * YEAR, 136 * YEAR, 137 * YEAR + 1, 200 * YEAR + 1, 292 * YEAR, 300 * YEAR, 477 * YEAR, 600 * YEAR),
    *((1 << 31) * SECOND, ((1 << 31) - 1) * SECOND + 7, (1 << 32) * SECOND, (1 << 63) - 1, 1 << 63),
    *(-(1 << 31) * SECOND - 1, -(1 << 63), -62135596800 * SECOND + 1),
]
FILE_SYSTEMS = {
    "ext4": ["-t", "ext4"],
    "ext4 with small inodes": ["-t", "ext4", "-I", "128"],
    "ext2": ["-t", "ext2", "-I", "256"],
    "tmpfs": None,
}


@contextmanager
def _mounted(place: Path, kind: str, size: str = "16M") -> Iterator[Path]:
    """A new file system on `place`."""
    place.mkdir()
    options = FILE_SYSTEMS[kind]
    if options is None:
        subprocess.run(["mount", "-t", "tmpfs", "times", place], check=True)
    else:
        image = place.with_suffix(".img")
        subprocess.run(["truncate", "--size", size, image], check=True)
        subprocess.run(["mkfs.ext4", "-q", *options, image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


MAKE: dict[bytes, Callable[[Path], object]] = {
    b"0": lambda path: path.touch(),
    b"5": lambda path: path.mkdir(),
    b"6": os.mkfifo,
    b"2": lambda path: path.symlink_to("x"),
}


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_what_the_kernel_stores_is_expected(tmp_path: Path, kind: str) -> None:
    """Of every type of entry, what utimensat(2) left is what was to be; a minute beside it is not."""
    with _mounted(tmp_path / "disk", kind) as place:
        for number, time in enumerate(TIMES):
            for type_, make in MAKE.items():
                header = Header(b"x", type_, 0o644, 0, 0, 0, time)
                path = place / f"{number}-{type_.decode()}"
                make(path)
                wanted = unpacked.stored_mtime(header)
                os.utime(path, ns=(wanted, wanted), follow_symlinks=False)
                found = path.lstat()
                assert unpacked.is_stored_time(header, found.st_mtime_ns, found.st_ctime_ns), (time, type_)
                os.utime(path, ns=(60 * SECOND + 1, 60 * SECOND + 1), follow_symlinks=False)
                other = path.lstat()
                assert not unpacked.is_stored_time(header, other.st_mtime_ns, other.st_ctime_ns)


def _layer() -> bytes:
    layer = Layer()
    for number, time in enumerate(TIMES):
        pax = (
            {"mtime": f"{time // SECOND}.{time % SECOND:09}"} if time >= 0 else {"mtime": str(time // SECOND)}
        )
        layer.dir(f"d{number}/", pax=pax).file(f"d{number}/f", pax=pax).symlink(f"d{number}/l", "f", pax=pax)
    return layer.done()


@pytest.mark.dockerd
@pytest.mark.parametrize("kind", ["ext4", "ext4 with small inodes"])
def test_no_time_of_an_engine_is_called_altered(tmp_path: Path, kind: str) -> None:
    """An engine on a file system of few bits loads every time there is, and verify finds nothing."""
    with _mounted(tmp_path / "disk", kind, "256M") as place:
        archive = tmp_path / "archive.tar"
        archive.write_bytes(Archive([Image(["times:1"], [_layer()], None)]).done())
        with Engine(place / "root") as engine:
            engine.load(archive)
        found = layerfs(place / "root", "verify", "--all")
        assert (found.code, found.stderr) == (0, "")
        assert ": 0 errors, 0 warnings, 0 notes; " in found.stdout
        (path,) = (place / "root/overlay2").glob("*/diff/d0/f")
        assert stat.S_ISREG(path.lstat().st_mode)
        os.utime(path, (60, 60))
        codes = [row["code"] for row in layerfs(place / "root", "verify", "--all", "--format", "json").json]
        assert codes == ["mtime-altered"]
