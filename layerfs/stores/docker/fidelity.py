"""Judges whether a data root is a copy that lost owners, modes, times, extended attributes or devices.

Such a copy looks like a data root, but shows another tree. `Fidelity` compares some entries with their
headers. Then it looks for marks of overlayfs: on the layers of containers, which the kernel always marks, or
the whiteouts and opaque directories of archives. If none of that gives an answer, the root is taken for a
sound one. For a sound root only the beginning of one archive is read.

Sources: Linux `fs/overlayfs` (marks of upper layers); moby `pkg/archive/archive_linux.go`.
"""

from __future__ import annotations

import functools
import itertools
import logging
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from layerfs.errors import CorruptStore, LayerfsError
from layerfs.formats.tarsplit import ArchiveMarks, Segment
from layerfs.formats.unpacked import WHITEOUT, stored_mtime
from layerfs.formats.whiteouts import TRUSTED, USER, Dialect
from layerfs.stores.layerarchive import LayerArchive
from layerfs.syscalls import is_system_admin

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.formats.tarheader import Header
    from layerfs.formats.tarsplit import Member
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.docker.layerdb import LayerDB, LayerRecord
    from layerfs.stores.docker.overlay2 import Overlay2
    from layerfs.stores.docker.owners import OwnerJudge
    from layerfs.stores.docker.records import Records

__all__ = ["Fidelity"]

_CONTAINERS = 16  # entries in which marks are looked for
_MARKS = 64  # marks of each kind that are looked for in each layer
_LISTED, _OTHERS = (
    256,
    16,
)  # layers listed, and those read: the shortest archives
_ARCHIVES, _ENTRIES = 3, 16  # archives, and entries of each, that are compared with the disk
_MEMBERS = 4096  # members of an archive in which such entries are looked for
_SECOND = 1_000_000_000
_TOLERANCE = 2  # seconds: the unit in which FAT and zip store times

_ASPECTS = {
    "mtime": "times of modification are not those of the archives",
    "mode": "permissions are not those of the archives",
    "owner": "owners are not those of the archives",
}

_log = logging.getLogger(__name__)


class _Verdict(NamedTuple):
    """A judgement of the whole root: what is lost, or None."""

    lost: str | None


_SOUND = _Verdict(None)


class Fidelity:
    """The judge of one data root.

    Attributes:
        asked: the layers that were read, and gave no answer.
    """

    def __init__(
        self, root: HostDir, layerdb: LayerDB, overlay2: Overlay2, records: Records, owners: OwnerJudge
    ) -> None:
        """Judge the data root open as `root`."""
        self._records = records
        self._owners = owners
        self._root = root
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._verdict: _Verdict | None = None
        self._headers_agree = False
        self._marks = functools.cache(self._read_marks)
        self._surviving = functools.cache(self._look_for_marks)
        self._samples = functools.cache(self._read_samples)
        self._hint_at_owner = functools.cache(self._say_owner)
        self._length = functools.cache(self._read_length)
        self._seen_device = self._seen_attribute = False
        self.asked: set[ChainID] = set()

    def of(self, chain: Callable[[], Sequence[LayerRecord]]) -> str | None:
        """The evidence that the root lost attributes, in words; None if it seems to have them.

        Args:
            chain: gives layers to read, base first, if the layers of containers give no answer; it may leave
                out those in `asked`. Not called after a judgement was made.
        """
        if self._verdict is None:
            self._judge([record for record in chain() if record.chain_id not in self.asked])
        if self._verdict is None and self._headers_agree and self.dialect is USER:
            self._hint_at_owner()
        return self._verdict.lost if self._verdict else None

    def _judge(self, chain: Sequence[LayerRecord]) -> None:
        for ask in (self._of_headers, self._of_containers, self._of_marks, self._of_bare_containers):
            if self._verdict is None:
                self._verdict = ask(chain)
        self.asked.update(record.chain_id for record in chain)

    @functools.cached_property
    def dialect(self) -> Dialect:
        """The dialect `user.` if the root belongs to a rootless engine, else `trusted.`.

        A rootless engine cannot set `trusted.*`, and its own files belong to the ordinary user it runs as.
        But so may those of a copy. Then marks on layers of containers tell.
        """
        return TRUSTED if self._owner == 0 or _are_marked(self._container_xattrs, TRUSTED) else USER

    @functools.cached_property
    def _owner(self) -> int:
        """The owner of the engine's own files; the root itself may be one made for a copy."""
        try:
            return self._root.lstat("image").st_uid
        except OSError:
            return self._root.lstat().st_uid

    @functools.cached_property
    def marks_survive(self) -> bool:
        """Whether layers of containers, which the kernel always marks, have overlay attributes."""
        return _are_marked(self._container_xattrs, self.dialect)

    # -- layers of containers ------------------------------------------------------------------

    def _of_containers(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        del chain
        if self.marks_survive:
            given_away = self._owner and self.dialect is TRUSTED
            return _Verdict(f"the engine's own files belong to user {self._owner}") if given_away else _SOUND
        if self.dialect is TRUSTED and not self._sees_all:
            return _Verdict("trusted.* extended attributes cannot be read without root")
        return None

    def _of_bare_containers(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        if self._container_xattrs and any(map(self._length, chain)):
            return _Verdict("layers of containers carry no overlay attributes")
        return None

    @functools.cached_property
    def _sees_all(self) -> bool:
        return is_system_admin()

    @functools.cached_property
    def _container_xattrs(self) -> list[list[bytes]]:
        """The names of extended attributes on the roots of some layers of containers."""
        found: list[list[bytes]] = []
        for container in self._layerdb.container_ids():
            if len(found) == _CONTAINERS or any(
                _are_marked(found[-1:], dialect) for dialect in (TRUSTED, USER)
            ):
                break
            try:
                mount = self._layerdb.noted_mount(container)
                if own := mount.init_id or mount.mount_id:
                    with self._overlay2.diff(own) as directory:
                        found.append(directory.xattr_names())
            except (LayerfsError, OSError):
                continue
        return found

    def _is_marked(self, directory: HostDir, path: bytes) -> bool:
        return _are_marked([directory.xattr_names(path)], self.dialect)

    # -- archives ------------------------------------------------------------------------------

    def _of_marks(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        """Look for the whiteouts and opaque directories of archives, shortest first, until both were found.

        Other layers are read too: they can show that the copy kept marks, while one layer may lack them for
        reasons of its own. An engine that unpacks through overlayfs ("naive diff", such as a rootless one)
        makes other whiteouts than the archive has, but then the layer's own directory has marks of the
        kernel.
        """
        own = {record.chain_id for record in chain}
        upper = (record for record in chain if record.parent)
        archived = filter(self._length, {*upper, *self._others})
        for record in sorted(archived, key=self._length):
            try:
                devices, attributes = self._surviving(record)
            except FileNotFoundError:
                if record.chain_id in own:
                    return _Verdict("whiteouts or opaque directories are missing")
                continue
            except (LayerfsError, OSError):
                continue
            if record.chain_id in own and not all(attributes):
                return _Verdict("opaque directories are not marked")
            self._seen_device = self._seen_device or any(devices)
            self._seen_attribute = self._seen_attribute or any(attributes)
            if self._seen_attribute and (self._seen_device or self.dialect is USER):
                return _SOUND
        return None

    def _look_for_marks(self, record: LayerRecord) -> tuple[list[bool], list[bool]]:
        """For the first whiteouts and opaque marks of a layer's archive whether the disk has them."""
        marks = self._marks(record)
        if not (marks.whiteouts or marks.opaque):
            return [], []
        with self._overlay2.diff(record.cache_id) as directory:
            naive = any(map(self.dialect.tells_of_copies, directory.xattr_names()))
            missing = (FileNotFoundError,) if naive else ()
            return (
                [_is_whiteout(directory, path, missing) for path in sorted(marks.whiteouts)[:_MARKS]],
                [True]
                if naive
                else [self._is_marked(directory, path) for path in sorted(marks.opaque)[:_MARKS]],
            )

    @functools.cached_property
    def _others(self) -> list[LayerRecord]:
        """Some layers of the root with short archives, of any image."""
        chains = self._layerdb.chain_ids()[:_LISTED]  # in the order of their IDs, which is random
        records: list[LayerRecord] = []
        for size, chain in sorted((self._layerdb.tar_split_size(chain), chain) for chain in chains):
            if size and len(records) < _OTHERS:
                with suppress(CorruptStore):
                    record = self._records.layer(chain)
                    records += [record] if record.parent else []
        return records

    def _of_headers(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        """Compare entries of layers with their headers: attributes are lost if no layer of several agrees.

        If they agree, attributes that these entries do not have may still be lost.
        """
        differ: list[str] = []
        if not self._headers_agree:
            for record in itertools.chain(sorted(chain, key=self._length), self._late_others()):
                samples = self._samples(record)
                words = _difference(samples)
                if words:
                    differ.append(words)
                elif samples:
                    self._headers_agree = True
                    return None
                if len(differ) == _ARCHIVES:
                    break
        return _Verdict(differ[0]) if differ else None

    def _late_others(self) -> Iterator[LayerRecord]:
        """As `_others`, but read only when the first one is needed."""
        yield from self._others

    def _read_length(self, record: LayerRecord) -> int:
        return self._layerdb.tar_split_size(record.chain_id)

    def _read_marks(self, record: LayerRecord) -> ArchiveMarks:
        """The marks of a layer's archive; none if it is missing or damaged, which its reader reports."""
        try:
            return LayerArchive(record.chain_id, self._layerdb, self._overlay2.diff(record.cache_id)).marks()
        except CorruptStore:
            return ArchiveMarks(frozenset(), frozenset())

    def _read_samples(self, record: LayerRecord) -> list[_Sample]:
        """Some entries of a layer, compared with their headers."""
        found: list[_Sample] = []
        if not self._length(record):
            return found
        try:
            archive = LayerArchive(record.chain_id, self._layerdb, self._overlay2.diff(record.cache_id))
            top = archive.diff.lstat()
            with closing(archive.members()) as members:
                for member in itertools.islice(members, _MEMBERS):
                    if len(found) == _ENTRIES:
                        break
                    if not isinstance(member, Segment) and _is_plain(member):
                        with suppress(OSError):
                            found.append(_Sample.of(member.header, archive.diff.lstat(member.path), top))
        except (CorruptStore, OSError):
            pass
        return found

    def _say_owner(self) -> None:
        owners = self._owners.owners
        if not owners.are_same and owners.users.whole:
            return  # files of several users, whose IDs a namespace may shift
        _log.warning(
            "%s: owned by user %d, and nothing shows whether a rootless engine or a copy made it so: "
            "of a copy, --metadata tar-split shows the original owners",
            self._root.display,
            self._owner,
        )


class _Sample(NamedTuple):
    """A comparison of an entry with its header: for each attribute whether it is equal; None if not known."""

    mtime: bool
    mode: bool
    owner: bool | None

    @classmethod
    def of(cls, header: Header, found: os.stat_result, top: os.stat_result) -> Self:
        """Compare; `top` is the layer's root on disk."""
        apart = abs(found.st_mtime_ns - stored_mtime(header)) // _SECOND
        archived, actual = (header.uid, header.gid), (found.st_uid, found.st_gid)
        # a user namespace shifts owners; in a copy all files have one owner, also the layer's root
        tells = any(archived) and actual == (top.st_uid, top.st_gid)
        owner = True if archived == actual else False if tells else None
        return cls(apart <= _TOLERANCE, stat.S_IMODE(found.st_mode) == header.mode, owner)


def _difference(samples: Sequence[_Sample]) -> str | None:
    """The attributes in which most samples of a layer differ from their headers, in words."""
    for aspect, words in _ASPECTS.items():
        told = [agrees for sample in samples if (agrees := getattr(sample, aspect)) is not None]
        if 2 * sum(told) < len(told):
            return words
    return None


def _is_plain(member: Member) -> bool:
    """Whether it is a file or directory, but not the layer's root, which the engine makes by itself."""
    name = member.path.rpartition(b"/")[2]
    return member.header.kind in (stat.S_IFREG, stat.S_IFDIR) and name != b"" and name[:4] != WHITEOUT


def _are_marked(entries: Iterable[Sequence[bytes]], dialect: Dialect) -> bool:
    """Whether any entry has an extended attribute of overlayfs."""
    return any(dialect.private(name) for names in entries for name in names)


def _is_whiteout(directory: HostDir, path: bytes, missing: tuple[type[OSError], ...]) -> bool:
    """Whether there is a whiteout at `path`; `missing` are the errors that mean that nothing is there."""
    try:
        found = directory.lstat(path)
    except missing:
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
