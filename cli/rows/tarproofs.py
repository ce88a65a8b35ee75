"""Commands to paste about what lies in the tar of a layer: of an archive, a layout, or a blob not unpacked.

They are of tar alone, and of the program that unpacks a layer inside an archive. Where a name would not
reach tar as it is (it is not visible, or tar would take it for something else), or several members have it,
there is none.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from ..paste import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.tree.node import Part
    from layerfs.tree.union import UnionTree

__all__ = ["Proof", "TarProofs"]


class Proof(NamedTuple):
    """A command line, and the value that it prints: the beginning of its output."""

    command: str
    value: str


class TarProofs:
    """Makes commands about the layers of one tree that are tars; of all others there are none."""

    def __init__(self, tree: UnionTree) -> None:
        """Make commands about the layers of `tree`."""
        self._tree = tree
        self._of_layer = functools.cache(self._read)

    def file(self, part: Part) -> str | None:
        """The command that writes the content of a regular file."""
        layer = self._of_layer(part.layer)
        member = layer and _word(layer.files.get(part.path))
        return f"{layer.reads('-xOf')} {member}" if layer and member else None

    def of(self, part: Part, program: str, value: str) -> Proof | None:
        """What a program prints of the content of a regular file."""
        command = self.file(part)
        return Proof(f"{command} | {program}", value) if command else None

    def mark(self, part: Part, mark: str) -> Proof | None:
        """The member that is a whiteout of a place, or marks a directory as `opaque`."""
        from layerfs.formats.unpacked import OPAQUE_MARKER, WHITEOUT

        above, slash, name = part.path.rpartition(b"/")
        path = part.path + b"/" + OPAQUE_MARKER if mark == "opaque" else above + slash + WHITEOUT + name
        layer = self._of_layer(part.layer)
        found = layer and layer.files.get(path)
        member = _word(found)
        if not layer or not found or not member or not found.isascii():  # tar lists other names in octal
            return None
        return Proof(f"{layer.reads('-tf')} {member}", found.decode())

    def _read(self, number: int) -> _Layer | None:
        """What is to be known of a layer; None of one that no tar gets at."""
        from layerfs.analysis.explain.places import tar_place
        from layerfs.formats.compression import UNPACKING

        place = tar_place(self._tree.layers[number])
        path = place and quoted(
            place.path if "/" in place.path else f"./{place.path}"
        )  # else it may be a host
        if not place or not path:
            return None
        if not place.member:  # tar finds out by itself how a file is packed
            return _Layer(path, "", place.files())
        member = _word(place.member)
        between = " | ".join(filter(None, (f"tar -xOf {path} {member}", UNPACKING[place.compression])))
        return _Layer("-", f"{between} | ", place.files()) if member else None


class _Layer(NamedTuple):
    """How a layer's tar is read.

    Attributes:
        archive: what tar reads.
        before: the commands that give it that.
        files: as `sole_files`.
    """

    archive: str
    before: str
    files: Mapping[bytes, bytes]

    def reads(self, options: str) -> str:
        """The call of tar that a member's name completes."""
        return f"{self.before}tar {options} {self.archive}"


def _word(member: bytes | None) -> str | None:
    """A member's name for a command line; None where tar would take it for something else."""
    if member is None or member.startswith(b"-") or b"\\" in member:
        return None
    return quoted(os.fsdecode(member))
