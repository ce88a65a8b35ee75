"""`cp` from a hostile image, to a place that others can write to: nothing is made but what was asked for."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.tree.walk import walk
from layerfs.views.copyout import CopyOut, CopySource
from layerfs.views.copytree import copy_tree
from layerfs.views.place import open_destination
from tests.support.command import layerfs
from tests.support.images import image_of
from tests.support.kernel import private_dir
from tests.support.layerspec import Device, Dir, File, LayerSpec, Meta, Symlink, materialise
from tests.support.nobody import NOBODY, layerfs_as_nobody
from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

USAGE = 2


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that somebody wants written to."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "f").write_text("untouched")
    return made


def _is_untouched(outside: Path) -> bool:
    return [(path.name, path.read_text()) for path in outside.iterdir()] == [("f", "untouched")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a file, and one in a directory."""
    spec = LayerSpec(
        Dir({b"d": Dir({b"e": Dir({b"f": File(b"evil")}), b"f": File(b"evil")}), b"f": File(b"evil")})
    )
    return image_of(tmp_path / "root", spec)[0]


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["new", "force"])
def test_a_link_in_a_directorys_place_is_not_entered(
    root: Path, tmp_path: Path, outside: Path, force: list[str]
) -> None:
    """A link below DEST is in the way of a directory, wherever it leads; what is below is left out."""
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d/e").symlink_to(outside)
    done = layerfs(root, "cp", *force, "test:1:/.", str(out))
    assert (done.code, done.stderr.count("error: "), "out/d/e: is there" in done.stderr) == (1, 1, True)
    assert _is_untouched(outside)
    assert (out / "d/f").read_text() == (out / "f").read_text() == "evil"


def test_a_link_in_a_files_place_is_replaced_or_left(root: Path, tmp_path: Path, outside: Path) -> None:
    """A link where a file goes is never written through: it stays, or with --force is replaced."""
    out = tmp_path / "out"
    out.mkdir()
    for target in (outside / "f", outside / "new"):
        (out / "f").symlink_to(target)
        assert layerfs(root, "cp", "test:1:/f", str(out)).code == 1
        assert (out / "f").readlink() == target
        assert layerfs(root, "cp", "test:1:/f", str(out / "f")).code == 1
        assert layerfs(root, "cp", "--force", "test:1:/f", str(out)).code == 0
        assert (out / "f").is_symlink() is False
        assert (out / "f").read_text() == "evil"
        (out / "f").unlink()
    assert _is_untouched(outside)


def test_links_of_the_image_lead_nothing_out(tmp_path: Path, outside: Path) -> None:
    """What one source makes, an absolute link for example, is not followed by the next."""
    link = Dir({b"d": Symlink(os.fsencode(outside)), b"f": Symlink(os.fsencode(outside / "f"))})
    files = Dir({b"d": Dir({b"f": File(b"evil"), b"new": File(b"evil")}), b"f": File(b"evil")})
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"a": Dir({b"x": link}), b"b": Dir({b"x": files})})))
    (tmp_path / "out").mkdir()
    for force in ([], ["--force"]):
        done = layerfs(root, "cp", *force, "test:1:/a/x", "test:1:/b/x", str(tmp_path / "out"))
        assert done.code == 1
        assert _is_untouched(outside)
    assert (tmp_path / "out/x/d").is_symlink()


def test_names_are_bytes_of_one_component(tmp_path: Path) -> None:
    """Odd names stay names, in copies and in messages of one line; `.` and `..` are none."""
    names = [b"a\nlayerfs: error: x", b"\x1b[2J", b"\xff", b"--help", b"*", b"~", b"..."]
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"d": Dir({name: File(name) for name in names})})))
    assert layerfs(root, "cp", "test:1:/d", str(tmp_path / "out")).code == 0
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == sorted(names)
    done = layerfs(root, "cp", "test:1:/d/.", str(tmp_path / "out"))
    assert (done.code, len(done.stderr.splitlines())) == (1, len(names))
    assert all(line.isprintable() for line in done.stderr.split("\n"))
    opened = DataRoot.open(root)
    tree = opened.tree(opened.image("test:1"))
    original = CopySource(tree, tree.resolve(b"/d/*"))
    (tmp_path / "other").mkdir()
    with CopyOut(open_destination(os.fsencode(tmp_path / "other"), ()).fd, merge=True, replace=True) as copy:
        for name in (b"..", b".", b"x/..", b"a//", b""):
            with pytest.raises((ValueError, OSError)):
                copy.file(name, original)
        for name in (b"..", b".", b"/"):
            with pytest.raises((ValueError, OSError)):
                copy.directory(name, None)
    assert list((tmp_path / "other").iterdir()) == []


def test_depth_is_no_limit(tmp_path: Path) -> None:
    """A path far longer than one the kernel takes is copied."""
    node = Dir({b"f": File(b"deep")})
    for _ in range(60):
        node = Dir({b"d" * 100: node})
    root, (layer,) = image_of(tmp_path / "root", LayerSpec(Dir()))
    materialise(LayerSpec(node), layer.diff)
    with private_dir() as target:
        done = layerfs(root, "cp", "test:1:/", str(target / "out"))
        found = snapshot(target / "out")
        subprocess.run(["rm", "-rf", target / "out"], check=True)
    assert (done.code, done.stderr) == (0, "")
    assert [len(path) for path, entry in found.items() if entry.content] == [60 * 101 + 1]


# -- the data root -------------------------------------------------------------------------------


def _everything(root: Path) -> list[tuple[str, int, int]]:
    found = ((path, path.lstat()) for path in [root, *root.rglob("*")])
    return [(str(path), status.st_ctime_ns, status.st_mtime_ns) for path, status in found]


@pytest.mark.parametrize("place", ["", "out", "overlay2", "overlay2/l/out", "image/../out"])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["new", "force"])
def test_nothing_is_written_below_the_data_root(root: Path, place: str, force: list[str]) -> None:
    """A DEST in the data root, by whatever path, is a usage error, and the root stays as it is."""
    before = _everything(root)
    done = layerfs(root, "cp", *force, "test:1:/d", f"{root}/{place}")
    assert (done.code, "data root" in done.stderr) == (USAGE, True)
    assert _everything(root) == before


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["new", "force"])
@pytest.mark.parametrize("part", [b"root", b"overlay2"])
def test_no_tree_is_merged_into_the_data_root(tmp_path: Path, part: bytes, force: list[str]) -> None:
    """An image with the data root's own path in it does not get there from a DEST above the root."""
    files = Dir(
        {b"overlay2": Dir({b"evil": File(b"x")}), b"image": Dir({b"evil": File(b"x")}), b"evil": File(b"")}
    )
    root, _ = image_of(tmp_path / "root", LayerSpec(Dir({b"root": files, b"f": File(b"x")})))
    if part == b"overlay2":  # mounted from elsewhere, as a host may have it
        (tmp_path / "elsewhere").mkdir()
        (root / "overlay2").rename(tmp_path / "elsewhere/root")
        (root / "overlay2").mkdir()
        subprocess.run(["mount", "--bind", tmp_path / "elsewhere/root", root / "overlay2"], check=True)
    try:
        dest = tmp_path / ("elsewhere" if part == b"overlay2" else "")
        before = _everything(root)
        done = layerfs(root, "cp", *force, "test:1:/.", str(dest))
        assert (done.code, "data root" in done.stderr) == (1, True)
        assert _everything(root) == before
        assert (dest / "f").read_text() == "x"
    finally:
        if part == b"overlay2":
            subprocess.run(["umount", "--lazy", root / "overlay2"], check=True)


@pytest.mark.parametrize("part", ["", "overlay2"])
def test_a_bind_mount_is_no_way_into_the_data_root(root: Path, part: str) -> None:
    """Nor is a DEST below another mount of the root, or of its layers."""
    with private_dir() as place:
        (place / "bound").mkdir()
        subprocess.run(["mount", "--bind", root / part, place / "bound"], check=True)
        try:
            before = _everything(root)
            for source, dest in (("test:1:/d", place / "bound/out"), ("test:1:/d/.", place / "bound")):
                assert layerfs(root, "cp", source, str(dest)).code == USAGE
            assert _everything(root) == before
        finally:
            subprocess.run(["umount", place / "bound"], check=True)


# -- somebody meddles ----------------------------------------------------------------------------


@pytest.mark.parametrize("merge", [False, True])
def test_a_directory_swapped_meanwhile_is_not_entered(
    root: Path, tmp_path: Path, outside: Path, *, merge: bool
) -> None:
    """A directory of DEST that becomes a link, or another directory, during the copy gets nothing more."""
    out = tmp_path / "out"
    out.mkdir()
    if merge:
        (out / "d").mkdir()
    opened = DataRoot.open(root)
    tree = opened.tree(opened.image("test:1"))
    forbidden = opened.evidence()
    visits = list(walk(tree, tree.resolve(b"/d")))
    refused = []
    with CopyOut(open_destination(os.fsencode(out), forbidden).fd, merge=True, forbidden=forbidden) as copy:
        for number, result in enumerate(copy_tree(tree, visits, b"d", copy)):
            refused.append(result.error)
            if number == 1:  # d, d/e
                (out / "d/e").rename(tmp_path / "moved")
                (out / "d/e").symlink_to(outside)
        with pytest.raises(OSError, match=r"."):
            copy.file(b"d/e/f2", CopySource(tree, tree.resolve(b"/f")))
        (out / "d/e").unlink()
        (out / "d/e").mkdir()
        with pytest.raises(OSError, match="not the directory that was made"):
            copy.file(b"d/e/f3", CopySource(tree, tree.resolve(b"/f")))
    assert _is_untouched(outside)
    assert [bool(error) for error in refused] == [False, False, True, False]
    assert list((out / "d/e").iterdir()) == []


# -- without privilege ---------------------------------------------------------------------------


def test_an_ordinary_user_keeps_what_may_be_kept() -> None:
    """Contents, modes and times are kept; what cannot be is summed up, and refused devices are named."""
    setuid = File(b"#!", meta=Meta(0o6755, 5, 6, 10**18, {b"user.a": b"1", b"trusted.b": b"2"}))
    special = {
        b"fifo": Device(stat.S_IFIFO, meta=Meta(0o640, mtime_ns=8)),
        b"disk": Device(stat.S_IFBLK, 8, 0),
    }
    files = Dir({b"x": setuid, b"r": File(b"r", meta=Meta(0o444)), **special}, Meta(0o555, mtime_ns=7))
    with private_dir() as place:
        root, _ = image_of(place / "root", LayerSpec(Dir({b"d": files})))
        (root / "image/overlay2/repositories.json").chmod(0o644)
        for directory in (place, place.parent):
            directory.chmod(0o711)
        (place / "out").mkdir()
        os.chown(place / "out", NOBODY, NOBODY)
        done = layerfs_as_nobody("--root", str(root), "cp", "--specials", "test:1:/d", str(place / "out"))
        assert done.returncode == 1
        assert "owner of 4 copies not kept" in done.stderr
        assert "out/d/disk: Operation not permitted" in done.stderr
        copy = place / "out/d/x"
        status = copy.stat()
        assert (copy.read_bytes(), status.st_mode & 0o7777, status.st_uid) == (b"#!", 0o755, NOBODY)
        assert (status.st_mtime_ns, os.listxattr(copy)) == (10**18, ["user.a"])
        fifo = (place / "out/d/fifo").lstat()
        assert (stat.S_IFMT(fifo.st_mode), fifo.st_mode & 0o777, fifo.st_mtime_ns) == (stat.S_IFIFO, 0o640, 8)
        above = (place / "out/d").stat()
        assert (above.st_mode & 0o7777, above.st_mtime_ns) == (0o555, 7)
        assert sorted(path.name for path in (place / "out/d").iterdir()) == ["fifo", "r", "x"]
