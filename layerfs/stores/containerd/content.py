"""`io.containerd.content.v1.content`: the blobs, by digest, laid out as in an OCI layout.

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
from layerfs.hostfile import read_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.descriptors import Descriptor
    from layerfs.hostdir import HostDir
    from layerfs.stores.blobs.outer import Blob, DirectoryOuter

__all__ = ["CONTENT", "Content"]

CONTENT = "io.containerd.content.v1.content"

_ALGORITHMS = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_USUAL = 1 << 20  # bytes of a document; a larger one is read as other blobs are


class Content:
    """The blobs of one containerd root; all namespaces share them."""

    def __init__(self, root: HostDir) -> None:
        """Read the content store of the containerd root `root`."""
        self._root = root

    @functools.cached_property
    def _outer(self) -> DirectoryOuter | None:
        """All of them; None where the directory cannot be opened: every blob is missing then."""
        from layerfs.stores.blobs.outer import DirectoryOuter  # noqa: PLC0415 - sound documents need no more
        from layerfs.tree.pooledfile import shared_files  # noqa: PLC0415 - likewise

        try:
            return DirectoryOuter(self._root.subdir(CONTENT), shared_files())
        except OSError:
            return None

    def name_of(self, digest: str) -> str:
        """The path of a blob, for messages."""
        return self._root.name_of(f"{CONTENT}/blobs/{digest.replace(':', '/', 1)}")

    def find(self, digest: str) -> Blob | None:
        """The blob of a digest (of a valid form); None if it is not there.

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
        """The directories of unfinished downloads, sorted."""
        names = self._outer.below(b"ingest") if self._outer else ()
        return sorted(os.fsdecode(name) for name in names)

    def size(self, digest: str) -> int | None:
        """The size of a blob in bytes; None if it is not there, or cannot be read."""
        found = self.find(digest)
        return found.size if found else None

    def document(self, descriptor: Descriptor) -> bytes:
        """The bytes of a small blob, such as a manifest, checked by its digest.

        Raises:
            MissingFile: the blob is not there.
            DigestMismatch: its content has another digest.
            MalformedFile: it cannot be read, or is too large.
        """
        digest = descriptor.digest
        algorithm, _, wanted = digest.partition(":")
        content = self._plain(algorithm, wanted)
        if content is None:
            content = self._small(digest)
        if algorithm in _ALGORITHMS:
            computed = _ALGORITHMS[algorithm](content).hexdigest()
            if computed != wanted:
                blob = self.find(digest)  # a link is called by what it leads to
                name = blob.label if blob else self.name_of(digest)
                raise DigestMismatch(
                    name, "the content does not hash to its name", expected=wanted, found=computed
                )
        return content

    def _plain(self, algorithm: str, digits: str) -> bytes | None:
        """All of a plain file of usual size, with few calls, as a list reads thousands; None of another."""
        folder = self._folders.get(algorithm)
        if folder is None:
            return None
        name = digits.encode()
        try:
            status = folder.lstat(name)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _USUAL:
                return None
            return read_once(folder.open_seen(name), status.st_size)
        except OSError:
            return None

    def _small(self, digest: str) -> bytes:
        """All of a document that is no plain file, or why it cannot be read; raises as `document`."""
        blob = self.find(digest)
        if blob is None:
            raise MissingFile(self.name_of(digest), "the blob is not in the content store")
        return blob.small()

    @functools.cached_property
    def _folders(self) -> Mapping[str, HostDir]:
        """The directories of blobs, open, for reading documents once; no pool is needed."""
        found: dict[str, HostDir] = {}
        for algorithm in _ALGORITHMS:
            with contextlib.suppress(OSError):
                found[algorithm] = self._root.subdir(f"{CONTENT}/blobs/{algorithm}")
        return found
