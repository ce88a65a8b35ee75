"""A data root's containers: their configs joined with the records of their layers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore
from layerfs.ids import ChainID, ContainerID, ImageID, InvalidID
from layerfs.store import RECORDS
from layerfs.stores.docker.driver import DIRECTORY_HALF
from layerfs.stores.docker.layerdb import DockerContainer, LayerRecord
from layerfs.stores.docker.mounts import Mounts
from layerfs.stores.docker.storedlayers import StoredLayers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.hostdir import HostDir
    from layerfs.model import Container
    from layerfs.stores.docker.layerdb import MountRecord

__all__ = ["StoredContainers"]


class StoredContainers(StoredLayers):
    """The containers of one data root; each is read once."""

    def __init__(self, directory: HostDir, bolt_state: str) -> None:
        """Read the data root open as `directory`, its databases in one of their states."""
        super().__init__(directory, bolt_state)
        self._mounts = Mounts(self.layerdb, self.overlay2, self.records, self.containerdb)
        self._containers: dict[ContainerID, DockerContainer] = {}

    @functools.cached_property
    def _container_ids(self) -> Sequence[ContainerID]:
        return list(dict.fromkeys([*self.containerdb.container_ids(), *self.layerdb.container_ids()]))

    def containers(self) -> list[DockerContainer]:
        """Every container, newest first; also those of which only the config or the layers are left."""
        return sorted(
            map(self.load_container, self._container_ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    def container_names(self) -> dict[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        found: dict[ContainerID, str | None] = {}
        for container_id in self._container_ids:
            try:
                found[container_id] = self.containerdb.config(container_id).name
            except CorruptStore:
                found[container_id] = None
        return found

    def load_container(self, container_id: ContainerID) -> DockerContainer:
        """The container of this ID, as far as it can be read; defects are reported."""
        found = self._containers.get(container_id)
        if found is None:
            found = self._containers[container_id] = self._load_container(container_id)
        return found

    def _load_container(self, container_id: ContainerID) -> DockerContainer:
        config = attempt(self.report, lambda: self.containerdb.config(container_id))
        if config and self.containerdb.has_other_driver(container_id):
            return DockerContainer(container_id, config, elsewhere=config.driver)
        # that no record is there at all was reported once, for all
        report = self._report_time if self.lacks(RECORDS) else self.report
        lost = (lambda _: None) if self.lacks(RECORDS) else self.report
        mount = attempt(lost, lambda: self._mounts.of(container_id, lambda: self._top_of(config), report))
        return DockerContainer.of(container_id, config, mount)

    def _report_time(self, problem: CorruptStore) -> None:
        """Report how containers' layers are known where no record tells, once and not for each."""
        del problem  # it is about a file of a directory that is not there
        told = "which layers are a container's is told by when they were made"
        self.report(CorruptStore(self.directory.name_of(DIRECTORY_HALF), told))

    def _top_of(self, config: ContainerConfig | None) -> ChainID | None:
        """The uppermost layer of the image that a container was made from, while that is known."""
        try:
            image_id = ImageID(config.image_id) if config else None
        except InvalidID:
            return None
        image = self.load_image(image_id) if image_id and image_id in self.imagedb else None
        return image.chain[-1] if image and image.chain else None

    def container(self, name: str) -> DockerContainer:
        """The container of this ID, name, or unique ID prefix."""
        return self.load_container(self.names.container(name).id)

    def config_name(self, container: ContainerID) -> str:
        """The path of a container's `config.v2.json`, for messages."""
        return self.containerdb.config_name(container)

    def layers_below(self, container: Container) -> tuple[LayerRecord, ...]:
        """The layers of the image that a container stands on, base first; raises `CorruptStore`."""
        mount = self._mount(container)
        return self.chain_of_mount(mount) if mount else ()

    def _mount(self, container: Container) -> MountRecord | None:
        """The layers of a container as this store has them."""
        return self.load_container(container.id).mount
