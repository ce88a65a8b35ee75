"""containerd's stores as a kind: of Docker since 29, of Kubernetes, of nerdctl and ctr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.stores.containerd.places import META_DB, is_containerd

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir
    from layerfs.stores.containerd.store import ContainerdStore
    from layerfs.stores.registry import Options

__all__ = ["HAS_NAMESPACES", "detect", "found_in", "is_meant", "open_kind"]

HAS_NAMESPACES = True
"""Whether `Options.namespace` means anything here."""


def detect(path: str) -> bool:
    """Whether there is a containerd root at `path`, or where an engine keeps it below or beside."""
    return is_containerd(path)


def is_meant(path: str) -> bool:
    """Whether it is read where there is an overlay2 data root at `path` too; says so once."""
    from layerfs.stores.containerd.twostores import is_containerd_meant  # noqa: PLC0415 - as below

    return is_containerd_meant(path)


def open_kind(path: str, options: Options) -> ContainerdStore:
    """Open it; raises `DataRootError` with what is there instead, `CorruptStore`, `CacheError`."""
    from layerfs.stores.containerd.store import ContainerdStore  # noqa: PLC0415 - not for a look at another's path

    return ContainerdStore.open(path, options)


def found_in(directory: HostDir, name: bytes) -> str | None:
    """What an entry of some directory is, in words, if it is a containerd root; no link is followed."""
    try:
        directory.lstat(name + b"/" + META_DB.encode())
    except OSError:
        return None
    return "a containerd root"
