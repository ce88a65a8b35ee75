"""The part of a graph root that tells which containers there are."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.ids import CacheID, ContainerID, ImageID, InvalidID
from layerfs.model import added_up
from layerfs.stores.containers_storage.containers import Containers
from layerfs.stores.containers_storage.forms import Form
from layerfs.stores.containers_storage.hiddenpaths import HIDDEN_PATHS
from layerfs.stores.containers_storage.places import OVERLAY
from layerfs.stores.containers_storage.storedimages import StoredImages

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layerfs.containerlog import ContainerLog
    from layerfs.formats.graphroot import LayerRecordText
    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.model import Container
    from layerfs.stores.containers_storage.parts import Part

__all__ = ["StoredContainers"]


class StoredContainers(StoredImages):
    """The containers of one store; those of the roots that it is read with are none of its own."""

    hidden_changes = HIDDEN_PATHS

    @functools.cached_property
    def _containers(self) -> Containers:
        own = self.roots[0].opened
        return Containers(self.directory, own.driver, _Layers(self), self.report, own.run)

    def _lost(self, part: Part, known: Collection[str]) -> Iterator[LayerRecordText]:
        """As of images; a container's layer whose `lower` is lost too stands on the container's image."""
        for record in super()._lost(part, known):
            image = self._containers.images_of_layers.get(record.id)
            if record.parent or record.diff_id or image is None:
                yield record
            elif noted := self._images.all.get(image):
                yield record._replace(parent=noted.record.layer)

    def containers(self) -> Sequence[Container]:
        """Every container, newest first; also those of which only a part is left."""
        return sorted(
            map(self.load_container, self._containers.ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    @property
    def has_pods(self) -> bool:  # type: ignore[override]
        """Whether there are pods of Kubernetes; those of Podman do not change its own listing."""
        return self._containers.has_sandboxes

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """The name of every container, None where it has none."""
        return self._containers.names()

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        return self._containers.load(container_id)

    def image_of_container(self, container: ContainerID) -> str:
        """The ID of the image that the record of a container names, hex digits; empty for none."""
        return self._containers.image(container)

    def container_records(self, container: Container) -> Json | None:
        """The records of a container as its engines wrote them down."""
        return self._containers.records(container.id)

    def container_aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by their further names, and by those behind the names of their pods."""
        return self._containers.aliases()

    def log(self, container: Container, host: HostDir | None) -> ContainerLog:
        """What a container wrote; see `Logging`."""
        from layerfs.stores.containers_storage.containerlogs import (  # noqa: PLC0415 - few ask
            crio_log,
            podman_log,
        )

        if not self._containers.is_of_podman(container.id):
            return crio_log(container, host, self.report)
        own = f"{self.roots[0].opened.containers}/{container.id}"
        noted = self._containers.noted(container.id)
        return podman_log(self.directory, own, container, noted, host, self.report)

    @property
    def has_no_volumes(self) -> bool:
        """Whether it is known that Podman had no volume."""
        return self._containers.has_no_volumes

    def size_beside(self, container: Container) -> int | None:
        """Bytes of what is kept of a container: its config, its log, and what its engine notes besides."""
        from layerfs.stores.inodesizes import bytes_below  # noqa: PLC0415 - few ask

        opened = self.roots[0].opened
        path = f"{opened.containers}/{container.id}"
        roots = [opened.directory, *([opened.run] if opened.run else [])]
        return added_up(attempt(self.report, functools.partial(bytes_below, root, path)) for root in roots)

    @property
    def changes_by_layer(self) -> bool:  # type: ignore[override]
        """Whether overlayfs of the kernel mounts containers; else Podman compares trees, as Docker does."""
        own = self.roots[0]
        return own.opened.driver == OVERLAY and own.form is not Form.FUSE

    def record_name(self, of: ImageID | ChainID | ContainerID) -> str:
        """The file with the record of an image, a layer or a container, for messages."""
        if isinstance(of, ContainerID):
            return self.directory.name_of(f"{self.roots[0].opened.containers}/containers.json") + f": {of}"
        return super().record_name(of)

    def config_name(self, container: ContainerID) -> str:
        """The record that has the config of a container, for messages."""
        return self.record_name(container)


class _Layers:
    """The layers of a store, as containers ask of them; see `LayersByID`."""

    def __init__(self, store: StoredImages) -> None:
        """Ask the layers of `store`."""
        self._store = store

    def has_layer(self, layer_id: str) -> bool:
        """See `LayersByID`."""
        return layer_id in self._store.storage.all

    def layer_called(self, name: str) -> str | None:
        """See `LayersByID`."""
        return self._store.storage.by_name.get(name)

    def top_below(self, layer_id: str, image_id: str) -> ChainID | None:
        """See `LayersByID`."""
        if not layer_id:
            return self._top_of(image_id)
        stored = attempt(self._store.report, lambda: self._store.storage.walk(CacheID(layer_id))[0])
        below = stored.record.parent if stored else None
        if below is None:
            return None
        return attempt(self._store.report, lambda: self._store.storage.chain_of(below))

    def _top_of(self, image_id: str) -> ChainID | None:
        """The uppermost layer of an image; None for one of none, or where it is not there."""
        try:
            own = ImageID.from_hex(image_id)
        except InvalidID:
            return None
        image = self._store.load_image(own) if self._store.has_image(own) else None
        return image.chain[-1] if image and image.chain else None
