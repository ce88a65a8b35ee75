"""Tampering with layers of the recorded root: what somebody might do, and what a check must then name.

An intruder sets the times back; so does `unchanged_times`, so that nothing but the change itself is there
to be found.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.support.command import layer_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["PLANTS", "PlacedLayer", "Plant", "image_only", "placed_layers", "unchanged_times"]


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """Where a layer's files are: its directory in layerdb, and its own in overlay2."""

    record: Path
    directory: Path

    @property
    def diff(self) -> Path:
        """Its tree."""
        return self.directory / "diff"

    @property
    def chain_id(self) -> str:
        """Its chain ID."""
        return f"sha256:{self.record.name}"


def placed_layers(root: Path, image: str) -> list[PlacedLayer]:
    """The layers of an image by its name `repository:tag`, base first, found without layerfs."""
    driver = root / "image/overlay2"
    names = json.loads((driver / "repositories.json").read_bytes())["Repositories"]
    image_hex = names[image.rpartition(":")[0]][image].removeprefix("sha256:")
    config = json.loads((driver / "imagedb/content/sha256" / image_hex).read_bytes())
    return _chain(root, config["rootfs"]["diff_ids"])


def _chain(root: Path, diff_ids: list[str]) -> list[PlacedLayer]:
    """The layers of these diff IDs, each on the one before."""
    stored, found = layer_files(root), list[PlacedLayer]()
    for diff_id in diff_ids:
        parent = found[-1].chain_id if found else None
        chain = next(
            chain
            for chain, files in stored.items()
            if files["diff"] == diff_id and files.get("parent") == parent
        )
        record = root / "image/overlay2/layerdb/sha256" / chain.removeprefix("sha256:")
        found.append(PlacedLayer(record, root / "overlay2" / (record / "cache-id").read_text()))
    return found


def image_only(source: Path, target: Path, image: str) -> Path:
    """Copy of a data root all records, but the directories of one image's layers alone; returns `target`."""
    (target / "overlay2").mkdir(parents=True)
    directories = [layer.directory for layer in placed_layers(source, image)]
    subprocess.run(["cp", "-a", source / "image", target], check=True)
    subprocess.run(["cp", "-a", source / "overlay2/l", *directories, target / "overlay2"], check=True)
    return target


@contextmanager
def unchanged_times(top: Path) -> Iterator[None]:
    """Give everything below a directory the times it had, as far as it is still there."""
    before = {}
    for directory, names, files in os.walk(top):
        for name in (".", *names, *files):
            path = os.path.join(directory, name)
            before[path] = os.lstat(path)
    yield
    for path, found in before.items():
        if os.path.lexists(path):
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


class Plant(NamedTuple):
    """One kind of tampering.

    Attributes:
        image: with which image.
        layer: with which of its layers.
        damage: what is done to its `diff/`; see `tamper`.
        named: the code and the path, below `diff/`, of each finding.
        saves: whether a Docker Engine still saves the image.
    """

    image: str
    layer: int
    damage: Callable[[Path], object]
    named: set[tuple[str, str]]
    saves: bool = True

    def tamper(self, diff: Path) -> None:
        """Do it, and set all times back but those that are the tampering."""
        if any(code == "mtime-altered" for code, _ in self.named):
            self.damage(diff)
        else:
            with unchanged_times(diff):
                self.damage(diff)


def _swap_case(path: str) -> Callable[[Path], object]:
    return lambda diff: (diff / path).write_bytes((diff / path).read_bytes().swapcase())


def _append(path: str) -> Callable[[Path], object]:
    return lambda diff: (diff / path).write_bytes((diff / path).read_bytes() + b"more")


def _replace_link(diff: Path) -> None:
    path = diff / "link-dangling"
    path.unlink()
    path.symlink_to("elsewhere")
    os.chown(path, 3, 4, follow_symlinks=False)


def _break_hard_link(diff: Path) -> None:
    path, copy = diff / "a/two", diff / "a/copy"
    shutil.copy2(path, copy)
    os.replace(copy, path)


def _other_device(diff: Path) -> None:
    path = diff / "dev/sda"
    found = path.lstat()
    path.unlink()
    os.mknod(path, found.st_mode, os.makedev(8, 1))
    os.chmod(path, stat.S_IMODE(found.st_mode))


def _device_to_file(diff: Path) -> None:
    path = diff / "dev/sda"
    path.unlink()
    path.write_bytes(b"")


def _make_whiteout(path: str) -> Callable[[Path], object]:
    return lambda diff: os.mknod(diff / path, stat.S_IFCHR, os.makedev(0, 0))


def _file_for_whiteout(diff: Path) -> None:
    (diff / "gone-file").unlink()
    (diff / "gone-file").write_bytes(b"back again\n")


def _directory_for_link(diff: Path) -> None:
    (diff / "lib").rename(diff / "elsewhere")
    (diff / "lib").symlink_to("elsewhere")


def _change_many(diff: Path) -> None:
    for path in _FILES:
        (diff / path).write_bytes((diff / path).read_bytes().swapcase())
        os.chmod(diff / path, 0o4755)


def _add_tree(diff: Path) -> None:
    (diff / "planted/x").mkdir(parents=True)
    (diff / "planted/x/y").symlink_to("z")


def _file_to_directory(diff: Path) -> None:
    (diff / "etc/motd").unlink()
    (diff / "etc/motd").mkdir()


_FILES = ("latin-\udce9", "escape-\x1b[31mred", "back\\slash", "%s")


_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

PLANTS: dict[str, Plant] = {
    "content": Plant("demo:1.0", 2, _swap_case("etc/motd"), {("content-altered", "etc/motd")}, saves=False),
    "size": Plant("demo:1.0", 2, _append("etc/motd"), {("size-altered", "etc/motd")}, saves=False),
    "truncated": Plant(
        "demo:1.0", 2, lambda d: os.truncate(d / "etc/motd", 0), {("size-altered", "etc/motd")}, saves=False
    ),
    "mode": Plant("demo:1.0", 2, lambda d: os.chmod(d / "etc/motd", 0o4755), {("mode-altered", "etc/motd")}),
    "directory-mode": Plant("demo:1.0", 2, lambda d: os.chmod(d / "etc", 0o777), {("mode-altered", "etc")}),
    "owner": Plant("demo:1.0", 2, lambda d: os.chown(d / "etc/motd", 1, 2), {("owner-altered", "etc/motd")}),
    "mtime": Plant(
        "demo:1.0", 2, lambda d: os.utime(d / "etc/motd", (1, 1)), {("mtime-altered", "etc/motd")}
    ),
    "nanosecond": Plant(
        "lab/attributes:1",
        2,
        lambda d: os.utime(d / "nanoseconds", ns=(0, 1_700_000_000_123_456_788)),
        {("mtime-altered", "nanoseconds")},
    ),
    "link-owner": Plant(
        "lab/attributes:1",
        2,
        lambda d: os.chown(d / "link-up", 9, 9, follow_symlinks=False),
        {("owner-altered", "link-up")},
    ),
    "xattr-added": Plant(
        "lab/xattrs:1", 2, lambda d: os.setxattr(d / "plain", "user.new", b"1"), {("xattr-extra", "plain")}
    ),
    "xattr-changed": Plant(
        "lab/xattrs:1",
        2,
        lambda d: os.setxattr(d / "plain", "trusted.foo", b"u"),
        {("xattr-altered", "plain")},
    ),
    "xattr-removed": Plant(
        "lab/xattrs:1", 2, lambda d: os.removexattr(d / "plain", "user.bytes"), {("xattr-missing", "plain")}
    ),
    "capability-added": Plant(
        "lab/xattrs:1",
        2,
        lambda d: os.setxattr(d / "big", "security.capability", _CAPABILITY),
        {("xattr-extra", "big")},
    ),
    "capability-changed": Plant(
        "lab/xattrs:1",
        2,
        lambda d: os.setxattr(
            d / "capable", "security.capability", _CAPABILITY[:5] + b"\xff" + _CAPABILITY[6:]
        ),
        {("xattr-altered", "capable")},
    ),
    "acl-removed": Plant(
        "lab/xattrs:1",
        2,
        lambda d: os.removexattr(d / "merged", "system.posix_acl_default"),
        {("xattr-missing", "merged")},
    ),
    "redirect": Plant(
        "lab/xattrs:1",
        2,
        lambda d: os.setxattr(d / "merged", "trusted.overlay.redirect", b"/etc"),
        {("xattr-extra", "merged")},
    ),
    "extra-file": Plant(
        "demo:1.0", 2, lambda d: (d / "etc/cron").write_bytes(b"evil"), {("entry-extra", "etc/cron")}
    ),
    "extra-hard-link": Plant(
        "demo:1.0", 2, lambda d: os.link(d / "etc/motd", d / "etc/also"), {("entry-extra", "etc/also")}
    ),
    "extra-tree": Plant(
        "demo:1.0",
        2,
        _add_tree,
        {("entry-extra", "planted"), ("entry-extra", "planted/x"), ("entry-extra", "planted/x/y")},
    ),
    "extra-socket": Plant(
        "demo:1.0", 2, lambda d: os.mknod(d / "etc/s", stat.S_IFSOCK), {("entry-extra", "etc/s")}
    ),
    "removed-file": Plant(
        "demo:1.0", 2, lambda d: (d / "etc/motd").unlink(), {("entry-missing", "etc/motd")}, saves=False
    ),
    "removed-link": Plant(
        "lab/attributes:1", 2, lambda d: (d / "link-up").unlink(), {("entry-missing", "link-up")}
    ),
    "removed-tree": Plant(
        "lab/xattr-whiteouts:1",
        1,
        lambda d: shutil.rmtree(d / "d"),
        {("entry-missing", path) for path in ("d", "d/gone", "d/kept", "d/content")},
        saves=False,
    ),
    "type": Plant(
        "demo:1.0",
        2,
        _file_to_directory,
        {("type-altered", "etc/motd")},
        saves=False,
    ),
    "symlink": Plant("lab/attributes:1", 2, _replace_link, {("target-altered", "link-dangling")}),
    "hard-link-broken": Plant("lab/links:1", 2, _break_hard_link, {("hard-link-broken", "a/two")}),
    "device": Plant("lab/nodes:1", 3, _other_device, {("device-altered", "dev/sda")}),
    "device-file": Plant("lab/nodes:1", 3, _device_to_file, {("type-altered", "dev/sda")}),
    "whiteout-removed": Plant(
        "lab/whiteouts:1", 3, lambda d: (d / "gone-file").unlink(), {("whiteout-missing", "gone-file")}
    ),
    "whiteout-replaced": Plant("lab/whiteouts:1", 3, _file_for_whiteout, {("whiteout-missing", "gone-file")}),
    "whiteout-added": Plant("demo:1.0", 2, _make_whiteout("bin"), {("whiteout-extra", "bin")}),
    "whiteout-chmod": Plant(
        "lab/whiteouts:1", 3, lambda d: os.chmod(d / "gone-file", 0o644), {("mode-altered", "gone-file")}
    ),
    "opaque-removed": Plant(
        "lab/opaque:1",
        2,
        lambda d: os.removexattr(d / "empty", "trusted.overlay.opaque"),
        {("opaque-missing", "empty")},
    ),
    "opaque-added": Plant(
        "demo:1.0",
        2,
        lambda d: os.setxattr(d / "etc", "trusted.overlay.opaque", b"y"),
        {("opaque-extra", "etc")},
    ),
    "root-mode": Plant("demo:1.0", 2, lambda d: os.chmod(d, 0o700), {("root-altered", "")}),
    "root-opaque": Plant(
        "demo:1.0", 2, lambda d: os.setxattr(d, "trusted.overlay.opaque", b"y"), {("opaque-extra", "")}
    ),
    "root-with-header": Plant(
        "lab/root-attributes:1", 2, lambda d: os.chmod(d, 0o755), {("mode-altered", "")}
    ),
    "implied-directory": Plant(
        "lab/tar-forms:1", 3, lambda d: os.chmod(d / "private", 0o777), {("mode-altered", "private")}
    ),
    "directory-to-link": Plant(
        "lab/tar-forms:1",
        3,
        _directory_for_link,
        {("entry-extra", "lib")},
    ),
    "several": Plant(
        "lab/names:1",
        2,
        _change_many,
        {(code, path) for code in ("content-altered", "mode-altered") for path in _FILES},
        saves=False,
    ),
}
"""By name: every kind of tampering with a layer's files."""
