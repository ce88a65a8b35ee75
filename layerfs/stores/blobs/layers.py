"""The layers of an archive: records, and trees made of their tars.

A plain tar is read in place, a compressed one from the cache. A layer's entries stay in memory while a tree
uses them; those of the last few layers used stay longer.
"""

from __future__ import annotations

import collections
import stat
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.cache.blobs import Packed
from layerfs.errors import CorruptStore, DigestMismatch, MalformedFile, MissingFile, reason
from layerfs.formats.compression import HEAD_BYTES, Compression
from layerfs.formats.errors import FormatError
from layerfs.formats.tarindex import members, sole_files
from layerfs.formats.whiteouts import TRUSTED
from layerfs.model import Layer
from layerfs.tree.overlay import OverlayLayer
from layerfs.tree.tarlayer import TarLayer, TarPlace, TarTree
from layerfs.tree.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from layerfs.cache.blobs import Cache, Plain
    from layerfs.formats.tarheader import Header
    from layerfs.formats.tarindex import TarMember
    from layerfs.ids import BlobDigest, ChainID, DiffID
    from layerfs.stores.blobs.outer import Blob
    from layerfs.tree.original import Original
    from layerfs.tree.parents import Below
    from layerfs.tree.source import LayerSource

__all__ = ["BlobLayer", "LayerFiles", "missing", "packed"]

_RECENT = 4  # layers kept in memory without a tree, as a layer is often read twice in a row


@dataclass(frozen=True, slots=True)
class BlobLayer(Layer):
    """A layer of an image in an archive, on those below it.

    Attributes:
        chain_id: its chain ID.
        diff_id: sha256 of its tar, as the config says.
        parent: the layer below; None for a base.
        digest: of the blob as it is stored; None where the archive does not say.
        media_type: as the manifest says; empty where it does not.
        place: the member of the archive that has it, or should have it.
        cache_id: None, as there is no directory.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    digest: BlobDigest | None
    media_type: str
    place: str
    blob: Blob = field(repr=False)
    measure: Callable[[BlobLayer], int | None] = field(repr=False, compare=False)
    cache_id: None = None

    @property
    def size(self) -> int | None:
        """Bytes of its files as Docker counts them: each inode once, links by the length of their targets.

        None if its tar cannot be read.
        """
        return self.measure(self)

    @property
    def blob_digest(self) -> BlobDigest | None:
        """Of its blob, where the archive says it."""
        return self.digest

    @property
    def blob_size(self) -> int:
        """Bytes as they are stored."""
        return self.blob.size


def packed(blob: Blob) -> Packed:
    """A blob with the compression that its bytes tell, for the cache; raises `MalformedFile`."""
    try:
        head = blob.file.pread(min(HEAD_BYTES, blob.size), blob.offset)
    except OSError as error:
        raise MalformedFile(blob.label, reason(error)) from error
    return Packed(blob.label, blob.file, blob.offset, blob.size, Compression.of(head))


class LayerFiles:
    """Reads the layers of one archive; safe to use from several threads."""

    def __init__(
        self,
        cache: Cache,
        report: Callable[[CorruptStore], None],
        *,
        markers: bool = True,
        as_unpacked: Callable[[Header], Header] | None = None,
        path_of: Callable[[Blob], tuple[str, bytes] | None] = lambda blob: (blob.label, b""),
    ) -> None:
        """Decompress by `cache`, and tell `report` what is wrong with a layer that can be read.

        Args:
            cache: see there.
            report: takes what does not stop the answer.
            markers: whether the tars are layers; False for a root file system, where `.wh.` means nothing.
            as_unpacked: what the engine makes of a header before it unpacks it as `tree.originals` does;
                one that does so unpacks base layers with nothing below them, where whiteouts only delete.
            path_of: the file of the host that has a blob, and the member of it that it is, see `TarPlace`.
        """
        self._cache = cache
        self._report = report
        self._markers = markers
        self._as_unpacked = as_unpacked
        self._path_of = path_of
        self._below: Callable[[BlobLayer], Below | None] = lambda _layer: None
        self._lock = threading.RLock()
        self._layers: weakref.WeakValueDictionary[ChainID, TarLayer[TarTree]] = weakref.WeakValueDictionary()
        self._recent: collections.deque[TarLayer[TarTree]] = collections.deque(maxlen=_RECENT)
        self._loading: dict[ChainID, threading.Lock] = {}
        self._weights = Weights()  # all trees in memory

    def stand(self, below: Callable[[BlobLayer], Below | None]) -> None:
        """Unpack from now on as an engine that gives directories without a header what lower layers have.

        Args:
            below: what a layer stands on, as this engine unpacked it.
        """
        self._below = below

    def source(self, layer: BlobLayer) -> LayerSource:
        """A layer as overlayfs would read it if an engine had unpacked it."""
        stored = self.stored(layer)
        return OverlayLayer(stored, TRUSTED) if self._markers else stored

    def stored(self, layer: BlobLayer) -> TarLayer[TarTree]:
        """A layer as an engine would have unpacked it: whiteouts are devices, marks are attributes."""
        with self._lock:
            found = self._layers.get(layer.chain_id)
            if found is None:
                key = int(layer.chain_id.hex[:15], 16)
                load, below = (lambda: self._loaded(layer)), (lambda: self._below(layer))
                found = TarLayer(layer.blob.label, key, load, below, lambda: self._place(layer.blob))
                self._layers[layer.chain_id] = found
            self._recent.append(found)
            return found

    def tree(self, layer: BlobLayer) -> TarTree:
        """The entries of a layer's tar; raises `CorruptStore`."""
        try:
            return self.stored(layer).tree
        except OSError as error:
            if isinstance(error.__cause__, CorruptStore):
                raise error.__cause__ from None
            raise MalformedFile(layer.blob.label, reason(error)) from error

    def size(self, layer: BlobLayer) -> int:
        """See `BlobLayer.size`; stored in the cache."""
        blob = packed(layer.blob)
        noted = self._cache.recall(blob).get("content")
        if isinstance(noted, int):
            return noted
        stamp = blob.stamp()
        found = _content_size(self.tree(layer))
        self._cache.remember(blob, stamp, content=found)
        return found

    def diff_id(self, blob: Blob) -> str:
        """The sha256 of a blob's uncompressed content; raises `CorruptStore`."""
        return self.plain(blob).diff_id

    def watched(self, told: Callable[[str, int, int], None]) -> AbstractContextManager[None]:
        """A context in which `told` is called while blobs are read as a whole; see `Cache.watched`."""
        return self._cache.watched(told)

    def plain(self, blob: Blob, *, fresh: bool = False) -> Plain:
        """The uncompressed content of a blob, in the archive or the cache; see `Cache.plain`."""
        return self._cache.plain(packed(blob), fresh=fresh)

    # -- loading -------------------------------------------------------------------------------

    def _loaded(self, layer: BlobLayer) -> TarTree:
        with self._lock:
            alone = self._loading.setdefault(layer.chain_id, threading.Lock())
        with alone:
            blob = layer.blob
            what = packed(blob)
            file, offset, size = blob.file, blob.offset, blob.size
            if what.compression is not Compression.NONE:
                plain = self._cache.plain(what)
                file, offset, size = plain.file, plain.offset, plain.size
                self._compare(layer, plain)
            try:
                found = TarTree(
                    file,
                    self._taken(members(lambda at, length: file.pread(length, at), size, offset)),
                    self._weights.room,
                    markers=self._markers,
                    deleting=self._as_unpacked is not None and layer.parent is None,
                )
            except FormatError as error:
                raise MalformedFile(
                    blob.label, error.problem, expected=error.expected, found=error.found
                ) from error
            self._weights.count(found, found.originals.weight)
        for fault in found.faults:
            self._report(CorruptStore(blob.label, fault))
        return found

    def _place(self, blob: Blob) -> TarPlace | None:
        found = self._path_of(blob)
        return found and TarPlace(*found, packed(blob).compression, lambda: self._names(blob))

    def _names(self, blob: Blob) -> Mapping[bytes, bytes]:
        """As `sole_files`; nothing where the tar is damaged, which is told when it is shown."""
        try:
            content = self.plain(blob)
            file, begin = content.file, content.offset
            return sole_files(members(lambda at, length: file.pread(length, at), content.size, begin))
        except (CorruptStore, FormatError, OSError):
            return {}

    def _taken(self, found: Iterable[TarMember]) -> Iterable[TarMember]:
        """Members with their headers as the engine takes them."""
        change = self._as_unpacked
        return (item._replace(header=change(item.header)) for item in found) if change else found

    def _compare(self, layer: BlobLayer, plain: Plain) -> None:
        """Report a blob that disagrees with its name, or with the config; it is shown nevertheless."""
        label = layer.blob.label
        if layer.digest and plain.digest != layer.digest:
            self._report(DigestMismatch(
                label, "the blob does not hash to its name", expected=layer.digest, found=plain.digest
            ))  # fmt: skip
        if plain.diff_id != layer.diff_id:
            self._report(DigestMismatch(
                label, "the layer is not the one in the config", expected=layer.diff_id, found=plain.diff_id
            ))  # fmt: skip


def missing(label: str, problem: CorruptStore | None) -> CorruptStore:
    """The error for a layer whose blob is not in the archive."""
    return problem or MissingFile(label, "the layer is not in the archive")


def _content_size(tree: TarTree) -> int:
    """The size that an engine records for a layer (moby `pkg/directory`): directories do not count."""
    total, seen, pending = 0, set(), [tree.originals.root]
    while pending:
        for child in (pending.pop().children or {}).values():
            if child.kind == stat.S_IFDIR:
                pending.append(child)
            elif child.links == 1 or child.number not in seen:
                seen.add(child.number)
                total += _size(child)
    return total


def _size(original: Original) -> int:
    return original.size if original.kind == stat.S_IFREG else len(original.target)
