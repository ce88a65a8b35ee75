"""Who owns the files of a data root: `OwnerJudge` finds the user namespace of its engine.

The name of a remapped root has the IDs of root (`231072.231072`). Under another name, or for a rootless
engine, the maps are found in the root itself: the engine's own directories belong to root inside, and the
owner of a file in an archive, compared with its owner on disk, gives the other IDs.

Sources: moby `daemon/daemon_unix.go` (setupDaemonRoot), `daemon/graphdriver/overlay2/overlay.go` (create);
rootlesskit (root is the user who runs it, all others are from subuid(5)).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootError
from layerfs.formats.idmap import SAME, parse_owners
from layerfs.formats.whiteouts import USER
from layerfs.stores.layerarchive import LayerArchive
from layerfs.stores.shifted import SUB_IDS, RootOwner, find_owners, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.idmap import Owners
    from layerfs.hostdir import HostDir
    from layerfs.stores.docker.layerdb import LayerDB, LayerRecord
    from layerfs.stores.docker.overlay2 import Overlay2
    from layerfs.stores.docker.records import Records

__all__ = ["OwnerJudge"]

_REMAPPED = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}")


class OwnerJudge:
    """Finds the user namespace of one data root."""

    def __init__(
        self,
        root: HostDir,
        layerdb: LayerDB,
        overlay2: Overlay2,
        records: Records,
        chosen: str = "auto",
    ) -> None:
        """Judge the data root open as `root`; `chosen` is what `parse_owners` takes, or `auto`."""
        self._root = root
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._layers = records
        self._chosen = None if chosen == "auto" else parse_owners(chosen)

    @functools.cached_property
    def owners(self) -> Owners:
        """The maps of the namespace; `SAME` without one, and in a copy that lost owners."""
        if self._chosen is not None:
            return self._chosen
        root = self._root_of_layers()
        return (root and find_owners(root, self._archives(), self._root.display)) or SAME

    def _root_of_layers(self) -> RootOwner | None:
        """The owner of layers' directories, if not root, and if the engine's directory or the name agree."""
        name = self._root.display.rstrip("/").rpartition("/")[2]
        named = _REMAPPED.fullmatch(name) is not None
        try:
            own = self._root.lstat("overlay2")
        except OSError:
            return None
        if not (own.st_gid or named):
            return None
        for record in self._records():
            try:
                directory = self._overlay2.diff(record.cache_id)
                found, marked = directory.lstat(), any(map(USER.private, directory.xattr_names()))
            except (CorruptStore, DataRootError, OSError):
                continue
            uid, gid = found.st_uid, found.st_gid
            named = name == f"{uid}.{gid}"
            if uid and (named or (gid == own.st_gid and own.st_uid in (0, uid))):
                return RootOwner(uid, gid, named or marked or own.st_uid == 0 or uid >= SUB_IDS)
        return None

    def _archives(self) -> Iterator[LayerArchive]:
        for record in self._records():
            try:
                diff = self._overlay2.diff(record.cache_id)
            except (CorruptStore, DataRootError):
                continue
            yield LayerArchive(record.chain_id, self._layerdb, diff)

    def _records(self) -> Iterator[LayerRecord]:
        """Some layers, those with the shortest archives first."""
        sizes = sorted((self._layerdb.tar_split_size(chain), chain) for chain in self._layerdb.chain_ids())
        for _, chain in spread(sizes):
            try:
                yield self._layers.layer(chain)
            except (CorruptStore, DataRootError):
                continue
