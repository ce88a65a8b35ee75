"""Rebuilds damaged layers as far as possible, so that their images can be loaded again.

A sound layer is written unchanged. In a damaged one, sound members are written byte for byte; an altered file
is written as it is on disk, a missing one is left out. Without usable tar-split data the tar is made from
`diff/`. Then the layer gets another diff ID, and the image another config and ID. Each loss is logged as
damage.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Protocol

from layerfs.analysis.verify.strays import strays
from layerfs.errors import CorruptStore, DataRootUnreadable, MalformedFile
from layerfs.formats.tarheader import BLOCK
from layerfs.formats.tarpack import pack, padding
from layerfs.formats.tarsplit import Segment, clean_name
from layerfs.ids import DiffID, ImageID, chain_id
from layerfs.stores.originaltar import SPARSE, OriginalTar, sparse_members, tell
from layerfs.stores.remade import Made, lost_layer, tell_loss, with_layers
from layerfs.views.export.members import TreeTar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from layerfs.errors import LayerfsError
    from layerfs.formats.tarsplit import Member
    from layerfs.formats.whiteouts import Dialect
    from layerfs.ids import ChainID
    from layerfs.layertar import LayerTar
    from layerfs.model import Image, Layer
    from layerfs.stores.layerarchive import Fault, LayerArchive
    from layerfs.tree.union import UnionTree
    from layerfs.views.export.members import Write

__all__ = ["Salvage", "Unpacked"]

_CHUNK = 1 << 20


class Unpacked(Protocol):
    """A store of layers that were unpacked, with the headers of the tars that they were unpacked from."""

    @property
    def dialect(self) -> Dialect:
        """See `Store`."""

    def record(self, chain: ChainID) -> Layer:
        """See `Store`."""

    def archive(self, layer: Layer) -> LayerArchive:
        """The tar that a layer was unpacked from; raises `CorruptStore`."""

    def config_bytes(self, image: Image) -> bytes:
        """See `Store`."""

    def tree(self, subject: Layer) -> UnionTree:
        """See `Store`."""


class Salvage:
    """Rebuilds layers of one store, each once."""

    def __init__(self, root: Unpacked, fits: Callable[[Layer], bool | None] = lambda _layer: None) -> None:
        """Rebuild layers of `root`; `fits` tells whether a layer's files are its own, None for unknown."""
        self._root = root
        self._fits = fits
        self._known: dict[tuple[ChainID, DiffID], LayerTar] = {}

    def image(self, image: Image) -> tuple[bytes, tuple[LayerTar, ...]]:
        """The config and the layers, as far as they can be rebuilt; raises `DataRootUnreadable`."""
        layers: list[LayerTar] = []
        below: ChainID | None = None
        for diff_id in image.config.diff_ids:
            below = chain_id(below, diff_id)
            layers.append(self._chained(below, diff_id))
        config = self._root.config_bytes(image)
        diff_ids = [layer.diff_id for layer in layers]
        if diff_ids != list(image.config.diff_ids):
            config = with_layers(config, diff_ids)
        made = ImageID.of(config)
        if made != image.id:
            tell_loss(f"image {image.name}: {image.id} becomes {made}")
        return config, tuple(layers)

    def _chained(self, chain: ChainID, diff_id: DiffID) -> LayerTar:
        """A layer by its chain ID and diff ID, also without a record."""
        if (chain, diff_id) not in self._known:
            try:
                record = self._root.record(chain)
            except DataRootUnreadable:  # nothing says that it is lost
                raise
            except CorruptStore as error:
                self._known[chain, diff_id] = lost_layer(diff_id, error)
            else:
                self._known[chain, diff_id] = self.layer(record, diff_id)
        return self._known[chain, diff_id]

    def layer(self, record: Layer, diff_id: DiffID) -> LayerTar:
        """A layer's tar: the original one, or what is left of it."""
        try:
            archive = self._root.archive(record)
        except DataRootUnreadable:
            raise
        except CorruptStore as error:
            return lost_layer(diff_id, error)
        digest = hashlib.sha256()
        try:
            faults = {fault.path: fault for fault in archive.rebuild(digest.update, cut=True)}
            if not faults and digest.hexdigest() == diff_id.hex:
                return OriginalTar(archive, diff_id)
            if archive.unclosed:
                raise MalformedFile(archive.name, "cut off")
            if self._is_anothers(archive, record, faults=bool(faults)):
                raise MalformedFile(archive.name, "does not list the layer's files")
        except CorruptStore as error:
            tell_loss(f"{error}: the layer's tar is generated from {archive.diff.display}")
            return self._told(Made(functools.partial(self._generate, record), diff_id), diff_id)
        for fault in faults.values():
            tell_loss(f"{tell(archive, fault)}: {_fate(fault)}")
        sparse = sparse_members(archive)
        for path in sparse:
            tell_loss(f"{archive.diff.name_of(path)}: {SPARSE}: exported whole")
        if not faults and not sparse:
            tell_loss(f"{archive.name}: does not make the layer's tar: exported as it is")
        return self._told(Made(_Mending(archive, faults).write, diff_id), diff_id)

    def _is_anothers(self, archive: LayerArchive, record: Layer, *, faults: bool) -> bool:
        """Whether tar-split data that do not give the layer's tar are those of another layer."""
        if faults and self._fits(record) is not False:
            return False
        listed = {member.path for member in archive.members(cut=True) if not isinstance(member, Segment)}
        return any(not stray.implied for stray in strays(archive.diff, listed.__contains__))

    def _generate(self, record: Layer, write: Write) -> None:
        """Write a tar of the present `diff/`."""

        def skip(error: LayerfsError) -> None:
            tell_loss(f"{error}: left out")

        TreeTar(self._root.tree(record), write, whiteouts=self._root.dialect, skip=skip).write_all()

    def _told(self, made: Made, diff_id: DiffID) -> LayerTar:
        tell_loss(f"layer {diff_id} becomes {made.diff_id}")
        return made


class _Mending:
    """Writes the tar of a layer with altered or missing files."""

    def __init__(self, archive: LayerArchive, faults: Mapping[bytes, Fault]) -> None:
        self._archive = archive
        self._faults = faults
        self._buffer = memoryview(bytearray(_CHUNK))

    def write(self, write: Write) -> None:
        """Write what is left; raises `CorruptStore`."""
        left_out: set[bytes] = set()
        padded, whole = 0, True  # padding behind the last content, and whether to write it
        for member in self._archive.members():
            raw = member.payload if isinstance(member, Segment) else member.raw
            if whole:
                write(raw[:padded])
            rest = raw[padded:]
            if isinstance(member, Segment):
                write(rest)
                padded = 0
                continue
            whole = self._member(member, rest, left_out, write)
            size = member.header.size if member.header.is_entry else len(rest)
            padded = -size % BLOCK

    def _member(self, member: Member, raw: bytes, left_out: set[bytes], write: Write) -> bool:
        """Write one member as far as possible; whether its header was written unchanged."""
        path, header = member.path, member.header
        fault = self._faults.get(path)
        if fault and fault.what == "content" and not header.sparse:
            write(raw)
            self._archive.content(member, write, self._buffer)
            return True
        if (
            fault is None
            and not header.sparse
            and not (header.is_hard_link and clean_name(header.linkname) in left_out)
        ):
            write(raw)
            if member.has_content:
                self._archive.content(member, write, self._buffer)
            return True
        if path.rpartition(b"/")[2].startswith(b".wh."):
            write(pack(header._replace(size=0)))
        elif (fault and fault.what not in ("content", "size")) or not self._as_on_disk(member, write):
            left_out.add(path)
        return False

    def _as_on_disk(self, member: Member, write: Write) -> bool:
        """Write a regular file with its present content; False if there is no readable file."""
        try:
            file = self._archive.open(member.path)
        except OSError:
            return False
        with file:
            size = file.size
            write(pack(member.header._replace(type=b"0", linkname=b"", size=size)))
            for piece in _exactly(file.chunks(), size):
                write(piece)
        write(padding(size))
        return True


def _exactly(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, even if the file changes meanwhile; the digest will show that."""
    for piece in pieces:
        yield piece[:size]
        size -= min(size, len(piece))
    yield bytes(size)


def _fate(fault: Fault) -> str:
    if fault.path.rpartition(b"/")[2].startswith(b".wh."):
        return "exported as an empty mark"
    if fault.what in ("content", "size"):
        return "exported as it is on disk"
    return "left out"
