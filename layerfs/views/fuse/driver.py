"""What a driver is: the interface between a mount and whatever talks to the kernel.

A driver only translates; what the tree looks like is decided in `layerfs.tree`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.capabilities import Progress
    from layerfs.tree.union import UnionTree

__all__ = ["FILE_SYSTEM", "Driver", "MountOptions", "Unattended"]

FILE_SYSTEM = "layerfs"
"""Subtype of a FUSE mount: /proc/mounts says `fuse.layerfs`."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How to mount; always read-only, without set-user-ID and device nodes taking effect.

    Attributes:
        source: what /proc/mounts shows as the device, usually the image's name.
        allow_other: let users other than the one who mounts look in.
        passthrough: have the kernel read the backing files itself, where the driver, the kernel and our
            privilege allow it. Without, small files are faster the second time they are read.
        ignore_permissions: whoever may look into the mount may read all that the server can read, whatever
            owners and modes say; not to be had together with `allow_other`.
        noexec: let nothing in it be executed.
        on_progress: told of what takes long before the mount is usable: the part, what was done, the total.
    """

    source: str
    allow_other: bool = False
    passthrough: bool = True
    ignore_permissions: bool = False
    noexec: bool = False
    on_progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse what would open the files of some users to others."""
        if self.allow_other and self.ignore_permissions:
            raise ValueError("allow_other and ignore_permissions exclude each other")


class Driver(Protocol):
    """Serves a tree to the kernel."""

    def serve(
        self, tree: UnionTree, mountpoint: Path, options: MountOptions, ready: Callable[[], None]
    ) -> None:
        """Mount, call `ready` once the kernel talks to us, and serve until unmounted or signalled.

        Raises:
            MountFailed: nothing is left mounted.
        """


@runtime_checkable
class Unattended(Protocol):
    """A driver whose mounts need no process that serves them."""

    def mount(self, tree: UnionTree, mountpoint: Path, options: MountOptions) -> None:
        """Mount, and be done.

        Raises:
            MountFailed: nothing is left mounted.
        """
