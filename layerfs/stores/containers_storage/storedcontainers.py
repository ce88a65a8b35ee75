"""The containers of a graph root, joined with its layers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.ids import CacheID, ChainID, ContainerID, ImageID, InvalidID
from layerfs.stores.containers_storage.containers import Containers
from layerfs.stores.containers_storage.storedimages import StoredImages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.formats.jsontext import Json
    from layerfs.model import Container

__all__ = ["StoredContainers"]


class StoredContainers(StoredImages):
    """The containers of one store."""

    @functools.cached_property
    def _containers(self) -> Containers:
        own = self.roots[0].opened
        return Containers(self.directory, own.driver, self, self.report, own.run)

    @property
    def has_pods(self) -> bool:  # type: ignore[override]
        """Whether there are pods of Kubernetes."""
        return self._containers.has_sandboxes

    def containers(self) -> Sequence[Container]:
        """Every container, newest first; also those of which only one record is left."""
        return sorted(
            map(self.load_container, self._containers.ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """The name of every container, None where it has none; damage is not reported."""
        return self._containers.names()

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        return self._containers.load(container_id)

    def container_aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by their further names, and by those of their pods before their own."""
        return self._containers.aliases()

    def container_records(self, container: Container) -> Json | None:
        """What containers/storage and libpod have of a container, as they wrote it down."""
        return self._containers.records(container.id)

    def record_name(self, of: ImageID | ChainID | ContainerID) -> str:
        """The file with the record of an image, a layer or a container, for messages."""
        if isinstance(of, ContainerID):
            return self.directory.name_of(f"{self.driver}-containers/containers.json") + f": {of}"
        return super().record_name(of)

    def config_name(self, container: ContainerID) -> str:
        """The record that has the config of a container, for messages."""
        return self.record_name(container)

    # -- what containers ask of layers: `LayersByID` -------------------------------------------

    def has_layer(self, layer_id: str) -> bool:
        """Whether there is a record of a layer."""
        return layer_id in self.storage.all

    def layer_called(self, name: str) -> str | None:
        """The ID of the layer whose record has this name; None for none."""
        return self.record_names.get(name)

    @functools.cached_property
    def record_names(self) -> Mapping[str, CacheID]:
        """The layers by the names of their records."""
        found: dict[str, CacheID] = {}
        for stored in self.storage.all.values():
            for name in stored.record.names:
                found.setdefault(name, stored.record.id)
        return found

    def top_below(self, layer_id: str, image_id: str) -> ChainID | None:
        """The image's layer that a container's own one stands on; None where it is not known (reported)."""
        record = self.storage.all[layer_id].record if layer_id in self.storage.all else None
        below = record.parent if record else None
        if below:
            return attempt(self.report, functools.partial(self.storage.chain_of, below))
        if record:
            return None
        try:
            image = self.load_image(ImageID.from_hex(image_id))
        except InvalidID:
            return None
        return image.chain[-1] if image and image.chain else None
