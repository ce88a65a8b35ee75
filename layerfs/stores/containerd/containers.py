"""Containers: those of a Docker Engine from its own records, all others from containerd's.

Sources: moby `daemon/containerd/image_snapshot.go`; containerd `core/containers/containers.go`,
`internal/cri/store/container/metadata.go`.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MissingFile
from layerfs.ids import ContainerID, InvalidID
from layerfs.model import INIT, READ_WRITE, BareLayer, Container
from layerfs.stores.containerd.layers import chain_of_key
from layerfs.stores.docker.containers import ContainerDB
from layerfs.stores.docker.driver import DRIVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.containerdmeta import MetaContainer, Namespace
    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.containerd.layers import Placed, Snapshots
    from layerfs.stores.containerd.pods import Kubernetes

__all__ = ["Containers"]

_INIT = "-init"


class Containers:
    """The containers of one store; each is read once."""

    def __init__(
        self,
        root: HostDir,
        docker: HostDir | None,
        spaces: Sequence[Namespace],
        snapshots: Snapshots,
        image_of: Callable[[str, str], str],
        report: Callable[[CorruptStore], None],
    ) -> None:
        """Read the containers of a Docker data root, if there is one, and those of namespaces.

        Args:
            root: the containerd root.
            docker: the data root, or None.
            spaces: the namespaces, without that of the Docker Engine, which has records of its own.
            snapshots: the snapshots of all namespaces.
            image_of: gives the ID of an image by its name and its config; empty if there is none.
            report: is told of damage.
        """
        self._notes = ContainerDB(docker) if docker else None
        self._spaces = spaces
        self._snapshots = snapshots
        self._image_of = image_of
        self._report = report
        self._root = root
        self._loaded: dict[ContainerID, Container] = {}

    @functools.cached_property
    def _kubernetes(self) -> Kubernetes:
        from layerfs.stores.containerd.pods import Kubernetes  # noqa: PLC0415 - where containerd has containers

        return Kubernetes(self._root, self._spaces, self._report)

    @functools.cached_property
    def _metas(self) -> Mapping[ContainerID, MetaContainer]:
        """The containers in meta.db; Docker's own records know more of Docker's."""
        found: dict[ContainerID, MetaContainer] = {}
        if not any(space.containers for space in self._spaces):
            return found
        from layerfs.stores.containerd.metacontainers import ContainerdID  # noqa: PLC0415 - as above

        for space in self._spaces:
            for meta in space.containers.values():
                try:
                    found.setdefault(ContainerdID(meta.id), meta)
                except InvalidID as error:
                    self._report(CorruptStore(f"namespace {space.name}", f"container: {error}"))
        return found

    @functools.cached_property
    def ids(self) -> Sequence[ContainerID]:
        """Every container's ID."""
        return [*(self._notes.container_ids() if self._notes else ()), *self._metas]

    def names(self) -> dict[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        found: dict[ContainerID, str | None] = {}
        for container_id in self.ids:
            try:
                found[container_id] = self._name(container_id)
            except CorruptStore:
                found[container_id] = None
        return found

    def load(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        if container_id not in self._loaded:
            config = attempt(self._report, lambda: self._config(container_id))
            own = tuple(self._own(container_id))
            elsewhere = config.driver if config and config.driver == DRIVER else None
            if not own and not elsewhere and self._snapshots:  # else one report for all was made
                self._report(MissingFile(f"container {container_id}", "it has no snapshot"))
            layers = tuple(layer for layer, _ in own)
            top = self._top(own[0][1]) if own else None
            found = Container(container_id, config, layers, top, elsewhere)
            self._loaded[container_id] = self._in_pod(found)
        return self._loaded[container_id]

    def placed(self, container_id: ContainerID) -> Placed | None:
        """Its writable snapshot."""
        meta = self._metas.get(container_id)
        return self._snapshots.of(meta.snapshot_key if meta and meta.snapshot_key else container_id)

    def is_dockers(self, container_id: ContainerID) -> bool:
        """Whether a container is of the Docker Engine, which has records of its own."""
        return container_id not in self._metas

    def config_name(self, container_id: ContainerID) -> str | None:
        """The path of Docker's config of a container, for messages; None without a Docker data root."""
        return self._notes.config_name(container_id) if self._notes else None

    def host_config(self, container_id: ContainerID) -> Json | None:
        """Its host config; None if there is none; raises `CorruptStore`."""
        return self._notes.host_config(container_id) if self._notes else None

    def aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by their other names: the full ones of Kubernetes, and those with their pod."""
        from layerfs.stores.containerd.pods import SANDBOX  # noqa: PLC0415 - as above

        found: dict[str, list[ContainerID]] = {}
        for container_id, meta in self._metas.items():
            noted, pod = self._kubernetes.metadata(meta), self._kubernetes.pod(meta)
            if noted is None:
                continue
            names = [noted.full_name]
            if pod and self._kubernetes.kind(meta) != SANDBOX:
                names += [f"{pod.name}/{noted.name}", f"{pod.namespace}/{pod.name}/{noted.name}"]
            for name in names:
                found.setdefault(name, []).append(container_id)
        return found

    def records(self, container_id: ContainerID) -> Json | None:
        """The records of a container that is not Docker's, as they were written down; or None."""
        meta = self._metas.get(container_id)
        if meta is None:
            return None
        config = self.load(container_id).config
        noted, status = self._kubernetes.metadata(meta), self._kubernetes.status(meta)
        return {
            "Snapshotter": meta.snapshotter,
            "SnapshotKey": meta.snapshot_key,
            "SandboxID": meta.sandbox,
            "Spec": (config and config.raw) or None,
            "Metadata": noted.raw if noted else None,
            "Status": status.raw if status else None,
        }

    def _in_pod(self, container: Container) -> Container:
        """The container, with its pod and labels of Kubernetes."""
        meta = self._metas.get(container.id)
        noted = self._kubernetes.metadata(meta) if meta else None
        if meta is None or noted is None:
            return container
        pod, kind = self._kubernetes.pod(meta), self._kubernetes.kind(meta)
        return replace(container, pod=pod, attempt=noted.attempt, kind=kind)

    def _name(self, container_id: ContainerID) -> str:
        meta = self._metas.get(container_id)
        if meta is None:
            return self._config(container_id).name
        from layerfs.stores.containerd.metacontainers import name_of  # noqa: PLC0415 - as above

        return name_of(meta, self._kubernetes.metadata(meta))

    def _config(self, container_id: ContainerID) -> ContainerConfig:
        meta = self._metas.get(container_id)
        if meta:
            from layerfs.formats.runtimespec import NO_SPEC  # noqa: PLC0415 - as above
            from layerfs.stores.containerd.metacontainers import config_of, spec_of  # noqa: PLC0415

            noted, status = self._kubernetes.metadata(meta), self._kubernetes.status(meta)
            image_id = self._image_of(meta.image, noted.image_ref if noted else "")
            spec = attempt(self._report, lambda: spec_of(meta)) or NO_SPEC
            return config_of(meta, spec, image_id, noted, status)
        assert self._notes  # noqa: S101 - what containerd does not know is Docker's
        return self._notes.config(container_id)

    def _own(self, container_id: ContainerID) -> Iterator[tuple[BareLayer, Placed]]:
        """Its own layers, base first."""
        init = self._snapshots.of(container_id + _INIT) if self._notes else None
        if init:
            yield BareLayer(init.place, INIT, container_id), init
        if placed := self.placed(container_id):
            yield BareLayer(placed.place, READ_WRITE, container_id), placed

    def _top(self, lowest: Placed) -> ChainID | None:
        """The uppermost layer of the image below the lowest of its own layers."""
        below, _ = self._snapshots.below(lowest)
        return chain_of_key(below[-2].key if len(below) > 1 else lowest.key_below)
