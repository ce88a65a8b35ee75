"""`layerfs explain` in graph roots of every form: what it prints is pasted, and gives these values."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from tests.support.pasting import explained, pasted, pasted_and_mounted, proofs_of
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots, snapshot, without_ghosts
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.kernel

FUSE, NATIVE = "podman-4.3-rootless-fuse", "podman-4.3-rootless-native"
COMPOSEFS, SEVERAL = "podman-5.8-composefs", "podman-5.8-imagestore"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Graph roots of every form; nothing in them is changed."""
    top = tmp_path_factory.mktemp("graphroots")
    return {name: unpack_sample(name, top / name) for name in (FUSE, NATIVE, COMPOSEFS, SEVERAL)}


@pytest.mark.parametrize(
    ("sample", "root", "words"),
    [
        (NATIVE, ".", ()),
        (SEVERAL, "graphroot", ("--additional-store", "imagestore")),
        (SEVERAL, "graphroot-additional", ("--additional-store", "imagestore")),
    ],
)
def test_kernel_mounts_the_tree(
    samples: dict[str, Path], sample: str, root: str, words: Sequence[str]
) -> None:
    """The printed line mounts the tree, be its layers in several roots, or its marks in user.overlay.*."""
    top = samples[sample]
    options = [word if word.startswith("--") else str(top / word) for word in words]
    store = open_store(str(top / root), Options(userns="none", additional_stores=tuple(options[1::2])))
    for name in ("multi:1", store.containers()[0].id):
        found = explained(top / root, *options, name)
        assert (found.code, found.problems, pasted(found)) == (0, {}, found.values)
        with pasted_and_mounted(found) as mounted:
            shown = without_ghosts(snapshot(mounted))
        assert diff_snapshots(shown, tree_snapshot(store.tree(store.find(name)))) == []


@pytest.mark.fuse_overlayfs
def test_fuse_overlayfs_mounts_the_tree(samples: dict[str, Path]) -> None:
    """Of a root of fuse-overlayfs that program is the printed line, with owners as they are inside."""
    root = samples[FUSE]
    store = open_store(str(root))
    for name in ("changed", "base:1"):
        found = explained(root, name)
        assert (found.code, found.problems) == (0, {})
        listing = "cd /mnt && find . -mindepth 1 -printf '%P %U:%G\\n'"
        done = subprocess.run(
            ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e"),
            input=f"{found.script}{listing}\n".encode(), capture_output=True, check=True, cwd=root,
        )  # fmt: skip
        lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
        assert lines[: len(found.values)] == found.values
        tree = tree_snapshot(store.tree(store.find(name)))
        right = {path: entry for path, entry in tree.items() if path}
        wanted = [os.fsdecode(path) + f" {entry.uid}:{entry.gid}" for path, entry in right.items()]
        assert sorted(lines[len(found.values) :]) == sorted(wanted)


def test_composefs_has_no_mount_line(samples: dict[str, Path]) -> None:
    """A pool of objects is nothing to stack: the walk says so, and all commands before it work."""
    for name in ("chunked:1", "c"):
        found = explained(samples[COMPOSEFS], name)
        assert (found.code, found.document["mount"]) == (0, None)
        assert "no mount line" in found.text
        assert pasted(found) == found.values


def test_vfs_is_one_directory(samples: dict[str, Path], tmp_path: Path) -> None:
    """By the driver vfs each layer is a whole tree: the walk ends in that, and needs no overlayfs."""
    root = tmp_path / "root"
    shutil.copytree(samples[NATIVE], root, symlinks=True, ignore=shutil.ignore_patterns("overlay", "libpod"))
    for name in ("images", "layers", "containers"):
        (root / f"overlay-{name}").rename(root / f"vfs-{name}")
    for layer in (samples[NATIVE] / "overlay").glob("?" * 64):
        (root / "vfs/dir" / layer.name).mkdir(parents=True)
        (root / "vfs/dir" / layer.name / layer.name[:8]).touch()
    found = explained(root, "multi:1")
    assert (found.code, pasted(found)) == (0, found.values)
    assert "overlay" not in found.script
    (directory,) = found.document["mount"]["lowerdir"]
    assert found.values[-1] == directory.rpartition("/")[2][:8]


@pytest.mark.parametrize(
    ("sample", "name", "path", "command", "value"),
    [
        (FUSE, "multi:1", "/root/password.txt", "/root/.wh.password.txt", "regular empty file"),
        (FUSE, "changed", "/opt/app/three", "/opt/app/.wh..wh..opq", "regular empty file"),
        (NATIVE, "multi:1", "/root/password.txt", "/root/password.txt", "character special file 0,0"),
        (COMPOSEFS, "chunked:1", "/root/password.txt", "grep", '"name":"root/.wh.password.txt"'),
        (COMPOSEFS, "chunked:1", "/etc/motd", "/diff/5f/5b00", "5f5b00"),
    ],
)
def test_marks_are_proven_where_they_lie(
    samples: dict[str, Path], sample: str, name: str, path: str, command: str, value: str
) -> None:
    """The command about a path reads the mark, or the object, that decides: it prints what is said of it."""
    proof, *others = proofs_of(samples[sample], name, path)
    assert command in proof.command
    assert proof.value.startswith(value)
    for item in (proof, *others):
        assert item.printed.startswith(item.value)


def test_attribute_that_cuts_off_is_named(samples: dict[str, Path]) -> None:
    """A container of fuse-overlayfs has an attribute of its own on a directory it made anew."""
    changed = explained(samples[FUSE], "changed").document["mount"]["lowerdir"][0]
    own = samples[FUSE] / changed
    assert (own / "srv").is_dir()
    (proof,) = proofs_of(samples[FUSE], "changed", "/srv/new")
    assert proof.printed.startswith(proof.value)


def test_missing_store_is_told_with_what_to_do(samples: dict[str, Path]) -> None:
    """Without the store that has its layers a container's walk ends early, and the hint is the option."""
    found = explained(samples[SEVERAL] / "graphroot-additional", "c2")
    assert (found.code, found.document["mount"]) == (5, None)
    assert "--additional-store" in found.stderr
    assert pasted(found) == found.values
