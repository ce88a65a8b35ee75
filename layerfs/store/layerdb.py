"""`image/overlay2/layerdb/`: the layers by chain ID, and which layers containers hold.

Source: moby `layer/filestore.go`, `layer/layer_store.go` (v20.10.24 and v28.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore, MissingFile
from layerfs.formats import layerfiles
from layerfs.ids import CacheID, ChainID, ContainerID, DiffID
from layerfs.store.files import identities, open_optional, parse_bytes, parse_file, read_optional

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.hostdir import HostDir

__all__ = ["LayerDB", "LayerRecord", "MountRecord"]

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
            raise known
        return known

    def _read(self, chain: ChainID) -> LayerRecord:
        directory = open_optional(self._layers, chain.hex) if self._layers else None
        if directory is None:
            raise MissingFile(self.file_name(chain), "the layer's directory is missing")
        with directory:
            return LayerRecord(
                chain,
                parse_file(directory, "diff", layerfiles.parse_diff),
                _parse_filled(directory, "parent", layerfiles.parse_parent),
                parse_file(directory, "cache-id", layerfiles.parse_cache_id),
                parse_file(directory, "size", layerfiles.parse_size),
            )

    def noted_cache_id(self, chain: ChainID) -> CacheID | None:
        """The directory that a layer notes, also where the rest of its record is damaged."""
        try:
            directory = open_optional(self._layers, chain.hex) if self._layers else None
            return parse_file(directory, "cache-id", layerfiles.parse_cache_id) if directory else None
        except CorruptStore:
            return None

    def tar_split(self, chain: ChainID) -> int | None:
        """A descriptor of the layer's `tar-split.json.gz`, or None where it is missing."""
        if self._layers is None:
            return None
        try:
            return self._layers.open_file(f"{chain.hex}/tar-split.json.gz")
        except OSError:
            return None

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
        directory = open_optional(self._mounts, container) if self._mounts else None
        if directory is None:
            name = self._driver_dir.name_of(f"layerdb/mounts/{container}")
            raise MissingFile(name, "the container's mount record is missing")
        with directory:
            return MountRecord(
                container,
                parse_file(directory, "mount-id", layerfiles.parse_mount_id),
                _parse_filled(directory, "init-id", layerfiles.parse_mount_id),
                _parse_filled(directory, "parent", layerfiles.parse_parent),
            )


def _parse_filled(directory: HostDir, name: str, parse: Callable[[bytes], Value]) -> Value | None:
    """The value of a file; None where it is missing or empty."""
    content = read_optional(directory, name)
    return parse_bytes(content, directory, name, parse) if content else None
