"""Docker data roots with the storage driver overlay2, as a kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.stores.docker.driver import found_in, is_data_root

if TYPE_CHECKING:
    from layerfs.stores.docker.dataroot import DataRoot
    from layerfs.stores.registry import Options

__all__ = ["detect", "found_in", "open_kind"]


def detect(path: str) -> bool:
    """Whether there is an overlay2 data root at `path`, or at `path`/var/lib/docker."""
    return is_data_root(path)


def open_kind(path: str, options: Options) -> DataRoot:
    """Open it; raises `DataRootError`, which says what is there instead."""
    from layerfs.stores.docker.dataroot import DataRoot  # noqa: PLC0415 - not for a look at another's path

    return DataRoot.open(
        path, metadata=options.metadata, userns=options.userns, bolt_state=options.bolt_state
    )
