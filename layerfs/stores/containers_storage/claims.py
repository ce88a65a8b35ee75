"""Which layers are needed by more than the images that are listed, and what nothing needs."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layerfs.capabilities import Pinned, Unclaimed
from layerfs.ids import CacheID
from layerfs.stores.containers_storage.storedimages import documents_of
from layerfs.stores.inodesizes import inode_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.ids import ImageID
    from layerfs.model import Container
    from layerfs.stores.containers_storage.images import Noted
    from layerfs.stores.containers_storage.layers import Layers
    from layerfs.stores.containers_storage.parts import Part, Stored

__all__ = ["pinned", "unclaimed"]

_LEFTOVERS = ("staging", "tempdirs")
"""Directories beside those of layers in which the engine unpacks and removes: each entry is left over."""


def pinned(
    images: Mapping[ImageID, Noted],
    containers: Iterable[Container],
    layers: Layers,
    roots: Sequence[Part],
    own_roots: Sequence[Part],
) -> Pinned:
    """What containers need, copies of layers that images stand on, and what other stores lend.

    Args:
        images: the records of all.
        containers: all.
        layers: the layers of the store.
        roots: all that it is read with.
        own_roots: those of which it is itself made.
    """
    own = [CacheID(layer.cache_id) for item in containers for layer in item.own]
    tops = [top for noted in images.values() for top in (noted.record.layer, *noted.record.mapped) if top]
    first = {found[0].cache_id for found in layers.by_chain.values()}
    lent = {documents_of(own) for own, noted in images.items() if noted.part not in own_roots}
    return Pinned(
        borrowed=frozenset(
            chain for chain, found in layers.by_chain.items() if found[0].stored.part not in own_roots
        ),
        places=frozenset(_with_all_below(layers, [*tops, *own]) - first),
        others=frozenset(lent | (_with_all_below(layers, own) - first)),
        complete=all(part.is_whole and not part.images_problem for part in roots),
    )


def _with_all_below(layers: Layers, tops: Iterable[CacheID]) -> set[str]:
    """These layers and what they stand on, as far as there are records."""
    found: set[str] = set()
    for top in tops:
        at: CacheID | None = top
        while at is not None and at not in found:
            found.add(at)
            stored = layers.all.get(at)
            at = stored.record.parent if stored else None
    return found


def unclaimed(
    layers: Layers, roots: Sequence[Part], needed: Collection[str], size: Callable[[Stored], int | None]
) -> Iterator[Unclaimed]:
    """The layers of `roots` that are not in `needed`, sorted; then what was left of making and removing."""
    for own in sorted(layers.all.keys() - set(needed)):
        stored = layers.all[own]
        if stored.part not in roots:
            continue
        path = stored.part.directory.name_of(stored.part.layer_path(stored.record.id))
        yield Unclaimed(own, path, size(stored))
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
