"""Opens the directory of an overlay2 root, or says what it is instead.

Other directories that users are likely to give, and that no kind of store reads, are recognised by their
entries, so that the error can name them and say where to look instead.

Sources: moby `daemon/daemon.go`, `daemon/image_store_choice.go`; containerd `docs/ops.md`;
containers/storage `docs/containers-storage.conf.5.md`; OCI image-spec `image-layout.md`.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from typing import TYPE_CHECKING

from layerfs.errors import (
    ContainerdMissing,
    CorruptStore,
    DataRootError,
    DataRootUnreadable,
    MissingFile,
    NoStoreHere,
    NotADataRoot,
    UnsupportedStorageDriver,
)
from layerfs.stores.files import open_optional
from layerfs.stores.looks import is_filled, is_there, open_top

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.hostdir import HostDir

__all__ = [
    "DIRECTORY_HALF",
    "DRIVER",
    "HALVES",
    "IMAGE_HALF",
    "OTHER_DRIVERS",
    "found_in",
    "is_data_root",
    "lacking",
    "open_data_root",
]

DRIVER = "overlay2"

IMAGE_HALF = f"image/{DRIVER}"
"""The directory with the records of images, layers and containers' own layers."""

DIRECTORY_HALF = DRIVER
"""The directory with the files of all layers."""

HALVES = {
    IMAGE_HALF: "no image is known, nor what layers a container has",
    DIRECTORY_HALF: "the files of no layer are there",
}
"""The two directories of an overlay2 root, and what is lost without each."""

OTHER_DRIVERS = (
    "aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "vfs", "windowsfilter", "zfs",
)  # fmt: skip
_EVIDENCE_PATH = "var/lib/docker"
_REMAPPED = re.compile(r"\d+\.\d+")
_LAYOUT_MARKS = ("oci-layout", "manifest.json")
_INSIDE = ("imagedb", "layerdb", "repositories.json")


def open_data_root(path: str | Path) -> HostDir:
    """Open the overlay2 data root at `path`, or at `path`/var/lib/docker.

    Raises:
        NotADataRoot, UnsupportedStorageDriver, ContainerdMissing, DataRootUnreadable.
    """
    directory = open_top(path)
    if is_there(directory, f"image/{DRIVER}"):
        return _checked(directory)
    return _checked(_evidence(directory) or directory)


def is_data_root(path: str | Path) -> bool:
    """Whether `open_data_root` would open `path`."""
    try:
        open_data_root(path).close()
    except (DataRootError, CorruptStore):
        return False
    return True


def found_in(directory: HostDir, name: bytes) -> str | None:
    """The kind of a directory's entry, in words, if it is a data root; follows no link."""
    try:
        with directory.subdir(name) as inner:
            return "a Docker data root" if is_there(inner, f"image/{DRIVER}") else None
    except (OSError, DataRootError):
        return None


def _checked(directory: HostDir) -> HostDir:
    """The directory, if it is an overlay2 data root; else raises the error that says what it is."""
    names = {os.fsdecode(name) for name in _list(directory)}
    overlay2 = is_there(directory, f"image/{DRIVER}")
    if overlay2 or is_there(directory, f"{DRIVER}/l") or {DRIVER, "containers"} <= names:
        return directory
    _refuse_other_stores(directory, names)
    raise NoStoreHere(
        f"{directory.display}: not a Docker data root: there is no image/{DRIVER} in it, nor a containerd "
        "root, nor a graph root of Podman",
        hint="give what `docker info` calls Docker Root Dir (usually /var/lib/docker), a containerd root "
        "(usually /var/lib/containerd), a graph root (usually /var/lib/containers/storage), or a copy; "
        "`layerfs stores DIRECTORY` looks for them below",
    )


def _refuse_other_stores(directory: HostDir, names: set[str]) -> None:
    """Raise the error for a store that layerfs recognises and cannot read."""
    where = directory.display
    drivers = [name for name in OTHER_DRIVERS if is_there(directory, f"image/{name}")]
    if drivers:
        raise UnsupportedStorageDriver(f"{where}: storage driver {drivers[0]!r}: layerfs reads only {DRIVER}")
    if subroots := sorted(name for name in names if _REMAPPED.fullmatch(name)):
        listed = " ".join(f"{where}/{name}" for name in subroots)
        raise NotADataRoot(
            f"{where}: a root with user namespace remapping; its data roots are {listed}",
            hint=f"choose one: --root {where}/{subroots[0]}",
        )
    if {"containers", "volumes"} <= names or {"containers", "engine-id"} <= names:
        beside = posixpath.normpath(posixpath.join(where, "../containerd"))
        raise ContainerdMissing(
            f"{where}: a Docker data root without image/{DRIVER}: its images are in a containerd root, which "
            f"is neither at {where}/containerd/daemon nor at {beside}",
            hint="find the root of that containerd (usually /var/lib/containerd), and give it with --root",
        )
    if any(mark in names for mark in _LAYOUT_MARKS):
        raise NotADataRoot(f"{where}: an image archive or OCI layout, not a Docker data root")
    if DRIVER in names or any(mark in names for mark in _INSIDE) or "l" in names:
        raise NotADataRoot(
            f"{where}: a part of a Docker data root, not its top", hint="give a directory further up"
        )


def lacking(directory: HostDir, half: str) -> CorruptStore | None:
    """The error for one of `HALVES` that cannot be read, or None; it names the uppermost missing directory.

    A store without layers needs no directories, so their absence is no error.
    """
    at = ""
    for name in half.split("/"):
        at = f"{at}/{name}".lstrip("/")
        try:
            found = open_optional(directory, at)
        except CorruptStore as error:
            return error.again()
        if found is None and half == DIRECTORY_HALF and not _has_layers(directory):
            return None
        if found is None:
            return MissingFile(directory.name_of(at), f"the directory is missing: {HALVES[half]}")
        found.close()
    return None


def _has_layers(directory: HostDir) -> bool:
    return is_filled(directory, f"{IMAGE_HALF}/layerdb/sha256")


def _evidence(directory: HostDir) -> HostDir | None:
    """The data root inside a copied system; links in that are not followed."""
    try:
        inner = directory.subdir(_EVIDENCE_PATH)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):
            return None
        raise NotADataRoot(
            f"{directory.display}/{_EVIDENCE_PATH}: only reached through a symbolic link: not followed",
            hint="find where it leads inside the evidence, and give that path",
        ) from error
    return inner


def _list(directory: HostDir) -> list[bytes]:
    try:
        return directory.names()
    except PermissionError as error:
        raise DataRootUnreadable(directory.display) from error
