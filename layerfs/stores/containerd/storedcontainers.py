"""The part of a containerd store that tells which containers there are; it knows no tree."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import mapping, text
from layerfs.stores.containerd.containers import Containers
from layerfs.stores.containerd.images import KUBERNETES
from layerfs.stores.containerd.storedlayers import StoredLayers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layerfs.containerlog import ContainerLog
    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.ids import ContainerID
    from layerfs.model import Container
    from layerfs.stores.containerd.layers import Placed

__all__ = ["StoredContainers"]


class StoredContainers(StoredLayers):
    """The containers of some namespaces of one containerd root."""

    @functools.cached_property
    def _containers(self) -> Containers:
        others = [space for space in self.spaces if space.name != self.dockers_namespace]
        return Containers(
            self.directory, self.docker, others, self._snapshots, self._images.id_of_name, self.report
        )

    def containers(self) -> Sequence[Container]:
        """Every container, newest first; also those of which only a part is left."""
        return sorted(
            map(self.load_container, self._containers.ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    @property
    def has_pods(self) -> bool:  # type: ignore[override]
        """Whether there is a pod, or only the namespace of Kubernetes is read."""
        is_kubernetes = {space.name for space in self.spaces} == {KUBERNETES}
        return is_kubernetes or any(item.pod for item in self.containers())

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        return self._containers.names()

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        return self._containers.load(container_id)

    def placed_of(self, container: Container) -> Placed | None:
        """The writable snapshot of a container."""
        return self._containers.placed(container.id)

    def container_records(self, container: Container) -> Json | None:
        """The records of a container that is not Docker's, as they were written down; or None."""
        return self._containers.records(container.id)

    def config_name(self, container: ContainerID) -> str:
        """The path or name of a container's config, for messages."""
        return self._containers.config_name(container) or super().config_name(container)

    def container_aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by the longer names that Kubernetes has for them."""
        return self._containers.aliases()

    def host_config(self, container: Container) -> Json | None:
        """A container's host config; None if it is missing or damaged (reported)."""
        return attempt(self.report, lambda: self._containers.host_config(container.id))

    def log(self, container: Container, host: HostDir | None) -> ContainerLog:
        """What a container wrote; see `Logging`."""
        if self.docker and self._containers.is_dockers(container.id):
            from layerfs.stores.docker.containerlogs import docker_log  # noqa: PLC0415 - few ask

            return docker_log(self.docker, container, lambda: self.host_config(container), self.report)
        from layerfs.stores.containerd.containerlogs import containerd_log  # noqa: PLC0415 - likewise

        return containerd_log(container, host, self.report)

    def images_of(self, container: Container) -> Collection[str]:
        """The images with the manifest that Docker recorded for a container; else the image of its config."""
        raw = container.config.raw if container.config else {}
        try:
            manifest = text(mapping(raw, "ImageManifest"), "digest")
        except FormatError:
            manifest = ""
        return self._images.with_manifest(manifest) or super().images_of(container)
