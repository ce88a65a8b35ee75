"""An archive that names a path twice, spelled otherwise: what came last is on disk, and that is no change."""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs.ids import DiffID
from tests.support.command import layerfs, run_bytes
from tests.support.rootbuilder import RootBuilder
from tests.support.tarsplit import lines_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

IMAGE = "twice:1"


class _Entry(NamedTuple):
    name: str
    content: bytes | None = None  # of a directory
    mtime: int = 0
    uid: int = 0
    mode: int = 0o755
    xattrs: tuple[tuple[str, str], ...] = ()


def _info(entry: _Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.name)
    info.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
    info.size, info.mode = len(entry.content or b""), entry.mode
    info.mtime, info.uid = entry.mtime, entry.uid
    info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in entry.xattrs}
    return info


def _root(place: Path, *entries: _Entry) -> Path:
    """A data root of one layer, unpacked from `entries` as tar(1) would, one after the other."""
    members = [(_info(entry), entry.content or b"") for entry in entries]
    tar = b"".join(
        info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512) for info, data in members
    ) + bytes(1024)

    def fill(diff: Path) -> None:
        for entry in entries:
            path = diff / entry.name.lstrip("./")
            if entry.content is None:
                path.mkdir(exist_ok=True)
            else:
                path.unlink(missing_ok=True)
                path.write_bytes(entry.content)
            path.chmod(entry.mode)
            os.chown(path, entry.uid, 0)
            for key, value in entry.xattrs:
                os.setxattr(path, key, value.encode())
        for entry in entries:
            os.utime(diff / entry.name.lstrip("./"), (entry.mtime, entry.mtime))

    builder = RootBuilder(place)
    layer = builder.layer(None, fill, DiffID.from_hex(hashlib.sha256(tar).hexdigest()))
    record = builder.path / "image/overlay2/layerdb/sha256" / layer.chain_id.hex
    (record / "tar-split.json.gz").write_bytes(lines_of(iter(members)))
    builder.image(layer, IMAGE)
    return builder.finish()


SAME = (
    _Entry("./etc/", mtime=1, mode=0o700, xattrs=(("user.first", "1"), ("user.both", "1"))),
    _Entry("./etc/file", b"content", mtime=3),
    _Entry("/etc/", mtime=2, uid=33, xattrs=(("user.both", "2"),)),
    _Entry("/etc/file", b"content", mtime=4, uid=5, mode=0o600),
    _Entry("../etc/file", b"content", mtime=5, uid=6, mode=0o640),
)


def test_it_is_verified_and_exported(tmp_path: Path) -> None:
    """The layer is proven, exported byte for byte, and of the size that the engine noted."""
    root = _root(tmp_path / "root", *SAME)
    found = layerfs(root, "verify", "--all", "--strict")
    assert (found.code, found.stderr) == (0, "")
    assert "content of 1 layer proven" in found.stdout
    assert layerfs(root, "doctor", "--severity", "warning").stdout == "nothing found\n"
    tar = run_bytes(root, "export", "--layer", "1", "--format", "layer", IMAGE).stdout
    diff_id = layerfs(root, "layers", "--format", "json", IMAGE).json[0]["diff_id"]
    assert f"sha256:{hashlib.sha256(tar).hexdigest()}" == diff_id


def test_it_is_read_through_its_archive(tmp_path: Path) -> None:
    """Attributes from the archive are those on disk: of a file the last, of a directory all together."""
    root = _root(tmp_path / "root", *SAME)
    shown = [
        layerfs(root, "--metadata", metadata, "stat", IMAGE, "/etc/file", "/etc", "--format", "json").json
        for metadata in ("disk", "tar-split")
    ]
    for rows in shown:
        for row in rows:
            for varying in ("inode", "atime", "ctime", "blocks", "device", "backing"):
                row.pop(varying, None)
    assert shown[0] == shown[1]


def test_a_change_of_it_is_found(tmp_path: Path) -> None:
    """What is on disk must be the last one, and not any."""
    root = _root(tmp_path / "root", *SAME)
    (path,) = (root / "overlay2").glob("*/diff/etc/file")
    os.utime(path, (3, 3))
    path.parent.chmod(0o700)
    os.utime(path.parent, (2, 2))
    found = layerfs(root, "verify", "--all", "--format", "json")
    assert sorted(row["code"] for row in found.json) == ["mode-altered", "mtime-altered"]


@pytest.mark.parametrize("content", [b"older!!", b"longer than it"], ids=["of one size", "of another"])
def test_a_file_that_another_took_the_place_of(tmp_path: Path, content: bytes) -> None:
    """Content that nobody has any more is a note: nothing was altered, yet no tar can have it."""
    root = _root(tmp_path / "root", _Entry("./file", content), _Entry("/file", b"content"))
    found = layerfs(root, "verify", "--all", "--format", "json")
    assert [(row["code"], row["severity"]) for row in found.json] == [("member-overtaken", "note")]
    assert found.code == 0
    salvaged = run_bytes(root, "export", "--salvage", "--layer", "1", "--format", "layer", IMAGE)
    assert b"content" in salvaged.stdout
