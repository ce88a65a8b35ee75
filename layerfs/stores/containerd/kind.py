"""The kind `containerd`: the stores of Docker since 29, of Kubernetes, of nerdctl and of ctr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.stores.containerd.places import META_DB, is_containerd

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir
    from layerfs.stores.containerd.store import ContainerdStore
    from layerfs.stores.registry import Options

__all__ = ["HAS_NAMESPACES", "detect", "found_in", "is_meant", "open_kind"]

HAS_NAMESPACES = True
"""Whether this kind of store uses `Options.namespace`."""


def detect(path: str) -> bool:
    """Whether `path` is a containerd root, or has one at a usual place below or beside it."""
    return is_containerd(path)


def is_meant(path: str) -> bool:
    """Whether the containerd root at `path` is read, and not the overlay2 root there; logs the choice."""
    from layerfs.stores.containerd.twostores import is_containerd_meant  # noqa: PLC0415 - as below

    return is_containerd_meant(path)


def open_kind(path: str, options: Options) -> ContainerdStore:
    """Open the store; raises `DataRootError` (which names what is there), `CorruptStore`, `CacheError`."""
    from layerfs.stores.containerd.store import ContainerdStore  # noqa: PLC0415 - not for a look at another's path

    return ContainerdStore.open(path, options)


def found_in(directory: HostDir, name: bytes) -> str | None:
    """Words for the entry `name` if it is a containerd root, else None; no link is followed."""
    try:
        directory.lstat(name + b"/" + META_DB.encode())
    except OSError:
        return None
    return "a containerd root"
