"""Whether a data root still has what its engine gave it: owners, modes, times, attributes, devices.

A copy made without them looks like a data root, and shows another tree. `Fidelity` compares some entries
with their headers; then it asks for marks of overlayfs: on the layers of containers, which the kernel
always marks, or the whiteouts and opaque directories that archives tell of. What none of that settles is
taken to be sound. A good root costs the beginning of one archive.

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
from layerfs.stores.docker.layerarchive import LayerArchive
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

_CONTAINERS = 16  # looked at for surviving marks
_MARKS = 64  # of each kind, looked for in each layer
_LISTED, _OTHERS = 256, 16  # layers of the root, of which so many with the shortest archives are looked at
_ARCHIVES, _ENTRIES = 3, 16  # archives, and entries in each, whose headers are compared with the disk
_MEMBERS = 4096  # of an archive, looked through for such entries
_SECOND = 1_000_000_000
_TOLERANCE = 2  # seconds: what FAT and zip keep of a time

_ASPECTS = {
    "mtime": "times of modification are not those of the archives",
    "mode": "permissions are not those of the archives",
    "owner": "owners are not those of the archives",
}

_log = logging.getLogger(__name__)


class _Verdict(NamedTuple):
    """A judgement that stands for the whole root: what is lost, or None."""

    lost: str | None


_SOUND = _Verdict(None)


class Fidelity:
    """The judge of one data root.

    Attributes:
        asked: the layers that were looked at, and did not tell.
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
        """What shows that the root lost attributes, in words; None where it seems to have them.

        Args:
            chain: gives layers to look at, base first, where the layers of containers do not tell; those
                `asked` before may be left out. Not called once it is settled.
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
        """`user.` where the root belongs to a rootless engine, else `trusted.`.

        A rootless engine cannot set `trusted.*`; its own files belong to the ordinary user it runs as. So
        may those of a copy, whose containers then show whose it was.
        """
        return TRUSTED if self._owner == 0 or _are_marked(self._container_xattrs, TRUSTED) else USER

    @functools.cached_property
    def _owner(self) -> int:
        """Whose the engine's own files are; the root itself may be a directory made for a copy."""
        try:
            return self._root.lstat("image").st_uid
        except OSError:
            return self._root.lstat().st_uid

    @property
    def marks_survive(self) -> bool:
        """Whether overlay attributes are seen on layers of containers, which the kernel always marks."""
        return _are_marked(self._container_xattrs, self.dialect)

    # -- layers of containers ------------------------------------------------------------------

    def _of_containers(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        del chain
        if self.marks_survive:
            given_away = self._owner and self.dialect is TRUSTED
            return _Verdict(f"the engine's own files belong to user {self._owner}") if given_away else _SOUND
        if self.dialect is TRUSTED and not is_system_admin():
            return _Verdict("trusted.* extended attributes cannot be read without root")
        return None

    def _of_bare_containers(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        if self._container_xattrs and any(map(self._length, chain)):
            return _Verdict("layers of containers carry no overlay attributes")
        return None

    @functools.cached_property
    def _container_xattrs(self) -> list[list[bytes]]:
        """The attributes that some layers of containers have on their roots; the last ones perhaps marks."""
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
        """Ask archives, shortest first, for whiteouts and opaque directories, until both are seen.

        Those of other layers can show that the copy kept them; that one lacks them may be its own affair.
        An engine that applies archives through overlayfs ("naive diff": a rootless one, for example) makes
        other whiteouts than they name; but then the layer's own directory has marks of the kernel.
        """
        own = {record.chain_id for record in chain}
        upper = (record for record in chain if record.parent)
        for record in sorted({*upper, *self._others}, key=self._length):
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
        """Whether the first whiteouts and opaque marks of a layer's archive are on the disk."""
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
        """Layers of the root, whatever image they are of, with short archives."""
        chains = self._layerdb.chain_ids()[:_LISTED]  # in the order of a hash, which is a random one
        records: list[LayerRecord] = []
        for size, chain in sorted((self._layerdb.tar_split_size(chain), chain) for chain in chains):
            if size and len(records) < _OTHERS:
                with suppress(CorruptStore):
                    record = self._records.layer(chain)
                    records += [record] if record.parent else []
        return records

    def _of_headers(self, chain: Sequence[LayerRecord]) -> _Verdict | None:
        """Compare what headers say with the disk: that one layer differs may be its own affair.

        Where they agree, what they do not tell of may still be lost.
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
        """The same as `_others`, not looked for before they are needed."""
        yield from self._others

    def _read_length(self, record: LayerRecord) -> int:
        return self._layerdb.tar_split_size(record.chain_id)

    def _read_marks(self, record: LayerRecord) -> ArchiveMarks:
        """What a layer's archive marks; nothing where it is missing or damaged, which its reader reports."""
        try:
            return LayerArchive(record.chain_id, self._layerdb, self._overlay2.diff(record.cache_id)).marks()
        except CorruptStore:
            return ArchiveMarks(frozenset(), frozenset())

    def _read_samples(self, record: LayerRecord) -> list[_Sample]:
        """Some entries of a layer."""
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
            return  # files of several users, each where a namespace has it
        _log.warning(
            "%s: owned by user %d, and nothing shows whether a rootless engine or a copy made it so: "
            "of a copy, --metadata tar-split shows the original owners",
            self._root.display,
            self._owner,
        )


class _Sample(NamedTuple):
    """An entry beside its header: what agrees; None where that cannot be told."""

    mtime: bool
    mode: bool
    owner: bool | None

    @classmethod
    def of(cls, header: Header, found: os.stat_result, top: os.stat_result) -> Self:
        """Compare; `top` is the layer's root on disk."""
        apart = abs(found.st_mtime_ns - stored_mtime(header)) // _SECOND
        archived, actual = (header.uid, header.gid), (found.st_uid, found.st_gid)
        # a user namespace shifts owners; a copy gives all to one, who then has the layer's root too
        tells = any(archived) and actual == (top.st_uid, top.st_gid)
        owner = True if archived == actual else False if tells else None
        return cls(apart <= _TOLERANCE, stat.S_IMODE(found.st_mode) == header.mode, owner)


def _difference(samples: Sequence[_Sample]) -> str | None:
    """What most of the samples of a layer do not have as their headers say, in words."""
    for aspect, words in _ASPECTS.items():
        told = [agrees for sample in samples if (agrees := getattr(sample, aspect)) is not None]
        if 2 * sum(told) < len(told):
            return words
    return None


def _is_plain(member: Member) -> bool:
    """Whether it is a file or directory, and not the layer's root, which the engine made."""
    name = member.path.rpartition(b"/")[2]
    return member.header.kind in (stat.S_IFREG, stat.S_IFDIR) and name != b"" and name[:4] != WHITEOUT


def _are_marked(entries: Iterable[Sequence[bytes]], dialect: Dialect) -> bool:
    """Whether an entry has an attribute of overlayfs among its own."""
    return any(dialect.private(name) for names in entries for name in names)


def _is_whiteout(directory: HostDir, path: bytes, missing: tuple[type[OSError], ...]) -> bool:
    """Whether there is a whiteout; False for an entry that is not there and need not be."""
    try:
        found = directory.lstat(path)
    except missing:
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
