"""Layers as plain values: `LayerSpec` and its entries, and `materialise`, which makes them real.

A spec says what lies in a layer's `diff/` directory, overlay's marks included.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tests.support.snapshot import at_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "WHITEOUT",
    "Device",
    "Dir",
    "File",
    "LayerSpec",
    "Link",
    "Meta",
    "Symlink",
    "materialise",
    "materialise_stack",
]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Meta:
    """What every entry has; `mode` without the type bits, which symbolic links ignore."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 1_700_000_000_123_456_789
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dir:
    """A directory and what is in it."""

    children: Mapping[bytes, Node] = field(default_factory=dict)
    meta: Meta = field(default_factory=Meta)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: a hole of `hole` bytes, then `content`."""

    content: bytes = b""
    hole: int = 0
    meta: Meta = field(default_factory=Meta)


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link."""

    target: bytes
    meta: Meta = field(default_factory=Meta)


@dataclass(frozen=True, slots=True)
class Device:
    """What mknod(2) makes: a device, FIFO or socket by its type bits."""

    kind: int
    major: int = 0
    minor: int = 0
    meta: Meta = field(default_factory=Meta)


@dataclass(frozen=True, slots=True)
class Link:
    """One more name of the inode `LayerSpec.shared[index]`."""

    index: int


Inode: TypeAlias = File | Symlink | Device
Node: TypeAlias = Dir | Inode | Link

WHITEOUT = Device(stat.S_IFCHR, meta=Meta(mode=0))
"""As the kernel and Docker's extractor make it."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer: its root directory, and the inodes that its `Link` entries name."""

    root: Dir
    shared: tuple[Inode, ...] = ()


def materialise(layer: LayerSpec, directory: Path) -> Path:
    """Make the layer in `directory`, which must not exist or be empty; needs root. Returns it."""
    directory.mkdir(exist_ok=True)
    fd = os.open(directory, _DIRECTORY)
    opened: list[int] = []
    try:
        _fill(fd, layer.root, layer.shared, {}, opened)
        _dress(at_path(fd, b"."), layer.root.meta)
    finally:
        for descriptor in (*opened, fd):
            os.close(descriptor)
    return directory


def materialise_stack(stack: Sequence[LayerSpec], directory: Path) -> list[Path]:
    """Make every layer as `directory/<index>`; returns the directories, uppermost first."""
    return [materialise(layer, directory / str(index)) for index, layer in enumerate(stack)]


def _fill(
    fd: int, spec: Dir, shared: Sequence[Inode], made: dict[int, tuple[int, bytes]], opened: list[int]
) -> None:
    """Make the children of a directory, each dressed after its own children.

    `made` remembers under which (directory, name) a shared inode was made first; such directories
    stay open, in `opened`, until the layer is complete.
    """
    for name, node in spec.children.items():
        if isinstance(node, Dir):
            os.mkdir(name, dir_fd=fd)
            below = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                _fill(below, node, shared, made, opened)
            finally:
                os.close(below)
            _dress(at_path(fd, name), node.meta)
        elif not isinstance(node, Link):
            _make(fd, name, node)
        elif node.index in made:
            first, first_name = made[node.index]
            os.link(first_name, name, src_dir_fd=first, dst_dir_fd=fd, follow_symlinks=False)
        else:
            _make(fd, name, shared[node.index])
            opened.append(os.dup(fd))
            made[node.index] = opened[-1], name


def _make(fd: int, name: bytes, node: Inode) -> None:
    if isinstance(node, Symlink):
        os.symlink(node.target, name, dir_fd=fd)
    elif isinstance(node, Device):
        os.mknod(name, node.kind | 0o600, os.makedev(node.major, node.minor), dir_fd=fd)
    else:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
        try:
            os.truncate(file, node.hole)
            os.pwrite(file, node.content, node.hole)
        finally:
            os.close(file)
    _dress(at_path(fd, name), node.meta, is_link=isinstance(node, Symlink))


def _dress(path: bytes, meta: Meta, *, is_link: bool = False) -> None:
    """Owner first, as it clears setuid; attributes (an ACL changes the mode) before times."""
    os.chown(path, meta.uid, meta.gid, follow_symlinks=False)
    if not is_link:
        os.chmod(path, meta.mode)
    for name, value in meta.xattrs.items():
        os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(0, meta.mtime_ns), follow_symlinks=False)
