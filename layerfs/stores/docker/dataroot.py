"""The front door: a Docker data root on disk, opened for reading.

    root = DataRoot.open("/var/lib/docker")
    image = root.image("nginx:latest")
    tree = root.tree(image)

Joins the readers of this package (what the engine wrote) and `tree` (what the kernel would show).
Damage that does not stop the answer is logged once with the file's name and kept in `DataRoot.damage`.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Self

from layerfs.boltfile import NEWEST
from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MissingFile
from layerfs.formats.repositories import Repositories
from layerfs.ids import CacheID, ImageID
from layerfs.model import NOWHERE, BareLayer, Container, Image, Layer, Place
from layerfs.store import FILES, RECORDS
from layerfs.stores.docker.barelayers import BareLayers, place_of
from layerfs.stores.docker.distribution import Distribution
from layerfs.stores.docker.driver import DRIVER, open_data_root
from layerfs.stores.docker.layerdb import LayerRecord
from layerfs.stores.docker.layernames import DockerLayerNames
from layerfs.stores.docker.recordedpaths import RecordedPaths
from layerfs.stores.docker.refstore import read_repositories
from layerfs.stores.docker.stacking import Stacker
from layerfs.stores.docker.storedcontainers import StoredContainers
from layerfs.stores.layerarchive import LayerArchive
from layerfs.stores.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from layerfs.capabilities import (
        CacheRecord,
        Check,
        DoctorOptions,
        DoctorReport,
        Pinned,
        Progress,
        Salvager,
        Unclaimed,
        VerifyOptions,
        Volume,
    )
    from layerfs.formats.buildkit import BuildKitSnapshot
    from layerfs.formats.idmap import Owners
    from layerfs.formats.reference import Reference
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.ids import DiffID
    from layerfs.layernames import ID, KnownLayer
    from layerfs.model import Blob, Named
    from layerfs.steps import Walk
    from layerfs.stores.docker.buildkit import Readable
    from layerfs.stores.originaltar import OriginalTar
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["DEFAULT_ROOT", "DataRoot"]

DEFAULT_ROOT = "/var/lib/docker"


class DataRoot(StoredContainers, RecordedPaths):
    """An overlay2 data root: live, copied, relocated, read-only, or damaged; never written to.

    Attributes:
        path: where it was opened, as given (below it where an evidence tree was given).
        bare: its layers that have no record in `layerdb`.
    """

    kind = "docker"
    driver = DRIVER
    has_every_layer_unpacked = True

    def __init__(
        self,
        directory: HostDir,
        metadata: Metadata = Metadata.AUTO,
        userns: str = "auto",
        bolt_state: str = NEWEST,
    ) -> None:
        """Read the data root open as `directory`; see `open`."""
        super().__init__(directory, bolt_state)
        self.distribution = Distribution(self.driver_dir)
        self._stacker = Stacker(directory, self.layerdb, self.overlay2, self.records, metadata, userns)
        self.bare = BareLayers(self)
        self._compared: set[CacheID] = set()  # directories whose short names were looked at

    @classmethod
    def open(
        cls,
        path: str | Path = DEFAULT_ROOT,
        *,
        metadata: str = Metadata.AUTO,
        userns: str = "auto",
        bolt_state: str = NEWEST,
    ) -> Self:
        """Open a data root, or the one below an evidence tree (`<path>/var/lib/docker`).

        Args:
            path: where it is.
            metadata: where the attributes of files come from: `disk`, or `tar-split`, the archives
                of their layers; `auto` asks the archives of a copy that lost attributes.
            userns: the user namespace of the engine, in the words of `formats.idmap.parse_owners`, or
                `auto` to find it.
            bolt_state: which state of its bolt databases to read, `newest` or `previous`.

        Raises:
            DataRootError: with what the directory is instead, and what to do.
            FormatError: `userns` is no map.
        """
        return cls(open_data_root(path), Metadata(metadata), userns, bolt_state)

    # -- images --------------------------------------------------------------------------------

    @functools.cached_property
    def repositories(self) -> Repositories:
        """The names in repositories.json, in Docker's normal form; empty where it is damaged."""
        return attempt(self.report, lambda: read_repositories(self.driver_dir)) or Repositories()

    @functools.cached_property
    def _references(self) -> Mapping[ImageID, tuple[Reference, ...]]:
        by_image: dict[ImageID, list[Reference]] = {}
        for row in self.repositories.rows:
            by_image.setdefault(row.image_id, []).append(row.reference)
        return {image: tuple(sorted(names, key=str)) for image, names in by_image.items()}

    @functools.cached_property
    def _lost(self) -> frozenset[ImageID]:
        """The images that have names and no config: these are known, and cannot be read."""
        return frozenset(self._references.keys() - set(self.imagedb.image_ids()))

    def image_ids(self, beginning: str = "") -> list[ImageID]:
        """Every image that there is a config or a name of, sorted: one with a name only lost its config."""
        lost = (item for item in self._lost if item.hex.startswith(beginning))
        return sorted({*super().image_ids(beginning), *lost})

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is a config or a name of an image."""
        return super().has_image(image_id) or image_id in self._lost

    def read_image(self, image_id: ImageID) -> Image:
        """The image of this ID; raises `CorruptStore`."""
        config = self.imagedb.config(image_id)
        parent = attempt(self.report, lambda: self.imagedb.parent(image_id))
        return Image(image_id, self._references.get(image_id, ()), config, parent)

    def layer_names(self, layers: Callable[[], Iterable[KnownLayer]]) -> DockerLayerNames:
        """The names of some layers, with short links and digests of blobs."""
        return DockerLayerNames(layers, self.overlay2, self.distribution)

    def chain(self, image: Image, up_to: int | None = None) -> tuple[LayerRecord, ...]:
        """The image's layers, base first, or the lowest `up_to` of them; raises `CorruptStore`."""
        return tuple(self.record(chain) for chain in image.chain[:up_to])

    # -- layers without a record, places -------------------------------------------------------

    def known_layers(self) -> Iterator[KnownLayer]:
        """Every layer that has a record, however damaged, and then those that have none."""
        return self.bare.and_known()

    def bare_layer(self, place: str) -> BareLayer:
        """The layer of a directory, and the container whose it is."""
        return self.bare.layer(CacheID(place))

    def content_size(self, layer: BareLayer) -> int | None:
        """Bytes of the files of a layer without a record; None where they cannot be read (reported)."""
        return attempt(self.report, lambda: self.overlay2.content_size(place_of(layer)))

    def place(self, layer: Layer | BareLayer) -> Place:
        """A layer's directory and its short name; what is missing is reported."""
        cache_id = self._cache_id(layer)
        if self.lacks(FILES):  # reported once, for all
            return NOWHERE
        path = self.overlay2.path_of(cache_id)
        if cache_id not in self.overlay2:
            self.report(MissingFile(path, "the layer's directory is missing"))
            return NOWHERE
        return Place(path, self.link(cache_id))

    def blobs(self, layer: DiffID | None) -> tuple[Blob, ...]:
        """What a layer was in registries, as pulls and pushes noted it; damaged notes are reported."""
        known = self.distribution.blobs
        for problem in self.distribution.problems:
            self.report(problem)
        return known.get(layer, ()) if layer else ()

    def lower(self, layer: Layer | BareLayer) -> list[str] | None:
        """The short links of the layers below, as `lower` must have them, or has them where none tells."""
        try:
            if isinstance(layer, BareLayer):
                noted = self.overlay2.lower(place_of(layer))
                return None if noted is None else [f"l/{link}" for link in noted]
            stack = [record.cache_id for record in reversed(self.chain_below(layer.chain_id))]
        except CorruptStore as error:
            self.report(error)
            return None
        if problem := self.overlay2.lower_problem(stack, self.records.directories.link):
            self.report(problem)
        links = [self.link(cache_id) for cache_id in stack[1:]]
        return None if None in links else [f"l/{link}" for link in links]

    @functools.cached_property
    def snapshots(self) -> Readable[BuildKitSnapshot]:
        """BuildKit's snapshots, read once; what is wrong with them is not reported here."""
        from layerfs.stores.docker.buildkit import read_buildkit_snapshots  # noqa: PLC0415 - few ask

        return read_buildkit_snapshots(self.directory, self.bolt_state)

    def pinned(self) -> Pinned:
        """What BuildKit's cache needs, and the directories of containers and of that; damage is reported."""
        from layerfs.stores.docker.pins import pinned  # noqa: PLC0415 - only accounts need it

        return pinned(self)

    @property
    def places_path(self) -> str:
        """`overlay2/`, as messages call it."""
        return self.directory.name_of(DRIVER)

    def unclaimed(self, needed: Collection[str]) -> Iterator[Unclaimed]:
        """The directories of `overlay2/` that are not in `needed`."""
        from layerfs.stores.docker.pins import unclaimed  # noqa: PLC0415 - only accounts need it

        return unclaimed(self.directory, self.overlay2, needed)

    def volumes(self) -> list[Volume] | None:
        """The volumes of the engine's own driver; None where there is no `volumes/` (or it is damaged)."""
        from layerfs.stores.volumes import volumes  # noqa: PLC0415 - only accounts need it

        return volumes(self.directory, self.report)

    def build_cache(self) -> list[CacheRecord] | None:
        """BuildKit's records; None where they are damaged (reported)."""
        from layerfs.stores.docker.buildcache import build_cache  # noqa: PLC0415 - only accounts need it

        return build_cache(self)

    # -- checks --------------------------------------------------------------------------------

    def verification(self, names: Sequence[tuple[str, int | None]], options: VerifyOptions) -> Check:
        """The check of layers beside their tar-split data; see `Verifiable`."""
        from layerfs.stores.docker.checks.verification import verification  # noqa: PLC0415 - large

        return verification(self, names, options)

    def diagnose(self, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
        """Examine the whole data root; see `Diagnosable`."""
        from layerfs.stores.docker.checks.doctor import diagnose  # noqa: PLC0415 - large

        return diagnose(self, options, on_progress)

    def explained(self, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
        """The walk from a name to directories; see `Explaining`."""
        from layerfs.stores.docker.explaining import explained  # noqa: PLC0415 - few ask

        return explained(self, name, found, up_to, every=every)

    def salvager(self) -> Salvager:
        """What rebuilds damaged layers, see `Salvageable`."""
        from layerfs.stores.salvage import Salvage  # noqa: PLC0415 - large

        return Salvage(
            self, lambda layer: self.records.fits(layer.chain_id, self.record(layer.chain_id).cache_id)
        )

    def evidence(self) -> set[tuple[int, int]]:
        """The data root, and its `overlay2/`, which may be mounted elsewhere as well."""
        found = [self.directory.lstat()]
        with contextlib.suppress(OSError):  # without one there is nothing to copy either
            found.append(self.directory.lstat(DRIVER))
        return {(status.st_dev, status.st_ino) for status in found}

    # -- trees ---------------------------------------------------------------------------------

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, a container, or a single layer (as it is on disk, or was).

        Args:
            subject: what to show.
            up_to: for an image, show it as of its layer of this number (1 is the base).

        Raises:
            CorruptStore: a layer that is needed is missing or damaged.
            LayerNotFound: there is no layer of that number.
            StoreGone: there is no `overlay2/`.
        """
        self.require(FILES)
        if isinstance(subject, Layer):
            return self._stacker.alone(self._own(subject))
        if isinstance(subject, BareLayer):
            return self._stacker.on_disk(place_of(subject))
        if isinstance(subject, Container):
            return self._container_tree(subject)
        chain = self.chain(subject, None if up_to is None else self.layer_number(subject, up_to))
        self._report_inconsistencies([record.cache_id for record in reversed(chain)])
        return self._stacker.union(chain)

    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """A layer by itself as overlayfs reads it.

        Raises:
            CorruptStore: its directory is missing or is none.
            StoreGone: there is no `overlay2/`.
        """
        self.require(FILES)
        return self._stacker.source(place_of(layer) if isinstance(layer, BareLayer) else self._own(layer))

    @property
    def dialect(self) -> Dialect:
        """Which extended attributes are overlayfs's own in this root."""
        return self._stacker.dialect

    @property
    def owners(self) -> Owners:
        """The user namespace of the root's engine; trees show its numbers."""
        return self._stacker.owners

    def layer_tar(self, layer: Layer) -> OriginalTar:
        """The tar that a layer was registered from; raises `CorruptStore` where its directory is missing."""
        from layerfs.stores.originaltar import OriginalTar  # noqa: PLC0415 - only exports need it

        return OriginalTar(self.archive(layer), layer.diff_id)

    def archive(self, layer: Layer) -> LayerArchive:
        """The tar that a layer was registered from; raises `CorruptStore` where its directory is missing."""
        self.require(FILES)
        return LayerArchive(layer.chain_id, self.layerdb, self.overlay2.diff(self._own(layer).cache_id))

    def stack(self, subject: Named) -> tuple[Layer | BareLayer, ...]:
        """Every layer of an image, a container or a chain, base first; raises `CorruptStore`.

        Of a layer without a record that is what it stands on by its own `lower`.
        """
        if isinstance(subject, BareLayer):
            above, chain = self.bare.stack(subject)
            return (*chain, *map(BareLayer, reversed(above)))
        if isinstance(subject, Container):
            mount = self._mount(subject)
            below = self.stack_of_mount(mount) if mount else ()
            return (*(BareLayer(item) if isinstance(item, CacheID) else item for item in below), *subject.own)
        return super().stack(subject)

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it by the store's own records; raises `CorruptStore`."""
        bare, chain = (
            self.bare.stack(top) if isinstance(top, BareLayer) else ([], self.chain_below(top.chain_id))
        )
        self._report_inconsistencies([*bare, *(record.cache_id for record in reversed(chain))])
        return self._stacker.union(chain, bare)

    def _container_tree(self, container: Container) -> UnionTree:
        mount = self._mount(container)
        if mount is None:
            self.require(RECORDS)
            path = self.layerdb.mount_name(container.id)
            raise MissingFile(path, f"the layers of container {container.name} are not known")
        above = [mount.mount_id, *([mount.init_id] if mount.init_id else [])]
        below = self.stack_of_mount(mount)
        self._report_inconsistencies([*above, *map(_directory_of, reversed(below))])
        return self._stacker.union(below, above)

    def _report_inconsistencies(self, stack: list[CacheID]) -> None:
        """Report contradictions about a stack (uppermost first); what one layer has, once for all stacks."""
        link_of = self.records.directories.link
        problems = [self.overlay2.link_problem(item, link_of) for item in stack if item not in self._compared]
        self._compared.update(stack)
        problems.append(self.overlay2.lower_problem(stack, link_of) if len(stack) > 1 else None)
        for problem in filter(None, problems):
            self.report(problem)

    # -- this store's own ----------------------------------------------------------------------

    def _own(self, layer: Layer) -> LayerRecord:
        """The layer as this store has it."""
        return layer if isinstance(layer, LayerRecord) else self.record(layer.chain_id)

    def _cache_id(self, layer: Layer | BareLayer) -> CacheID:
        return place_of(layer) if isinstance(layer, BareLayer) else self._own(layer).cache_id


def _directory_of(item: LayerRecord | CacheID) -> CacheID:
    """The directory of a layer, or of what is known by its directory alone."""
    return item if isinstance(item, CacheID) else item.cache_id
