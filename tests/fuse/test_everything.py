"""`mount --all`: each directory shows what a mount of its own would, for every kind of store."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs.errors import CorruptStore, LookupFailed, TreeError
from layerfs.model import READ_WRITE
from layerfs.stores.registry import Options, open_store
from layerfs.subject import open_subject
from layerfs_cli.wholestores import whole_tree
from tests.support.command import layerfs
from tests.support.mounts import mount_line, served
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.storekinds import STORE_KINDS
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.model import Named
    from layerfs.store import Store
    from layerfs.tree.union import UnionTree
    from tests.support.snapshot import Snapshot
    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.fuse

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


class Whole(NamedTuple):
    """A store of a kind, and where all of it is mounted."""

    kind: StoreKind
    path: Path
    store: Store
    top: Path


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Each kind of store, mounted as one tree."""
    kind: StoreKind = request.param
    place = tmp_path_factory.mktemp("whole")
    path = kind.make(place)
    with served(_tree(path), place / "m", "native+passthrough") as top:
        yield Whole(kind, path, open_store(path, Options()), top)


def _tree(path: Path, **stores: Store) -> UnionTree:
    return whole_tree(stores or {"x": open_store(path, Options())}, listed=False)


def _contents(found: Snapshot) -> Snapshot:
    """Without the root, whose attributes a directory of a whole store does not have."""
    return {path: entry for path, entry in found.items() if path}


def _differences(tree: UnionTree, mounted: Path) -> list[str]:
    return diff_snapshots(_contents(tree_snapshot(tree)), _contents(snapshot(mounted)))


def test_every_image_is_as_in_its_own_mount(whole: Whole) -> None:
    """By its ID, each image shows what its tree has; there is a directory for each, and no other."""
    expected = {image_id.hex: image_id for image_id in whole.store.image_ids()}
    assert sorted(os.listdir(whole.top / "by-id")) == sorted(expected)
    different = {
        name: lines
        for name, image_id in expected.items()
        if (lines := _differences(open_subject(whole.store, image_id).tree, whole.top / "by-id" / name))
    }
    assert different == {}
    assert len(expected) > 3


def test_every_name_is_a_directory(whole: Whole) -> None:
    """A repository's parts are directories, and its tag one in it, where the image of this name is."""
    rows = whole.store.repositories.rows
    for reference, image_id in rows:
        last = reference.tag or f"@{reference.digest}"
        place = whole.top / "images" / f"{reference.familiar_name}/{last}".replace(":", "%3A")
        assert sorted(os.listdir(place)) == sorted(os.listdir(whole.top / "by-id" / image_id.hex))
        assert os.getxattr(place, "user.layerfs.name").decode() == str(reference)
    assert len(rows) > 3


def test_every_layer_is_as_in_its_own_mount(whole: Whole) -> None:
    """Each layer alone, with its whiteouts, and the image as of each layer."""
    image = whole.store.image(whole.kind.image)
    depth = len(image.config.diff_ids)
    for kind, option in (("layers", "layer"), ("up-to", "up_to")):
        top = whole.top / kind / image.id.hex
        assert sorted(os.listdir(top)) == [f"{number:02}" for number in range(1, depth + 1)]
        for number in range(1, depth + 1):
            own = open_subject(whole.store, image.id, **{option: number})  # type: ignore[arg-type]
            assert _differences(own.tree, top / f"{number:02}") == []
    assert depth > 1


def test_every_container_is_as_in_its_own_mount(whole: Whole) -> None:
    """What a container sees, and its own layer; by its name, and by its ID."""
    compared = 0
    for container in whole.store.containers():
        place = whole.top / "containers" / container.name
        assert sorted(os.listdir(place)) == ["changes", "rootfs"]
        assert sorted(os.listdir(whole.top / "containers" / "by-id" / container.id)) == ["changes", "rootfs"]
        own = container.own_layer(READ_WRITE)
        try:
            rootfs = whole.store.tree(container)
        except CorruptStore:
            with pytest.raises(OSError, match="Input/output error"):
                os.listdir(place / "rootfs")
            continue
        assert _differences(rootfs, place / "rootfs") == []
        assert own is not None
        assert _differences(whole.store.tree(own), place / "changes") == []
        compared += 1
    assert compared > 1


def test_hidden_files_are_those_of_their_layers(whole: Whole) -> None:
    """Each that `deleted` lists, as it is in the image as of its layer, with what hides it."""
    name = whole.kind.tagged
    image = whole.store.image(name)
    (reference,) = (item for item in image.references if str(item) in (name, f"docker.io/library/{name}"))
    top = whole.top / "deleted" / reference.familiar_name / str(reference.tag)
    as_of = whole.top / "up-to" / image.id.hex
    rows = layerfs(whole.path, "deleted", "--format", "json", name).json
    expected = {f"{row['path'][1:]}@{row['layer']}": row for row in rows}
    found = {
        os.path.relpath(os.path.join(directory, file), top): Path(directory, file)
        for directory, _, files in os.walk(top)
        for file in files
    }
    assert found.keys() == expected.keys() != set()
    for hidden, row in expected.items():
        own, shown = found[hidden].lstat(), (as_of / f"{row['layer']:02}" / row["path"][1:]).lstat()
        assert (own.st_mode, own.st_uid, own.st_size, own.st_mtime_ns) == (
            *(shown.st_mode, shown.st_uid, shown.st_size, shown.st_mtime_ns),
        )
        if found[hidden].is_symlink():
            continue
        assert os.getxattr(found[hidden], "user.layerfs.hidden_by") == b"%d" % row["hidden_by"]
        content = (as_of / f"{row['layer']:02}" / row["path"][1:]).read_bytes()
        assert found[hidden].read_bytes() == content


def test_no_inode_number_is_given_twice(whole: Whole) -> None:
    """But to the names of one file: no walk takes a directory for another, nor two files for one."""
    seen: dict[int, tuple[int, Path]] = {}
    number = whole.store.image(whole.kind.image).id.hex
    for place in (
        "images",
        "containers",
        f"layers/{number}",
        f"up-to/{number}",
        f"by-id/{number}",
        "deleted",
    ):
        for directory, names, files in os.walk(whole.top / place):
            for name in (*names, *files):
                path = Path(directory, name)
                found = path.lstat()
                links, first = seen.setdefault(found.st_ino, (found.st_nlink, path))
                assert path == first or (found.st_nlink > 1 and links == found.st_nlink)
    assert len(seen) > 500


def test_the_text_tells_what_is_there(whole: Whole) -> None:
    """Whatever is beside README is told of in it."""
    text = (whole.top / "README").read_text()
    for name in os.listdir(whole.top):
        assert name in text or name in ("README", ".trackerignore")
    assert max(map(len, text.splitlines())) < 120


def test_who_copies_and_searches_finds_all(whole: Whole, tmp_path: Path) -> None:
    """`find`, `tar`, `rsync` and `du` go through it together, without an error; `-xdev` stays outside."""
    image = whole.top / "by-id" / whole.store.image(whole.kind.image).id.hex
    commands = (
        ["find", whole.top / "images", "-ls"],
        ["tar", "-C", image, "-cf", tmp_path / "all.tar", "."],
        ["rsync", "-an", f"{image}/", tmp_path / "none/"],
        ["du", "-s", whole.top / "containers"],
    )
    failed: list[bytes] = []

    def run(command: list[str | Path]) -> None:
        done = subprocess.run(command, capture_output=True, check=False)
        failed.extend([done.stderr] if done.returncode else [])

    threads = [threading.Thread(target=run, args=(command,)) for command in (*commands, commands[0])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    outside = subprocess.run(["find", whole.top.parent, "-xdev"], capture_output=True, check=True)
    assert os.fsencode(whole.top) in outside.stdout
    assert os.fsencode(whole.top / "README") not in outside.stdout


def test_nothing_is_opened_before_it_is_entered(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing directories of images with all attributes opens no layer; entering one opens one."""
    store = open_store(whole.path, Options())
    opened: list[object] = []
    tree_of = store.tree

    def noted(subject: Named, **choice: int | None) -> UnionTree:
        opened.append(subject)
        return tree_of(subject, **choice)

    monkeypatch.setattr(store, "tree", noted)
    tree = _tree(whole.path, x=store)
    for name in (b"images", b"by-id", b"containers", b"up-to"):
        for node in tree.children(tree.lookup(tree.root, name)).values():
            tree.xattr_names(node)
            assert tree.xattr(node, b"security.capability") is None
    assert opened == []
    assert not tree.may_look_ahead(tree.lookup(tree.root, b"by-id"))
    first, *_ = tree.children(tree.lookup(tree.root, b"by-id")).values()
    tree.children(first)
    assert len(opened) == 1


def test_libfuse_shows_the_same(whole: Whole, tmp_path: Path) -> None:
    """The other driver: an image, a layer and a container, with the inode numbers of the first mount."""
    image = whole.store.image(whole.kind.image)
    places = (f"by-id/{image.id.hex}", f"layers/{image.id.hex}/01", f"containers/{whole.kind.container}")
    with served(_tree(whole.path), tmp_path / "m", "fusepy") as top:
        for place in places:
            assert diff_snapshots(snapshot(whole.top / place), snapshot(top / place)) == []
            for name in os.listdir(top / place):
                assert (top / place / name).lstat().st_ino == (whole.top / place / name).lstat().st_ino


def test_a_damaged_image_stops_no_other(whole: Whole, tmp_path: Path) -> None:
    """With a layer lost, what has no mount of its own gives an error and its reason, all else is shown."""
    path = whole.kind.make(tmp_path)
    for record in whole.kind.records(path, whole.kind.tagged, 2).values():
        if record.is_there:
            record.remove()
    store = open_store(path, Options())
    expected = {image_id.hex: _is_readable(store, image_id) for image_id in store.image_ids()}
    with served(_tree(path), tmp_path / "m", "native") as top:
        found = {name: _is_shown(top / "by-id" / name) for name in os.listdir(top / "by-id")}
    assert found == expected
    assert set(found.values()) == {False, True}


def _is_readable(store: Store, image_id: str) -> bool:
    try:
        tree = open_subject(store, image_id, kinds=("image",)).tree
        tree.children(tree.root)
    except (CorruptStore, TreeError, LookupFailed):
        return False
    return True


def _is_shown(directory: Path) -> bool:
    """Whether a directory can be listed; else it must tell why not."""
    try:
        os.listdir(directory)
    except OSError:
        with pytest.raises(OSError, match="Input/output error"):
            os.listdir(directory)
        assert os.getxattr(directory, "user.layerfs.error")
        return False
    return True


def test_an_archive_is_a_store_as_well(whole: Whole, tmp_path: Path) -> None:
    """Two images as `docker save` packs them, mounted: each as in its own mount, and no containers."""
    archive = tmp_path / "images.tar"
    done = layerfs(whole.path, "export", whole.kind.tagged, whole.kind.odd, "-o", str(archive))
    assert done.code == 0
    store = open_store(archive, Options())
    with served(_tree(archive), tmp_path / "m", "native") as top:
        assert "containers" not in os.listdir(top)
        assert sorted(os.listdir(top / "by-id")) == [item.hex for item in store.image_ids()]
        for image_id in store.image_ids():
            assert _differences(open_subject(store, image_id).tree, top / "by-id" / image_id.hex) == []


def test_namespaces_have_directories_of_their_own(tmp_path: Path) -> None:
    """Of a root with several, each is a whole tree; one that is chosen is all there is."""
    root = unpack_sample("containerd-1.6-store", tmp_path)
    inside = {"images", "by-id", "layers", "up-to", "containers", "deleted"}
    files = {"README", ".trackerignore"}
    spaces = open_store(root, Options(namespace="all")).namespaces()
    assert len(spaces) > 1
    with _by_command(root, tmp_path / "all") as (top, said):
        assert said == ""
        assert set(os.listdir(top)) == {*spaces, *files}
        for space in spaces:
            store = open_store(root, Options(namespace=space))
            assert set(os.listdir(top / space)) == inside
            assert set(os.listdir(top / space / "by-id")) == {item.hex for item in store.image_ids()}
            named = {item.name for item in store.containers()}
            assert {"by-id", *named} == set(os.listdir(top / space / "containers"))
    with _by_command(root, tmp_path / "one", "--namespace", spaces[0]) as (top, _):
        assert set(os.listdir(top)) == {*inside, *files}


@contextmanager
def _by_command(root: Path, mountpoint: Path, *options: str) -> Iterator[tuple[Path, str]]:
    """All of a store, mounted by the command; and what that said."""
    mountpoint.mkdir()
    command: list[str | Path] = [LAYERFS, "--root", root, "mount", "--all", *options, mountpoint]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    try:
        yield mountpoint, done.stdout + done.stderr
    finally:
        subprocess.run([LAYERFS, "umount", mountpoint], check=True)


@pytest.mark.parametrize("served_by", ["native", "fusepy"])
def test_the_command_mounts_and_unmounts(whole: Whole, tmp_path: Path, served_by: str) -> None:
    """The mount is there when the command returns, nothing in it can be executed, and `umount` ends it."""
    with _by_command(whole.path, tmp_path / "m", "--driver", served_by) as (top, said):
        assert said == ""
        line = mount_line(top)
        assert line is not None
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(line[3].split(","))
        assert "allow_other" not in line[3]
        assert (top / "README").stat().st_size == len((top / "README").read_bytes())
    assert mount_line(top) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "{}"], "takes a MOUNTPOINT and no NAME"),
        ([], "MOUNTPOINT"),
        (["--up-to", "2", "{}"], "--up-to is for one NAME"),
        (["--layer", "2", "{}"], "--layer is for one NAME"),
        (["--type", "image", "{}"], "--type is for one NAME"),
        (["--driver", "kernel", "{}"], "--driver kernel cannot mount a whole store"),
        (["--allow-other", "--ignore-permissions", "{}"], "exclude each other"),
        (["--format", "json", "{}"], "--format is for the list of mounts"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Before anything is opened, as a usage error."""
    given = [argument.format(tmp_path) for argument in arguments]
    result = layerfs("/nowhere", "mount", "--all", *given)
    assert result.code == 2
    assert words in result.stderr
