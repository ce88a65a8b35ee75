"""Finds all faults of an archive: digests, sizes, diff IDs, names, and the tars of its layers.

Every blob is read, also if the cache has its content.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from layerfs.capabilities import unwatched
from layerfs.errors import CorruptStore, DigestMismatch, MalformedFile, MissingFile
from layerfs.formats.compression import Compression
from layerfs.formats.descriptors import Descriptor, parse_manifest
from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference
from layerfs.model import Finding
from layerfs.stores.archive.archived import Form, read_parsed
from layerfs.stores.archive.contents import images_of
from layerfs.stores.archive.dockerarchive import archive_entries
from layerfs.stores.archive.layout import algorithm_of, index_entries, name_of
from layerfs.stores.blobs.layers import missing, packed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from layerfs.capabilities import Progress
    from layerfs.ids import ChainID, ImageID
    from layerfs.stores.archive.archived import ArchivedImage, ArchivedLayer
    from layerfs.stores.archive.images import ArchiveImage
    from layerfs.stores.archive.store import ArchiveStore
    from layerfs.stores.blobs.layers import BlobLayer
    from layerfs.stores.blobs.outer import Blob

__all__ = ["faults_of"]

_ARCHIVE = "archive"
_DEEPEST = 8
_PACKED = {
    "+gzip": Compression.GZIP,
    ".gzip": Compression.GZIP,
    "+zstd": Compression.ZSTD,
    ".tar": Compression.NONE,
}
"""The compression for the end of a media type."""


def faults_of(
    store: ArchiveStore, only: Collection[ImageID | ChainID] | None = None, on_progress: Progress = unwatched
) -> Iterator[Finding]:
    """Every fault of an archive: those of documents and blobs, then those of layers, each layer once.

    Args:
        store: the archive.
        only: check only these images and layers; None for all.
        on_progress: called with the part `layers`, counted in stored bytes.

    Raises:
        CacheError: there is no room to decompress a layer.
    """
    yield from _of_documents(store)
    seen: set[tuple[str, str, str]] = set()
    with store.files.watched(_Meter(_layer_bytes(store, only), on_progress)):
        for image in store.images(all_platforms=True):
            for archived in image.variants:
                if only is None or image.id in only:
                    yield from _of_config(store, image, archived)
                yield from _of_layers(store, image, archived, seen, only)


class _Meter:
    """Adds up the cache's progress of single blobs to that of all layers."""

    def __init__(self, total: int, on_progress: Progress) -> None:
        self._total = total
        self._told = on_progress
        self._done = 0
        self._before = "", 0

    def __call__(self, label: str, done: int, _size: int) -> None:
        """Note that `done` bytes of the blob `label` are done."""
        name, before = self._before
        self._before = label, done
        new = done - before if name == label and done >= before else done
        new = min(new, self._total - self._done)  # a blob with two diff IDs is read twice, but counts once
        self._done += new
        self._told("layers", new, self._total)


def _layer_bytes(store: ArchiveStore, only: Collection[ImageID | ChainID] | None) -> int:
    """Bytes of the blobs of all layers to check."""
    found = {
        layer.blob.place: layer.blob.size
        for image in store.images(all_platforms=True)
        for archived in image.variants
        for chain, layer in zip(image.chain, archived.layers, strict=True)
        if layer.blob and (only is None or chain in only)
    }
    return sum(found.values())


# -- documents -------------------------------------------------------------------------------------


def _of_documents(store: ArchiveStore) -> Iterator[Finding]:
    """The faults of the archive itself, and of the documents that name images and blobs."""
    outer = store.outer
    if outer.fault:
        yield _of_error(outer.fault, "archive", _ARCHIVE)
    for name in outer.repeated:
        path = f"{outer.label}:{name.decode('utf-8', 'backslashreplace')}"
        yield Finding(
            "member-repeated", "warning", _ARCHIVE, path, message="several members: the last counts"
        )
    damage: list[CorruptStore] = []
    images_of(outer, store.form, damage.append, store.files.diff_id)
    yield from (_of_error(problem, "image", _ARCHIVE) for problem in damage)
    if store.form is Form.OCI:
        yield from _of_index(store)
        yield from _of_blobs(store)


def _of_config(store: ArchiveStore, image: ArchiveImage, archived: ArchivedImage) -> Iterator[Finding]:
    """A config whose name, in Docker's archives its digest, is wrong; readers do not check that."""
    place = archived.place or ""
    digits = place.rpartition("/")[2].removesuffix(".json")
    if len(digits) == 64 and digits != image.id.hex:
        yield Finding(
            "config-altered", "error", f"image {image.id}", f"{store.outer.label}:{place}",
            digits, image.id.hex, "the content does not hash to its name",
        )  # fmt: skip
    history = [entry for entry in archived.config.history if not entry.empty_layer]
    if history and len(history) != len(archived.layers):
        yield Finding(
            "history-differs", "warning", f"image {image.id}", f"{store.outer.label}:{place}",
            str(len(archived.layers)), str(len(history)), "the history does not have a step for each layer",
        )  # fmt: skip


def _of_index(store: ArchiveStore) -> Iterator[Finding]:
    """Missing blobs that `index.json` names, and contradictions between it and `manifest.json`."""
    ignored: list[CorruptStore] = []
    entries = index_entries(store.outer, ignored.append)
    seen: set[str] = set()
    for same in entries.values():
        yield from _below(store, same[0], 0, seen)
    rows = archive_entries(store.outer, ignored.append)
    if not rows or not entries:
        return
    by_place = {
        archived.place: (image, archived)
        for image in store.images(all_platforms=True)
        for archived in image.variants
    }
    for row in rows:
        if row.config not in by_place:
            continue  # reported as an image that cannot be read
        image, archived = by_place[row.config]
        subject, path = f"image {image.id}", f"{store.outer.label}:manifest.json"
        if archived.top is None:
            yield Finding(
                "index-lacks", "error", subject, path, message="an image that index.json does not have"
            )
            continue
        indexed = _normal(name for item in entries.get(archived.top, ()) if (name := name_of(item)))
        named = _normal(row.names)
        if named != indexed:
            yield Finding(
                "names-differ", "warning", subject, path, _list(indexed), _list(named),
                "not the names of index.json",
            )  # fmt: skip
        layers = [layer.blob.place.decode() if layer.blob else "" for layer in archived.layers]
        if [blob.place.decode() for name in row.layers if (blob := _found(store, name))] != layers:
            yield Finding(
                "layers-differ", "error", subject, path, _list(layers), _list(row.layers),
                "not the layers of the image's manifest",
            )  # fmt: skip


def _below(store: ArchiveStore, descriptor: Descriptor, depth: int, seen: set[str]) -> Iterator[Finding]:
    """Wrong sizes of documents, and platforms of an index that are missing in the archive."""
    if descriptor.digest in seen or depth > _DEEPEST:
        return
    seen.add(descriptor.digest)
    path = f"{store.outer.label}:{descriptor.blob_path}"
    try:
        blob = store.outer.find(descriptor.blob_path.encode())
        if blob is None:
            if depth and not descriptor.is_attestation:
                yield Finding(
                    "platform-missing", "note", _ARCHIVE, path, descriptor.digest, None,
                    f"the image for {descriptor.platform or 'a platform'} is not in the archive",
                )  # fmt: skip
            return
        yield from _of_size(store, descriptor, blob)
        manifest = read_parsed(blob, parse_manifest)
        if manifest.config and (config := store.outer.find(manifest.config.blob_path.encode())):
            yield from _of_size(store, manifest.config, config)
    except CorruptStore:
        return  # reported as an image that cannot be read
    for child in manifest.manifests:
        yield from _below(store, child, depth + 1, seen)


def _of_size(store: ArchiveStore, descriptor: Descriptor, blob: Blob) -> Iterator[Finding]:
    if blob.size != descriptor.size:
        path = f"{store.outer.label}:{descriptor.blob_path}"
        yield Finding(
            "size-differs", "error", _ARCHIVE, path, f"{descriptor.size} bytes", f"{blob.size} bytes",
            "not as long as its descriptor says",
        )  # fmt: skip


def _of_blobs(store: ArchiveStore) -> Iterator[Finding]:
    """Blobs that no image uses, and that have a wrong digest; the others are checked with their layers."""
    used = {
        layer.blob.place
        for image in store.images(all_platforms=True)
        for archived in image.variants
        for layer in archived.layers
        if layer.blob
    }
    for name in store.outer.below(b"blobs/sha256"):
        place = b"blobs/sha256/" + name
        try:
            blob = None if place in used else store.outer.find(place)
            computed = _hash(blob) if blob else None
        except CorruptStore as error:
            yield _of_error(error, "blob", _ARCHIVE)
            continue
        if blob and computed != name.decode("ascii", "replace"):
            yield Finding(
                "blob-altered", "error", _ARCHIVE, blob.label, name.decode("ascii", "backslashreplace"),
                computed, "the content does not hash to its name",
            )  # fmt: skip


def _hash(blob: Blob) -> str:
    digest = hashlib.sha256()
    for _ in packed(blob).pieces(digest.update):
        pass
    return digest.hexdigest()


# -- layers ----------------------------------------------------------------------------------------


def _of_layers(
    store: ArchiveStore,
    image: ArchiveImage,
    archived: ArchivedImage,
    seen: set[tuple[str, str, str]],
    only: Collection[ImageID | ChainID] | None,
) -> Iterator[Finding]:
    records: tuple[BlobLayer, ...] = ()
    if all(layer.blob for layer in archived.layers):
        records = store.chain_of(archived)
    for number, layer in enumerate(archived.layers):
        diff_id, chain = image.config.diff_ids[number], image.chain[number]
        if only is not None and chain not in only:
            continue
        if layer.blob is None:
            problem = missing(f"{store.outer.label}:{layer.name}", layer.problem)
            yield _of_error(problem, "layer", f"image {image.id}")
        elif (key := (layer.name, diff_id, layer.media_type)) not in seen:
            seen.add(key)
            found = list(_of_layer(store, layer, layer.blob, diff_id, f"layer {chain}"))
            yield from found
            if records and all(fault.code != "layer-malformed" for fault in found):
                yield from _of_tar(store, records[number])


def _of_layer(
    store: ArchiveStore, layer: ArchivedLayer, blob: Blob, diff_id: str, subject: str
) -> Iterator[Finding]:
    """The faults of a layer's bytes, compared with its descriptor and the config."""
    if layer.size is not None and layer.size != blob.size:
        yield Finding(
            "size-differs", "error", subject, blob.label, f"{layer.size} bytes", f"{blob.size} bytes",
            "not as long as its descriptor says",
        )  # fmt: skip
    try:
        what = packed(blob)
        said = next((_PACKED[end] for end in _PACKED if layer.media_type.endswith(end)), None)
        if said is not None and said is not what.compression:
            yield Finding(
                "media-type-wrong", "note", subject, blob.label, said, what.compression,
                "not compressed as its media type says", "engines look at the bytes",
            )  # fmt: skip
        plain = store.files.plain(blob, fresh=True)
    except CorruptStore as error:
        yield _of_error(error, "layer", subject)
        return
    algorithm = algorithm_of(layer.name)
    found = plain.digest if algorithm == "sha256" else None
    if algorithm and algorithm != "sha256":
        digest = hashlib.new(algorithm)
        for _ in what.pieces(digest.update):
            pass
        found = f"{algorithm}:{digest.hexdigest()}"
    if found and found != layer.name:
        yield Finding(
            "layer-altered", "error", subject, blob.label, layer.name, found,
            "the blob does not hash to its name",
        )  # fmt: skip
    if plain.diff_id != diff_id:
        yield Finding(
            "diff-id-wrong", "error", subject, blob.label, diff_id, plain.diff_id,
            "the layer is not the one in the config",
        )  # fmt: skip


def _of_tar(store: ArchiveStore, layer: BlobLayer) -> Iterator[Finding]:
    """What is unusual in a layer's tar, or makes it unreadable."""
    subject = f"layer {layer.chain_id}"
    try:
        faults = store.files.tree(layer).faults
    except CorruptStore as error:
        yield _of_error(error, "tar", subject)
        return
    for fault in faults:
        yield Finding("tar-odd", "warning", subject, layer.blob.label, message=fault)


# -- common ----------------------------------------------------------------------------------------


def _of_error(problem: CorruptStore, noun: str, subject: str) -> Finding:
    kind = "wrong"
    if isinstance(problem, MissingFile):
        kind = "missing"
    elif isinstance(problem, DigestMismatch):
        kind = "altered"
    elif isinstance(problem, MalformedFile):
        kind = "malformed"
    return Finding(
        f"{noun}-{kind}", "error", subject, problem.path, problem.expected, problem.found,
        problem.problem, problem.hint,
    )  # fmt: skip


def _found(store: ArchiveStore, name: str) -> Blob | None:
    try:
        return store.outer.find(name.encode("utf-8", "surrogateescape"))
    except CorruptStore:
        return None


def _normal(names: Iterable[str]) -> set[str]:
    found = set()
    for name in names:
        try:
            found.add(str(parse_reference(name).with_default_tag()))
        except FormatError:
            found.add(name)
    return found


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
