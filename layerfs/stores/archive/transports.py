"""The transports of archives and layouts: each is for some forms, and nothing else is read by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile, NotAnArchive
from layerfs.stores.archive.archived import Form
from layerfs.stores.archive.dockerarchive import MANIFEST
from layerfs.stores.archive.kind import open_kind
from layerfs.stores.blobs.outer import DirectoryOuter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.stores.archive.store import ArchiveStore
    from layerfs.stores.registry import Options

__all__ = ["open_transport"]

_DOCKER_ARCHIVE = "docker-archive"


def open_transport(transport: str, path: str, options: Options) -> ArchiveStore:
    """Open the archive at `path`.

    Raises:
        NotAnArchive: it is none, or of another form than `transport` says.
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


def _transports(store: ArchiveStore) -> Iterator[str]:
    """Every transport by which an archive is read; a layout may be a docker archive as well."""
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
