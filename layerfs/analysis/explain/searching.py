"""A search for examples in one store: its layers, and what lies in them, for a limited time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.explain.places import is_tar
from layerfs.errors import LayerfsError
from layerfs.tree.lower import join

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.model import BareLayer, Image, Layer
    from layerfs.store import Store
    from layerfs.tree.source import Entry, LayerSource

__all__ = ["Example", "OutOfTime", "Search"]


class Example(NamedTuple):
    """An example.

    Attributes:
        name: of an image or a container.
        facts: what there is to see: a word for each value, and the value.
        path: in its tree, where the example is about one.
        layer: the number of the layer, likewise.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    path: bytes | None = None
    layer: int | None = None


_LARGEST_TAR = 16 << 20
"""Bytes of a packed layer that is looked into: to unpack more may take longer than the search may last."""


class OutOfTime(Exception):
    """The time for the search is over."""


class Search:
    """A search in one store, for a limited time."""

    def __init__(self, store: Store, seconds: float) -> None:
        self.store = store
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise where the time is over."""
        if time.monotonic() > self._end:
            raise OutOfTime

    def images(self) -> Iterator[Image]:
        """The images that have names, then the others."""
        images = self.store.images()
        for image in (*filter(_named, images), *(image for image in images if not _named(image))):
            self.check()
            yield image

    def layers(self) -> Iterator[tuple[Image, int, Layer, LayerSource]]:
        """Each layer of an image once, with its number; those that cannot be read are left out."""
        seen: set[str] = set()
        for image in self.images():
            for number, chain in reversed([*enumerate(image.chain, 1)]):
                if chain in seen:
                    continue
                seen.add(chain)
                self.check()
                try:
                    layer = self.store.record(chain)
                    source = self.store.source(layer)
                except LayerfsError:
                    continue
                is_unpacked = not is_tar(source) or self.store.has_every_layer_unpacked
                if is_unpacked or (layer.blob_size or _LARGEST_TAR + 1) <= _LARGEST_TAR:
                    yield image, number, layer, source

    def sources(self, layers: Sequence[Layer | BareLayer]) -> list[LayerSource]:
        """Layers to read from."""
        self.check()
        return [self.store.source(layer) for layer in layers]

    def entries(self, layer: LayerSource) -> Iterator[tuple[bytes, Entry]]:
        """Every entry below a layer's root."""
        pending = [b""]
        while pending:
            directory = pending.pop()
            self.check()
            try:
                found = list(layer.scan(directory))
            except OSError:
                continue
            for entry in found:
                self.check()
                path = join(directory, entry.name)
                yield path, entry
                if entry.stat.is_dir:
                    pending.append(path)


def _named(image: Image) -> bool:
    return any(name.tag for name in image.references)
