"""The recorded data root really holds what other tests rely on, and comes back exactly."""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import stat
import tarfile
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fixtures.unpack
from tests.support.fixture import private_copy
from tests.support.snapshot import Entry, Snapshot, diff_snapshots, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # unpacks and copies the whole recording

NOBODY = 65534
OPAQUE = b"trusted.overlay.opaque"


@pytest.fixture(scope="module")
def recorded(dataroot_path: Path) -> Snapshot:
    """Every entry of the unpacked data root."""
    return snapshot(dataroot_path)


def _kind(entry: Entry) -> str:
    return stat.filemode(entry.mode)[0]


def _is_whiteout(entry: Entry) -> bool:
    return _kind(entry) == "c" and entry.rdev == (0, 0)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


ANYONE: dict[str, Callable[[bytes, Entry], bool]] = {
    "whiteout": lambda _, entry: _is_whiteout(entry),
    "whiteout sharing its inode with others": lambda _, entry: _is_whiteout(entry) and len(entry.links) > 2,
    "fifo": lambda _, entry: _kind(entry) == "p",
    "socket": lambda _, entry: _kind(entry) == "s",
    "hard-linked file": lambda _, entry: _kind(entry) == "-" and len(entry.links) > 2,
    "hard-linked symlink": lambda _, entry: _kind(entry) == "l" and len(entry.links) > 1,
    "name that is not UTF-8": lambda path, _: not _is_utf8(path),
    "name of 255 bytes": lambda path, _: len(_name(path)) == 255,
    "name with an escape": lambda path, _: b"\x1b" in path,
    "name with a newline": lambda path, _: b"\n" in path,
    "real file named like a tar's whiteout": lambda path, entry: (
        _name(path) == b".wh.evil" and entry.size != 0
    ),
    "path of three thousand bytes": lambda path, _: len(path) > 3000,
    "link target of 1500 bytes": lambda _, entry: len(entry.target or b"") == 1500,
    "absolute link target": lambda _, entry: (entry.target or b"").startswith(b"/"),
    "user.overlay.opaque": lambda _, entry: entry.xattrs.get(b"user.overlay.opaque") == b"y",
    "empty attribute": lambda _, entry: entry.xattrs.get(b"user.empty") == b"",
    "set-user-ID file": lambda _, entry: bool(entry.mode & stat.S_ISUID),
    "sticky directory": lambda _, entry: bool(entry.mode & stat.S_ISVTX),
    "mtime before 1970": lambda _, entry: entry.mtime_ns == -999_999_999_876_543_211,
    "mtime after 2106": lambda _, entry: entry.mtime_ns > 2**32 * 10**9,
    "mtime with nanoseconds": lambda path, entry: (
        path.endswith(b"/built") and entry.mtime_ns % 10**9 == 987654321
    ),
    "file of 100 MB": lambda _, entry: _kind(entry) == "-" and entry.size == 104857600,
    "place of an unclean end": lambda path, entry: _name(path) == b"merged" and _kind(entry) == "d",
}
ROOT_ONLY: dict[str, Callable[[bytes, Entry], bool]] = {
    "opaque directory": lambda _, entry: entry.xattrs.get(OPAQUE) == b"y",
    "opaque layer root": lambda path, entry: _name(path) == b"diff" and entry.xattrs.get(OPAQUE) == b"y",
    "opaque value without effect": lambda _, entry: entry.xattrs.get(OPAQUE) == b"yy",
    "escaped attribute": lambda _, entry: b"trusted.overlay.overlay.opaque" in entry.xattrs,
    "unknown private attribute": lambda _, entry: b"trusted.overlay.foo" in entry.xattrs,
    "redirect": lambda _, entry: entry.xattrs.get(b"trusted.overlay.redirect") == b"/old",
    "metacopy": lambda _, entry: b"trusted.overlay.metacopy" in entry.xattrs,
    "attribute whiteout": lambda _, entry: b"trusted.overlay.whiteout" in entry.xattrs and entry.size == 0,
    "copied-up entry": lambda _, entry: b"trusted.overlay.origin" in entry.xattrs,
    "trusted attribute": lambda _, entry: b"trusted.foo" in entry.xattrs,
    "capability": lambda _, entry: b"security.capability" in entry.xattrs,
    "access list": lambda _, entry: b"system.posix_acl_access" in entry.xattrs,
    "default access list": lambda _, entry: b"system.posix_acl_default" in entry.xattrs,
    "character device 0:1": lambda _, entry: _kind(entry) == "c" and entry.rdev == (0, 1),
    "block device 0:0": lambda _, entry: _kind(entry) == "b" and entry.rdev == (0, 0),
    "largest device number": lambda _, entry: entry.rdev == (4095, 1048575),
    "largest user": lambda _, entry: entry.uid == 2**32 - 2,
    "file that nobody may read": lambda _, entry: _kind(entry) == "-" and not stat.S_IMODE(entry.mode),
    "device that is no whiteout": lambda _, entry: _kind(entry) in "bc" and not _is_whiteout(entry),
}


@pytest.mark.parametrize("what", ANYONE)
def test_layers_hold(recorded: Snapshot, what: str) -> None:
    """Some layer holds an entry of each unusual kind that anyone can unpack."""
    assert any(ANYONE[what](path, entry) for path, entry in recorded.items() if path.startswith(b"overlay2/"))


@pytest.mark.root
@pytest.mark.parametrize("what", ROOT_ONLY)
def test_layers_hold_what_only_root_can_unpack(recorded: Snapshot, what: str) -> None:
    """Some layer holds an entry of each kind that takes privilege to restore."""
    assert any(
        ROOT_ONLY[what](path, entry) for path, entry in recorded.items() if path.startswith(b"overlay2/")
    )


def test_archive_is_small() -> None:
    """Everybody who clones pays for the recording: at most 5 MB."""
    assert fixtures.unpack.ARCHIVE.stat().st_size <= 5_000_000


def test_large_file_is_sparse(dataroot_path: Path) -> None:
    """The file of 100 MB keeps its hole, so the recording takes little room on disk too."""
    statuses = [path.stat() for path in dataroot_path.glob("overlay2/*/diff/sparse")]
    assert min(status.st_blocks * 512 for status in statuses if status.st_size == 104857600) < 100_000


def _members() -> list[tarfile.TarInfo]:
    plain = io.BytesIO(lzma.decompress(fixtures.unpack.ARCHIVE.read_bytes()))
    with tarfile.open(fileobj=plain, errors="surrogateescape") as archive:
        return [member for member in archive if member.name.startswith("dataroot/")]


def _mtime_ns(member: tarfile.TarInfo) -> int:
    seconds, _, fraction = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    nanoseconds = int(fraction.ljust(9, "0"))
    return int(seconds) * 10**9 + (-nanoseconds if seconds.startswith("-") else nanoseconds)


@pytest.mark.root
def test_unpacking_restores_everything(recorded: Snapshot) -> None:
    """As root each entry has the mode, owner, time, target, device and attributes of the archive."""
    for member in _members():
        entry = recorded[os.fsencode(member.name.removeprefix("dataroot/"))]
        wanted = [member.mode, member.uid, member.gid, _mtime_ns(member)]
        assert [stat.S_IMODE(entry.mode), entry.uid, entry.gid, entry.mtime_ns] == wanted, member.name
        if member.issym():
            assert os.fsdecode(entry.target or b"") == member.linkname
        if member.islnk():
            assert os.fsencode(member.linkname.removeprefix("dataroot/")) in entry.links, member.name
        if member.ischr() or member.isblk():
            assert entry.rdev == (member.devmajor, member.devminor), member.name
        prefix = "SCHILY.xattr."
        for key, value in member.pax_headers.items():
            if key.startswith(prefix):
                assert entry.xattrs[os.fsencode(key.removeprefix(prefix))] == os.fsencode(value), member.name


def test_unpacking_leaves_nothing_beside_the_data_root(dataroot_path: Path) -> None:
    """What unpacking needs for itself is gone afterwards."""
    assert [path.name for path in dataroot_path.parent.iterdir()] == ["dataroot"]


def test_unpacking_overwrites_nothing(dataroot_path: Path) -> None:
    """Unpacking where a data root is already is refused."""
    with pytest.raises(FileExistsError, match="already there"):
        fixtures.unpack.unpack(dataroot_path.parent)


def _unpack_as_nobody(place: Path) -> int:
    """Unpack in `place` as an ordinary user, in a process of its own; return its wait status.

    The process stays in `place` and uses relative names: it may not pass the directories above.
    """
    shutil.copy(fixtures.unpack.ARCHIVE, place)
    os.chown(place, NOBODY, NOBODY)
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        os.chdir(place)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        fixtures.unpack.ARCHIVE = Path(fixtures.unpack.ARCHIVE.name)
        fixtures.unpack.unpack(Path())
        unreadable = [
            name for top, _, names in os.walk(".") for name in names if not _is_readable(Path(top, name))
        ]
        os._exit(bool(unreadable))
    except BaseException:  # noqa: BLE001  # whatever it is, this process must not go on as a second pytest
        traceback.print_exc()
        os._exit(2)


def _is_readable(path: Path) -> bool:
    return not stat.S_ISREG(path.lstat().st_mode) or os.access(path, os.R_OK)


@pytest.mark.root
def test_an_ordinary_user_gets_what_they_may_have(
    recorded: Snapshot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without privilege all but the devices come back readable, and stderr names what is missing."""
    status = _unpack_as_nobody(tmp_path)
    said = capfd.readouterr().err
    assert status == 0, said
    theirs = snapshot(tmp_path / "dataroot")
    missing = recorded.keys() - theirs.keys()
    assert not theirs.keys() - recorded.keys()
    assert {_kind(recorded[path]) for path in missing} == {"b", "c"}
    assert not any(_is_whiteout(recorded[path]) for path in missing)
    assert said.count("Cannot mknod") == len(missing)
    assert "trusted.*" in said


def test_private_copy_is_exact_and_apart(dataroot_path: Path, recorded: Snapshot, tmp_path: Path) -> None:
    """A private copy equals the recording in every detail, and changing it changes nothing else."""
    copy = private_copy(dataroot_path, tmp_path / "copy")
    assert diff_snapshots(recorded, snapshot(copy)) == []
    (copy / "image/overlay2/repositories.json").write_bytes(b"damaged")
    assert (dataroot_path / "image/overlay2/repositories.json").read_bytes() != b"damaged"


@pytest.fixture(scope="module")
def configs(dataroot_path: Path) -> dict[str, Any]:
    """Each image's config, by its hexadecimal ID."""
    directory = dataroot_path / "image/overlay2/imagedb/content/sha256"
    return {path.name: json.loads(path.read_bytes()) for path in directory.iterdir()}


@pytest.fixture(scope="module")
def names(dataroot_path: Path) -> dict[str, str]:
    """Each reference with the hexadecimal ID it stands for."""
    listed = json.loads((dataroot_path / "image/overlay2/repositories.json").read_bytes())
    rows = [row for rows in listed["Repositories"].values() for row in rows.items()]
    return {name: image.removeprefix("sha256:") for name, image in rows}


@pytest.fixture(scope="module")
def containers(dataroot_path: Path) -> dict[str, Any]:
    """Each container's configuration, by its name."""
    found = [json.loads(path.read_bytes()) for path in dataroot_path.glob("containers/*/config.v2.json")]
    return {str(config["Name"]).removeprefix("/"): config for config in found}


def test_names(names: dict[str, str]) -> None:
    """There are an image of several names, one of a digest alone, and a name like another's ID."""
    demo = names["demo:latest"]
    assert {"demo:1.0", "localhost:5000/team/demo:1.0"} <= {
        name for name, image in names.items() if image == demo
    }
    assert Counter(image == demo and "@sha256:" in name for name, image in names.items())[True] == 1
    assert [name for name in names if name.startswith("localhost:5000/team/by-digest:")] == []
    assert any(name.startswith("localhost:5000/team/by-digest@sha256:") for name in names)
    assert names[f"{demo[:6]}:latest"] == names["base:1"] != demo


def test_layer_counts(configs: dict[str, Any], names: dict[str, str]) -> None:
    """There are images of no layer (in each spelling), of one layer twice, and of a hundred."""
    assert configs[names["zero/null:1"]]["rootfs"] == {"type": "layers", "diff_ids": None}
    assert "diff_ids" not in configs[names["zero/no-diff-ids:1"]]["rootfs"]
    assert not configs[names["zero/scratch:1"]]["rootfs"].get("diff_ids")
    assert len(configs[names["lab/hundred:latest"]]["rootfs"]["diff_ids"]) == 100
    assert max(Counter(configs[names["lab/twice:1"]]["rootfs"]["diff_ids"]).values()) == 2


def test_config_deviations(configs: dict[str, Any], names: dict[str, str], dataroot_path: Path) -> None:
    """Each unusual config survived `docker load` as it was written."""
    content = dataroot_path / "image/overlay2/imagedb/content/sha256"
    assert (content / names["config/newline:1"]).read_bytes().endswith(b"}\n")
    assert "created" not in configs[names["config/no-created:1"]]
    assert configs[names["config/offset:1"]]["created"].endswith("-05:30")
    assert "history" not in configs[names["config/no-history:1"]]
    assert "os" not in configs[names["config/no-os:1"]]
    few = configs[names["config/few-history:1"]]
    assert len(few["history"]) < len(few["rootfs"]["diff_ids"])


def test_untagged_images(configs: dict[str, Any], names: dict[str, str], dataroot_path: Path) -> None:
    """Of the untagged images some are intermediate, and exactly one is dangling."""
    metadata = dataroot_path / "image/overlay2/imagedb/metadata/sha256"
    parents = {path.read_text().removeprefix("sha256:") for path in metadata.glob("*/parent")}
    untagged = configs.keys() - set(names.values())
    assert len(untagged & parents) > 3
    assert len(untagged - parents) == 1


def test_layers_of_the_build_cache(dataroot_path: Path) -> None:
    """Some BuildKit directories are image layers, others belong to the build cache alone."""
    ours = {path.read_text() for path in dataroot_path.glob("image/overlay2/layerdb/sha256/*/cache-id")}
    built = {path.name for path in dataroot_path.glob("overlay2/*") if len(path.name) == 25}
    assert built & ours
    assert built - ours


def test_container_states(containers: dict[str, Any], configs: dict[str, Any]) -> None:
    """There are containers that ran, never ran, crashed, lost their image, and have none to lose."""
    assert containers["crashed"]["State"]["Running"]
    assert not containers["changed"]["State"]["Running"]
    assert containers["created"]["State"]["StartedAt"].startswith("0001-")
    assert containers["orphan"]["Image"].removeprefix("sha256:") not in configs
    assert {point["Type"] for point in containers["mounts"]["MountPoints"].values()} == {"bind", "volume"}
    assert containers["zero"]["Config"]["Image"] == "zero/scratch:1"


def test_distribution_metadata(dataroot_path: Path) -> None:
    """Pushes and pulls left their notes of registry blobs."""
    distribution = dataroot_path / "image/overlay2/distribution"
    assert list(distribution.glob("diffid-by-digest/sha256/*"))
    assert list(distribution.glob("v2metadata-by-diffid/sha256/*"))
