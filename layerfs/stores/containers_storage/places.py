"""Where a graph root lies, and by which driver it keeps layers.

Source: containers/storage `store.go`, `docs/containers-storage.conf.5.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import DataRootError, NoStoreHere, UnsupportedStorageDriver
from layerfs.stores.looks import is_there, open_top

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["DRIVERS", "OVERLAY", "VFS", "Opened", "found_in", "is_graph_root", "open_graph_root"]

OVERLAY = "overlay"
VFS = "vfs"

DRIVERS = (OVERLAY, VFS, "btrfs", "zfs")
"""The drivers, the usual first: of a root that was used with several the first is read."""

FILES = {
    "overlay": "overlay/{}/diff",
    "vfs": "vfs/dir/{}",
    "btrfs": "btrfs/subvolumes/{}",
    "zfs": "zfs/graph/{}",
}
"""Where the files of a layer lie; the last two are file systems of their own, there only when mounted."""

_EVIDENCE_PATH = "var/lib/containers/storage"


class Opened(NamedTuple):
    """A graph root, open.

    Attributes:
        directory: the root itself.
        driver: one of `DRIVERS`.
        run: what its engine keeps until the host starts anew; None for nothing.
    """

    directory: HostDir
    driver: str
    run: HostDir | None = None

    @property
    def images(self) -> str:
        """The directory of images, below the root."""
        return f"{self.driver}-images"

    @property
    def layers(self) -> str:
        """The directory of records of layers."""
        return f"{self.driver}-layers"

    @property
    def files(self) -> str:
        """The directory that has the layers' own."""
        return FILES[self.driver].partition("/{}")[0]

    @property
    def containers(self) -> str:
        """The directory of containers."""
        return f"{self.driver}-containers"


def is_graph_root(path: str) -> bool:
    """Whether `open_graph_root` opens `path`."""
    try:
        opened = open_graph_root(path)
    except DataRootError as error:
        return isinstance(error, UnsupportedStorageDriver)
    opened.directory.close()
    return True


def open_graph_root(path: str, wanted: str | None = None, run: str | None = None) -> Opened:
    """Open the graph root at `path`, or at its usual place below; no link in it is followed.

    Args:
        path: where.
        wanted: the driver; None for the first that it was used with.
        run: the path of its run root, if that is to be read.

    Raises:
        NoStoreHere: there is none.
        UnsupportedStorageDriver: the files of its layers are on subvolumes that are not mounted.
        NotADataRoot, DataRootUnreadable: the directory cannot be opened.
    """
    top = open_top(path)
    for directory in (top, _below(top)):
        driver = _driver(directory, wanted) if directory else None
        if directory and driver:
            return Opened(directory, driver, open_top(run) if run else None)
    raise NoStoreHere(
        f"{path}: no graph root of Podman, CRI-O or Buildah: there is no {wanted or DRIVERS[0]}-images in it",
        hint="give what `podman info` calls graphRoot, usually /var/lib/containers/storage, or a copy of it",
    )


def found_in(directory: HostDir, name: bytes) -> str | None:
    """Words for the entry `name` if it is a graph root, else None; no link is followed."""
    try:
        with directory.subdir(name) as inner:
            return "a store of Podman, CRI-O or Buildah" if _driver(inner) else None
    except (OSError, DataRootError):
        return None


def _driver(directory: HostDir, wanted: str | None = None) -> str | None:
    """The driver by whose name there are images or layers: one of both may be lost."""
    for driver in DRIVERS if wanted is None else {wanted} & {*DRIVERS}:
        if any(is_there(directory, f"{driver}-{half}") for half in ("images", "layers")):
            if driver in ("btrfs", "zfs") and not is_there(directory, FILES[driver].rpartition("/")[0]):
                raise UnsupportedStorageDriver(
                    f"{directory.display}: storage driver {driver!r}: the subvolumes with the files of its "
                    "layers are not there",
                    hint="mount the file system, and give the root on it",
                )
            return driver
    return None


def _below(top: HostDir) -> HostDir | None:
    try:
        return top.subdir(_EVIDENCE_PATH)
    except OSError:
        return None
