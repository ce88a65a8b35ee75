"""Directories that are held open: those of the whole path, and never many."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from layerfs.analysis.verify.helddirs import HeldDirs
from layerfs.hostdir import HostDir

if TYPE_CHECKING:
    from pathlib import Path

DEEP = 120


def test_descriptors_do_not_grow_with_the_depth(tmp_path: Path) -> None:
    """However deep a path goes, few directories are open, and each is the right one."""
    (tmp_path / "/".join(["d"] * DEEP)).mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    with HostDir.open(tmp_path) as top:
        held = HeldDirs(top)
        for depth in [*range(DEEP + 1), *range(DEEP, 0, -1)]:
            path = b"/".join([b"d"] * depth)
            directory = held.at(path)
            assert os.path.samestat(os.fstat(directory.fd), os.stat(os.fsencode(tmp_path) + b"/" + path))
            assert directory.display == top.name_of(path)
        assert len(os.listdir("/proc/self/fd")) < before + 24


def _refusal(held: HeldDirs, path: bytes) -> int | None:
    try:
        held.at(path)
    except OSError as error:
        return error.errno
    return None


def test_no_link_is_followed(tmp_path: Path) -> None:
    """A link is no directory; `resolve` follows it inside the layer."""
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "real/link").symlink_to("/real/below")
    with HostDir.open(tmp_path) as top:
        held = HeldDirs(top)
        for _ in range(2):  # the second time `real` is open
            assert _refusal(held, b"real/link") in (errno.ELOOP, errno.ENOTDIR)
            held.at(b"real")
        directory, place = held.resolve(b"real/link")
        assert place == b"real/below"
        assert os.path.samestat(os.fstat(directory.fd), (tmp_path / "real/below").stat())
