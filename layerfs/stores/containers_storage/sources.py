"""Makes sources of layers: each in the form of its root, with the owners of its user namespace.

What is shown by default is what a container sees: the disk, in the form of the engine that stacks it, with
the owners inside. What a rootless engine could not unpack (devices) is not there. `--metadata tar-split`
shows what the image says instead, devices and all.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import weakref
from contextlib import closing
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats.chunkedtoc import parse_toc
from layerfs.formats.errors import FormatError
from layerfs.formats.idmap import SAME, nested, parse_owners
from layerfs.formats.whiteouts import TRUSTED
from layerfs.stores.containers_storage.forms import Form, archived_layer, stored_layer
from layerfs.stores.containers_storage.recordfiles import full_name
from layerfs.stores.containers_storage.subids import noted_owners
from layerfs.stores.metadata import Metadata
from layerfs.stores.shifted import RootOwner, find_owners, spread
from layerfs.tree.overlay import OverlayLayer
from layerfs.tree.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.formats.idmap import IDMap, Owners
    from layerfs.formats.whiteouts import Dialect
    from layerfs.ids import CacheID
    from layerfs.stores.containers_storage.composefs import TocTree
    from layerfs.stores.containers_storage.parts import Part, Stored
    from layerfs.stores.layerarchive import LayerArchive
    from layerfs.tree.archived import ArchivedLayer
    from layerfs.tree.originals import Originals
    from layerfs.tree.source import LayerSource, StoredLayer
    from layerfs.tree.tarlayer import TarLayer

__all__ = ["Sources"]

_MOST_LAYERS = 4096  # records of which the lengths of archives are asked

_log = logging.getLogger(__name__)


class Sources:
    """Makes sources of the layers of one store, which may be of several roots."""

    def __init__(
        self,
        archive: Callable[[Stored], LayerArchive],
        report: Callable[[CorruptStore], object],
        metadata: Metadata = Metadata.AUTO,
        userns: str = "auto",
    ) -> None:
        """Make them.

        Args:
            archive: gives the tar that a layer was unpacked from; raises `CorruptStore`.
            report: is told of damage that stops nothing.
            metadata: the source of attributes.
            userns: what `parse_owners` takes, or `auto`.
        """
        self._archive = archive
        self._report = report
        self._metadata = metadata
        self._chosen = None if userns == "auto" else parse_owners(userns)
        self._owners: dict[Part, Owners] = {}
        self._tables: weakref.WeakValueDictionary[str, TarLayer[TocTree]] = weakref.WeakValueDictionary()
        self._archived: weakref.WeakValueDictionary[str, ArchivedLayer] = weakref.WeakValueDictionary()
        self._weights = Weights()
        self._say_composefs = functools.cache(self._tell_composefs)
        self._say_inside = functools.cache(self._tell_inside)
        self._say_lost = functools.cache(self._tell_lost)

    def source(self, stored: Stored) -> LayerSource:
        """A layer as its engine reads it; raises `CorruptStore`."""
        return OverlayLayer(self.stored(stored), self.dialect(stored))

    def stored(self, stored: Stored) -> StoredLayer:
        """A layer by itself, marks and all, in the kernel's terms; raises `CorruptStore`."""
        part, layer = stored.part, stored.record.id
        if part.is_composefs(layer):
            return self._composefs(stored)
        files, owners = part.files(layer), self.owners(stored)
        if self._metadata is not Metadata.TAR_SPLIT or (not stored.record.diff_id and not stored.record.toc):
            return stored_layer(files, part.form, owners)
        found = self._archived.get(layer)
        if found is None:
            originals = functools.partial(self._originals, stored)
            told_by = f"{layer}.tar-split.gz"
            found = archived_layer(files, part.form, owners, _key(layer), originals, told_by)
            self._archived[layer] = found
        return found

    def dialect(self, stored: Stored) -> Dialect:
        """The attributes that are marks in what `stored` gives."""
        return TRUSTED if stored.part.is_composefs(stored.record.id) else stored.part.form.dialect

    # -- owners --------------------------------------------------------------------------------

    def owners(self, stored: Stored) -> Owners:
        """The user namespace of a layer: that of its own record, in that of its engine."""
        own, part = stored.record.owners, stored.part
        if self._chosen is not None:
            return self._chosen
        if part not in self._owners:
            self._owners[part] = self._of_root(part)
        return nested(own, self._owners[part])

    def _of_root(self, part: Part) -> Owners:
        """The namespace of the engine whose root it is: none, if root owns the layers' directory."""
        owner = part.owner_of_layers
        if owner is None or not owner[0]:
            return SAME
        root = RootOwner(*owner, certain=part.form is not Form.KERNEL)
        found = find_owners(root, self._archives(part), part.directory.display)
        if found is None:
            self._say_lost(part.directory.display, owner[0])
            return SAME
        if not found.are_same:
            noted = noted_owners(full_name(part.directory), *owner)
            if noted and _agree(found.users, noted.users) and _agree(found.groups, noted.groups):
                found = noted
            self._say_inside(part.directory.display, owner[0])
        return found

    def _archives(self, part: Part) -> Iterator[LayerArchive]:
        sizes: list[tuple[int, CacheID]] = []
        for number, stored in enumerate(part.stored_layers()):
            if number == _MOST_LAYERS:
                break
            size = part.tar_split_size(stored.record.id)
            if size and stored.record.owners.are_same:
                sizes.append((size, stored.record.id))
        by_id = {stored.record.id: stored for stored in part.stored_layers()}
        for _, layer in spread(sorted(sizes)):
            found = attempt(self._report, functools.partial(self._archive, by_id[layer]))
            if found:
                yield found

    # -- tables of contents --------------------------------------------------------------------

    def _composefs(self, stored: Stored) -> TarLayer[TocTree]:
        from layerfs.tree.tarlayer import TarLayer  # noqa: PLC0415 - few stores have such layers

        layer = stored.record.id
        found = self._tables.get(layer)
        if found is None:
            label = stored.part.directory.name_of(stored.part.files_path(layer))
            found = TarLayer(label, _key(layer), functools.partial(self._table, stored))
            self._tables[layer] = found
        return found

    def _table(self, stored: Stored) -> TocTree:
        """The tree that a table of contents tells; raises `CorruptStore`."""
        from layerfs.stores.containers_storage.composefs import TocTree  # noqa: PLC0415 - as above

        part, layer = stored.part, stored.record.id
        name = part.directory.name_of(part.toc_path(layer))
        try:
            entries = parse_toc(part.toc(layer))
            found = TocTree(part.files(layer), entries, self._weights.room, lambda: (name, part.toc(layer)))
        except FormatError as error:
            place = error.place(name)
            raise MalformedFile(place, error.problem, expected=error.expected, found=error.found) from error
        self._weights.count(found, found.originals.weight)
        for fault in found.faults:
            self._report(CorruptStore(name, fault))
        if found.has_whiteouts:
            self._say_composefs(part.directory.display)
        return found

    # -- archives ------------------------------------------------------------------------------

    def _originals(self, stored: Stored) -> Originals | None:
        """What a layer's archive says; None, which is reported, where it is missing or damaged."""
        from layerfs.tree.originals import Originals  # noqa: PLC0415 - as above

        try:
            archive = self._archive(stored)
            with closing(archive.members()) as members:
                found = Originals(members, stored.part.form.dialect.opaque, self._weights.room)
        except CorruptStore as error:
            self._report(error.instead("this layer is shown as on disk"))
            return None
        except FormatError as error:
            damage = CorruptStore(archive.name, error.problem, expected=error.expected, found=error.found)
            self._report(damage.instead("this layer is shown as on disk"))
            return None
        if not found.root.has_header:
            found.root.mode = archive.diff.lstat().st_mode  # the engine makes it, and takes no header for it
        self._weights.count(found, found.weight)
        return found

    # -- telling -------------------------------------------------------------------------------

    @staticmethod
    def _tell_composefs(name: str) -> None:
        _log.warning(
            "%s: the engine mounts these layers with composefs, and shows their whiteouts as files, and what "
            "they delete: here they delete, as in every other store",
            name,
        )

    @staticmethod
    def _tell_inside(name: str, user: int) -> None:
        _log.info(
            "%s: a store of user %d: owners are those inside the user namespace, and devices were left out "
            "when layers were unpacked (--userns none shows owners on disk, --metadata tar-split what the "
            "images say)",
            name,
            user,
        )

    @staticmethod
    def _tell_lost(name: str, user: int) -> None:
        _log.warning(
            "%s: every file belongs to user %d, also those of others in the images: a copy that lost owners "
            "(--metadata tar-split shows those of the images)",
            name,
            user,
        )


def _agree(found: IDMap, noted: IDMap) -> bool:
    """Whether archives tell no other map than the system does: it may have been changed since."""
    return found.outside(1) in (None, noted.outside(1))


def _key(layer: CacheID) -> int:
    """A number of the layer, for inode numbers."""
    return int(hashlib.sha256(layer.encode()).hexdigest()[:15], 16)
