"""Containers: what containers/storage has of them, joined with what Podman or CRI-O writes down.

A container is known by two records. Podman's and CRI-O's have one of containers/storage, with the layer, and
one of their own, with command and state. Where one of them is lost the other is shown, and that is told.
Buildah's working containers have only the first.

Sources: containers/storage `containers.go`, `store.go`; podman `libpod/storage.go`; cri-o
`internal/storage/runtime.go`, `internal/lib/container_server.go`; buildah `buildah.go` (stateFile).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MalformedFile, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.storagecontainers import NO_METADATA, parse_metadata, storage_containers
from layerfs.ids import CacheID, ContainerID, ImageID, InvalidID
from layerfs.model import READ_WRITE, BareLayer, Container
from layerfs.stores.containers_storage.libpod import Libpod
from layerfs.stores.files import read_optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.jsontext import Json
    from layerfs.formats.libpod import LibpodContainer
    from layerfs.formats.storagecontainers import ContainerMetadata, StorageContainer
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.model import Pod
    from layerfs.stores.containers_storage.notes import Notes

__all__ = ["Containers", "LayersByID", "Records"]

_FILES = ("containers.json", "volatile-containers.json")
_RECORDS_LIMIT = 256 << 20  # bytes of a file of records, as of images and layers
_LAYER_NAME = "{}-layer"  # Podman and CRI-O call a container's layer by the container's name


class LayersByID(Protocol):
    """What is asked of the layers of a graph root, which have IDs of their own there."""

    def has_layer(self, layer_id: str) -> bool:
        """Whether there is anything of a layer: a record, or a directory."""

    def layer_called(self, name: str) -> str | None:
        """The ID of the layer of this name; None for none."""

    def top_below(self, layer_id: str, image_id: str) -> ChainID | None:
        """The layer that a container's own one stands on; None for none, or where it is not known (reported).

        Args:
            layer_id: the container's layer; empty where it is not known.
            image_id: the image it was made from, hex digits, for a layer whose record is lost; may be empty.
        """


class Records(NamedTuple):
    """What there is of one container; each part None where it is not there.

    Attributes:
        stored: what containers/storage has.
        metadata: what the engine noted in that.
        libpod: what Podman has.
    """

    stored: StorageContainer | None
    metadata: ContainerMetadata
    libpod: LibpodContainer | None

    @property
    def names(self) -> tuple[str, ...]:
        """Its names, that of its engine first."""
        found = [self.libpod.name if self.libpod else "", self.metadata.metadata_name]
        found += self.stored.names if self.stored else ()
        return tuple(dict.fromkeys(filter(None, (*found, self.metadata.name))))

    @property
    def image(self) -> str:
        """The ID of its image, hex digits; empty for none."""
        own = self.libpod.image_id if self.libpod else ""
        return own or (self.stored.image if self.stored else "") or self.metadata.image_id


class Containers:
    """The containers of one graph root; each is read once."""

    def __init__(
        self,
        root: HostDir,
        driver: str,
        layers: LayersByID,
        report: Callable[[CorruptStore], None],
        run: HostDir | None = None,
    ) -> None:
        """Read the containers of a graph root.

        Args:
            root: the graph root.
            driver: its storage driver, with which the names of directories begin.
            layers: its layers.
            report: is told of damage.
            run: the run root, which has the records of containers that are lost when the host starts anew.
        """
        self._root = root
        self._driver = driver
        self._layers = layers
        self._report = report
        self._roots = (root,) if run is None else (root, run)
        self._loaded: dict[ContainerID, Container] = {}
        self.libpod = Libpod(self._roots, report)

    @functools.cached_property
    def _stored(self) -> Mapping[ContainerID, StorageContainer]:
        """The records of containers/storage; of several with one ID the first."""
        found: dict[ContainerID, StorageContainer] = {}
        for root in self._roots:
            for file in _FILES:
                path = f"{self._driver}-containers/{file}"
                for record in attempt(self._report, functools.partial(self._file, root, path)) or ():
                    if container_id := self._identity(record.id, root.name_of(path)):
                        found.setdefault(container_id, record)
        return found

    @functools.cached_property
    def _noted(self) -> Mapping[ContainerID, LibpodContainer | None]:
        """Podman's records; None for one that cannot be read."""
        found: dict[ContainerID, LibpodContainer | None] = {}
        for key, record in self.libpod.containers.items():
            if container_id := self._identity(key, "libpod's database"):
                found[container_id] = record
        return found

    @functools.cached_property
    def ids(self) -> Sequence[ContainerID]:
        """Every container's ID, of whichever record."""
        return list(dict.fromkeys((*self._stored, *self._noted)))

    def names(self) -> dict[ContainerID, str | None]:
        """The name of every container, None where it has none."""
        return {container_id: next(iter(self._of(container_id).names), None) for container_id in self.ids}

    def load(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        if container_id not in self._loaded:
            records = self._of(container_id)
            self._tell_of_lost(container_id, records)
            own = tuple(self._own(container_id, records))
            below = self._layers.top_below(own[0].cache_id if own else "", records.image)
            self._loaded[container_id] = Container(
                container_id,
                self._config(container_id, records),
                own,
                below,
                pod=self._notes.pod(container_id, records),
                attempt=self._notes.attempt(records),
                kind=self._notes.kind(container_id, records),
            )
        return self._loaded[container_id]

    @functools.cached_property
    def images_of_layers(self) -> Mapping[str, ImageID]:
        """The image of each container by its layer, as far as containers/storage has both."""
        found: dict[str, ImageID] = {}
        for stored in self._stored.values():
            try:
                found.setdefault(stored.layer, ImageID.from_hex(stored.image))
            except InvalidID:
                continue
        return found

    @property
    def has_no_volumes(self) -> bool:
        """Whether Podman is known to have had none."""
        return self.libpod.is_whole and not self.libpod.has_volumes

    @property
    def has_sandboxes(self) -> bool:
        """Whether there are pods of Kubernetes."""
        return bool(self._notes.sandboxes)

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods by their IDs: those of CRI-O, and those of Podman, also without containers."""
        return {**self.libpod.pods, **self._notes.sandboxes}

    def is_of_podman(self, container_id: ContainerID) -> bool:
        """Whether Podman made a container, as far as the records tell."""
        noted = self.noted(container_id)
        return noted is not None or self._notes.is_of_podman(container_id, self._of(container_id))

    def noted(self, container_id: ContainerID) -> LibpodContainer | None:
        """Podman's record of a container; None where it is lost, or there never was one."""
        return self._noted.get(container_id)

    def aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by their other names, and by their names behind those of their pods."""
        found: dict[str, list[ContainerID]] = {}
        for container_id in self.ids:
            records = self._of(container_id)
            pod = self._notes.pod(container_id, records)
            first, *others = records.names or ("",)
            if pod and first and pod.id != container_id:
                others += [f"{pod.name}/{first}"] + (
                    [f"{pod.namespace}/{pod.name}/{first}"] if pod.namespace else []
                )
            for name in others:
                found.setdefault(name, []).append(container_id)
        return found

    def image(self, container_id: ContainerID) -> str:
        """The ID of the image of a container, as its records name it; empty for none."""
        return self._of(container_id).image

    def records(self, container_id: ContainerID) -> Json:
        """The records of a container as they were written down; null for one that is not there."""
        records = self._of(container_id)
        libpod = records.libpod
        return {
            "Storage": records.stored.raw if records.stored else None,
            "Metadata": records.metadata.raw or None,
            "Libpod": {"Config": libpod.config, "State": libpod.raw_state} if libpod else None,
        }

    # -- one container ---------------------------------------------------------------------------

    @functools.cached_property
    def _notes(self) -> Notes:
        from layerfs.stores.containers_storage.notes import Notes  # noqa: PLC0415 - where there are containers

        found = {container_id: self._of(container_id) for container_id in self.ids}
        return Notes(self._root, self._driver, found, self.libpod, self._report)

    def _of(self, container_id: ContainerID) -> Records:
        stored = self._stored.get(container_id)
        return Records(stored, self._metadata.get(container_id, NO_METADATA), self._noted.get(container_id))

    @functools.cached_property
    def _metadata(self) -> Mapping[ContainerID, ContainerMetadata]:
        found: dict[ContainerID, ContainerMetadata] = {}
        for container_id, stored in self._stored.items():
            try:
                found[container_id] = parse_metadata(stored.metadata)
            except FormatError as error:
                self._report(_malformed(f"container {container_id}: metadata", error))
        return found

    def _config(self, container_id: ContainerID, records: Records) -> ContainerConfig:
        return self._notes.config(container_id, records, _image_id(records.image))

    def _own(self, container_id: ContainerID, records: Records) -> Iterator[BareLayer]:
        """Its read-write layer, if there is one."""
        layer = records.stored.layer if records.stored else ""
        if not layer:
            names = map(_LAYER_NAME.format, records.names)
            layer = next(filter(None, map(self._layers.layer_called, names)), "")
        if not layer:
            self._report(MissingFile(f"container {container_id}", "which layer is its own is not known"))
            return
        try:
            place = CacheID(layer)
        except InvalidID as error:
            self._report(CorruptStore(f"container {container_id}", f"its layer: {error}"))
            return
        if self._layers.has_layer(place):
            yield BareLayer(place, READ_WRITE, container_id)
        else:
            self._report(
                MissingFile(
                    f"container {container_id}", f"its layer {place} is missing, or what this stands on"
                )
            )

    def _tell_of_lost(self, container_id: ContainerID, records: Records) -> None:
        """Report which of its two records is missing."""
        if records.stored is None:
            path = self._root.name_of(f"{self._driver}-containers/{_FILES[0]}")
            self._report(MissingFile(path, f"container {container_id} is missing: only libpod has it"))
        elif container_id not in self._noted and self._notes.is_of_podman(container_id, records):
            if self.libpod.is_whole:
                problem = "libpod has no record of it: its command and state are not known"
                self._report(MissingFile(f"container {container_id}", problem))
            elif not self.libpod.is_there:
                name = self._root.name_of("db.sql")
                self._report(
                    MissingFile(
                        name, "neither this nor libpod/bolt_state.db: states of containers are not known"
                    )
                )

    # -- files -----------------------------------------------------------------------------------

    def _file(self, root: HostDir, path: str) -> list[StorageContainer]:
        """The records of a file; none where there is none. Raises `CorruptStore`."""
        content = read_optional(root, path, _RECORDS_LIMIT)
        name = root.name_of(path)
        if content is None:
            return []
        try:
            return list(storage_containers(content, lambda error: self._report(_malformed(name, error))))
        except FormatError as error:
            raise _malformed(name, error) from error

    def _identity(self, text: str, name: str) -> ContainerID | None:
        try:
            return ContainerID(text)
        except InvalidID as error:
            self._report(CorruptStore(name, str(error)))
            return None


def _image_id(digits: str) -> str:
    """An image's ID as all stores have it; what is none stays as it is."""
    try:
        return ImageID.from_hex(digits)
    except InvalidID:
        return digits


def _malformed(name: str, error: FormatError) -> MalformedFile:
    return MalformedFile(error.place(name), error.problem, expected=error.expected, found=error.found)
