"""Copies that lost owners, modes, times, attributes, devices or links show what the kernel showed."""

from __future__ import annotations

import functools
import stat
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.views.fuse.mountpoint import find_mount
from tests.support.command import layerfs
from tests.support.copies import COPIES
from tests.support.kernel import kernel_snapshot, refusals
from tests.support.mounts import FUSE, served, stacked_by_docker
from tests.support.snapshot import Entry, snapshot
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs import Image
    from tests.support.copies import Copy
    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.root, pytest.mark.kernel, pytest.mark.timeout(300)]

_SECOND = 10**9

MADE_BY_NO_HEADER = {"lab/tar-forms:1": (b".wh..wh.plnk", b"abs", b"lib", b"private")}
"""Directories for which the archive has no header: nobody knows when the engine made them."""

ROOT_HEADER = ("lab/root-attributes:1",)
"""Images whose uppermost archive says something of the root; of all others it has the time of unpacking."""

SOCKET = b"var/socket"
NOTE = b"etc/built"
"""What BuildKit left in a layer's directory, and its archive has not: a socket, an attribute."""


@pytest.fixture(scope="module", params=COPIES)
def copied(
    request: pytest.FixtureRequest, dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Copy]:
    """The recorded root as each tool copies it, and what that tool keeps."""
    how = COPIES[request.param]
    target = tmp_path_factory.mktemp("copied") / "root"
    how.make(dataroot_path, target)
    return target, how


def _differing(expected: Snapshot, actual: Snapshot) -> dict[bytes, set[str]]:
    """By path, the names of what differs; `missing` and `unexpected` of whole entries."""
    found: dict[bytes, set[str]] = {}
    for path in expected.keys() | actual.keys():
        want, got = expected.get(path), actual.get(path)
        if want is None or got is None:
            found[path] = {"missing" if got is None else "unexpected"}
        elif want != got:
            names = (item.name for item in fields(Entry))
            found[path] = {name for name in names if getattr(want, name) != getattr(got, name)}
    return found


def _gaps(image: Image, expected: Snapshot, copy: Copy) -> dict[bytes, set[str]]:
    """What cannot be known of an image from its archives and such a copy: all of it, and nothing more."""
    gaps: dict[bytes, set[str]] = {}
    if "times" not in copy.keeps:
        unknown = MADE_BY_NO_HEADER.get(image.name, ())
        gaps |= {path: {"mtime_ns"} for path in unknown}
        if image.name not in ROOT_HEADER:
            gaps[b""] = {"mtime_ns"}
        fractions = (path for path, entry in expected.items() if entry.mtime_ns % _SECOND)
        if image.name == "buildkit:latest":
            gaps |= {path: {"mtime_ns"} for path in fractions}
    if image.name == "buildkit:latest":
        gaps.setdefault(NOTE, set()).add("xattrs")
        gaps[SOCKET] = {"mtime_ns"} if "sockets" in copy.keeps else {"missing"}
        if "sockets" in copy.keeps and "owners" not in copy.keeps:
            gaps[SOCKET] |= {"uid", "gid"}
    return gaps


def _intact(root: Path, image: Image) -> Snapshot:
    return _shown_by_kernel(root, DataRoot.open(root).chain(image)[-1].cache_id)


@functools.cache  # every copy is compared with it
def _shown_by_kernel(root: Path, top: str) -> Snapshot:
    return refusals(kernel_snapshot(stacked_by_docker(root, top), redirects=True))


@pytest.mark.parametrize("metadata", ["auto", "tar-split"])
def test_every_tree_is_the_kernels_of_the_intact_root(
    dataroot_path: Path, copied: tuple[Path, Copy], metadata: str
) -> None:
    """Whatever the copy lost, every image is as the kernel shows it, but for what no archive can tell."""
    place, copy = copied
    root, compared = DataRoot.open(place, metadata=metadata), 0
    for image in DataRoot.open(dataroot_path).images():
        if not image.chain:
            continue
        expected = _intact(dataroot_path, image)
        actual = refusals(tree_snapshot(root.tree(root.image(image.id))))
        assert _differing(expected, actual) == _gaps(image, expected, copy), image.name
        compared += 1
    assert compared > 30


def test_the_kernels_own_mount_of_a_copy_is_refused(copied: tuple[Path, Copy], tmp_path: Path) -> None:
    """What the copy lost the kernel cannot make good: nothing is mounted, with the way out."""
    place, _ = copied
    (tmp_path / "m").mkdir()
    done = layerfs(place, "mount", "--driver", "kernel", "demo:latest", str(tmp_path / "m"))
    assert (done.code, "tar-split.json.gz" in done.stderr) == (7, True), done.stderr
    assert "hint: --driver native shows it" in done.stderr
    assert find_mount(tmp_path / "m") is None


@pytest.mark.fuse
@pytest.mark.parametrize("variant", FUSE)
def test_every_mount_is_the_kernels_of_the_intact_root(
    dataroot_path: Path, tmp_path: Path, variant: str
) -> None:
    """Mounted from a copy by an ordinary user, every image is the kernel's: devices, owners, attributes."""
    copy = COPIES["cp -r by an ordinary user"]
    copy.make(dataroot_path, tmp_path / "root")
    root, kinds = DataRoot.open(tmp_path / "root"), set()
    for image in DataRoot.open(dataroot_path).images():
        if image.chain:
            expected = _intact(dataroot_path, image)
            with served(root.tree(root.image(image.id)), tmp_path / "m", variant) as mounted:
                actual = refusals(snapshot(mounted))
            assert _differing(expected, actual) == _gaps(image, expected, copy), image.name
            kinds |= {stat.S_IFMT(entry.mode) for entry in actual.values()}
    assert {stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFLNK} < kinds
