"""`fuse_overlayfs_snapshot`: what a real fuse-overlayfs shows of given directories; always unmounted."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.kernel import private_dir
from tests.support.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.snapshot import Snapshot

__all__ = ["fuse_overlayfs_mount", "fuse_overlayfs_snapshot", "without_link_counts"]


@contextmanager
def fuse_overlayfs_mount(layers: Sequence[Path]) -> Iterator[Path]:
    """Mount `layers`, uppermost first, read-only, and yield the mount point."""
    with private_dir() as work:
        target = work / "merged"
        target.mkdir()
        names = []  # a path with a colon or comma in it would have to be escaped
        for index, layer in enumerate(layers):
            (work / str(index)).symlink_to(layer.resolve())
            names.append(str(work / str(index)))
        command = ["fuse-overlayfs", "-o", "ro,lowerdir=" + ":".join(names), str(target)]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield target
        finally:
            subprocess.run(["umount", target], check=True)


def fuse_overlayfs_snapshot(layers: Sequence[Path]) -> Snapshot:
    """Every entry that fuse-overlayfs shows; it counts names that it has seen, which are no links."""
    with fuse_overlayfs_mount(layers) as merged:
        return without_link_counts(snapshot(merged))


def without_link_counts(entries: Snapshot) -> Snapshot:
    """The entries without their numbers of links; which names are one file is compared all the same."""
    return {path: replace(entry, nlink=0) for path, entry in entries.items()}
