"""Archives and layouts as a kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.stores.archive.opening import found_in, is_archive
from layerfs.stores.archive.store import ArchiveStore

if TYPE_CHECKING:
    from layerfs.stores.registry import Options

__all__ = ["detect", "found_in", "open_kind"]


def detect(path: str) -> bool:
    """Whether `path` is a file, standard input (`-`), or a directory that holds a layout or an archive."""
    return is_archive(path)


def open_kind(path: str, options: Options) -> ArchiveStore:
    """Open it; raises `DataRootError` with what is there instead, `CorruptStore`, `CacheError`."""
    return ArchiveStore.open(path, cache=options.cache, platform=options.platform, progress=options.progress)
