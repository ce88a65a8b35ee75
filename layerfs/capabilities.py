"""What only some kinds of store can do, a protocol each; a class that has the methods has the capability.

Whoever needs one asks `isinstance`; a command that cannot do without it raises `lacking`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from layerfs.errors import NotInThisKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from layerfs.containerlog import ContainerLog
    from layerfs.formats.buildkit import BuildKitRecord
    from layerfs.hostdir import HostDir
    from layerfs.ids import BlobDigest, ChainID, ContainerID, DiffID, ImageID
    from layerfs.layernames import ID
    from layerfs.layertar import LayerTar
    from layerfs.model import Container, Diagnosis, Finding, Image, Layer
    from layerfs.steps import Walk
    from layerfs.store import Store

__all__ = [
    "Accountable",
    "Ancestral",
    "CacheRecord",
    "Check",
    "Checkable",
    "Diagnosable",
    "DoctorOptions",
    "DoctorReport",
    "Explaining",
    "Holding",
    "Keeping",
    "LayerBlob",
    "Logging",
    "Pinned",
    "Progress",
    "Recorded",
    "Salvageable",
    "Salvager",
    "StoredImage",
    "Unclaimed",
    "Verifiable",
    "VerifyOptions",
    "Volume",
    "lacking",
    "unwatched",
]

Progress: TypeAlias = "Callable[[str, int, int], object]"
"""Is told of long work: which part of it, how much was done since the last time, how much there is in all."""


def unwatched(_part: str, _amount: int, _total: int) -> None:
    """The `Progress` of work without a progress bar: it does nothing."""


# -- what was written down -----------------------------------------------------------------------


@runtime_checkable
class Recorded(Protocol):
    """A store whose engine wrote down paths of the host on which it ran, and that may be a copy now."""

    def path_here(self, container: ContainerID, recorded: str) -> str | None:
        """Where a file of a container lies, below the store's own path; None for a path outside of it."""

    def volume_path(self, name: str) -> str:
        """Where the content of a volume of the host lies, below the store's own path."""


@runtime_checkable
class Ancestral(Protocol):
    """A store whose engine does not note parents of images, and tells ancestors by their layers."""

    def history_ids(self, image: Image) -> Sequence[ImageID | None]:
        """The image of each step of an image's history, newest first; None for a step of none."""


@runtime_checkable
class Logging(Protocol):
    """A store whose engine keeps what its containers wrote to standard output and standard error."""

    def log(self, container: Container, host: HostDir | None) -> ContainerLog:
        """The log of a container, from where this kind of store keeps it; what is missing is reported.

        Args:
            container: whose.
            host: the file system of the engine's host, beneath which paths that it wrote down are looked for;
                None where that is not at hand. They are never followed on this host.

        Raises: LogElsewhere: it is in no file of the store. CorruptStore: its directory cannot be read.
        """


# -- who needs what, and what it takes -----------------------------------------------------------


class Pinned(NamedTuple):
    """What is needed by others than images and containers, as by a build cache.

    Attributes:
        chains: layers.
        places: layers without a chain ID, and of containers.
        others: the names of parts of images that are no layers.
        borrowed: layers that are another store's, which this one only reads.
        complete: whether all that could need a layer could be read.
    """

    chains: frozenset[ChainID] = frozenset()
    places: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    borrowed: frozenset[ChainID] = frozenset()
    complete: bool = True


@runtime_checkable
class Holding(Protocol):
    """A store in which more than images and containers needs layers."""

    def pinned(self) -> Pinned:
        """What is needed by others; damage is reported."""


class Unclaimed(NamedTuple):
    """A place on disk that nothing needs.

    Attributes:
        place: its name, as in `Layer.cache_id`; None where that could be of no layer.
        path: the directory, relative like the store's own path.
        size: bytes of the files in it; None where they cannot be read.
    """

    place: str | None
    path: str
    size: int | None


class Volume(NamedTuple):
    """A volume by its name, and the bytes in it; None where they cannot be read."""

    name: str
    size: int | None


class CacheRecord(NamedTuple):
    """A record of a build cache.

    Attributes:
        record: what the cache noted.
        chain: the layer it stands for; None where it is none.
        size: bytes as noted, or else of its files; None where neither tells.
    """

    record: BuildKitRecord
    chain: ChainID | None
    size: int | None


@runtime_checkable
class Accountable(Protocol):
    """A store whose engine accounts for the disk: places that nothing needs, volumes, a build cache."""

    @property
    def places_path(self) -> str:
        """The directory of all places, for messages."""

    def unclaimed(self, needed: Collection[str]) -> Iterator[Unclaimed]:
        """Every place that is not in `needed`, sorted; then those that could be of no layer."""

    def volumes(self) -> Sequence[Volume] | None:
        """The volumes, by name; None where there is no such part, or an unreadable one (reported)."""

    def build_cache(self) -> Sequence[CacheRecord] | None:
        """The records of the build cache that count; None where they are damaged (reported)."""


# -- what is wrong -------------------------------------------------------------------------------


@runtime_checkable
class Checkable(Protocol):
    """A store that keeps all layers as the bytes that were hashed, and so can be checked by digests alone."""

    def faults(
        self, only: Collection[ImageID | ChainID] | None = None, on_progress: Progress = unwatched
    ) -> Iterator[Finding]:
        """What is wrong with it, found by reading it.

        Args:
            only: the images and layers to read; what is wrong with the store as a whole is given too.
                None is all of it.
            on_progress: is told of `layers`, in bytes as they are stored.

        Raises:
            CacheError: there is no room to decompress a layer.
        """


class VerifyOptions(NamedTuple):
    """How layers are compared with the tars they were unpacked from.

    Attributes:
        aspects: which attributes: some of `mode`, `owner`, `mtime`, `xattr`.
        quick: the records only, and no layer's files.
        list_all: name every finding, also where a copy lost the same of all entries.
        processes: layers at a time.
        path: the absolute path of the store, for names that are paths of layers below it.
    """

    aspects: frozenset[str]
    quick: bool = False
    list_all: bool = False
    processes: int = 1
    path: bytes = b""


class Check(Protocol):
    """A check of some images and layers that was chosen, and is made once, by `findings`.

    Attributes:
        images: how many images.
        layers: how many layers, each once.
        proven: of how many layers the tar could be made anew and has the right digest, so far.
        proven_size: bytes of the tars of all layers compared so far.
        seconds: how long comparing layers took, once that is over.
    """

    images: int
    layers: int
    proven: int
    proven_size: int
    seconds: float

    def findings(self, on_progress: Progress) -> Iterator[Finding]:
        """What is wrong: with the records, then with one layer after the other.

        Args:
            on_progress: is told of the part `layers`, in bytes.
        """


@runtime_checkable
class Verifiable(Protocol):
    """A store that has layers unpacked into files, and what they were unpacked from."""

    def verification(self, names: Sequence[tuple[str, int | None]], options: VerifyOptions) -> Check:
        """The check of what the names mean, or of everything where there are none.

        Args:
            names: an image, or any name or path of a layer; with a number, an image's lowest layers.
            options: what is compared.

        Raises:
            LookupFailed: a name means nothing that can be compared.
            StoreGone: a part of the store that is needed is not there.
        """


class DoctorOptions(NamedTuple):
    """How much of a store is examined.

    Attributes:
        sizes: count files: the sizes of layers, and what each finding takes.
        verify: compare every layer's files with its tar too.
        processes: layers at a time.
    """

    sizes: bool = True
    verify: bool = False
    processes: int = 1


class DoctorReport(NamedTuple):
    """All that was found.

    Attributes:
        diagnoses: the worst first, of one group together.
        total: bytes on disk of all that findings cost, each file once; None where that was not counted.
        complete: whether all of it could be counted.
        names: what to call images and containers, by their subjects.
        part_gone: whether a whole part of the store is not there, so that what it held is not known.
    """

    diagnoses: Sequence[Diagnosis]
    total: int | None
    complete: bool
    names: Mapping[str, str]
    part_gone: bool


@runtime_checkable
class Diagnosable(Protocol):
    """A store that can be examined as a whole: damage, orphans, leftovers, and what to do about them."""

    def diagnose(self, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
        """Examine all of it; damage is a finding, and not reported.

        Args:
            options: how much.
            on_progress: is told of the parts `sizes` and `costs`, in items, and `layers`, in bytes.
        """


# -- what is kept byte for byte ------------------------------------------------------------------


class LayerBlob(Protocol):
    """A layer as it is stored, packed or not, which can be written as often as it is wanted.

    Attributes:
        digest: its sha256.
        size: its bytes.
    """

    digest: BlobDigest
    size: int

    def write(self, write: Callable[[bytes], object]) -> None:
        """Write it, piece by piece; raises `CorruptStore` when it is not what it should be."""


class StoredImage(NamedTuple):
    """An image as registries have it, byte for byte.

    Attributes:
        manifest: its bytes.
        media_type: of the manifest.
        layers: base first.
        loads_anywhere: whether every Engine can read its layers: not those packed by zstd.
    """

    manifest: bytes
    media_type: str
    layers: tuple[LayerBlob, ...]
    loads_anywhere: bool = True


@runtime_checkable
class Keeping(Protocol):
    """A store that keeps images as they were pulled or built."""

    def stored_image(self, image: Image) -> StoredImage | None:
        """An image byte for byte; None where it cannot be named by sha256; raises `CorruptStore`."""


# -- how a name leads to directories -------------------------------------------------------------


@runtime_checkable
class Explaining(Protocol):
    """A store that can show the way from a name to directories, or tars, as one would walk it by hand."""

    def explained(self, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
        """The steps, as far as they lead: where they end early the walk says why.

        Args:
            name: as it was given.
            found: what it means.
            up_to: an image as of its layer of this number; None for all of it.
            every: whether each layer gets its steps, and not the uppermost alone.

        Raises:
            LayerNotFound: the image has no layer of that number.
        """


# -- what can be saved ---------------------------------------------------------------------------


class Salvager(Protocol):
    """Rebuilds what can be rebuilt; a layer is looked at once. Each loss is logged as damage."""

    def image(self, image: Image) -> tuple[bytes, tuple[LayerTar, ...]]:
        """The config and the layers, base first, as far as they can be rebuilt.

        Raises:
            DataRootUnreadable: nothing shows that what may not be read is lost.
        """

    def layer(self, record: Layer, diff_id: DiffID) -> LayerTar:
        """A layer's tar: the original one, or what there is of it."""


@runtime_checkable
class Salvageable(Protocol):
    """A store of whose damaged layers something can be rebuilt."""

    def salvager(self) -> Salvager:
        """What rebuilds them."""


def lacking(store: Store, command: str) -> NotInThisKind:
    """The error of a command, as `system df`, that needs a capability which `store` does not have."""
    return NotInThisKind(store.path, store.noun, f"layerfs {command} does not support it")
