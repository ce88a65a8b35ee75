"""The oracle itself: what `snapshot` must see, and what a kernel overlay must do, before either judges."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.kernel import overlay_mount
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Link, Meta, Symlink, materialise
from tests.support.leftovers import find, session_directory
from tests.support.snapshot import diff_snapshots, open_below, snapshot, without_ghosts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

SAMPLE = LayerSpec(
    Dir(
        {
            b"file": File(b"content", meta=Meta(0o4755, 5, 6, -1, {b"user.a": b"1"})),
            b"holes": File(b"end", hole=1 << 20),
            b"dir": Dir({b"one": Link(0), b"\xff": File(b"x")}, Meta(0o1777)),
            b"two": Link(0),
            b"alone": File(b"same"),
            b"link": Symlink(b"file"),
            b"device": Device(stat.S_IFBLK, 7, 300),
            b"fifo": Device(stat.S_IFIFO),
            b"socket": Device(stat.S_IFSOCK),
        }
    ),
    (File(b"shared"),),
)


def _touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def _relink(path: Path) -> None:
    """Give the second name an inode of its own with everything else equal."""
    status = path.stat()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(0, status.st_mtime_ns))


def _rewrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"CONTENT")
    path.chmod(stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(0, status.st_mtime_ns))


def _retarget(path: Path) -> None:
    status = path.lstat()
    path.unlink()
    path.symlink_to("else")
    os.utime(path, ns=(0, status.st_mtime_ns), follow_symlinks=False)


def _renumber(path: Path) -> None:
    status = path.lstat()
    path.unlink()
    os.mknod(path, status.st_mode, os.makedev(7, 301))
    path.chmod(stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(0, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "change", "seen"),
    [
        ("file", _touch, {"mtime_ns"}),
        ("dir", _touch, {"mtime_ns"}),
        ("file", lambda path: path.chmod(0o755), {"mode"}),
        ("dir", lambda path: path.chmod(0o777), {"mode"}),
        ("fifo", lambda path: os.chown(path, 4_294_967_294, 0), {"uid"}),
        ("socket", lambda path: os.chown(path, 0, 1), {"gid"}),
        ("file", lambda path: os.setxattr(path, "user.a", b"2"), {"xattrs"}),
        ("dir", lambda path: os.setxattr(path, "trusted.overlay.opaque", b"y"), {"xattrs"}),
        ("link", lambda path: os.setxattr(path, "trusted.b", b"", follow_symlinks=False), {"xattrs"}),
        ("file", _rewrite, {"content"}),
        ("two", _relink, {"links", "nlink"}),
        ("link", _retarget, {"target"}),
        ("device", _renumber, {"rdev"}),
    ],
)
def test_sees_one_changed_attribute(
    tmp_path: Path, name: str, change: Callable[[Path], None], seen: set[str]
) -> None:
    """A change of any single attribute shows, as that attribute and as nothing else."""
    path = materialise(SAMPLE, tmp_path / "tree") / name
    top = path.parent
    times = top.stat()
    before = snapshot(top)
    change(path)
    os.utime(top, ns=(0, times.st_mtime_ns))
    lines = diff_snapshots(before, snapshot(top))
    assert {line.split(": ")[1] for line in lines} == seen


def test_equal_trees_are_equal(tmp_path: Path) -> None:
    """The same specification made twice gives the same snapshot: no inode number or name leaks in."""
    first = snapshot(materialise(SAMPLE, tmp_path / "first"))
    assert diff_snapshots(first, snapshot(materialise(SAMPLE, tmp_path / "second"))) == []
    assert first[b"two"].links == {b"two", b"dir/one"}
    assert first[b"file"].mtime_ns == -1


def test_sees_added_and_removed_names(tmp_path: Path) -> None:
    """A name more and a name less are each told from the other."""
    top = materialise(SAMPLE, tmp_path / "tree")
    before = snapshot(top)
    (top / "dir" / "one").rename(top / "dir" / "other")
    lines = diff_snapshots(before, snapshot(top))
    assert any(line.startswith("b'dir/one': missing") for line in lines)
    assert any(line.startswith("b'dir/other': unexpected") for line in lines)


def test_reaches_below_path_max(tmp_path: Path) -> None:
    """A tree deeper than PATH_MAX is made, and taken to its last file."""
    deep: Dir | File = File(b"bottom")
    for _ in range(20):
        deep = Dir({b"n" * 255: deep})
    assert isinstance(deep, Dir)
    top = materialise(LayerSpec(deep), tmp_path / "tree")
    path = b"/".join([b"n" * 255] * 20)
    entry = snapshot(top)[path]
    fd = os.open(top, os.O_RDONLY)
    try:
        file = open_below(fd, path, os.O_RDONLY)
        assert os.pread(file, 10, 0) == b"bottom"
        os.close(file)
    finally:
        os.close(fd)
    assert entry.size == 6


def test_never_opens_fifos_and_devices(tmp_path: Path) -> None:
    """A FIFO without a writer and a device without a driver do not stop the snapshot."""
    found = snapshot(materialise(SAMPLE, tmp_path / "tree"))
    assert not [path for path, entry in found.items() if entry.failures]
    assert found[b"device"].rdev == (7, 300)


@pytest.mark.kernel
def test_overlay_shows_marks_at_work(tmp_path: Path) -> None:
    """A mount of two layers hides what a whiteout hides: the oracle really is overlayfs."""
    upper = materialise(LayerSpec(Dir({b"a": WHITEOUT})), tmp_path / "upper")
    lower = materialise(LayerSpec(Dir({b"a": File(b"a"), b"b": File(b"b")})), tmp_path / "lower")
    with overlay_mount([upper, lower]) as merged:
        assert set(snapshot(merged)) == {b"", b"b"}


@pytest.mark.kernel
def test_listed_but_absent_names_are_ghosts(tmp_path: Path) -> None:
    """The kernel's quirk with whiteouts outside merged directories is recorded, not lost."""
    upper = materialise(LayerSpec(Dir({b"d": Dir({b"w": WHITEOUT, b"f": File()})})), tmp_path / "upper")
    lower = materialise(LayerSpec(Dir()), tmp_path / "lower")
    with overlay_mount([upper, lower]) as merged:
        found = snapshot(merged)
    assert found[b"d/w"].is_ghost
    assert found[b"d/w"].failures == ("lstat: ENOENT",)
    assert set(without_ghosts(found)) == {b"", b"d", b"d/f"}


@pytest.mark.kernel
def test_mounts_more_layers_than_docker_allows(tmp_path: Path) -> None:
    """An overlay of 130 layers with awkward names mounts: Docker's own limit is 128."""
    layers = [
        materialise(LayerSpec(Dir({b"%d" % number: File()})), tmp_path / f"layer,{number}:")
        for number in range(130)
    ]
    with overlay_mount(layers) as merged:
        assert len(snapshot(merged)) == 131


@pytest.mark.kernel
@pytest.mark.parametrize("busy", [False, True])
def test_unmounts_after_a_failure(tmp_path: Path, *, busy: bool) -> None:
    """Nothing stays mounted when the block raises, even while a file of it is open."""
    layer = materialise(SAMPLE, tmp_path / "layer")
    with ExitStack() as stack:

        def fail() -> None:
            with overlay_mount([layer]) as merged:
                assert str(merged) in "".join(find(session_directory()))
                if busy:
                    stack.enter_context((merged / "file").open("rb"))
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            fail()
        assert not [line for line in find(session_directory()) if line.startswith("mount")]


@pytest.mark.kernel
def test_one_layer_is_mounted_too(tmp_path: Path) -> None:
    """A single layer shows its own tree; only the root's link count tells of the empty layer below."""
    layer = materialise(SAMPLE, tmp_path / "layer")
    with overlay_mount([layer]) as merged:
        lines = diff_snapshots(snapshot(layer), snapshot(merged))
    assert [line.partition(":")[0] for line in lines] == ["b''"]
    assert "nlink" in lines[0]
