"""The verdict of `explain` against the kernel's own look-up, for thousands of generated stacks of layers.

Many small stacks are directories in the same few layers, so a mount shows hundreds of them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import stat
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.explain.path import Verdict, explain
from tests.support.kernel import check_trusted_xattrs, overlay_mount, private_dir
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Meta, Symlink, materialise_stack
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.explain.path import Explanation
    from layerfs.tree.union import UnionTree
    from tests.support.layerspec import Node

pytestmark = pytest.mark.kernel

STACKS = 2000
IN_A_MOUNT = 500
LAYERS = 4
PATHS = 2
NAMES = (b"a", b"b", b"c")

_OPENAT2 = 437
_LIBC = ctypes.CDLL(None, use_errno=True)
_IN_ROOT = 0x10  # RESOLVE_IN_ROOT: links stay below, as after chroot(2)
_ABSENT = {errno.ENOENT: "ENOENT", errno.ENOTDIR: "ENOTDIR", errno.ELOOP: "ELOOP"}
_SAYS = {
    Verdict.DELETED: {"ENOENT"},
    Verdict.CUT_OFF: {"ENOENT"},
    Verdict.REPLACED: {"ENOTDIR", "ENOENT"},
    Verdict.NOT_A_DIRECTORY: {"ENOTDIR"},
    Verdict.NEVER: {"ENOENT"},
    Verdict.BROKEN_LINK: {"ENOENT", "ENOTDIR"},
    Verdict.LOOP: {"ELOOP"},
    Verdict.UNKNOWN: {"refused"},
}
"""What the kernel must answer for each verdict."""


def test_verdicts_are_the_kernels() -> None:
    """What is shown, and from which layer, and why nothing is, agrees with the kernel and with the disk."""
    chance = random.Random(20261129)  # noqa: S311 - the same stacks in every run
    seen: set[Verdict] = set()
    with private_dir() as directory, _in_memory(directory) as work:
        check_trusted_xattrs(work)
        for begin in range(0, STACKS, IN_A_MOUNT):
            names = [b"s%04d" % number for number in range(begin, begin + IN_A_MOUNT)]
            place = work / str(begin)
            place.mkdir()
            layers = materialise_stack(_layers(chance, names), place)
            tree = union_of(layers)
            with overlay_mount(layers, redirect="follow", metacopy=True) as merged:
                seen |= {
                    _judged(tree, layers, merged, b"/%b/%b" % (name, path))
                    for name in names
                    for path in _paths(chance)
                }
    assert seen == set(Verdict)


def _judged(tree: UnionTree, layers: Sequence[Path], merged: Path, path: bytes) -> Verdict:
    """The verdict about a path, once it is shown to be right."""
    found = explain(tree, path)
    said, content = _kernel(merged, path)
    if found.node:
        assert said == "shown", path
        if found.node.stat.is_file:
            expected = _content(layers[tree.data_part(found.node).layer].name.encode())
            assert content == expected, path
        winner = next(row for row in found.last.rows if row.winner)
        assert winner.part == found.node.part, path
    else:
        assert said in _SAYS[found.verdict], (path, found.verdict)
    if found.verdict in (Verdict.DELETED, Verdict.CUT_OFF, Verdict.REPLACED, Verdict.NEVER):
        _check_past(found, layers)
    if found.kernel_lists is not None and said == "ENOENT" and not found.link:
        above, _, name = os.fsencode(merged / os.fsdecode(found.components[-1].path[1:])).rpartition(b"/")
        listed = os.path.isdir(above) and name in os.listdir(above)
        assert found.kernel_lists == listed, path
    return found.verdict


def _check_past(found: Explanation, layers: Sequence[Path]) -> None:
    """What was there lies in the layer that is named; what never was is in no layer."""
    path = os.fsdecode(found.wanted[1:])
    if found.verdict is not Verdict.NEVER:
        end = found.past.end
        assert end
        assert end.step.before
        assert os.path.lexists(layers[-end.step.before.layer] / os.fsdecode(end.step.before.part))
        return
    for layer in layers:
        above = [layer / part for part in Path(path).parents]
        if not any(map(os.path.islink, above)) and os.path.lexists(layer / path):
            status = os.lstat(layer / path)
            assert stat.S_ISCHR(status.st_mode), (layer, path)
            assert status.st_rdev == 0, (layer, path)


@contextmanager
def _in_memory(place: Path) -> Iterator[Path]:
    """A file system in memory, as tens of thousands of files take a disk long."""
    subprocess.run(["mount", "-t", "tmpfs", "stacks", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


# -- the kernel ----------------------------------------------------------------------------------


def _kernel(merged: Path, path: bytes) -> tuple[str, bytes | None]:
    """What the kernel says of a path, links followed below the mount alone; and the bytes of a file."""
    root = os.open(merged, os.O_PATH | os.O_DIRECTORY)
    try:
        how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _IN_ROOT)
        found = _LIBC.syscall(_OPENAT2, root, path, how, len(how))
        while (
            found < 0 and ctypes.get_errno() == errno.EAGAIN
        ):  # something was mounted meanwhile, and `..` met
            found = _LIBC.syscall(_OPENAT2, root, path, how, len(how))
        if found < 0:
            return _ABSENT.get(ctypes.get_errno(), "refused"), None
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                return "shown", None
            with open(f"/proc/self/fd/{found}", "rb") as file:
                return "shown", file.read()
        finally:
            os.close(found)
    finally:
        os.close(root)


# -- stacks --------------------------------------------------------------------------------------


def _layers(chance: random.Random, names: Sequence[bytes]) -> list[LayerSpec]:
    """Layers in which each name is a small stack of its own; not every layer has it."""
    return [
        LayerSpec(Dir({name: _directory(chance, name, number, 2) for name in names if chance.random() < 0.8}))
        for number in range(LAYERS)
    ]


def _directory(chance: random.Random, stack: bytes, layer: int, depth: int) -> Dir:
    children = {
        name: _node(chance, stack, layer, depth)
        for name in NAMES
        if chance.random() < (0.75 if depth else 0.5)
    }
    marks = {}
    if depth < 2 and chance.random() < 0.2:
        marks[b"trusted.overlay.opaque"] = b"y"
    elif depth < 2 and chance.random() < 0.05:
        target = chance.choice((*NAMES, b"/" + stack + b"/a", b"/" + stack + b"/b/c"))
        marks[b"trusted.overlay.redirect"] = target
    return Dir(children, Meta(xattrs=marks))


def _node(chance: random.Random, stack: bytes, layer: int, depth: int) -> Node:
    if depth and chance.random() < 0.55:
        return _directory(chance, stack, layer, depth - 1)
    kind = chance.randrange(12)
    if kind < 4:
        return WHITEOUT
    if kind < 8:
        marks = {b"trusted.overlay.metacopy": b""} if chance.random() < 0.08 else {}
        return File(_content(b"%d" % layer), meta=Meta(0o644, xattrs=marks))
    if kind < 11:
        targets = (b"a", b"b", b"../b", b"../c/a", b"/" + stack + b"/b", b"gone", b".", b"/gone/x")
        return Symlink(chance.choice(targets))
    return Device(stat.S_IFIFO)


def _content(layer: bytes) -> bytes:
    """The same size in every layer, as a metacopy has the size of its data."""
    return b"of layer " + layer


def _paths(chance: random.Random) -> list[bytes]:
    """Paths in a stack, most of them of names that may be there."""
    depth = chance.choices((1, 2, 3, 4), (2, 5, 5, 1), k=PATHS)
    return [b"/".join(chance.choice(NAMES) for _ in range(names)) for names in depth]
