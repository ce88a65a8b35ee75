"""`image/overlay2/layerdb/`: the layers by chain ID, and which layers containers hold.

Source: moby `layer/filestore.go`, `layer/layer_store.go` (v20.10.24 and v28.5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.errors import CorruptStore, DataRootUnreadable, MissingFile
from layerfs.formats import layerfiles
from layerfs.ids import CacheID, ChainID, ContainerID, DiffID
from layerfs.store.files import identities, open_optional, parse_file, parse_optional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.hostdir import HostDir
    from layerfs.store.files import Problem

__all__ = ["LayerDB", "LayerRecord", "MountRecord", "NotedLayer", "NotedMount"]

_GZIP = b"\x1f\x8b\x08"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One layer of the store.

    Attributes:
        chain_id: its place in the store, the name of its directory.
        diff_id: sha256 of its uncompressed tar.
        parent: the layer it stands on; None for a base layer.
        cache_id: its directory in `overlay2/`.
        size: bytes, as the engine recorded them (see the format's three meanings of `size`).
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    cache_id: CacheID
    size: int


@dataclass(frozen=True, slots=True)
class MountRecord:
    """The layers a container adds: its read-write layer, the -init layer, and the image below."""

    container_id: ContainerID
    mount_id: CacheID
    init_id: CacheID | None
    parent: ChainID | None


class NotedLayer(NamedTuple):
    """What the files of a layer's record say, each by itself; None where a file is missing or damaged.

    Attributes:
        problems: what is wrong, by the name of the file; `""` is the directory.
    """

    diff_id: DiffID | None
    parent: ChainID | None
    cache_id: CacheID | None
    size: int | None
    problems: Mapping[str, Problem]


class NotedMount(NamedTuple):
    """What the files of a container's mount record say, each by itself; see `NotedLayer`."""

    mount_id: CacheID | None
    init_id: CacheID | None
    parent: ChainID | None
    problems: Mapping[str, Problem]


class LayerDB:
    """Reader of one `layerdb/` directory; every record is read at most once."""

    def __init__(self, driver_dir: HostDir) -> None:
        """Read the `layerdb/` below `image/<driver>/`; a fresh store has none yet."""
        self._driver_dir = driver_dir
        self._layers = open_optional(driver_dir, "layerdb/sha256")
        self._mounts = open_optional(driver_dir, "layerdb/mounts")
        self._records: dict[ChainID, LayerRecord | CorruptStore] = {}

    def file_name(self, chain: ChainID, name: str = "") -> str:
        """The path of a layer's file, for messages."""
        return self._driver_dir.name_of(f"layerdb/sha256/{chain.hex}" + (f"/{name}" if name else ""))

    def chain_ids(self) -> list[ChainID]:
        """Every layer directory, sorted; leftovers such as `…-removing` are no layers."""
        return sorted(identities(self._layers, ChainID.from_hex))

    def layer(self, chain: ChainID) -> LayerRecord:
        """The record of one layer, without a look at its parents; raises `CorruptStore`."""
        known = self._records.get(chain)
        if known is None:
            try:
                known = self._read(chain)
            except CorruptStore as error:
                known = error
            self._records[chain] = known
        if isinstance(known, CorruptStore):
            raise known.with_traceback(None)  # else it would gather every place it was raised at
        return known

    def _read(self, chain: ChainID) -> LayerRecord:
        noted = self.noted_layer(chain)
        for problem in noted.problems.values():
            raise problem
        assert noted.diff_id and noted.cache_id and noted.size is not None  # noqa: S101, PT018 - no problems
        return LayerRecord(chain, noted.diff_id, noted.parent, noted.cache_id, noted.size)

    def noted_layer(self, chain: ChainID) -> NotedLayer:
        """What each file of a layer's record says, and all that is wrong with them."""
        record = _Record(self._layers, chain.hex, self.file_name(chain), "the layer's directory is missing")
        return NotedLayer(
            record.value("diff", layerfiles.parse_diff),
            record.optional("parent", layerfiles.parse_parent),
            record.value("cache-id", layerfiles.parse_cache_id),
            record.value("size", layerfiles.parse_size),
            record.problems,
        )

    def noted_cache_id(self, chain: ChainID) -> CacheID | None:
        """The directory that a layer notes, also where the rest of its record is damaged."""
        return self.noted_layer(chain).cache_id

    def tar_split(self, chain: ChainID) -> int | None:
        """A descriptor of the layer's `tar-split.json.gz`, or None where it is missing."""
        if self._layers is None:
            return None
        try:
            return self._layers.open_file(f"{chain.hex}/tar-split.json.gz")
        except OSError:
            return None

    def tar_split_state(self, chain: ChainID) -> str | None:
        """`missing`, `malformed` or `unreadable` where the layer's `tar-split.json.gz` is at first sight."""
        try:
            fd = self._layers.open_file(f"{chain.hex}/tar-split.json.gz") if self._layers else None
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
        """How long the layer's `tar-split.json.gz` is; 0 where it is missing."""
        try:
            return self._layers.lstat(f"{chain.hex}/tar-split.json.gz").st_size if self._layers else 0
        except OSError:
            return 0

    def container_ids(self) -> list[ContainerID]:
        """Every container that holds layers, sorted."""
        return sorted(identities(self._mounts, ContainerID))

    def mount(self, container: ContainerID) -> MountRecord:
        """The layers of one container; raises `CorruptStore`."""
        noted = self.noted_mount(container)
        for problem in noted.problems.values():
            raise problem
        assert noted.mount_id  # noqa: S101 - no problems
        return MountRecord(container, noted.mount_id, noted.init_id, noted.parent)

    def noted_mount(self, container: ContainerID) -> NotedMount:
        """What each file of a container's mount record says, and all that is wrong with them."""
        name = self._driver_dir.name_of(f"layerdb/mounts/{container}")
        record = _Record(self._mounts, container, name, "the container's mount record is missing")
        return NotedMount(
            record.value("mount-id", layerfiles.parse_mount_id),
            record.optional("init-id", layerfiles.parse_mount_id),
            record.optional("parent", layerfiles.parse_parent),
            record.problems,
        )


class _Record:
    """A directory of one-line files, each read by itself.

    Attributes:
        problems: what was wrong with the files asked for, by name.
    """

    def __init__(self, above: HostDir | None, name: str, path: str, missing: str) -> None:
        """Open the directory `name`; `path` and `missing` say it where there is none."""
        self.problems: dict[str, Problem] = {}
        self._directory: HostDir | None = None
        try:
            self._directory = open_optional(above, name) if above else None
            if self._directory is None:
                self.problems[""] = MissingFile(path, missing)
        except (CorruptStore, DataRootUnreadable) as error:
            self.problems[""] = error

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
        except (CorruptStore, DataRootUnreadable) as error:
            self.problems[name] = error
            return None
