"""From layer records to a stack of sources: where `store` and `tree` meet.

Also the judge of the marks: whether this root still carries its overlay attributes, in which
dialect, and what to do when they cannot be seen. Used by `dataroot` only.
"""

from __future__ import annotations

import functools
import gzip
import logging
import os
import zlib
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, LayerfsError
from layerfs.formats.errors import FormatError
from layerfs.formats.tarsplit import ArchiveMarks, archive_marks
from layerfs.formats.whiteouts import TRUSTED, USER, Dialect
from layerfs.hostdir import is_system_admin
from layerfs.ids import CacheID
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.hostdir import HostDir
    from layerfs.store.layerdb import LayerDB, LayerRecord
    from layerfs.store.overlay2 import Overlay2
    from layerfs.tree.source import LayerSource

__all__ = ["Stacker"]

_SAMPLE = 16  # container layers looked at for surviving marks

_log = logging.getLogger(__name__)


class Stacker:
    """Makes trees of one data root's layers."""

    def __init__(self, root: HostDir, layerdb: LayerDB, overlay2: Overlay2) -> None:
        """Join the two halves of the store."""
        self._root = root
        self._layerdb = layerdb
        self._overlay2 = overlay2

    def union(self, chain: Sequence[LayerRecord], above: Sequence[CacheID] = ()) -> UnionTree:
        """The union of a chain (base first), with container layers (uppermost first) on top.

        Raises:
            CorruptStore: a layer's directory is missing or is none.
        """
        if len(chain) + len(above) > 1:
            self._warn_of_unreadable_marks()
        sources: list[LayerSource] = [self._source(cache_id, None) for cache_id in above]
        sources += [self._source(record.cache_id, record, chain) for record in reversed(chain)]
        return UnionTree(sources)

    def source(self, layer: LayerRecord | CacheID) -> LayerSource:
        """One layer, by its record or its directory alone, as overlayfs reads it; raises `CorruptStore`."""
        if isinstance(layer, CacheID):
            self._warn_of_unreadable_marks()
            return self._source(layer, None)
        if layer.parent is not None:
            self._warn_of_unreadable_marks()
        return self._source(layer.cache_id, layer)

    def alone(self, cache_id: CacheID) -> UnionTree:
        """One layer as it is on disk, whiteouts and overlay attributes included."""
        return UnionTree([RawLayer(self._overlay2.diff(cache_id))])

    def _source(
        self, cache_id: CacheID, record: LayerRecord | None, chain: Sequence[LayerRecord] = ()
    ) -> LayerSource:
        """A layer; where marks may be lost and the layer is not the base, its archive is a witness."""
        witness = None
        if record is not None and record.parent is not None and not self._marks_survive:
            witness = functools.partial(self._witness, record, chain)
        return OverlayLayer(self._overlay2.diff(cache_id), self.dialect, witness)

    def _witness(self, record: LayerRecord, chain: Sequence[LayerRecord]) -> ArchiveMarks | None:
        """What is to be believed of a layer's archive: nothing, once the disk is seen to have kept marks."""
        self._marks_survive = self._marks_survive or self._seen_in_layers(chain)
        return None if self._marks_survive else self._archived(record)

    def _seen_in_layers(self, chain: Sequence[LayerRecord]) -> bool:
        """Whether marks that archives tell of are on disk; the shortest archives are asked first.

        A whiteout shows that device nodes were kept, and an opaque mark that attributes were.
        """
        device = attribute = False
        for record in sorted(chain[1:], key=lambda record: self._layerdb.tar_split_size(record.chain_id)):
            marks = self._archived(record)
            try:
                with self._overlay2.diff(record.cache_id) as directory:
                    if marks and marks.whiteouts:
                        device = directory.lstat(min(marks.whiteouts)).st_rdev == 0
                    if marks and marks.opaque:
                        attribute = self._is_marked(directory, min(marks.opaque))
            except (LayerfsError, OSError):
                return False
            if device and attribute:
                return True
        return False

    def _is_marked(self, directory: HostDir, path: bytes) -> bool:
        """Whether an overlay attribute is seen on a directory."""
        return any(self.dialect.private(name) for name in directory.xattr_names(path))

    @functools.cache  # noqa: B019 - once for the life of the root is the point
    def _archived(self, record: LayerRecord) -> ArchiveMarks | None:
        """What the layer's original archive marked opaque or whited out, or None where nothing tells."""
        fd = self._layerdb.tar_split(record.chain_id)
        name = self._layerdb.file_name(record.chain_id, "tar-split.json.gz")
        if fd is None:
            _log.warning("%s: missing: lost opaque marks or whiteouts of this layer cannot be restored", name)
            return None
        try:
            with os.fdopen(fd, "rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
                return archive_marks(stream)
        except (FormatError, OSError, EOFError, zlib.error) as error:
            damage = CorruptStore(name, f"unreadable: {error}")
            _log.warning("%s", damage, extra={"damage": True})
            return None

    @functools.cached_property
    def dialect(self) -> Dialect:
        """`user.` where the root belongs to a rootless engine, else `trusted.`.

        A rootless engine cannot set `trusted.*`; its root belongs to the ordinary user it runs as.
        """
        return USER if self._root.lstat().st_uid != 0 else TRUSTED

    @functools.cached_property
    def _marks_survive(self) -> bool:
        """Whether overlay attributes are seen on container layers, which the kernel always marks.

        Seen once, they were copied, or never lost; not seen, they may be lost or hidden from us.
        """
        seen = 0
        for container in self._layerdb.container_ids():
            try:
                mount = self._layerdb.mount(container)
                with self._overlay2.diff(mount.init_id or mount.mount_id) as directory:
                    names = directory.xattr_names()
            except (LayerfsError, OSError):
                continue
            if any(self.dialect.private(name) for name in names):
                return True
            seen += 1
            if seen == _SAMPLE:
                break
        return False

    @functools.cache  # noqa: B019 - once for the life of the root is the point
    def _warn_of_unreadable_marks(self) -> None:
        if self._marks_survive or is_system_admin():
            return
        _log.warning(
            "%s: trusted.* extended attributes cannot be read without root: opaque directories are taken "
            "from each layer's tar-split.json.gz; in layers of containers they stay unknown. Run as root "
            "for the exact tree",
            self._root.display,
        )
