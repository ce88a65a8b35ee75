"""`io.containerd.content.v1.content`: the blobs, by digest. The form is that of an OCI layout.

Source: containerd `plugins/content/local/store.go`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from layerfs.errors import DigestMismatch, MissingFile
from layerfs.hostfile import HostFile
from layerfs.stores.blobs.outer import MOST_SMALL, DirectoryOuter
from layerfs.tree.pooledfile import shared_files
from layerfs.witness import LISTENERS, tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.descriptors import Descriptor
    from layerfs.hostdir import HostDir
    from layerfs.stores.blobs.outer import Blob

__all__ = ["CONTENT", "Content"]

CONTENT = "io.containerd.content.v1.content"

_ALGORITHMS = ("sha256", "sha384", "sha512")


class Content:
    """The blobs of one containerd root; all namespaces share them."""

    def __init__(self, root: HostDir) -> None:
        """Those below the containerd root `root`."""
        self._root = root
        self._outer: DirectoryOuter | None = None
        with contextlib.suppress(OSError):  # every blob is missing then
            self._outer = DirectoryOuter(root.subdir(CONTENT), shared_files())

    def name_of(self, digest: str) -> str:
        """What to call a blob in messages."""
        return self._root.name_of(f"{CONTENT}/blobs/{digest.replace(':', '/', 1)}")

    def find(self, digest: str) -> Blob | None:
        """The blob of a digest, whose form was checked; None where it is not there.

        Raises:
            MalformedFile: it is no regular file, or cannot be read.
        """
        if self._outer is None:
            return None
        return self._outer.find(f"blobs/{digest.replace(':', '/', 1)}".encode())

    def files(self) -> Iterator[tuple[str, str]]:
        """The algorithm and the digits of every blob that is there, sorted."""
        for algorithm in _ALGORITHMS:
            names = self._outer.below(f"blobs/{algorithm}".encode()) if self._outer else ()
            for name in sorted(names):
                yield algorithm, name.decode("ascii", "backslashreplace")

    def ingests(self) -> list[str]:
        """The directories of downloads that did not end, sorted."""
        names = self._outer.below(b"ingest") if self._outer else ()
        return sorted(os.fsdecode(name) for name in names)

    def size(self, digest: str) -> int | None:
        """Bytes of a blob that is there; None of one that is not, or that cannot be read."""
        found = self.find(digest)
        return found.size if found else None

    def document(self, descriptor: Descriptor) -> bytes:
        """The bytes of a small blob, which hash to its digest.

        Raises:
            MissingFile: it is not there.
            DigestMismatch: it is another.
            MalformedFile: it cannot be read, or is too large for a document.
        """
        content = self._small(descriptor.digest)
        algorithm, _, wanted = descriptor.digest.partition(":")
        if algorithm in _ALGORITHMS:
            computed = hashlib.new(algorithm, content).hexdigest()
            if computed != wanted:
                blob = self.find(descriptor.digest)  # a link is called by what it leads to
                name = blob.label if blob else self.name_of(descriptor.digest)
                raise DigestMismatch(
                    name, "the content does not hash to its name", expected=wanted, found=computed
                )
        return content

    def _small(self, digest: str) -> bytes:
        """All of a blob that is a document; raises as `document`."""
        algorithm, _, name = digest.partition(":")
        if folder := self._folders.get(algorithm):
            with contextlib.suppress(OSError):  # what is no plain file is told below
                return _read(folder, os.fsencode(name))
        blob = self.find(digest)
        if blob is None:
            raise MissingFile(self.name_of(digest), "the blob is not in the content store")
        return blob.small()

    @functools.cached_property
    def _folders(self) -> Mapping[str, HostDir]:
        """The directories that documents are read in, which need no pool as blobs do: each is read once."""
        found: dict[str, HostDir] = {}
        for algorithm in _ALGORITHMS:
            with contextlib.suppress(OSError):
                found[algorithm] = self._root.subdir(f"{CONTENT}/blobs/{algorithm}")
        return found


def _read(folder: HostDir, name: bytes) -> bytes:
    """All of a document: as `HostDir.read`, with half of its calls, as a listing reads thousands."""
    status = folder.lstat(name)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_SMALL:
        return folder.read(name, MOST_SMALL)  # which tells why not
    with HostFile(folder.open_seen(name)) as file:
        content = file.read(0, status.st_size)
    if LISTENERS:
        tell(folder.name_of(name), content)
    return content
