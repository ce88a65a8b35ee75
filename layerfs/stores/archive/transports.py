"""The transports of archives and layouts: each reads some forms, and refuses all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import ImageNotFound, MalformedFile, NotAnArchive
from layerfs.formats.descriptors import parse_manifest
from layerfs.ids import ImageID
from layerfs.stores.archive.archived import Form, read_parsed
from layerfs.stores.archive.dockerarchive import MANIFEST, archive_entries, archive_image
from layerfs.stores.archive.kind import open_kind
from layerfs.stores.archive.layout import INDEX
from layerfs.stores.archive.store import ArchiveStore
from layerfs.stores.blobs.outer import DirectoryOuter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.errors import CorruptStore
    from layerfs.store import Store
    from layerfs.stores.registry import Options

__all__ = ["image_at", "open_transport"]

_DOCKER_ARCHIVE = "docker-archive"
_Listed = TypeVar("_Listed")


def open_transport(transport: str, path: str, options: Options) -> ArchiveStore:
    """Open the archive at `path`.

    Raises:
        NotAnArchive: it is no archive, or of a form that `transport` does not read.
        CorruptStore, CacheError: as `ArchiveStore.open`.
    """
    store = open_kind(path, options)
    fitting = list(_transports(store))
    if transport not in fitting:
        what = "directory" if isinstance(store.outer, DirectoryOuter) else "file"
        plain = path if path.startswith(("/", "./", "../")) else f"./{path}"
        raise NotAnArchive(
            f"{path}: a {what} with the form {str(store.form)!r}: not what {transport}: means",
            hint=f"write {fitting[0]}:{path}" if fitting else f"write {plain}",
        )
    return store


def image_at(transport: str, store: Store, index: int) -> ImageID:
    """The image at an index of `manifest.json`, or in a layout of `index.json`; the first is 0, as in skopeo.

    Raises:
        ImageNotFound: the list is shorter, or the entry is no image.
        CorruptStore: the list or the image's config cannot be read.
    """
    assert isinstance(store, ArchiveStore)  # noqa: S101 - as `open_transport` gives it
    if transport == _DOCKER_ARCHIVE:
        entries = archive_entries(store.outer, _raise)
        entry = _at(store, transport, entries, index)
        return ImageID.of(archive_image(store.outer, entry).config_bytes)
    blob = store.outer.find(INDEX)
    manifests = read_parsed(blob, parse_manifest).manifests if blob else ()
    return store.names.image_id(_at(store, transport, manifests, index).digest)


def _at(store: ArchiveStore, transport: str, listed: Sequence[_Listed], index: int) -> _Listed:
    """An entry of a list in a member; raises `ImageNotFound`, which says what the list has."""
    if index < len(listed):
        return listed[index]
    member = MANIFEST if transport == _DOCKER_ARCHIVE else INDEX
    there = "no image" if not listed else f"{len(listed)} images, the last is @{len(listed) - 1}"
    there = "one image, @0" if len(listed) == 1 else there
    raise ImageNotFound(
        f"{store.path}: no image @{index}: {member.decode()} lists {there}",
        hint=f"layer {index} of the only image is {transport}:{store.path}@{index}"
        if len(listed) == 1
        else None,
    )


def _raise(error: CorruptStore) -> None:
    raise error


def _transports(store: ArchiveStore) -> Iterator[str]:
    """Every transport that reads an archive; a layout can be a docker archive too."""
    directory = isinstance(store.outer, DirectoryOuter)
    if store.form is Form.OCI:
        yield "oci" if directory else "oci-archive"
        if _has_manifest(store):
            yield _DOCKER_ARCHIVE
    elif store.form in (Form.DOCKER, Form.LEGACY):
        yield _DOCKER_ARCHIVE
    elif store.form is Form.DIR and directory:
        yield "dir"


def _has_manifest(store: ArchiveStore) -> bool:
    try:
        return store.outer.find(MANIFEST) is not None
    except MalformedFile:
        return True
