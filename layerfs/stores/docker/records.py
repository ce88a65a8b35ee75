"""The layers of a data root, also those with a lost or damaged record, as far as they can be known.

Every value of a layer's record can be found elsewhere too: the diff ID and the layer below by the chain ID
(`chains`), the directory by `lower` (`directories`), the size by the tar-split data. The record is used if it
is sound. Whatever is used instead is noted, so that `storedlayers` can report it.

Sources: moby `layer/filestore.go`, `layer/layer_store.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import stat
from contextlib import closing
from typing import TYPE_CHECKING

from layerfs.errors import BrokenChain, CorruptStore, MissingFile
from layerfs.formats.tarsplit import Segment
from layerfs.formats.unpacked import WHITEOUT
from layerfs.ids import DiffID
from layerfs.stores.docker.chains import Chains
from layerfs.stores.docker.directories import Directories
from layerfs.stores.docker.layerdb import LayerRecord
from layerfs.stores.layerarchive import LayerArchive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.tarsplit import Member
    from layerfs.hostdir import HostDir
    from layerfs.ids import CacheID, ChainID
    from layerfs.stores.docker.imagedb import ImageDB
    from layerfs.stores.docker.layerdb import LayerDB
    from layerfs.stores.docker.overlay2 import Overlay2

__all__ = ["Records"]

_SAMPLES, _MEMBERS = 16, 4096
"""Entries of an archive that are looked for in a directory, and the most members read to choose them."""

_NAMED = 10
"""The most layers with the same `cache-id` that one message names."""

_BUILDKIT = re.compile(r"[a-z0-9]{25}")
"""The form of BuildKit's names of directories; the sizes of its layers do not count symbolic links."""


class Records:
    """The layers of one store; each is read once.

    Attributes:
        chains: the parts of each chain ID.
        directories: the directory of each layer.
    """

    def __init__(self, driver_dir: HostDir, imagedb: ImageDB, layerdb: LayerDB, overlay2: Overlay2) -> None:
        """Join the parts of the store."""
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self.chains = Chains(driver_dir, imagedb, layerdb, overlay2, self._rebuilt_digest)
        self.directories = Directories(layerdb, overlay2, self.chains, self.fits)
        self._layers: dict[ChainID, LayerRecord | CorruptStore] = {}
        self._sizes: dict[ChainID, int | None] = {}
        self._notes: dict[ChainID, list[CorruptStore]] = {}

    def layer(self, chain: ChainID) -> LayerRecord:
        """A layer; raises `CorruptStore` if its directory, or the parts of its chain ID, are not known."""
        known = self._layers.get(chain)
        if known is None:
            try:
                known = self._layer(chain)
            except CorruptStore as error:
                known = error.again()
            self._layers[chain] = known
        if isinstance(known, CorruptStore):
            raise known.again()
        return known

    def notes(self, of: ChainID) -> Sequence[CorruptStore]:
        """The faults of a record that were found so far, with what is used instead."""
        return self._notes.get(of, ())

    def size(self, chain: ChainID) -> int | None:
        """A layer's size in bytes, by its record or its tar-split data; None if neither has it."""
        if chain not in self._sizes:
            noted = self._layerdb.noted_layer(chain)
            self._sizes[chain] = noted.size
            if noted.size is None:
                self._sizes[chain] = size = self._added_up(chain)
                problem = noted.problems.get("size") or noted.problems[""]
                used = "its size is not known" if size is None else f"{size} bytes by its tar-split data"
                self._note(chain, problem.instead(used))
        return self._sizes[chain]

    # -- layers ----------------------------------------------------------------------------------

    def _layer(self, chain: ChainID) -> LayerRecord:
        place = self.chains.place(chain)
        noted = self._layerdb.noted_layer(chain)
        if place is None:
            raise self._untold(chain)
        found = self.directories.of(chain)
        if found is None:
            raise self._undirected(chain)
        if "" in noted.problems:
            self._note(
                chain, noted.problems[""].instead(f"overlay2/{found.cache_id} is used: {found.told_by}")
            )
        else:
            self._compare(chain, "diff", noted.diff_id, place.diff_id)
            self._compare(chain, "parent", noted.parent, place.parent)
        if found.told_by and "" not in noted.problems:
            problem = noted.problems.get("cache-id") or BrokenChain(
                self._layerdb.file_name(chain, "cache-id"), "not the layer's directory", found=noted.cache_id
            )
            self._note(chain, problem.instead(f"overlay2/{found.cache_id} is used: {found.told_by}"))
        return LayerRecord(chain, place.diff_id, place.parent, found.cache_id, self.size(chain))

    def _compare(self, chain: ChainID, name: str, noted: str | None, right: str | None) -> None:
        """Note a file of the record that disagrees with the chain ID."""
        if noted == right:
            return
        problem = self._layerdb.noted_layer(chain).problems.get(name)
        if problem is None and noted is None:
            problem = MissingFile(self._layerdb.file_name(chain, name), "the file is missing")
        elif problem is None:
            what = "not the layer's diff ID" if name == "diff" else "not the layer below"
            path = self._layerdb.file_name(chain, name)
            problem = BrokenChain(path, what, expected=right or "none", found=noted)
        self._note(chain, problem.instead(f"{right or 'no layer'} is used, which makes the chain ID"))

    def _untold(self, chain: ChainID) -> CorruptStore:
        """The error for a layer whose parts are not known."""
        problems = self._layerdb.noted_layer(chain).problems
        for name in ("", "diff", "parent"):
            if name in problems:
                return problems[name]
        path = self._layerdb.file_name(chain, "parent")
        return BrokenChain(path, "diff and parent do not make this chain ID", expected=chain)

    def _undirected(self, chain: ChainID) -> CorruptStore:
        """The error for a layer whose directory is not known."""
        noted = self._layerdb.noted_layer(chain)
        known = noted.problems.get("") or noted.problems.get("cache-id")
        if known:
            return known
        claims = self.directories.claims.get(noted.cache_id or "", ())
        others = [item for item in claims[: _NAMED + 1] if item != chain][:_NAMED]
        more = len(claims) - 1 - len(others)
        found = f"{noted.cache_id}, also of {', '.join(others)}" if others else str(noted.cache_id)
        found += f" and {more} more" if others and more else ""
        return BrokenChain(
            self._layerdb.file_name(chain, "cache-id"),
            "not the layer's directory",
            expected="a directory with the layer's files",
            found=found,
        )

    def _note(self, of: ChainID, problem: CorruptStore) -> None:
        self._notes.setdefault(of, []).append(problem)

    # -- archives --------------------------------------------------------------------------------

    def _archive(self, chain: ChainID, cache_id: CacheID) -> LayerArchive:
        return LayerArchive(chain, self._layerdb, self._overlay2.diff(cache_id))

    def fits(self, chain: ChainID, cache_id: CacheID) -> bool | None:
        """Whether a directory has most of some entries of a layer's archive; None if that is not known."""
        agree = looked_at = 0
        try:
            archive = self._archive(chain, cache_id)
            with closing(archive.members()) as members:
                for member in itertools.islice(members, _MEMBERS):
                    if not isinstance(member, Segment) and _is_plain(member):
                        agree += _is_there(archive.diff, member)
                        looked_at += 1
                    if looked_at == _SAMPLES:
                        break
        except CorruptStore:
            return None
        return 2 * agree > looked_at if looked_at else None

    def _added_up(self, chain: ChainID) -> int | None:
        """The size that an engine would record when it unpacks the layer's archive."""
        found = self.directories.of(chain)
        if found is None:
            return None
        links = not _BUILDKIT.fullmatch(found.cache_id)
        size = 0
        try:
            with closing(self._archive(chain, found.cache_id).members()) as members:
                for member in members:
                    if not isinstance(member, Segment):
                        size += member.content.size
                        if links and member.header.kind == stat.S_IFLNK:
                            size += len(member.header.linkname)
        except CorruptStore:
            return None
        return size

    def _rebuilt_digest(self, chain: ChainID) -> DiffID | None:
        """The sha256 of a layer's rebuilt tar; the chain ID shows whether it is the right one."""
        noted = self._layerdb.noted_cache_id(chain)
        if not noted:
            return None
        digest = hashlib.sha256()
        try:
            for _ in self._archive(chain, noted).rebuild(digest.update, cut=True):
                return None
        except CorruptStore:
            return None
        return DiffID.from_hex(digest.hexdigest())


def _is_plain(member: Member) -> bool:
    """Whether it is a file or directory, but not the layer's root, which the engine makes by itself."""
    name = member.path.rpartition(b"/")[2]
    return member.header.kind in (stat.S_IFREG, stat.S_IFDIR) and name != b"" and name[:4] != WHITEOUT


def _is_there(diff: HostDir, member: Member) -> bool:
    """Whether a directory has an entry with the same path, type and length."""
    try:
        found = diff.lstat(member.path)
    except OSError:
        return False
    kind = stat.S_IFMT(found.st_mode)
    return kind == member.header.kind and (kind != stat.S_IFREG or found.st_size == member.content.size)
