"""An archive or layout, open for reading: it answers the same questions as a data root.

    store = ArchiveStore.open("nginx.tar")
    tree = store.tree(store.image("nginx:latest"))

Nothing is unpacked to files. Damage that does not prevent an answer is reported, and kept in `damage`.
"""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from layerfs.cache.blobs import Cache
from layerfs.cache.options import CacheOptions
from layerfs.capabilities import unwatched
from layerfs.damage import attempt
from layerfs.errors import BrokenChain, CorruptStore, ImageNotFound
from layerfs.formats.platforms import parse_platform
from layerfs.formats.repositories import Repositories, RepositoryRow
from layerfs.ids import BlobDigest, ChainID, ImageID, InvalidID, chain_id
from layerfs.model import Blob, Image, Layer
from layerfs.store import Store
from layerfs.stores.archive.archived import Form
from layerfs.stores.archive.checks import faults_of
from layerfs.stores.archive.contents import images_of
from layerfs.stores.archive.images import ArchiveImage, Images
from layerfs.stores.archive.names import ArchiveNames
from layerfs.stores.archive.opening import STDIN, open_archive
from layerfs.stores.blobs.export import PlainTar
from layerfs.stores.blobs.layers import BlobLayer, LayerFiles, missing
from layerfs.stores.blobs.outer import TarOuter
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from layerfs.capabilities import Progress
    from layerfs.ids import DiffID
    from layerfs.layernames import ID
    from layerfs.model import BareLayer, Finding, Named
    from layerfs.steps import Walk
    from layerfs.stores.archive.archived import ArchivedImage, ArchivedLayer
    from layerfs.stores.archive.opening import OpenedArchive
    from layerfs.stores.blobs.outer import Blob as ArchivedBlob
    from layerfs.tree.source import LayerSource

__all__ = ["ArchiveStore"]

_log = logging.getLogger(__name__)


class ArchiveStore(Store):
    """The images of one archive or layout.

    Attributes:
        kind: the kind of store, `archive`.
        path: where it was opened, as given.
        form: its layout, such as an OCI layout.
        inode: device and inode of the archive, which must never be overwritten.
        outer: its members.
        files: reads its layers.
    """

    kind = "archive"
    has_containers = False
    has_places = False

    def __init__(self, path: str, opened: OpenedArchive, cache: Cache, platform: str | None = None) -> None:
        """Read an archive that is open; see `open`."""
        super().__init__(path)
        self.form = opened.form
        self.inode = opened.inode
        self.outer = opened.outer
        if self.outer.fault:
            self.report(self.outer.fault)
        system = self.form is Form.ROOTFS
        self.files = LayerFiles(
            cache if opened.again else cache.unkept(),
            self.report,
            markers=not system,
            path_of=self._path_of,
        )
        archived = images_of(self.outer, self.form, self.report, self.files.diff_id)
        self._images = Images(archived, parse_platform(platform) if platform else None)
        self._chains: dict[ImageID, tuple[BlobLayer, ...]] = {}

    def _path_of(self, blob: ArchivedBlob) -> tuple[str, bytes] | None:
        """The file that has a blob, and the member of it that it is; None of what is read only once."""
        if self.path == STDIN:
            return None
        if not isinstance(self.outer, TarOuter):
            return blob.label, b""
        if not blob.place:  # of the tar of a file system, which is its own layer
            return self.path, b""
        member = self._members.get(blob.place)
        return (self.path, member) if member else None

    @functools.cached_property
    def _members(self) -> Mapping[bytes, bytes]:
        return self.outer.files() if isinstance(self.outer, TarOuter) else {}

    @property
    def noun(self) -> str:
        """The words for it in a sentence, with an article."""
        return "an archive"

    @functools.cached_property
    def names(self) -> ArchiveNames:
        """Resolves names."""
        return ArchiveNames(self, self._images)

    def evidence(self) -> set[tuple[int, int]]:
        """The archive itself, or the layout's directory."""
        return {self.inode}

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        cache: CacheOptions | None = None,
        platform: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Self:
        """Open an archive, a layout, or a tar of a root file system.

        Args:
            path: a file or a directory; `-` is standard input.
            cache: where blobs are decompressed to, and its limits; by default nothing is kept.
            platform: `os/architecture[/variant]` of the images to use.
            progress: called while a blob is decompressed, with its label, the bytes read, and all its bytes.

        Raises:
            NotAnArchive: it is something else; the message says what.
            DataRootUnreadable: the operating system does not let it be read.
            CorruptStore: it is too damaged to read anything.
            CacheError: it cannot be decompressed, for example for lack of space.
            ValueError: `platform` is malformed.
        """
        kept = Cache(cache or CacheOptions(), progress)
        return cls(str(path), open_archive(str(path), kept), kept, platform)

    # -- images --------------------------------------------------------------------------------

    def image_ids(self, beginning: str = "") -> Sequence[ImageID]:
        """The IDs of all images of all platforms whose digits begin with `beginning`; sorted."""
        return sorted(found for found in self._images.all if found.hex.startswith(beginning))

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, of any platform."""
        return image_id in self._images.all

    def images(self, *, all_platforms: bool = False) -> list[ArchiveImage]:
        """Every sound image, newest first.

        Args:
            all_platforms: every platform of an image, not only the one that is used.
        """
        found = list(self._images.all.values()) if all_platforms else self._images.shown()
        return sorted(
            found,
            key=lambda image: (image.config.created_ns is None, -(image.config.created_ns or 0), image.id),
        )

    def load_image(self, image_id: ImageID) -> ArchiveImage | None:
        """The image of this ID; None if there is none, or it cannot be read."""
        return self._images.all.get(image_id)

    def read_image(self, image_id: ImageID) -> ArchiveImage:
        """The image of this ID; raises `ImageNotFound`."""
        found = self._images.all.get(image_id)
        if found is None:
            raise ImageNotFound(f"no such image: {image_id}")
        return found

    def image(self, name: str | None = None) -> ArchiveImage:
        """The image called `name`; for an empty name the only image.

        A name is a reference, as it is written or in Docker's normal form; a tag of a layout; an image ID or
        the digest of a manifest, or the beginning of one.

        Raises:
            ImageNotFound, AmbiguousName, InvalidReference: as `naming` has it.
        """
        if name is None:
            return self.names.only_image()
        return self.read_image(self.names.image_id(name))

    @functools.cached_property
    def repositories(self) -> Repositories:
        """The names of all images, in Docker's normal form."""
        rows = [RepositoryRow(name, image.id) for image in self.images() for name in image.references]
        return Repositories(tuple(sorted(rows, key=lambda row: row.reference.familiar)))

    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; if it has none, the one that was made for it."""
        return self.read_image(image.id).archived.config_bytes

    def manifest_bytes(self, image: Image) -> bytes | None:
        """The manifest of an image, byte for byte; None if the form of the archive has none."""
        return self.read_image(image.id).archived.manifest_bytes

    def chain(self, image: Image, up_to: int | None = None) -> tuple[BlobLayer, ...]:
        """The image's layers, base first, or the lowest `up_to`; raises `CorruptStore`."""
        found = self._chains.get(image.id)
        if found is None:
            found = self._chains[image.id] = self._chain(self.read_image(image.id))
        return found[:up_to]

    def _chain(self, image: ArchiveImage) -> tuple[BlobLayer, ...]:
        *others, last = image.variants
        for item in others:
            with suppress(CorruptStore):
                return self.chain_of(item)
        return self.chain_of(last)

    def chain_of(self, archived: ArchivedImage) -> tuple[BlobLayer, ...]:
        """The layers of one of the ways in which the archive has an image; as `chain`."""
        found: list[BlobLayer] = []
        for diff_id, layer in zip(archived.config.diff_ids, archived.layers, strict=True):
            if layer.blob is None:
                raise missing(f"{self.outer.label}:{layer.name}", layer.problem)
            below = found[-1].chain_id if found else None
            found.append(
                BlobLayer(
                    chain_id(below, diff_id),
                    diff_id,
                    below,
                    _digest(layer),
                    layer.media_type,
                    layer.blob.place.decode("utf-8", "surrogateescape") or layer.name,
                    layer.blob,
                    self._measured,
                )
            )
        return tuple(found)

    def _measured(self, layer: BlobLayer) -> int | None:
        """A layer's size; None if its tar cannot be read (reported)."""
        return attempt(self.report, lambda: self.files.size(layer))

    # -- layers --------------------------------------------------------------------------------

    @functools.cached_property
    def layers_by_chain(self) -> Mapping[ChainID, BlobLayer]:
        """Every layer of every complete image; other images are reported."""
        found: dict[ChainID, BlobLayer] = {}
        for image in self.images(all_platforms=True):
            try:
                for layer in self.chain(image):
                    found.setdefault(layer.chain_id, layer)
            except CorruptStore as error:
                self.report(error)
        return found

    def layers(self) -> list[BlobLayer]:
        """Every layer, by chain ID."""
        return [layer for _, layer in sorted(self.layers_by_chain.items())]

    def record(self, chain: ChainID) -> BlobLayer:
        """The layer of this chain ID; raises `BrokenChain` if there is none."""
        found = self.layers_by_chain.get(chain)
        if found is None:
            raise BrokenChain(self.path, "there is no layer of this chain ID", expected=chain)
        return found

    def blobs(self, layer: DiffID | None) -> tuple[Blob, ...]:
        """The blobs of a layer in this archive."""
        return tuple(Blob(digest, ()) for digest in sorted(self._digests.get(layer, ())))

    @functools.cached_property
    def _digests(self) -> Mapping[DiffID | None, set[BlobDigest]]:
        """The digests of the stored blobs, by diff ID."""
        found: dict[DiffID | None, set[BlobDigest]] = {}
        for layer in self.layers_by_chain.values():
            if layer.digest:
                found.setdefault(layer.diff_id, set()).add(layer.digest)
        return found

    def _own(self, layer: Layer | BareLayer) -> BlobLayer:
        """The layer as a `BlobLayer` of this store; it is not looked up, as that would read every image."""
        assert isinstance(layer, BlobLayer)  # noqa: S101 - the store gives no others
        return layer

    # -- trees ---------------------------------------------------------------------------------

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, or of a single layer with its whiteouts as an engine would unpack them.

        Args:
            subject: what to show.
            up_to: show an image as of its layer of this number (1 is the base).

        Raises:
            CorruptStore: a layer that is needed is not in the archive, or the uppermost one is damaged.
            LayerNotFound: there is no layer of that number.
        """
        if isinstance(subject, Layer):
            self.files.tree(self._own(subject))
            return UnionTree([self.files.stored(self._own(subject))])
        assert isinstance(subject, Image)  # noqa: S101 - an archive has nothing else
        return self._union(self.chain(subject, up_to and self.layer_number(subject, up_to)))

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it; raises `CorruptStore`."""
        return self._union([self._own(layer) for layer in self.chain_below(self._own(top).chain_id)])

    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """One layer by itself as overlayfs would read it."""
        return self.files.source(self._own(layer))

    def _union(self, chain: Sequence[BlobLayer]) -> UnionTree:
        if chain:
            self.files.tree(chain[-1])  # damage is to be reported now, not at the first access
        return UnionTree([self.files.source(layer) for layer in reversed(chain)])

    # -- export --------------------------------------------------------------------------------

    def layer_tar(self, layer: Layer) -> PlainTar:
        """A layer as the tar whose sha256 is its diff ID."""
        return PlainTar(self._own(layer), self.files.plain)

    def explained(self, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
        """The walk from a name to tars; see `Explaining`."""
        from layerfs.stores.archive.explaining import explained  # noqa: PLC0415 - few ask

        return explained(self, name, found, up_to, every=every)

    def faults(
        self, only: Collection[ImageID | ChainID] | None = None, on_progress: Progress = unwatched
    ) -> Iterator[Finding]:
        """All faults of the archive, or of the images and layers `only`, found by reading; see `checks`."""
        return faults_of(self, only, on_progress)


def _digest(layer: ArchivedLayer) -> BlobDigest | None:
    """The digest of a layer's stored blob; None if it has none, or one of another algorithm."""
    try:
        return BlobDigest(layer.name.removeprefix("blobs/").replace("/", ":"))
    except InvalidID:
        return None
