"""What an image takes, part by part, and the rules by which its engine adds such parts up.

Sources: moby `daemon/images/images.go`, `daemon/disk_usage.go` (v20.10.24) of graph drivers;
`daemon/containerd/image_list.go`, `image_inspect.go`, `service.go` (v29) of containerd's store;
containers/storage `store.go` (ImageSize, ContainerSize), containers/common `libimage/disk_usage.go`, podman
`cmd/podman/system/df.go` (5.8) of containers/storage.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from layerfs.model import BareLayer, added_up

if TYPE_CHECKING:
    from layerfs.ids import ChainID
    from layerfs.model import Container, Image, Layer

__all__ = ["AccountRules", "Accounted", "ImageParts", "Part"]


class Part(NamedTuple):
    """Something on disk that an image needs, as a layer or a blob.

    Attributes:
        name: tells parts of one store apart.
        size: bytes, as the engine counts them; None where that is not known.
        shareable: whether it counts as shared where several images have it.
        is_layer: whether it is a layer, which others may hold too; then its name is its chain ID.
    """

    name: str
    size: int | None
    shareable: bool = True
    is_layer: bool = False


class ImageParts(NamedTuple):
    """The parts of an image.

    Attributes:
        counted: what its size is the sum of; a part that is counted twice is here twice.
        beside: what counts only in the total of a store.
    """

    counted: tuple[Part, ...]
    beside: tuple[Part, ...] = ()


class AccountRules(NamedTuple):
    """Where engines differ in adding up; as given here, those with graph drivers do.

    Attributes:
        every_image: the total is that of all images, not only of those that are listed.
        unused_alone: reclaimable is what images without containers have for themselves; else it is all but
            what the images with containers have for themselves.
        whole_cache: what the build cache shares with images counts as the cache's too.
        init_counts: the -init layer of a container counts in its root file system.
        containers_listed: the list of images tells how many containers were made from each.
        digits: how many digits sizes of images have in the lists of disk usage.
        every_row: the list of disk usage has a row for each name of an image, and images that other lists
            hide: these rows are what is counted, and what a hidden image has too is shared.
        every_layer: layers that no image has count in the total.
        whole_image: what a container stands on is the whole of its image, also what of it is no layer.
        every_use: a volume is counted as active once for each container that has it.
        has_cache: there is a build cache to tell of.
        rounded: parts of a whole are rounded, and told where they are nothing too; else they are cut off.
    """

    every_image: bool = False
    unused_alone: bool = False
    whole_cache: bool = False
    init_counts: bool = False
    containers_listed: bool = False
    digits: int = 4
    every_row: bool = False
    every_layer: bool = False
    whole_image: bool = False
    every_use: bool = False
    has_cache: bool = True
    rounded: bool = False


class Accounted:
    """What has images whose sizes an engine adds up; given here as engines with graph drivers do.

    Attributes:
        account_rules: how the engine adds up what images, containers and a build cache take.
    """

    account_rules: AccountRules = AccountRules()

    @abstractmethod
    def layer_size(self, chain: ChainID) -> int | None:
        """A layer's size in bytes; None where it is not known, which is reported."""

    @abstractmethod
    def content_size(self, layer: BareLayer) -> int | None:
        """Bytes of the files of a layer without a record; None where they cannot be read (reported)."""

    def freed_size(self, layer: Layer | BareLayer) -> int | None:
        """Bytes that go with a layer: its size, but in kinds that keep something else of it on disk."""
        return self.content_size(layer) if isinstance(layer, BareLayer) else layer.size

    def size_beside(self, container: Container) -> int | None:  # noqa: ARG002 - for engines that count more
        """Bytes that are kept of a container beside its layers, and that its engine counts with them."""
        return 0

    def size(self, image: Image) -> int | None:
        """The image's size in bytes as its engine adds it up, or None where that of a layer is not known."""
        return added_up([self.layer_size(chain) for chain in image.chain])

    def inspected_size(self, image: Image) -> int | None:
        """The size that its engine tells where it describes one image; of most the same."""
        return self.size(image)

    def packed_size(self, image: Image) -> int | None:  # noqa: ARG002 - for kinds that keep blobs
        """Bytes of an image's blobs, as they are in registries; None in kinds that do not keep them."""
        return None

    def disk_usage(self, image: Image) -> int | None:  # noqa: ARG002 - for kinds with more than one form
        """Bytes on disk of all that is kept of an image; None where that is not known."""
        return None

    def parts(self, image: Image) -> ImageParts:
        """What an image takes, part by part; the size of a part is None where it is not known (reported)."""
        layers = (Part(chain, self.layer_size(chain), is_layer=True) for chain in image.chain)
        return ImageParts(tuple(layers))
