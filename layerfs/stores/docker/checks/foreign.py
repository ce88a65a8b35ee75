"""Finds what other storage drivers, older engines and containerd left in a data root.

No command of an Engine with overlay2 frees this space.

Sources: moby `daemon/graphdriver/driver.go` (scanPriorDrivers), `migrate/v1/migratev1.go` (v17.03),
`daemon/daemon.go`, `daemon/image_store_choice.go`; containerd `docs/ops.md`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import ROOT, Finding, Found
from layerfs.stores.docker.driver import DRIVER, OTHER_DRIVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.hostdir import HostDir

__all__ = ["foreign"]

_BELONG = re.compile(
    rb"builder|buildkit|containerd|containers|engine-id|image|lost\+found|network|overlay2|plugins|runtimes"
    rb"|swarm|tmp|tmp-old|trust|volumes|nuke-graph-directory\.sh"
)
_DRIVER_NAMES = "|".join(map(re.escape, (DRIVER, *OTHER_DRIVERS))).encode()
_OF_DRIVER = re.compile(rb"(" + _DRIVER_NAMES + rb")([._~-].*)?", re.DOTALL)
_OF_VERSION = re.compile(
    rb"graph|init|execdriver|linkgraph\.db|repositories-.*|\.migration-v1-(images\.json|tags)", re.DOTALL
)
_CONTAINERD = b"containerd/daemon"
_STORES = re.compile(rb"io\.containerd\.(content|snapshotter|metadata)\.v1\..*", re.DOTALL)
_BLOBS = _CONTAINERD + b"/io.containerd.content.v1.content/blobs/sha256"


_VERSION = "of an Engine before 1.10, which kept images here"
_UNKNOWN = "nothing that an engine puts here"
_CONTAINERD_STORE = "images and snapshots of containerd's image store; this root has images of its own"


def foreign(directory: HostDir) -> Iterator[Found]:
    """All findings in the data root `directory`; unreadable things are left out."""
    for name in _names(directory, b""):
        if match := _OF_DRIVER.fullmatch(name):
            yield from _of_driver(directory, name, match, "layers")
        elif _OF_VERSION.fullmatch(name):
            yield _found(directory, "version-left", name, _VERSION)
        elif not _BELONG.fullmatch(name):
            yield _found(directory, "entry-unknown", name, _UNKNOWN)
    for name in _names(directory, b"image"):
        if match := _OF_DRIVER.fullmatch(name):
            yield from _of_driver(directory, b"image/" + name, match, "images and records")
        else:
            yield _found(directory, "entry-unknown", b"image/" + name, _UNKNOWN)
    yield from _containerd(directory)


def _of_driver(directory: HostDir, path: bytes, match: re.Match[bytes], what: str) -> Iterator[Found]:
    if match[0] != DRIVER.encode():
        yield _found(directory, "driver-left", path, f"{what} of {_called(match)}")


def _containerd(directory: HostDir) -> Iterator[Found]:
    """Layers in containerd's directories; engines with overlay2 keep only manifests there."""
    stores = [name for name in _names(directory, _CONTAINERD) if _STORES.fullmatch(name)]
    paths = [_CONTAINERD + b"/" + name for name in stores]
    is_used = any(_names(directory, path + b"/snapshots") for path in paths)
    if is_used or any(not _is_manifest(directory, name) for name in _names(directory, _BLOBS)):
        found = _found(directory, "containerd-left", _CONTAINERD, _CONTAINERD_STORE)
        yield found._replace(costs=tuple(paths))


def _found(directory: HostDir, code: str, path: bytes, message: str) -> Found:
    severity: Severity = "note" if code == "entry-unknown" else "warning"
    return Found(Finding(code, severity, ROOT, directory.name_of(path), message=message), (path,))


def _is_manifest(directory: HostDir, blob: bytes) -> bool:
    """Whether a blob begins like JSON, or cannot be read."""
    try:
        fd = directory.open_file(_BLOBS + b"/" + blob)
    except OSError:
        return True
    try:
        return os.pread(fd, 1, 0) in (b"{", b"")
    finally:
        os.close(fd)


def _called(match: re.Match[bytes]) -> str:
    """The name of the driver in a matched name."""
    driver = f"the storage driver {match[1].decode()}"
    return f"{driver}, set aside" if match[2] else driver


def _names(directory: HostDir, path: bytes) -> list[bytes]:
    try:
        with directory.subdir(path) as inner:
            return sorted(inner.names())
    except OSError:
        return []
