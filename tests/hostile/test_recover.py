"""Recovery from a hostile image: nothing is written but below the target, and never over anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.analysis.tree.deleted import deleted
from layerfs.analysis.tree.versions import node_of
from layerfs.views.copyout import CopyOut, CopySource
from layerfs.views.place import open_target
from tests.support.command import layerfs
from tests.support.images import image_of
from tests.support.kernel import private_dir
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta, Symlink, materialise
from tests.support.nobody import NOBODY, layerfs_as_nobody
from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from tests.support.command import Result
    from tests.support.rootbuilder import BuiltLayer

pytestmark = pytest.mark.root

USAGE = 2
OPAQUE = Meta(xattrs={b"trusted.overlay.opaque": b"y"})


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that the image wants written to."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "victim").write_text("untouched")
    return made


def _is_untouched(outside: Path) -> bool:
    return [(path.name, path.read_text()) for path in outside.iterdir()] == [("victim", "untouched")]


def _recover(root: Path, target: Path | str, *options: str) -> Result:
    return layerfs(root, "deleted", "--recover", str(target), "--format", "json", *options, "test:1")


def _folder(layer: BuiltLayer, number: int) -> str:
    return f"{number}-{layer.diff_id.hex[:12]}"


def test_links_of_one_layer_lead_no_file_of_another_out(tmp_path: Path, outside: Path) -> None:
    """A directory in one layer, a link of its name in another: each layer's files stay in its directory."""
    link = Symlink(os.fsencode(outside))
    up = Symlink(b"../" * 40 + os.fsencode(outside)[1:])
    inside = Dir({b"victim": File(b"evil"), b"new": File(b"evil")})
    root, layers = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"a": inside, b"b": inside, b"1-x": link})),
        LayerSpec(Dir({b"a": link, b"b": up})),
        LayerSpec(Dir({b"a": inside, b"b": inside})),
        LayerSpec(Dir({b"a": WHITEOUT, b"b": WHITEOUT, b"1-x": WHITEOUT})),
    )
    done = _recover(root, tmp_path / "out")
    assert (done.code, len(done.json)) == (0, 11)
    assert _is_untouched(outside)
    found = snapshot(tmp_path / "out")
    for number in (1, 3):
        for name in ("a/victim", "a/new", "b/victim", "b/new"):
            assert (tmp_path / "out" / _folder(layers[number - 1], number) / name).read_bytes() == b"evil"
    second = os.fsencode(_folder(layers[1], 2))
    assert (found[second + b"/a"].target, found[second + b"/b"].target) == (link.target, up.target)


def test_names_are_bytes_of_one_component(tmp_path: Path) -> None:
    """Newlines, escapes, bytes that are no text, and names like options stay names, and messages one line."""
    names = [b"a\nlayerfs: error: x", b"\x1b[2J", b"\xff", b"--help", b"*", b"~", b"$(id)", b"..."]
    files = Dir({name: File(name) for name in names})
    root, (layer, _) = image_of(
        tmp_path / "root", LayerSpec(Dir({b"d": files})), LayerSpec(Dir({b"d": WHITEOUT}))
    )
    assert _recover(root, tmp_path / "out").code == 0
    copied = os.fsencode(tmp_path / "out" / _folder(layer, 1) / "d")
    assert sorted(os.listdir(copied)) == sorted(names)
    table = layerfs(root, "deleted", "--recover", str(tmp_path / "table"), "test:1").stdout
    assert all(line.isprintable() for line in table.split("\n"))
    assert len(table.splitlines()) == len(names) + 3


def test_depth_is_no_limit(tmp_path: Path) -> None:
    """A path far longer than one the kernel takes is recovered, component by component."""
    node = Dir({b"f": File(b"deep")})
    for _ in range(60):
        node = Dir({b"d" * 100: node})
    root, (layer, _) = image_of(tmp_path / "root", LayerSpec(Dir()), LayerSpec(Dir({b"d" * 100: WHITEOUT})))
    materialise(LayerSpec(node), layer.diff)
    with private_dir() as target:
        done = _recover(root, target / "out")
        found = snapshot(target / "out")
        subprocess.run(["rm", "-rf", target / "out"], check=True)
    assert done.code == 0
    assert [os.fsdecode(path) for path, entry in found.items() if entry.content] == [
        row["recovered"] for row in done.json
    ]
    assert max(map(len, found)) > 4096


def test_a_tree_inside_an_opaque_one_is_kept_apart(tmp_path: Path) -> None:
    """Three versions of one path come out as three files, each in its layer's directory."""
    root, layers = image_of(
        tmp_path / "root",
        LayerSpec(Dir({b"d": Dir({b"f": File(b"1")})})),
        LayerSpec(Dir({b"d": Dir({b"f": File(b"2")}, OPAQUE)})),
        LayerSpec(Dir({b"d": Dir({b"f": File(b"3")})})),
        LayerSpec(Dir({b"d": WHITEOUT})),
    )
    assert _recover(root, tmp_path / "out").code == 0
    found = [
        (tmp_path / "out" / _folder(layer, number) / "d/f") for number, layer in enumerate(layers[:3], 1)
    ]
    assert [path.read_bytes() for path in found] == [b"1", b"2", b"3"]


# -- where to ------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with one hidden file."""
    return image_of(tmp_path / "root", LayerSpec(Dir({b"f": File(b"x")})), LayerSpec(Dir({b"f": WHITEOUT})))[
        0
    ]


def _everything(root: Path) -> list[tuple[str, int, int]]:
    """Each entry with what a write would change."""
    found = ((path, path.lstat()) for path in [root, *root.rglob("*")])
    return [(str(path), status.st_ctime_ns, status.st_mtime_ns) for path, status in found]


def test_the_evidence_stays_as_it_is(copy: Path, tmp_path: Path) -> None:
    """Recovery changes no byte, name or time in the root, access times included."""
    root = copy
    entries = _below(root)
    for path in entries:  # old access times, so that relatime would renew them
        os.utime(path, ns=(10**18, path.lstat().st_mtime_ns), follow_symlinks=False)
    before = [path.lstat() for path in entries]
    for name in ("demo", "changed", "lab/whiteouts:1"):
        target = tmp_path / name.replace("/", "-")
        assert layerfs(root, "deleted", "--recover", str(target), name).code == 0
    for path, status in zip(entries, before, strict=True):
        found = path.lstat()
        assert (found.st_ctime_ns, found.st_mtime_ns) == (status.st_ctime_ns, status.st_mtime_ns), path
        assert path.is_symlink() or found.st_atime_ns == status.st_atime_ns, path
    assert _below(root) == entries


def _below(directory: Path) -> list[Path]:
    """Every name below a directory; links are not looked at, as pathlib would."""
    walk = list(os.walk(directory))
    return [Path(place) / name for place, names, files in walk for name in (*names, *files)]


@pytest.mark.parametrize(
    "place", ["", "out", "overlay2", "overlay2/l/out", "image/../out", "image/overlay2/imagedb/out"]
)
def test_nothing_is_written_below_the_data_root(root: Path, place: str) -> None:
    """A target in the data root, by whatever path, is a usage error, and the root stays as it is."""
    before = _everything(root)
    done = _recover(root, f"{root}/{place}")
    assert (done.code, done.stdout) == (USAGE, "")
    assert "data root" in done.stderr
    assert _everything(root) == before


@pytest.mark.kernel
@pytest.mark.parametrize("part", ["", "overlay2"])
def test_a_bind_mount_is_no_way_into_the_data_root(root: Path, part: str) -> None:
    """Nor is a target below another mount of the root, or of its layers."""
    with private_dir() as place:
        (place / "bound").mkdir()
        subprocess.run(["mount", "--bind", root / part, place / "bound"], check=True)
        try:
            before = _everything(root)
            done = _recover(root, place / "bound" / "out")
            assert (done.code, _everything(root)) == (USAGE, before)
        finally:
            subprocess.run(["umount", place / "bound"], check=True)


@pytest.mark.parametrize("slash", ["", "/", "//"])
@pytest.mark.parametrize("to", ["outside", "nowhere"])
def test_a_target_that_is_a_link_is_refused(
    root: Path, tmp_path: Path, outside: Path, to: str, slash: str
) -> None:
    """DIR is never a link, whether it leads somewhere or not, with or without a slash behind it."""
    (tmp_path / "link").symlink_to(tmp_path / to)
    done = _recover(root, f"{tmp_path}/link{slash}")
    assert (done.code, "link" in done.stderr) == (USAGE, True)
    assert _is_untouched(outside)
    assert not (tmp_path / "nowhere").exists()


def test_a_target_that_holds_something_is_refused(root: Path, outside: Path) -> None:
    """A directory that is not empty, or a file, is refused, and stays as it is."""
    for target in (outside, outside / "victim"):
        assert _recover(root, target).code == USAGE
    assert _is_untouched(outside)


def test_an_empty_directory_is_taken(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing empty directory serves, under a relative name too; a new one's parent must exist."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert _recover(root, ".").code == 0
    monkeypatch.chdir(tmp_path)
    assert _recover(root, "relative").code == 0
    assert len([path for path in tmp_path.glob("*/1-*/f") if path.read_text() == "x"]) == 2
    done = _recover(root, "missing/out")
    assert (done.code, "missing" in done.stderr) == (74, True)


# -- somebody meddles ----------------------------------------------------------------------------


def test_what_appears_meanwhile_is_neither_followed_nor_overwritten(
    root: Path, tmp_path: Path, outside: Path
) -> None:
    """Links and files put into the target while copies are made make these fail, and nothing else."""
    image = DataRoot.open(root)
    tree = image.tree(image.image("test:1"))
    (item,) = deleted(tree)
    original = CopySource(tree, node_of(tree, item.version))
    target = tmp_path / "out"
    with CopyOut(open_target(os.fsencode(target), ())) as copy:
        (target / "link").symlink_to(outside)
        (target / "taken").write_text("theirs")
        (target / "dangling").symlink_to(outside / "new")
        with pytest.raises(FileExistsError):
            copy.directory(b"link", None)
        for name in (b"taken", b"dangling"):
            with pytest.raises(FileExistsError):
                copy.file(name, original)
        with pytest.raises(OSError, match=r"."):
            copy.file(b"link/victim", original)

        copy.directory(b"swapped", original)
        copy.file(b"swapped/first", original)
        (target / "swapped").rename(tmp_path / "moved")
        (target / "swapped").symlink_to(outside)
        copy.file(b"elsewhere", original)
        with pytest.raises(OSError, match=r"."):
            copy.file(b"swapped/victim2", original)

        (target / "swapped").unlink()
        (target / "swapped").mkdir(0o755)
        copy.file(b"elsewhere2", original)
        with pytest.raises(OSError, match="not the directory that was made"):
            copy.file(b"swapped/victim3", original)
    assert [path for path, _ in copy.unfinished] == [b"swapped"]
    assert _is_untouched(outside)
    assert (target / "taken").read_text() == "theirs"
    assert list((target / "swapped").iterdir()) == []
    assert (target / "elsewhere").read_text() == "x"


@pytest.mark.parametrize("path", [b"", b"..", b"d/..", b".", b"../x", b"/etc/x"])
def test_a_path_that_leaves_is_refused(root: Path, tmp_path: Path, path: bytes) -> None:
    """A copy's path is names alone: anything else is refused before a thing is made."""
    image = DataRoot.open(root)
    tree = image.tree(image.image("test:1"))
    (item,) = deleted(tree)
    (tmp_path / "out").mkdir()
    with CopyOut(open_target(os.fsencode(tmp_path / "out"), ())) as copy:
        with pytest.raises((ValueError, OSError)):
            copy.file(path, CopySource(tree, node_of(tree, item.version)))
        with pytest.raises((ValueError, OSError)):
            copy.directory(path or b"..", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "root"]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.fuse
def test_a_host_without_nameless_files_serves_too() -> None:
    """Where a file has its name from the start, copies are the same, and none is left that fails."""
    if not shutil.which("fuse-overlayfs"):
        pytest.skip("fuse-overlayfs is not installed")
    no_data = File(b"x", meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    shared = Dir(
        {b"a": Link(0), b"b": Link(0), b"none": no_data, b"c": File(b"c", meta=Meta(0o640, 1, 2, 3))}
    )
    with private_dir() as place:
        root, (layer, _) = image_of(
            place / "root", LayerSpec(Dir({b"d": shared}), (File(b"x"),)), LayerSpec(Dir({b"d": WHITEOUT}))
        )
        for name in ("lower", "upper", "work", "mnt"):
            (place / name).mkdir()
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        subprocess.run(["fuse-overlayfs", "-o", options, place / "mnt"], check=True)
        try:
            with pytest.raises(OSError, match=r"."):
                os.close(os.open(place / "mnt", os.O_TMPFILE | os.O_WRONLY))
            done = _recover(root, place / "mnt/out")
            found = snapshot(place / "mnt/out" / _folder(layer, 1))
        finally:
            subprocess.run(["umount", place / "mnt"], check=True)
    assert (done.code, set(found)) == (1, {b"", b"d", b"d/a", b"d/b", b"d/c"})
    assert found[b"d/a"].links == {b"d/a", b"d/b"}
    copy = found[b"d/c"]
    assert (copy.mode & 0o7777, copy.uid, copy.gid, copy.mtime_ns) == (0o640, 1, 2, 3)


def test_an_ordinary_user_keeps_what_may_be_kept() -> None:
    """Without root contents, modes and times are kept; lost owners are told, and set-ID bits go with them."""
    setuid = File(b"#!", meta=Meta(0o6755, 5, 6, 10**18, {b"user.a": b"1", b"trusted.b": b"2"}))
    closed = Dir({b"below": Dir({b"f": File(b"f")}, Meta(0o005, mtime_ns=7))}, Meta(0o005))  # to its owner
    files = Dir({b"x": setuid, b"r": File(b"r", meta=Meta(0o444)), b"closed": closed}, Meta(0o555))
    with private_dir() as place:
        root, _ = image_of(place / "root", LayerSpec(Dir({b"d": files})), LayerSpec(Dir({b"d": WHITEOUT})))
        (root / "image/overlay2/repositories.json").chmod(0o644)
        for directory in (place, place.parent):
            directory.chmod(0o711)
        (place / "out").mkdir()
        os.chown(place / "out", NOBODY, NOBODY)
        done = layerfs_as_nobody("--root", str(root), "deleted", "--recover", str(place / "out"), "test:1")
        assert done.returncode == 1, (
            done.stderr
        )  # trusted.* cannot be read, and this root has no tar-split data
        assert "owner of 6 copies not kept" in done.stderr
        (copy,) = (place / "out").glob("*/d/x")
        status = copy.stat()
        assert (copy.read_bytes(), status.st_mode & 0o7777, status.st_uid) == (b"#!", 0o755, NOBODY)
        assert (status.st_mtime_ns, os.listxattr(copy)) == (10**18, ["user.a"])
        assert copy.parent.stat().st_mode & 0o7777 == 0o555
        below = (copy.parent / "closed" / "below").stat()
        assert (below.st_mode & 0o7777, below.st_mtime_ns) == (0o005, 7)
