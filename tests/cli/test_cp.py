"""`layerfs cp`: its copies against those that cp(1) makes of the kernel's own mount."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.command import layerfs
from tests.support.images import image_of
from tests.support.kernel import overlay_mount
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Link, Meta, Symlink
from tests.support.mounts import stacked_by_docker
from tests.support.processes import Running
from tests.support.snapshot import diff_snapshots, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
DAMAGED, USAGE, NOT_FOUND, NO_ENTRY = 1, 2, 3, 6


def _copied_by_cp(mounted: Path, target: Path) -> bool:
    """Copy a mount with GNU cp; whether it was refused anything but names the kernel lists and lacks."""
    target.mkdir()
    command = ["cp", "-a", f"{mounted}/.", str(target)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}, check=False
    )
    return any("No such file" not in line for line in done.stderr.splitlines())


@contextmanager
def _mounted(root: Path, top: str) -> Iterator[Path]:
    """A layer on those below it, as the kernel mounts them when it follows metacopies."""
    with overlay_mount(stacked_by_docker(root, top), metacopy=True, redirect="follow") as place:
        yield place


@pytest.mark.kernel
def test_every_tree_is_copied_as_cp_copies_the_kernels_mount(dataroot_path: Path, tmp_path: Path) -> None:
    """Each image and container comes out as with `cp -a`, attribute for attribute, link for link."""
    root = DataRoot.open(dataroot_path)
    tops: dict[str, str] = {
        image.id: str(root.chain(image)[-1].cache_id) for image in root.images() if image.config.diff_ids
    }
    tops |= {item.id: str(item.mount.mount_id) for item in root.containers() if item.mount}
    different: dict[str, list[str]] = {}
    refused: list[str] = []
    for number, (name, top) in enumerate(tops.items()):
        theirs, ours = tmp_path / f"{number}-theirs", tmp_path / f"{number}-ours"
        with _mounted(dataroot_path, top) as mounted:
            complains = _copied_by_cp(mounted, theirs)
        if complains:
            refused.append(root.names.anything(name).name)  # type: ignore[union-attr]
        done = layerfs(dataroot_path, "cp", "--specials", f"{name}:/", str(ours))
        assert done.code == (DAMAGED if complains else 0), (name, done.stderr)
        if lines := diff_snapshots(snapshot(theirs), snapshot(ours)):
            different[name] = lines
    assert different == {}
    assert refused == ["lab/metacopy:1"]
    assert len(tops) > 30


@pytest.mark.kernel
def test_a_part_of_a_tree_is_copied_under_its_name(dataroot_path: Path, tmp_path: Path) -> None:
    """A directory goes below DEST as with `cp -a`, and under a new name where DEST is not there."""
    top = str(DataRoot.open(dataroot_path).container("changed").mount.mount_id)  # type: ignore[union-attr]
    for place in ("theirs", "ours"):
        (tmp_path / place).mkdir(0o711)
    with _mounted(dataroot_path, top) as mounted:
        for source, target in (
            ("etc", "theirs"),
            ("usr/share", "theirs/shared"),
            ("opt/.", "theirs/content"),
        ):
            command = ["cp", "-a", f"{mounted}/{source}", str(tmp_path / target)]
            subprocess.run(command, check=True)
    for source, target in (("etc", "ours"), ("usr/share", "ours/shared"), ("opt/.", "ours/content")):
        done = layerfs(dataroot_path, "cp", "--specials", f"changed:/{source}", str(tmp_path / target))
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
    theirs, ours = snapshot(tmp_path / "theirs"), snapshot(tmp_path / "ours")
    theirs.pop(b"")
    ours.pop(b"")
    assert diff_snapshots(theirs, ours) == []
    assert len(ours) > 8


def _paths(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("demo:/etc/motd", "motd"),
        ("demo:latest:/etc/motd", "motd"),
        ("localhost:5000/team/demo:1.0:/etc/motd", "motd"),
        ("registry.example.com:8443/team/demo:stable:/etc//motd", "motd"),
        ("demo@4:/etc/motd", "motd"),
        ("changed:/etc/motd", "motd"),
        ("demo:/root/..//etc/./motd", "motd"),
        ("demo:/etc/", "etc"),
    ],
)
def test_name_and_path_meet_at_a_colon(dataroot_path: Path, tmp_path: Path, source: str, found: str) -> None:
    """Names with ports, tags and layer numbers are told from the path behind them."""
    assert layerfs(dataroot_path, "cp", source, str(tmp_path)).code == 0
    assert _paths(tmp_path)[0] == found


def test_a_path_may_have_colons(tmp_path: Path) -> None:
    """The first `:/` ends the name, whatever colons the path has; what is before it is all of the name."""
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"a:": Dir({b"b:c": File(b"x")})})))
    (tmp_path / "out").mkdir()
    assert layerfs(root, "cp", "test:1:/a:/b:c", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out/b:c").read_text() == "x"
    (tmp_path / "out/b:c").unlink()
    assert layerfs(root, "cp", "test:1:a:/b:c", str(tmp_path / "out")).code == 3
    assert list((tmp_path / "out").iterdir()) == []


def test_as_of_a_layer_and_a_layer_alone(dataroot_path: Path, tmp_path: Path) -> None:
    """`IMAGE@N` gives what was deleted later; `--layer N` gives whiteouts as the devices they are."""
    assert layerfs(dataroot_path, "cp", "demo@3:/root/password.txt", str(tmp_path)).code == 0
    assert (tmp_path / "password.txt").read_text() == "correct horse battery staple\n"
    done = layerfs(dataroot_path, "cp", "--layer", "5", "--specials", "demo:/root", str(tmp_path))
    assert done.code == 0
    found = (tmp_path / "root/password.txt").lstat()
    assert (stat.S_ISCHR(found.st_mode), found.st_rdev) == (True, 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with links of every kind."""
    return image_of(
        tmp_path / "root",
        LayerSpec(
            Dir(
                {
                    b"d": Dir({b"f": File(b"content"), b"up": Symlink(b"../../../../x")}),
                    b"absolute": Symlink(b"/d/f"),
                    b"outside": Symlink(b"/../../etc/hostname"),
                    b"directory": Symlink(b"d"),
                    b"dangling": Symlink(b"nowhere"),
                }
            )
        ),
    )[0]


def test_links_are_copied_as_links(root: Path, tmp_path: Path) -> None:
    """A link comes out with its target as it is, wherever that leads."""
    (tmp_path / "out").mkdir()
    names = ("absolute", "outside", "directory", "dangling")
    done = layerfs(root, "cp", *(f"test:1:/{name}" for name in names), "test:1:/d", str(tmp_path / "out"))
    assert (done.code, done.stderr) == (0, "")
    targets = {path.name: os.readlink(path) for path in (tmp_path / "out").rglob("*") if path.is_symlink()}
    assert targets == {
        "absolute": "/d/f",
        "outside": "/../../etc/hostname",
        "directory": "d",
        "dangling": "nowhere",
        "up": "../../../../x",
    }


def test_follow_stays_in_the_tree(root: Path, tmp_path: Path) -> None:
    """`-L` gives what PATH leads to in the image's own tree, under the name of the link."""
    out = tmp_path / "out"
    out.mkdir()
    assert layerfs(root, "cp", "-L", "test:1:/absolute", "test:1:/directory", str(out)).code == 0
    assert (out / "absolute").read_text() == (out / "directory/f").read_text() == "content"
    assert (out / "directory/up").is_symlink()
    done = layerfs(root, "cp", "-L", "test:1:/outside", "test:1:/dangling", str(out))
    assert (done.code, done.stderr.count("error: ")) == (NO_ENTRY, 2)
    assert _paths(out) == ["absolute", "directory", "directory/f", "directory/up"]


# -- what is there -------------------------------------------------------------------------------


def test_what_is_there_stays_without_force(root: Path, tmp_path: Path) -> None:
    """Files, links and other types in the way stay, and are named; directories are added to as they are."""
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d").chmod(0o700)
    (out / "d/f").write_text("mine")
    (out / "absolute").mkdir()
    done = layerfs(root, "cp", "test:1:/.", str(out))
    assert (done.code, "out/d/f: is there already" in done.stderr) == (1, True)
    assert "out/absolute: is there already, a directory" in done.stderr
    assert (out / "d/f").read_text() == "mine"
    assert os.readlink(out / "d/up") == "../../../../x"
    assert stat.S_IMODE((out / "d").stat().st_mode) == 0o700


def test_force_replaces_files_and_no_directories(root: Path, tmp_path: Path) -> None:
    """With --force the result is that of a copy into nothing, but for a directory in a file's place."""
    out, new = tmp_path / "out", tmp_path / "new"
    (out / "d").mkdir(parents=True)
    (out / "d").chmod(0o700)
    (out / "d/f").write_text("mine")
    os.link(out / "d/f", tmp_path / "kept")
    os.mkfifo(out / "d/up")
    (out / "dangling").write_text("mine")
    assert layerfs(root, "cp", "--force", "test:1:/.", str(out)).code == 0
    assert layerfs(root, "cp", "test:1:/.", str(new)).code == 0
    assert diff_snapshots(snapshot(new), snapshot(out)) == []
    assert (tmp_path / "kept").read_text() == "mine"
    (out / "d/f").unlink()
    (out / "d/f").mkdir()
    done = layerfs(root, "cp", "--force", "test:1:/d/f", str(out / "d"))
    assert (done.code, (out / "d/f").is_dir()) == (1, True)
    done = layerfs(root, "cp", "--force", "test:1:/d", str(out / "dangling"))
    assert (done.code, (out / "dangling").is_symlink()) == (1, True)


def test_the_same_file_twice_is_one_link(tmp_path: Path) -> None:
    """Names of one inode come out as names of one, also when one of them is copied over again."""
    root, _ = image_of(
        tmp_path / "root", LayerSpec(Dir({b"a": Link(0), b"d": Dir({b"b": Link(0)})}), (File(b"x"),))
    )
    out = tmp_path / "out"
    out.mkdir()
    done = layerfs(root, "cp", "--force", "test:1:/a", "test:1:/d", "test:1:/a", str(out))
    assert (done.code, done.stderr) == (0, "")
    assert _paths(out) == ["a", "d", "d/b"]
    assert (out / "a").stat().st_ino == (out / "d/b").stat().st_ino


# -- what is kept --------------------------------------------------------------------------------


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A sparse file takes no more room than in its layer."""
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir({b"sparse": File(b"end", hole=1 << 30)})))
    assert layerfs(root, "cp", "test:1:/sparse", str(tmp_path / "out")).code == 0
    copy, original = (tmp_path / "out").stat(), (layer.diff / "sparse").stat()
    assert copy.st_size == original.st_size == (1 << 30) + 3
    assert copy.st_blocks <= original.st_blocks


SPECIAL = {
    b"fifo": Device(stat.S_IFIFO, meta=Meta(0o642, 5, 6, 7)),
    b"socket": Device(stat.S_IFSOCK),
    b"disk": Device(stat.S_IFBLK, 8, 300, Meta(0o660, 0, 6)),
    b"null": Device(stat.S_IFCHR, 1, 3, Meta(0o666, xattrs={b"trusted.x": b"y"})),
}


def test_special_files_only_on_request(tmp_path: Path) -> None:
    """Devices, FIFOs and sockets are counted and left out; with --specials they are made as they were."""
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir({b"d": Dir({**SPECIAL, b"f": File(b"x")})})))
    done = layerfs(root, "cp", "test:1:/d", str(tmp_path / "without"))
    assert (done.code, "4 FIFOs, sockets or devices not copied" in done.stderr) == (0, True)
    assert _paths(tmp_path / "without") == ["f"]
    done = layerfs(root, "cp", "test:1:/d/null", str(tmp_path / "null"))
    assert (done.code, "--specials" in done.stderr, (tmp_path / "null").exists()) == (1, True, False)
    assert layerfs(root, "cp", "--specials", "test:1:/d", str(tmp_path / "with")).code == 0
    assert diff_snapshots(snapshot(layer.diff / "d"), snapshot(tmp_path / "with")) == []


# -- misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["demo", "{out}"], USAGE, "NAME:/PATH"),
        (["demo:", "{out}"], USAGE, "demo:/"),
        (["nobody:/etc", "{out}"], NOT_FOUND, "nobody"),
        (["demo@9:/etc", "{out}"], NOT_FOUND, "no layer 9"),
        (["demo:/nothing", "{out}"], NO_ENTRY, "/nothing"),
        (["demo:/etc/motd/x", "{out}"], NO_ENTRY, "/etc/motd"),
        (["demo:/etc/motd", "-"], USAGE, "tar"),
        (["demo:/etc/motd", "{out}/missing/"], USAGE, "no such directory"),
        (["demo:/etc/motd", "{out}/missing/x"], 74, "missing"),
        (["demo:/etc/motd", "{out}/file/"], USAGE, "no directory"),
        (["demo:/etc", "{out}/file"], 1, "no directory"),
        (["demo:/etc", "demo:/bin", "{out}/missing"], USAGE, "several"),
        (["demo:/etc"], USAGE, "DEST"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_is_told(
    dataroot_path: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """What cannot be copied, or not there, is told with its exit code, and nothing is made."""
    (tmp_path / "file").write_text("mine")
    done = layerfs(dataroot_path, "cp", *(word.format(out=tmp_path) for word in arguments))
    assert (done.code, words in done.stderr) == (code, True), done.stderr
    assert (_paths(tmp_path), (tmp_path / "file").read_text()) == (["file"], "mine")


def test_a_failure_is_named_and_the_rest_copied(tmp_path: Path) -> None:
    """A file that cannot be read is named, the others are there, and the exit code says so."""
    no_data = File(b"x", meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"a": File(b"1"), b"b": no_data, b"c": File(b"2")})))
    done = layerfs(root, "cp", "test:1:/", str(tmp_path / "out"))
    assert (done.code, "/b: " in done.stderr) == (DAMAGED, True)
    assert _paths(tmp_path / "out") == ["a", "c"]


def test_no_space_stops_the_copy(tmp_path: Path) -> None:
    """A full disk is told once, and leaves no half file."""
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"a": File(b"1"), b"b": File(b"x" * (1 << 20)), b"c": File(b"x" * (1 << 20))})),
    )
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "layerfs-test", tmp_path / "small"], check=True)
    try:
        done = layerfs(root, "cp", "test:1:/", str(tmp_path / "small/out"))
        assert (done.code, done.stderr.count("No space left")) == (74, 1)
        assert _paths(tmp_path / "small") == ["out", "out/a"]
    finally:
        subprocess.run(["umount", tmp_path / "small"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["new", "force"])
def test_interruption_leaves_no_half_file(tmp_path: Path, force: list[str]) -> None:
    """After Ctrl-C in the middle of a file it is as it was before, absent or the old one; exit 130."""
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir({b"a": File(b"whole"), b"b": File()})))
    with (layer.diff / "b").open("wb") as file:
        for _ in range(512):
            file.write(b"x" * (1 << 20))
    out = tmp_path / "out"
    out.mkdir()
    if force:
        (out / "b").write_text("old")
    command = [LAYERFS, "--root", str(root), "cp", *force, "test:1:/.", str(out)]
    with Running(command, stderr=subprocess.PIPE) as running:
        while running.poll() is None and not ((out / "a").exists() and _writes_in(running.pid, out)):
            time.sleep(0.001)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate()
    assert (running.returncode, b"Traceback" in errors) == (130, False)
    left = {path.name: path.read_text() for path in out.iterdir()}
    assert left == ({"a": "whole", "b": "old"} if force else {"a": "whole"})


def _writes_in(process: int, folder: Path) -> bool:
    """Whether a process holds a file of this directory open that has content."""
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            if os.readlink(descriptor).startswith(f"{folder}/") and descriptor.stat().st_size > 5:
                return True
        except OSError:  # closed meanwhile
            continue
    return False


def test_deleted_files_are_not_copied(tmp_path: Path) -> None:
    """What a later layer hides is not in the copy."""
    root, _ = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"f": File(b"x"), b"g": File(b"y")})),
        LayerSpec(Dir({b"f": WHITEOUT})),
    )
    assert layerfs(root, "cp", "test:1:/", str(tmp_path / "out")).code == 0
    assert _paths(tmp_path / "out") == ["g"]
