"""Ctrl-C at any step of a mount by the kernel: nothing is left mounted, and no signal is lost."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.errors import MountFailed
from layerfs.views.fuse.attach import attach
from layerfs.views.fuse.driver import MountOptions
from layerfs.views.fuse.mountpoint import detach, find_mount, mount_on, put_mount, unmount
from layerfs.views.kernel.driver import KernelDriver
from layerfs.views.kernel.overlayfs import Way
from tests.support.layerspec import Dir, File, LayerSpec, materialise_stack
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from layerfs.tree.union import UnionTree

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_EVERY = 9
"""Steps, that is lines of code, from one try to the next."""
_WATCHED = ("/views/kernel/driver.py", "/views/kernel/overlayfs.py", "/views/fuse/mountpoint.py")


def _interrupted(action: Callable[[], object], at: int) -> bool:
    """Do something, with Ctrl-C at its step of this number; whether it has so many."""
    steps = itertools.count()
    sent = False

    def trace(frame: FrameType, event: str, _arg: object) -> Any:  # as typeshed has it
        nonlocal sent
        if not any(part in frame.f_code.co_filename for part in _WATCHED):
            return None
        if event == "line" and next(steps) == at:
            sent = True
            os.kill(os.getpid(), signal.SIGINT)
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        action()
    except KeyboardInterrupt:
        assert sent
    else:
        assert not sent, "the signal was lost"
    finally:
        sys.settrace(before)
    return sent


def _tree(where: Path, number: int) -> UnionTree:
    return union_of(materialise_stack([LayerSpec(Dir({b"f": File()}))] * number, where))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("way", Way)
def test_ctrl_c_leaves_nothing_mounted(way: Way, layers: int, tmp_path: Path) -> None:
    """Neither the overlayfs nor the empty file system that a layer alone is stacked on."""
    place = tmp_path / "m"
    place.mkdir()
    tree, driver = _tree(tmp_path, layers), KernelDriver([way])
    options = MountOptions("test")
    try:
        while_there = itertools.count(0, _EVERY)
        while _interrupted(lambda: driver.mount(tree, place, options), next(while_there)):
            assert find_mount(place) is None
        assert find_mount(place) is not None
    finally:
        while find_mount(place):
            unmount(place, lazy=True)


def test_a_link_on_the_way_to_the_mount_point_is_not_followed(tmp_path: Path) -> None:
    """Whoever owns a directory above cannot send a mount of root elsewhere, once the path was looked at."""
    (tmp_path / "real/m").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    mount = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            put_mount(mount, tmp_path / "link/m")
    finally:
        os.close(mount)
    with pytest.raises(MountFailed, match="symbolic links"):
        attach(tmp_path / "link/m", MountOptions("test"))
    assert find_mount(tmp_path / "real/m") is None


@pytest.mark.parametrize("options", [
    MountOptions("a,b\\c d"), MountOptions("é" * 200, noexec=True),
    MountOptions("open", allow_other=True), MountOptions("mine", ignore_permissions=True),
])  # fmt: skip
def test_older_kernels_mount_the_same(
    options: MountOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By mount(2), where the calls that go by descriptors are missing; but that takes longer names."""
    made = []
    for number in (430, 100_000):  # of fsopen; and one that no kernel has
        monkeypatch.setattr("layerfs.syscalls._SYS_FSOPEN", number)
        device = attach(tmp_path, options)
        try:
            mounted = mount_on(tmp_path)  # a look at it would wait for a server
            assert mounted
            made.append(mounted._replace(device="", source=mounted.source[:127]))
        finally:
            os.close(device)
            detach(tmp_path)
    assert made[0] == made[1]
    assert made[0].is_served
    assert made[0].source == options.source[:127]
