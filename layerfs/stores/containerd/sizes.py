"""The sizes of images: of their blobs, as recorded in meta.db, and of their snapshots, as in metadata.db.

For Docker the size of an image is that of all blobs that are there, and of all that is unpacked. For
Kubernetes it is that of the blobs of one platform, whether they are there or not.

Sources: moby `daemon/containerd/image_list.go` (multiPlatformSummary, computeSharedSize), `image_inspect.go`
(size), `service.go` (ImageDiskUsage) of v29; containerd `core/images/usage/calculator.go`,
`internal/cri/store/image/image.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.accounts import ImageParts, Part
from layerfs.damage import attempt
from layerfs.ids import chain_ids
from layerfs.model import added_up
from layerfs.stores.containerd.layers import chain_of_key
from layerfs.stores.containerd.targets import config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.errors import CorruptStore
    from layerfs.formats.containerdmeta import Namespace
    from layerfs.formats.descriptors import Descriptor
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.ids import ChainID
    from layerfs.stores.containerd.content import Content
    from layerfs.stores.containerd.images import ContainerdImage
    from layerfs.stores.containerd.layers import Placed, Snapshots
    from layerfs.stores.containerd.targets import ManifestBelow

__all__ = ["ImageSizes", "blob_part_name", "snapshot_part_name"]


def blob_part_name(digest: str) -> str:
    """The name of a blob among the parts of images; it differs from a chain ID with the same digest."""
    return f"blob {digest}"


def snapshot_part_name(placed: Placed) -> str:
    """The name, among the parts of images, of a snapshot that is no layer of an image."""
    return f"snapshot {placed.place}"


class ImageSizes:
    """The sizes of the images of some namespaces."""

    def __init__(
        self,
        spaces: Sequence[Namespace],
        content: Content,
        snapshots: Snapshots,
        report: Callable[[CorruptStore], None],
    ) -> None:
        """Measure images of `spaces`, whose documents are in `content`; `report` is told of damage."""
        self._spaces = spaces
        self._content = content
        self._snapshots = snapshots
        self._report = report
        self._noted: dict[str, int | None] = {}
        self._stacks: dict[ChainID | None, tuple[Part, ...]] = {}
        self._parts: dict[tuple[str, str], ImageParts] = {}

    def parts(self, image: ContainerdImage) -> ImageParts:
        """The blobs that are there, and the snapshots, of an image or of the one platform that is shown.

        An index counts only in the total of a store.
        """
        key = (image.id, image.target.digest)
        if key not in self._parts:
            self._parts[key] = self._read(image)
        return self._parts[key]

    def _read(self, image: ContainerdImage) -> ImageParts:
        below = image.shown
        counted = [part for item in below for part in (*self._blobs(item), *self._unpacked(image, item))]
        indexes = {index.digest: index for item in below for index in item.indexes}
        return ImageParts(tuple(counted), tuple(self._present(indexes.values())))

    def packed(self, image: ContainerdImage) -> int | None:
        """Bytes of the blobs that are there, without indexes, as Docker counts."""
        return added_up(part.size for item in image.shown for part in self._blobs(item))

    @staticmethod
    def referenced(image: ContainerdImage) -> int:
        """Bytes of the blobs of one platform, and of the indexes above it, also of missing ones."""
        chosen = image.chosen
        if chosen is None:
            named: tuple[Descriptor, ...] = (image.target,)
            chosen = next((item for item in image.below if item.descriptor == image.target), None)
        else:
            named = (*chosen.indexes, chosen.descriptor)
        inside = chosen.manifest.named if chosen and chosen.manifest else ()
        return sum(item.size for item in (*named, *inside))

    # -- blobs ---------------------------------------------------------------------------------

    def _blobs(self, item: ManifestBelow) -> Iterator[Part]:
        """A manifest and the blobs that it names, if they are there; one that is named twice comes twice."""
        yield from self._present([item.descriptor, *(item.manifest.named if item.manifest else ())])
        if item.manifest is None and self.blob(item.descriptor.digest) is not None:
            # it is damaged, so the blobs that it names are not known
            yield Part(blob_part_name(f"below {item.descriptor.digest}"), None)

    def _present(self, named: Iterable[Descriptor]) -> Iterator[Part]:
        for descriptor in named:
            size = self.blob(descriptor.digest)
            if size is not None:
                yield Part(blob_part_name(descriptor.digest), size)

    def blob(self, digest: str) -> int | None:
        """The size of a blob that a namespace has a record of, else None."""
        if digest not in self._noted:
            found = (space.blob(digest) for space in self._spaces)
            self._noted[digest] = next((blob.size for blob in found if blob), None)
        return self._noted[digest]

    # -- snapshots -----------------------------------------------------------------------------

    def _unpacked(self, image: ContainerdImage, item: ManifestBelow) -> tuple[Part, ...]:
        """The snapshots of its layers and all below; none if the top layer is not unpacked."""
        config = self._config(image, item)
        chain = chain_ids(config.diff_ids) if config else ()
        top = chain[-1] if chain else None
        if top not in self._stacks:
            placed = self._snapshots.of(top) if top else None
            self._stacks[top] = self._stack(placed, chain) if placed else ()
        return self._stacks[top]

    def _config(self, image: ContainerdImage, item: ManifestBelow) -> ImageConfig | None:
        if item == image.chosen:
            return image.config
        manifest = item.manifest if item.is_image else None
        if manifest is None or manifest.config is None or self.blob(manifest.config.digest) is None:
            return None
        return attempt(self._report, functools.partial(config_of, self._content, item))

    def _stack(self, top: Placed, chain: Sequence[ChainID]) -> tuple[Part, ...]:
        """The snapshots up to `top`; if records are damaged (reported), those of the config's layers."""
        stack, problem = self._snapshots.below(top)
        if problem:
            self._report(problem)
            keys = [item.key for item in stack]
            stack = stack[keys.index(chain[0]) :] if set(chain) <= set(keys) else ()
        return tuple(map(_part, stack)) or (Part(f"below {top.place}", None),)


def _part(placed: Placed) -> Part:
    """A snapshot as a part; one that a classic build left between layers is never shared, as for Docker."""
    chain = chain_of_key(placed.key)
    if chain:
        return Part(chain, placed.snapshot.size, is_layer=True)
    return Part(snapshot_part_name(placed), placed.snapshot.size, shareable=False)
