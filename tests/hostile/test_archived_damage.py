"""Archives that are damaged, hostile, or of contents that are gone: said, bounded, and the rest goes on."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
import zlib
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.errors import UnreadableEntry
from tests.support.command import layerfs
from tests.support.rootbuilder import RootBuilder
from tests.support.tarsplit import lines_of, tar_split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.rootbuilder import BuiltLayer

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

ARCHIVED = ("--metadata", "tar-split")
DAMAGED = 1


class Small:
    """An image of two layers, of which the archives say that files belong to user 5."""

    def __init__(self, place: Path) -> None:
        builder = RootBuilder(place)
        self.base = builder.layer(None, lambda diff: _fill(diff, "base", "both"))
        self.top = builder.layer(self.base, lambda diff: _fill(diff, "top", "both"))
        builder.image(self.top, "small:1")
        self.root = builder.finish()
        for layer in (self.base, self.top):
            self.tar_split(layer).write_bytes(tar_split(layer.diff))
            self.give(layer.diff, 1000)

    @classmethod
    def whole(cls, place: Path) -> Small:
        """One that lost nothing."""
        small = cls(place)
        for layer in (small.base, small.top):
            small.give(layer.diff, 5)
        return small

    @classmethod
    def copied(cls, place: Path) -> Small:
        """One that an ordinary user copied: all of it is his."""
        small = cls(place)
        for directory, _, names in os.walk(small.root):
            for name in (".", *names):
                os.chown(os.path.join(directory, name), 1000, 1000, follow_symlinks=False)
        return small

    @staticmethod
    def give(diff: Path, owner: int) -> None:
        """Give everything in a layer to a user."""
        for path in diff.iterdir():
            os.chown(path, owner, owner)

    def tar_split(self, layer: BuiltLayer) -> Path:
        return self.root / "image/overlay2/layerdb/sha256" / layer.chain_id.hex / "tar-split.json.gz"


def _fill(diff: Path, *names: str) -> None:
    for name in names:
        (diff / name).write_text(name)
        os.chown(diff / name, 5, 5)
    os.link(diff / names[0], diff / f"{names[0]}-again")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """The image in a root of its own."""
    return Small(tmp_path / "root")


def _owners(small: Small) -> dict[str, int]:
    found = layerfs(small.root, *ARCHIVED, "ls", "--format", "json", "small:1")
    return {row["path"]: row["uid"] for row in found.json}


def _bomb(size: int) -> Callable[[bytes], bytes]:
    def packed(_: bytes) -> bytes:
        return gzip.compress(b'{"type":2,"payload":"' + b"A" * size + b'","position":0}\n')

    return packed


def _twice(packed: bytes) -> bytes:
    lines = gzip.decompress(packed).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:-1] * 2))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda packed: packed[: len(packed) // 2],
    "empty": lambda _: b"",
    "not gzip": lambda _: b"\x00" * 1000,
    "bit flipped": lambda packed: packed[:40] + bytes([packed[40] ^ 8]) + packed[41:],
    "not JSON": lambda _: gzip.compress(b"[" * 100_000 + b"\n"),
    "one huge line": _bomb(64 << 20),
    "millions of lines": lambda _: gzip.compress(b"\n" * (20 << 20)),
    "a path twice": _twice,
    "a header of zeros": lambda _: gzip.compress(
        json.dumps({"type": 2, "payload": "A" * 684}).encode() + b'\n{"type":1,"name":"x"}\n'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_leaves_the_disk(small: Small, damage: Callable[[bytes], bytes]) -> None:
    """The layer is shown as on disk, its archive is named, and the other layer is as its archive says."""
    path = small.tar_split(small.top)
    path.write_bytes(damage(path.read_bytes()))
    found = layerfs(small.root, *ARCHIVED, "ls", "-R", "small:1")
    assert (found.code, "bug in layerfs" in found.stderr) == (DAMAGED, False)
    assert f"{path}:" in found.stderr
    assert "shown as on disk" in found.stderr
    assert _owners(small) == {
        "/base": 5, "/base-again": 5, "/both": 1000, "/top": 1000, "/top-again": 1000,
    }  # fmt: skip
    for command in (("ls", "small:1"), ("find", "--all", "top"), ("diff", "small:1")):
        assert "bug in layerfs" not in layerfs(small.root, *command).stderr


# -- where nobody asked for archives ---------------------------------------------------------------

CHEAP = {
    name: damage for name, damage in DAMAGES.items() if name not in ("one huge line", "millions of lines")
}
READINGS = {
    "ls": ("ls", "-l", "small:1"),
    "cat": ("cat", "small:1", "/top"),
    "find": ("find", "--all", "top"),
    "export": ("export", "--format", "rootfs", "small:1", "-o", "-"),
}


def _damage(small: Small, damage: str) -> Path:
    """Damage the upper layer's archive, or remove it; its path."""
    path = small.tar_split(small.top)
    packed = path.read_bytes()
    path.unlink()
    if damage != "absent":
        path.write_bytes(CHEAP[damage](packed))
    return path


@pytest.mark.parametrize("damage", [*CHEAP, "absent"])
def test_automatic_mode_tells_of_what_it_could_not_use(tmp_path: Path, damage: str) -> None:
    """Of a copy that lost attributes every command names, once, the archive that cannot give them back."""
    small = Small.copied(tmp_path / "root")
    path = _damage(small, damage)
    for command in READINGS.values():
        found = layerfs(small.root, *command)
        said = [line for line in found.stderr.splitlines() if str(path) in line]
        assert (found.code, len(said)) == (DAMAGED, 1), (command, found.stderr)
        assert said[0].endswith("this layer is shown as on disk")


@pytest.mark.parametrize("damage", [*CHEAP, "absent"])
def test_a_root_that_needs_no_archive_is_read_without_a_word(tmp_path: Path, damage: str) -> None:
    """With all attributes on disk a damaged archive is an affair of `doctor`, `verify` and `export`."""
    small = Small.whole(tmp_path / "root")
    _damage(small, damage)
    for command in READINGS.values():
        found = layerfs(small.root, *command)
        assert (found.code, found.stderr) == (0, ""), command


HEADERS = ("a path twice", "a header of zeros")
"""What only who reads the headers finds: `doctor --verify`."""
FIRST_SIGHT = {"absent": "missing", "empty": "malformed", "not gzip": "malformed"}
"""What is found without reading it, and how it is called."""


@pytest.mark.parametrize("damage", [*CHEAP, "absent"])
@pytest.mark.parametrize("make", [Small.whole, Small.copied], ids=["whole", "copied"])
def test_doctor_names_it(tmp_path: Path, make: Callable[[Path], Small], damage: str) -> None:
    """`doctor` finds every damage of an archive, if need be with --verify; --quick what is seen at once."""
    small = make(tmp_path / "root")
    path = small.tar_split(small.top)
    assert _codes(small, path, "--verify") == set()
    assert _damage(small, damage) == path
    code = f"tar-split-{FIRST_SIGHT.get(damage, 'malformed')}"
    for options, finds in (
        (("--verify",), True),
        ((), damage not in HEADERS),
        (("--quick",), damage in FIRST_SIGHT),
    ):
        assert _codes(small, path, *options) == ({code} if finds else set()), options


def _codes(small: Small, path: Path, *options: str) -> set[str]:
    """What `doctor` finds of an archive."""
    found = layerfs(small.root, "doctor", *options, "--format", "json")
    codes = {row["code"] for row in found.json if row["path"] == str(path)}
    return codes - {"tar-split-altered"}  # what is in it was made up


def test_doctor_tells_of_a_stream_without_an_end(small: Small) -> None:
    """One that ends with a line may be whole, as early engines never closed it: a warning."""
    path = small.tar_split(small.top)
    packer = zlib.compressobj(wbits=31)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
    assert _codes(small, path) == {"tar-split-unclosed"}


@pytest.mark.fuse
@pytest.mark.parametrize("damage", ["truncated", "not JSON", "absent"])
def test_a_mount_tells_of_it_before_it_returns(tmp_path: Path, damage: str) -> None:
    """Who mounts a copy that lost its attributes is told at once of an archive that cannot be used."""
    small = Small.copied(tmp_path / "root")
    path = _damage(small, damage)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    command = [sys.executable, "-m", "layerfs", "--root", str(small.root)]
    done = subprocess.run(
        [*command, "mount", "small:1", mounted], capture_output=True, text=True, check=False
    )
    try:
        owners = {entry.name: entry.stat().st_uid for entry in os.scandir(mounted)}
    finally:
        subprocess.run([*command, "umount", mounted], check=True)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if str(path) in line]) == 1
    assert (owners["top"], owners["base"]) == (1000, 5)


@pytest.mark.parametrize("kind", ["absent", "link", "fifo", "directory"])
def test_an_absent_archive_leaves_the_disk(small: Small, kind: str) -> None:
    """Without an archive the layer is shown as on disk, and that is said; what is in its place is damage."""
    path = small.tar_split(small.top)
    path.unlink()
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    found = layerfs(small.root, *ARCHIVED, "ls", "small:1")
    assert found.code == DAMAGED
    said = next(line for line in found.stderr.splitlines() if f"{path}: " in line)
    assert said.endswith("this layer is shown as on disk")
    assert ("missing" in said) == (kind == "absent")
    assert _owners(small)["/top"] == 1000
    assert _owners(small)["/base"] == 5


def test_lost_content_is_listed_and_refused(small: Small) -> None:
    """A file without content on disk has its attributes and size; who opens it is told why it fails."""
    (small.top.diff / "both").unlink()
    listed = layerfs(small.root, *ARCHIVED, "ls", "--format", "json", "small:1")
    (row,) = [row for row in listed.json if row["path"] == "/both"]
    assert (row["size"], row["uid"], row["layer"]) == (4, 5, 2)
    assert listed.code == DAMAGED
    assert f"{small.top.diff}/both: its content is not on disk" in listed.stderr
    read = layerfs(small.root, *ARCHIVED, "cat", "small:1", "/both")
    assert (read.code, read.stdout) == (6, "")
    assert "known from tar-split.json.gz only" in read.stderr
    root = DataRoot.open(small.root, metadata="tar-split")
    tree = root.tree(root.image("small:1"))
    with pytest.raises(UnreadableEntry) as failure:
        tree.open(tree.resolve(b"/both"))
    assert failure.value.errno is not None
    assert os.strerror(failure.value.errno) == "Input/output error"


def test_one_name_of_a_file_is_enough(small: Small) -> None:
    """A copy that left out hard links gives their content all the same."""
    (small.top.diff / "top-again").unlink()
    found = layerfs(small.root, *ARCHIVED, "cat", "small:1", "/top-again")
    assert (found.code, found.stdout, found.stderr) == (0, "top", "")
    (small.top.diff / "top").rename(small.top.diff / "top-again")
    found = layerfs(small.root, *ARCHIVED, "ls", "-l", "small:1", "/top", "/top-again")
    assert (found.code, [line.split()[1:5] for line in found.stdout.splitlines()]) == (
        0,
        [["2", "5", "5", "3"]] * 2,
    )


def test_another_size_is_said(small: Small) -> None:
    """Content that is not as long as the archive has it is shown as it is, and reported."""
    (small.base.diff / "base").write_text("longer than before")
    os.unlink(small.base.diff / "base-again")
    found = layerfs(small.root, *ARCHIVED, "ls", "--format", "json", "small:1", "/base")
    assert (found.code, found.json[0]["size"]) == (DAMAGED, 18)
    assert "18 bytes on disk, 4 in the archive" in found.stderr


def test_what_no_header_names_is_there(small: Small) -> None:
    """An entry that came into the layer without its archive is as on disk, and pointed out."""
    (small.top.diff / "planted").write_text("x")
    os.chown(small.top.diff / "planted", 77, 77)
    found = layerfs(small.root, *ARCHIVED, "stat", "--format", "json", "small:1", "/planted")
    assert (found.code, found.json[0]["uid"]) == (0, 77)
    assert f"{small.top.diff}/planted: not in the layer's archive" in found.stderr


@pytest.mark.parametrize("instead", ["directory", "link", "fifo"])
def test_another_type_is_never_opened(small: Small, instead: str) -> None:
    """Where something else lies in a file's place, the file is listed and cannot be read."""
    path = small.top.diff / "both"
    path.unlink()
    if instead == "directory":
        path.mkdir()
    elif instead == "link":
        path.symlink_to("/etc/passwd")
    else:
        os.mkfifo(path)
    found = layerfs(small.root, *ARCHIVED, "stat", "--format", "{{.Type}} {{.Size}}", "small:1", "/both")
    assert found.stdout == "file 4\n"
    assert layerfs(small.root, *ARCHIVED, "cat", "small:1", "/both").code == 6


def test_hostile_headers_stay_inside(small: Small) -> None:
    """Names that lead out of the layer, and links on the way of others, reach nothing of the host."""

    def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.uid = kind, target, 9
        return info, b""

    small.tar_split(small.top).write_bytes(
        lines_of(
            iter(
                [
                    member("../../../etc/passwd"),
                    member("out", tarfile.SYMTYPE, "/etc"),
                    member("out/shadow"),
                    member("up", tarfile.SYMTYPE, "../" * 50),
                    member("up/etc/group"),
                    member("hard", tarfile.LNKTYPE, "../../../../etc/hosts"),
                ]
            )
        )
    )
    found = layerfs(small.root, *ARCHIVED, "find", "small:1", "-uid", "9")
    assert found.stdout.split() == ["/etc/group", "/etc/passwd", "/etc/shadow", "/out", "/up"]
    assert layerfs(small.root, *ARCHIVED, "cat", "small:1", "/etc/passwd", "/out/shadow").stdout == ""


def test_inode_numbers_are_stable_and_distinct(small: Small) -> None:
    """Two openings number alike; no two entries share a number but the names of one file."""

    def numbers() -> dict[str, int]:
        found = layerfs(small.root, *ARCHIVED, "ls", "--format", "json", "small:1")
        return {row["path"]: row["inode"] for row in found.json}

    first = numbers()
    assert numbers() == first
    assert first["/top"] == first["/top-again"]
    assert len(set(first.values())) == len(first) - 2
    assert max(first.values()) < 1 << 53


def test_inode_numbers_are_the_same_in_any_order(small: Small) -> None:
    """Which layer is asked first makes no difference."""
    paths = [b"/base", b"/top"]
    for order in (paths, paths[::-1]):
        root = DataRoot.open(small.root, metadata="tar-split")
        tree = root.tree(root.image("small:1"))
        numbers = {path: tree.inode(tree.resolve(path)) for path in order}
        assert numbers == {path: tree.resolve(path).stat.ino for path in paths}
