"""A layer as the tar it was registered from, checked while it is written."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DigestMismatch, MalformedFile, MissingFile
from layerfs.formats.tarsplit import Member

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.ids import DiffID
    from layerfs.layertar import Buffer
    from layerfs.stores.layerarchive import Fault, LayerArchive

__all__ = ["SPARSE", "OriginalTar", "sparse_members", "tell"]

SPARSE = "was stored sparse: the layer's tar cannot be rebuilt"

_HINT = "--salvage exports what can be rebuilt"


class OriginalTar:
    """The original tar of a layer; `write` raises unless it is byte for byte the same.

    tar-split data without an end mark, as early engines wrote them, are accepted: the digest decides.
    """

    def __init__(self, archive: LayerArchive, diff_id: DiffID) -> None:
        """The tar that `archive` rebuilds; `diff_id` is its sha256."""
        self._archive = archive
        self.diff_id = diff_id

    @functools.cached_property
    def size(self) -> int:
        """Its bytes; raises `CorruptStore`."""
        return self._archive.size(cut=True)

    def write(self, write: Callable[[Buffer], object]) -> None:
        """Write it; raises `CorruptStore` at the first file that differs, or at the end by the digest."""
        digest = hashlib.sha256()

        def checked(piece: Buffer) -> None:
            digest.update(piece)
            write(piece)

        for fault in self._archive.rebuild(checked, cut=True):
            raise tell(self._archive, fault, hint=_HINT)
        found = f"sha256:{digest.hexdigest()}"
        if found != self.diff_id:
            for path in sparse_members(self._archive):
                raise MalformedFile(self._archive.diff.name_of(path), SPARSE, hint=_HINT)
            problem = "the tar rebuilt from it is not the layer's"
            raise DigestMismatch(self._archive.name, problem, expected=self.diff_id, found=found, hint=_HINT)


def sparse_members(archive: LayerArchive) -> list[bytes]:
    """The sparse files of the tar; tar-split does not record where their holes were."""
    return [
        member.path for member in archive.members() if isinstance(member, Member) and member.header.sparse
    ]


def tell(archive: LayerArchive, fault: Fault, *, hint: str | None = None) -> CorruptStore:
    """The fault of a file of a layer as an error that names it."""
    path = archive.diff.name_of(fault.path)
    if fault.what == "missing":
        return MissingFile(path, "the file is missing", hint=hint)
    if fault.what == "content":
        return DigestMismatch(
            path, "the file was altered", expected=f"CRC-64 {fault.expected}", found=fault.found, hint=hint
        )
    problem = "the file was altered" if fault.what == "size" else "the file cannot be read"
    unit = " bytes" if fault.what == "size" else ""
    return MalformedFile(path, problem, expected=fault.expected + unit, found=fault.found + unit, hint=hint)
