"""What a data root contains: `Image`, `Container`, `Layer`; plain values, joined from several files.

Made by `dataroot`, used by `naming`, `analysis` and the command line.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from layerfs.ids import CacheID, chain_ids
from layerfs.stores.docker.layerdb import LayerRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.formats.reference import Reference
    from layerfs.ids import ChainID, ContainerID, ImageID
    from layerfs.stores.docker.layerdb import MountRecord

__all__ = ["BareLayer", "Container", "Image", "Layer", "Named", "added_up", "directory_of"]

Layer: TypeAlias = LayerRecord
"""A layer is its record, as far as anything tells of it (see `records`)."""


def added_up(sizes: Iterable[int | None]) -> int | None:
    """The sum of some sizes; None where one is not known."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


def directory_of(item: Layer | CacheID) -> CacheID:
    """The directory of a layer, or of what is known by its directory alone."""
    return item if isinstance(item, CacheID) else item.cache_id


@dataclass(frozen=True)
class Image:
    """An image whose config was read and hashes to its ID.

    Attributes:
        id: sha256 of the config.
        references: every name that points at it, sorted; tags and digests alike.
        config: the parsed config.
        parent: the parent image as the engine noted it, unchecked; None for most images.
    """

    id: ImageID
    references: tuple[Reference, ...]
    config: ImageConfig
    parent: str | None = None

    @functools.cached_property
    def chain(self) -> tuple[ChainID, ...]:
        """The chain ID of each layer, base first, computed from the config."""
        return chain_ids(self.config.diff_ids)

    @functools.cached_property
    def name(self) -> str:
        """What to call it: its first tag, else its first name, else its ID."""
        tags = [reference for reference in self.references if reference.tag]
        return str(next(iter(tags or self.references), self.id))


@dataclass(frozen=True, slots=True)
class Container:
    """A container: its config and its layers; either may be missing from a damaged or cut-down root."""

    id: ContainerID
    config: ContainerConfig | None
    mount: MountRecord | None

    @property
    def name(self) -> str:
        """Its name without the slash, or its ID."""
        return self.config.name if self.config and self.config.name else self.id


@dataclass(frozen=True, slots=True)
class BareLayer:
    """A directory of `overlay2/` that is no image's layer: it has no record, no diff ID, and no archive.

    Attributes:
        cache_id: its name.
        kind: `read-write layer` or `init layer` of a container; `directory` of nobody, or BuildKit's.
        container_id: the container.
    """

    cache_id: CacheID
    kind: str = "directory"
    container_id: ContainerID | None = None


Named: TypeAlias = Image | Container | Layer | BareLayer
"""What a name can mean."""
