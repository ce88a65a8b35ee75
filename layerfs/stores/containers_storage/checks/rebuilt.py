"""A layer's tar made anew from its headers and from contents that do not lie in a tree of the layer alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore
from layerfs.ids import DiffID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.analysis.verify.layerfindings import LayerFindings
    from layerfs.layertar import Buffer
    from layerfs.stores.layerarchive import Fault, LayerArchive

__all__ = ["CODES", "Rebuilt", "rebuilt", "told_of_faults"]

CODES = {
    "missing": ("entry-missing", "it is in the archive, but not on disk"),
    "unreadable": ("unreadable", "cannot be read"),
    "type": ("type-altered", "of another type"),
    "size": ("size-altered", "the file has another size"),
    "content": ("content-altered", "the content was changed"),
}
"""The findings for faults of contents."""


class Rebuilt(NamedTuple):
    """What came of it.

    Attributes:
        proven: whether its sha256 is the diff ID.
        size: its bytes.
        faults: the contents that are not those of the tar.
        is_whole: whether the headers could be read to their end.
    """

    proven: bool
    size: int
    faults: Sequence[Fault]
    is_whole: bool


def rebuilt(
    archive: LayerArchive, diff_id: DiffID, found: LayerFindings, told: Callable[[int], object]
) -> Rebuilt:
    """Make the tar anew and hash it; damage of the headers is added to `found`, faults are not."""
    hasher, size = hashlib.sha256(), 0

    def write(piece: Buffer) -> None:
        nonlocal size
        hasher.update(piece)
        size += len(piece)
        told(len(piece))

    faults: list[Fault] = []
    try:
        faults.extend(archive.rebuild(write, cut=True))
    except CorruptStore as error:
        found.add(f"{archive.noun}-malformed", error.path, error.expected, error.found, error.problem)
        return Rebuilt(proven=False, size=size, faults=faults, is_whole=False)
    own = DiffID.from_hex(hasher.hexdigest())
    proven = own == diff_id
    if archive.unclosed and not proven:
        found.add(f"{archive.noun}-malformed", archive.name, None, None, "the file ends before its end")
        return Rebuilt(proven=False, size=size, faults=faults, is_whole=False)
    if not proven and not faults:
        message = "every file fits its checksum, and yet this is not the layer's tar"
        found.add(f"{archive.noun}-altered", archive.name, diff_id, own, message)
    return Rebuilt(proven, size, faults, is_whole=True)


def told_of_faults(faults: Sequence[Fault], found: LayerFindings, *, proven: bool) -> None:
    """Add the findings for faults; where the tar is right, it is a checksum that is not."""
    for fault in faults:
        code, message = CODES[fault.what]
        if proven:
            code, message = "checksum-altered", "the content is the original; its checksum is not"
        found.add(code, fault.path, fault.expected, fault.found, message)
