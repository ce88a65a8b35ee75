"""Which layers are needed by more than the images that are listed, and what nothing needs."""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from layerfs.capabilities import Pinned, Unclaimed
from layerfs.errors import CorruptStore
from layerfs.ids import CacheID
from layerfs.stores.inodesizes import inode_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from layerfs.formats.graphroot import ImageRecord
    from layerfs.model import Container
    from layerfs.stores.containers_storage.layers import Layers
    from layerfs.stores.containers_storage.parts import Part

__all__ = ["pinned", "unclaimed"]

_LEFTOVERS = ("staging", "tempdirs")
"""Directories beside those of layers in which the engine unpacks and removes: each entry is left over."""


def pinned(
    records: Iterable[ImageRecord], containers: Iterable[Container], layers: Layers, *, complete: bool
) -> Pinned:
    """What containers need, and copies of layers that images and containers stand on.

    Args:
        records: of the images.
        containers: all.
        layers: the layers of the store.
        complete: whether all records could be read.
    """
    tops = [top for record in records for top in (record.layer, *record.mapped) if top]
    tops += [CacheID(layer.cache_id) for item in containers for layer in item.own]
    needed: set[str] = set(tops)
    for top in tops:
        with suppress(CorruptStore):  # told with the image, or the container
            needed.update(stored.record.id for stored in layers.walk(top))
    first = {found[0].cache_id for found in layers.by_chain.values()}
    return Pinned(places=frozenset(needed - first), complete=complete)


def unclaimed(
    layers: Layers, roots: Iterable[Part], needed: Collection[str], size: Callable[[CacheID], int | None]
) -> Iterator[Unclaimed]:
    """The layers that are not in `needed`, sorted; then what was left half made or half removed."""
    for own in sorted(layers.all.keys() - set(needed)):
        stored = layers.all[own]
        path = stored.part.directory.name_of(stored.part.layer_path(stored.record.id))
        yield Unclaimed(own, path, size(stored.record.id))
    for part in roots:
        for name in _LEFTOVERS:
            yield from _left(part, f"{part.opened.driver}/{name}")


def _left(part: Part, path: str) -> Iterator[Unclaimed]:
    try:
        with part.directory.subdir(path) as directory:
            found = sorted(name for name, what in directory.scan() if stat.S_ISDIR(what.st_mode))
            for name in found:
                yield Unclaimed(None, directory.name_of(name), _size(part, path.encode() + b"/" + name))
    except OSError:
        return


def _size(part: Part, path: bytes) -> int | None:
    try:
        with part.directory.subdir(path) as directory:
            return sum(inode_sizes(directory).values())
    except OSError:
        return None
