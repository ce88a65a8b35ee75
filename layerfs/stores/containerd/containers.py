"""Containers: those of a Docker Engine by its own notes, those of others by containerd's.

Sources: moby `daemon/containerd/image_snapshot.go`; containerd `core/containers/containers.go`,
`internal/cri/store/container/metadata.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MissingFile
from layerfs.ids import ContainerID, InvalidID
from layerfs.model import INIT, READ_WRITE, BareLayer, Container
from layerfs.stores.containerd.layers import chain_of_key
from layerfs.stores.containerd.metacontainers import ContainerdID, config_of
from layerfs.stores.docker.containers import ContainerDB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.containerdmeta import MetaContainer, Namespace
    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.containerd.layers import Placed, Snapshots

__all__ = ["Containers"]

_INIT = "-init"


class Containers:
    """The containers of one store; each is read once."""

    def __init__(
        self,
        docker: HostDir | None,
        spaces: Sequence[Namespace],
        snapshots: Snapshots,
        image_of: Callable[[str], str],
        report: Callable[[CorruptStore], None],
    ) -> None:
        """Read those of a Docker data root, where it is one's, else those of the namespaces.

        Args:
            docker: the data root, or None.
            spaces: the namespaces.
            snapshots: of these.
            image_of: gives the ID of an image by its name; empty where there is none.
            report: takes what is wrong.
        """
        self._notes = ContainerDB(docker) if docker else None
        self._spaces = spaces
        self._snapshots = snapshots
        self._image_of = image_of
        self._report = report
        self._loaded: dict[ContainerID, Container] = {}

    @functools.cached_property
    def _metas(self) -> Mapping[ContainerID, MetaContainer]:
        """The containers that containerd itself knows; Docker's are known better by its own notes."""
        found: dict[ContainerID, MetaContainer] = {}
        for space in () if self._notes else self._spaces:
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
                found[container_id] = self._config(container_id).name
            except CorruptStore:
                found[container_id] = None
        return found

    def load(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        if container_id not in self._loaded:
            config = attempt(self._report, lambda: self._config(container_id))
            own = tuple(self._own(container_id))
            if not own and self._snapshots:  # else it is told what is missing for all
                self._report(MissingFile(f"container {container_id}", "it has no snapshot"))
            self._loaded[container_id] = Container(
                container_id, config, tuple(layer for layer, _ in own), self._top(own[0][1]) if own else None
            )
        return self._loaded[container_id]

    def placed(self, container_id: ContainerID) -> Placed | None:
        """Its writable snapshot."""
        meta = self._metas.get(container_id)
        return self._snapshots.of(meta.snapshot_key if meta and meta.snapshot_key else container_id)

    def host_config(self, container_id: ContainerID) -> Json | None:
        """What it asks of the host; None where nothing tells; raises `CorruptStore`."""
        return self._notes.host_config(container_id) if self._notes else None

    def _config(self, container_id: ContainerID) -> ContainerConfig:
        meta = self._metas.get(container_id)
        if meta:
            return config_of(meta, self._image_of(meta.image))
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
