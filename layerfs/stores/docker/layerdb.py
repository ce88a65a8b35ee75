"""`image/overlay2/layerdb/`: the records of layers by chain ID, and the mount records of containers.

Source: moby `layer/filestore.go`, `layer/layer_store.go` (v20.10.24 and v28.5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from layerfs.errors import CorruptStore, MissingFile
from layerfs.formats import layerfiles
from layerfs.ids import CacheID, ChainID, ContainerID, DiffID
from layerfs.model import INIT, READ_WRITE, BareLayer, Container, Layer
from layerfs.stores.files import (
    explain,
    identities,
    open_optional,
    open_part,
    parse_file,
    parse_optional,
)
from layerfs.witness import LISTENERS, tell_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.hostdir import HostDir
    from layerfs.stores.files import Problem

__all__ = [
    "TAR_SPLIT",
    "DockerContainer",
    "LayerDB",
    "LayerRecord",
    "MountRecord",
    "NotedLayer",
    "NotedMount",
]

TAR_SPLIT = "tar-split.json.gz"
"""The file of a layer's record with the headers of its original tar."""

_GZIP = b"\x1f\x8b\x08"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LayerRecord(Layer):
    """One layer of the store, by its record, or by other records where that is missing or wrong.

    Attributes:
        chain_id: its chain ID, which is the name of the record's directory.
        diff_id: sha256 of its uncompressed tar.
        parent: the layer below; None for a base layer.
        cache_id: its directory in `overlay2/`.
        size: bytes, as the engine recorded them, or else by its tar-split data; None if neither is known.
            Engines count in several ways: see `checks/layersize`.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    cache_id: CacheID
    size: int | None


class MountRecord(NamedTuple):
    """The layers a container adds: its read-write layer, the -init layer, and the image below.

    Attributes:
        parent: the uppermost layer of the image; None without an image, or if it is not known.
        below: the directories below, by its own `lower`, base first, if the layer of the uppermost one is not
            known; else None.
    """

    container_id: ContainerID
    mount_id: CacheID
    init_id: CacheID | None
    parent: ChainID | None
    below: tuple[CacheID, ...] | None = None


@dataclass(frozen=True, slots=True)
class DockerContainer(Container):
    """A container with its mount record; None if that is not known."""

    mount: MountRecord | None = None

    @classmethod
    def of(
        cls, container_id: ContainerID, config: ContainerConfig | None, mount: MountRecord | None
    ) -> DockerContainer:
        """The container of a config and a mount record, each of which may be missing."""
        if mount is None:
            return cls(container_id, config)
        own = [BareLayer(mount.init_id, INIT, container_id)] if mount.init_id else []
        own.append(BareLayer(mount.mount_id, READ_WRITE, container_id))
        return cls(container_id, config, tuple(own), mount.parent, mount=mount)


class NotedLayer(NamedTuple):
    """The values in the files of a layer's record; None for a missing or damaged file.

    Attributes:
        problems: the errors, by the names of the files; `""` is the directory.
    """

    diff_id: DiffID | None
    parent: ChainID | None
    cache_id: CacheID | None
    size: int | None
    problems: Mapping[str, Problem]


class NotedMount(NamedTuple):
    """The values in the files of a container's mount record; see `NotedLayer`."""

    mount_id: CacheID | None
    init_id: CacheID | None
    parent: ChainID | None
    problems: Mapping[str, Problem]


class LayerDB:
    """Reader of one `layerdb/` directory; every record is read at most once.

    Attributes:
        problems: why parts of it cannot be read.
    """

    def __init__(self, driver_dir: HostDir) -> None:
        """Read the `layerdb/` below `image/<driver>/`; a fresh store has none yet."""
        self._driver_dir = driver_dir
        self.problems: list[Problem] = []
        self._layers = open_part(driver_dir, "layerdb/sha256", self.problems)
        self._mounts = open_part(driver_dir, "layerdb/mounts", self.problems)
        self._noted: dict[ChainID, NotedLayer] = {}
        self._cache_ids: dict[ChainID, CacheID] = {}  # those that were read without the rest of a record
        self._noted_mounts: dict[ContainerID, NotedMount] = {}

    def file_name(self, chain: ChainID, name: str = "") -> str:
        """The path of a layer's file, for messages."""
        return self._driver_dir.name_of(f"layerdb/sha256/{chain.hex}" + (f"/{name}" if name else ""))

    def mount_name(self, container: ContainerID, name: str = "") -> str:
        """The path of a file of a container's mount record, for messages."""
        return self._driver_dir.name_of(f"layerdb/mounts/{container}" + (f"/{name}" if name else ""))

    def chain_ids(self) -> list[ChainID]:
        """The chain IDs of all records, sorted, without leftovers such as `…-removing`."""
        return sorted(identities(self._layers, ChainID.from_hex))

    def noted_layer(self, chain: ChainID) -> NotedLayer:
        """The values in the files of a layer's record, and their errors."""
        found = self._noted.get(chain)
        if found is None:
            found = self._noted[chain] = self._read_layer(chain)
        return found

    def _read_layer(self, chain: ChainID) -> NotedLayer:
        lost = self._lost("sha256", MissingFile(self.file_name(chain), "the layer's directory is missing"))
        with _Record(self._layers, chain.hex, lost) as record:
            return NotedLayer(
                record.value("diff", layerfiles.parse_diff),
                record.optional("parent", layerfiles.parse_parent),
                self._cache_ids.pop(chain, None) or record.value("cache-id", layerfiles.parse_cache_id),
                record.value("size", layerfiles.parse_size),
                record.problems,
            )

    def noted_cache_id(self, chain: ChainID) -> CacheID | None:
        """The `cache-id` of a layer, even if the rest of its record is damaged."""
        known = self._noted.get(chain)
        if known or self._layers is None:
            return known.cache_id if known else None
        if chain not in self._cache_ids:
            try:
                self._cache_ids[chain] = parse_file(
                    self._layers, f"{chain.hex}/cache-id", layerfiles.parse_cache_id
                )
            except CorruptStore:
                return None
        return self._cache_ids[chain]

    def tar_split_name(self, chain: ChainID) -> str:
        """The path of the layer's `tar-split.json.gz`, for messages."""
        return self.file_name(chain, TAR_SPLIT)

    def tar_split(self, chain: ChainID) -> int | None:
        """A descriptor of the layer's `tar-split.json.gz`, or None where it is missing.

        Raises:
            CorruptStore: it is no regular file, or cannot be read.
        """
        if self._layers is None:
            return None
        path = f"{chain.hex}/{TAR_SPLIT}"
        try:
            fd = self._layers.open_file(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explain(error, self._layers.name_of(path)) from error
        if LISTENERS:
            tell_of_file(self._layers.name_of(path), fd)
        return fd

    def tar_split_state(self, chain: ChainID) -> str | None:
        """`missing`, `malformed` or `unreadable`, judged by its first bytes; None for a sound file."""
        try:
            fd = self._layers.open_file(f"{chain.hex}/{TAR_SPLIT}") if self._layers else None
        except FileNotFoundError:
            return "missing"
        except PermissionError:
            return "unreadable"
        except OSError:
            return "malformed"
        if fd is None:
            return "missing"
        with os.fdopen(fd, "rb") as stream:
            return None if stream.read(len(_GZIP)) == _GZIP else "malformed"

    def tar_split_size(self, chain: ChainID) -> int:
        """Bytes of the layer's `tar-split.json.gz`; 0 if it is missing."""
        try:
            return self._layers.lstat(f"{chain.hex}/{TAR_SPLIT}").st_size if self._layers else 0
        except OSError:
            return 0

    def container_ids(self) -> list[ContainerID]:
        """The IDs of all mount records, sorted."""
        return sorted(identities(self._mounts, ContainerID))

    def noted_mount(self, container: ContainerID) -> NotedMount:
        """The values in the files of a container's mount record, and their errors."""
        found = self._noted_mounts.get(container)
        if found is None:
            found = self._noted_mounts[container] = self._read_mount(container)
        return found

    def _read_mount(self, container: ContainerID) -> NotedMount:
        missing = MissingFile(self.mount_name(container), "the container's mount record is missing")
        with _Record(self._mounts, container, self._lost("mounts", missing)) as record:
            return NotedMount(
                record.value("mount-id", layerfiles.parse_mount_id),
                record.optional("init-id", layerfiles.parse_mount_id),
                record.optional("parent", layerfiles.parse_parent),
                record.problems,
            )

    def _lost(self, part: str, missing: MissingFile) -> Problem:
        """The error for a missing record; perhaps the directory of all records cannot be read."""
        path = self._driver_dir.name_of(f"layerdb/{part}")
        return next((problem for problem in self.problems if path.startswith(problem.path)), missing)


class _Record:
    """A directory of one-line files; a context manager.

    Attributes:
        problems: the errors of the files that were read, by name.
    """

    def __init__(self, above: HostDir | None, name: str, lost: Problem) -> None:
        """Open the directory `name`; `lost` is the error if there is none."""
        self.problems: dict[str, Problem] = {}
        self._directory: HostDir | None = None
        try:
            self._directory = open_optional(above, name) if above else None
            if self._directory is None:
                self.problems[""] = lost
        except CorruptStore as error:
            self.problems[""] = error.again()

    def __enter__(self) -> Self:
        """Read."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the directory."""
        if self._directory:
            self._directory.close()

    def value(self, name: str, parse: Callable[[bytes], Value]) -> Value | None:
        """The value of a file that must exist."""
        return self._attempt(name, lambda directory: parse_file(directory, name, parse))

    def optional(self, name: str, parse: Callable[[bytes], Value]) -> Value | None:
        """The value of a file that may be missing, or empty."""
        return self._attempt(
            name,
            lambda directory: parse_optional(directory, name, lambda text: parse(text) if text else None),
        )

    def _attempt(self, name: str, read: Callable[[HostDir], Value | None]) -> Value | None:
        if self._directory is None:
            return None
        try:
            return read(self._directory)
        except CorruptStore as error:
            self.problems[name] = error.again()
            return None
