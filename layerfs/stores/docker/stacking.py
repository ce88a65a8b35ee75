"""Makes stacks of layer sources, and trees, from layer records.

The attributes of entries come from the disk or, if a copy lost them (`fidelity` judges that), from the
headers in the layer's `tar-split.json.gz`.
"""

from __future__ import annotations

import collections
import functools
import itertools
import logging
import weakref
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from layerfs.errors import BrokenChain, CorruptStore, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.whiteouts import TRUSTED
from layerfs.ids import CacheID
from layerfs.layerchain import walk_down
from layerfs.stores.docker.fidelity import Fidelity
from layerfs.stores.docker.layerdb import TAR_SPLIT
from layerfs.stores.docker.overlay2 import MAX_STACK
from layerfs.stores.docker.owners import OwnerJudge
from layerfs.stores.layerarchive import LayerArchive
from layerfs.stores.metadata import Metadata
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.formats.idmap import Owners
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.docker.layerdb import LayerDB, LayerRecord
    from layerfs.stores.docker.overlay2 import Overlay2
    from layerfs.stores.docker.records import Records
    from layerfs.tree.archived import ArchivedLayer
    from layerfs.tree.originals import Originals
    from layerfs.tree.source import LayerSource

__all__ = ["Stacker"]

_RECENT = 4  # layers kept in memory without a tree, as a layer is often read twice in a row

_log = logging.getLogger(__name__)


class Stacker:
    """Makes trees of one data root's layers."""

    def __init__(
        self,
        root: HostDir,
        layerdb: LayerDB,
        overlay2: Overlay2,
        records: Records,
        metadata: Metadata = Metadata.AUTO,
        userns: str = "auto",
    ) -> None:
        """Read these parts of a store; `userns` is the argument `chosen` of `OwnerJudge`."""
        self._root = root
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._records = records
        self._metadata = metadata
        self._judge = OwnerJudge(root, layerdb, overlay2, records, userns)
        self._fidelity = Fidelity(root, layerdb, overlay2, records, self._judge)
        self._say_lost = functools.cache(self._tell_lost)
        self._say_no_archive = functools.cache(self._tell_no_archive)
        self._archived: weakref.WeakValueDictionary[ChainID, ArchivedLayer] = weakref.WeakValueDictionary()
        self._plain: weakref.WeakValueDictionary[CacheID, RawLayer] = weakref.WeakValueDictionary()
        self._recent: collections.deque[ArchivedLayer] = collections.deque(maxlen=_RECENT)

    def union(self, chain: Sequence[LayerRecord | CacheID], above: Sequence[CacheID] = ()) -> UnionTree:
        """The union of a chain (base first), with container layers (uppermost first) on top.

        Raises:
            CorruptStore: a layer's directory is missing or is none.
        """
        layers = [item for item in chain if not isinstance(item, CacheID)]
        if len(chain) > MAX_STACK:
            name = self._layerdb.file_name(layers[-1].chain_id) if layers else self._root.display
            found = str(len(chain))
            problem = "stands on more layers than overlayfs can stack"
            raise BrokenChain(name, problem, expected=f"at most {MAX_STACK}", found=found)
        archived = self._is_archived(lambda: layers)
        sources: list[LayerSource] = [self._source(cache_id, archived=archived) for cache_id in above]
        sources += [self._source(record, archived=archived) for record in reversed(chain)]
        return UnionTree(sources)

    def source(self, layer: LayerRecord | CacheID) -> LayerSource:
        """One layer, by its record or its directory, as overlayfs reads it; raises `CorruptStore`."""
        return self._source(layer, archived=self._is_archived(lambda: self._below(layer)))

    def alone(self, layer: LayerRecord) -> UnionTree:
        """One layer by itself, with whiteouts and overlay attributes; attributes may be the archive's."""
        return UnionTree([self._stored(layer, archived=self._is_archived(lambda: self._below(layer)))])

    def on_disk(self, cache_id: CacheID) -> UnionTree:
        """A directory of `overlay2/` with its attributes on disk; raises `CorruptStore`."""
        return UnionTree([self._on_disk(cache_id)])

    @property
    def dialect(self) -> Dialect:
        """Which extended attributes are overlayfs's own; see `Fidelity.dialect`."""
        return self._fidelity.dialect

    @property
    def owners(self) -> Owners:
        """The user namespace of the engine; see `OwnerJudge`."""
        return self._judge.owners

    # -- sources -------------------------------------------------------------------------------

    def _source(self, layer: LayerRecord | CacheID, *, archived: bool) -> LayerSource:
        stored = self._stored(layer, archived=archived)
        return OverlayLayer(stored, self._archived_dialect if archived else self.dialect)

    def _stored(self, layer: LayerRecord | CacheID, *, archived: bool) -> RawLayer:
        if isinstance(layer, CacheID):
            if archived:
                self._say_no_archive()
            return self._on_disk(layer)
        if not archived:
            return self._on_disk(layer.cache_id)
        found = self._archived.get(layer.chain_id)
        if found is None:
            from layerfs.tree.archived import ArchivedLayer  # noqa: PLC0415 - only copies need it

            directory = self._overlay2.diff(layer.cache_id)
            key = int(layer.chain_id.hex[:15], 16)
            originals = functools.partial(self._originals, layer, directory)
            found = ArchivedLayer(directory, key, originals, self.owners, told_by=TAR_SPLIT)
            self._archived[layer.chain_id] = found
        self._recent.append(found)
        return found

    def _on_disk(self, cache_id: CacheID) -> RawLayer:
        """A layer's directory; trees that are open at the same time share it, and what it holds open."""
        known = self._plain.get(cache_id)
        if known is None or not self._overlay2.is_diff(cache_id, known.directory):
            known = self._plain[cache_id] = RawLayer(self._overlay2.diff(cache_id), self.owners)
        return known

    def _originals(self, record: LayerRecord, directory: HostDir) -> Originals | None:
        """What a layer's archive says; None, which is reported, where it is missing or damaged."""
        from layerfs.tree.originals import Originals  # noqa: PLC0415 - only copies need it
        from layerfs.tree.weights import MOST  # noqa: PLC0415 - as above

        archive = LayerArchive(record.chain_id, self._layerdb, directory)
        alive = [layer for found in self._archived.valuerefs() if (layer := found())]
        room = MOST - sum(layer.weight for layer in alive)
        try:
            with closing(archive.members()) as members:
                return Originals(members, self._archived_dialect.opaque, room)
        except MissingFile:
            _log.warning("%s: missing: this layer is shown as on disk", archive.name, extra={"damage": True})
        except CorruptStore as error:
            _log.warning("%s; this layer is shown as on disk", error, extra={"damage": True})
        except FormatError as error:
            damage = CorruptStore(archive.name, error.problem, expected=error.expected, found=error.found)
            _log.warning("%s; this layer is shown as on disk", damage, extra={"damage": True})
        return None

    # -- decisions -----------------------------------------------------------------------------

    def _is_archived(self, chain: Callable[[], Sequence[LayerRecord]]) -> bool:
        """Whether attributes come from archives; `chain` is called only if its layers must be read."""
        if self._metadata is not Metadata.AUTO:
            return self._metadata is Metadata.TAR_SPLIT
        lost = self._fidelity.of(chain)
        if lost:
            self._say_lost(lost)
        return lost is not None

    @property
    def _archived_dialect(self) -> Dialect:
        """The dialect of a copy, whose owner is whoever made it, and says nothing about the engine."""
        return self.dialect if self._fidelity.marks_survive else TRUSTED

    def _below(self, layer: LayerRecord | CacheID) -> tuple[LayerRecord, ...]:
        """A layer and those below it, base first, without unknown and already `asked` ones."""
        if isinstance(layer, CacheID):
            return ()
        chain = [layer]
        if layer.parent:
            below = walk_down(layer.parent, self._records.layer, self._fidelity.asked)
            with suppress(CorruptStore):
                chain.extend(itertools.islice(below, MAX_STACK - 1))
        return tuple(reversed(chain))

    def _tell_lost(self, lost: str) -> None:
        _log.warning(
            "%s: %s: modes, owners, times, extended attributes, devices and whiteouts are taken from each "
            "layer's tar-split.json.gz (--metadata disk shows what is on disk)",
            self._root.display,
            lost,
        )

    def _tell_no_archive(self) -> None:
        _log.warning(
            "%s: layers of containers have no tar-split.json.gz: they are shown as on disk, and what they "
            "lost stays lost",
            self._root.display,
        )
