"""The containers of a data root: their configs and the records of their layers."""

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

    from layerfs.containerlog import ContainerLog
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.hostdir import HostDir
    from layerfs.model import Container
    from layerfs.stores.docker.layerdb import MountRecord

__all__ = ["StoredContainers"]


class StoredContainers(StoredLayers):
    """The containers of one data root; each is read once."""

    def __init__(self, directory: HostDir, bolt_state: str) -> None:
        """Read the data root `directory`, and the state `bolt_state` of its databases."""
        super().__init__(directory, bolt_state)
        self._mounts = Mounts(self.layerdb, self.overlay2, self.records, self.containerdb)
        self._containers: dict[ContainerID, DockerContainer] = {}

    @functools.cached_property
    def _container_ids(self) -> Sequence[ContainerID]:
        return list(dict.fromkeys([*self.containerdb.container_ids(), *self.layerdb.container_ids()]))

    def containers(self) -> list[DockerContainer]:
        """Every container, newest first; also one with only a config or only layers."""
        return sorted(
            map(self.load_container, self._container_ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    def container_names(self) -> dict[ContainerID, str | None]:
        """The name of every container, None if it cannot be read; damage is not reported."""
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
        # that all records are missing was reported once
        report = self._report_time if self.lacks(RECORDS) else self.report
        lost = (lambda _: None) if self.lacks(RECORDS) else self.report
        mount = attempt(lost, lambda: self._mounts.of(container_id, lambda: self._top_of(config), report))
        return DockerContainer.of(container_id, config, mount)

    def _report_time(self, problem: CorruptStore) -> None:
        """Report once, and not for each container, that layers are known by time only."""
        del problem  # it names a file of a missing directory
        told = "which layers are a container's is told by when they were made"
        self.report(CorruptStore(self.directory.name_of(DIRECTORY_HALF), told))

    def _top_of(self, config: ContainerConfig | None) -> ChainID | None:
        """The uppermost layer of the image that a container was made from; None if it is not known."""
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

    def log(self, container: Container, host: HostDir | None) -> ContainerLog:  # noqa: ARG002 - all is here
        """What a container wrote; see `Logging`."""
        from layerfs.stores.docker.containerlogs import docker_log  # noqa: PLC0415 - few ask

        return docker_log(self.directory, container, lambda: self.host_config(container), self.report)

    def layers_below(self, container: Container) -> tuple[LayerRecord, ...]:
        """The image layers below a container, base first; raises `CorruptStore`."""
        mount = self._mount(container)
        return self.chain_of_mount(mount) if mount else ()

    def _mount(self, container: Container) -> MountRecord | None:
        """The mount record of a container."""
        return self.load_container(container.id).mount
