"""Compares a layer that is kept as a whole tree with its tar and with the tree below it.

What the tar names must be as its headers say; all else must be as in the tree below, unless a whiteout or a
mark of opaque took it away.

Source: containers/storage `drivers/vfs/driver.go`, `pkg/archive/diff.go` (UnpackLayer).
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.verify.attributes import kind_words, xattr_words
from layerfs.errors import CorruptStore
from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import format_time
from layerfs.formats.tarheader import Header
from layerfs.formats.tarsplit import Member, clean_name
from layerfs.formats.whiteouts import OPAQUE, TRUSTED
from layerfs.stores.containers_storage.checks.rebuilt import rebuilt, told_of_faults
from layerfs.tree.originals import Originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.analysis.verify.attributes import Attributes, Difference
    from layerfs.analysis.verify.layerfindings import LayerFindings
    from layerfs.hostdir import HostDir
    from layerfs.ids import DiffID
    from layerfs.stores.layerarchive import LayerArchive
    from layerfs.tree.original import Original

__all__ = ["WholeTreeCheck"]

_CHUNK = 1 << 20
_TYPES = {
    stat.S_IFREG: b"0", stat.S_IFLNK: b"2", stat.S_IFCHR: b"3", stat.S_IFBLK: b"4", stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}  # fmt: skip


class _Place(NamedTuple):
    """A directory in which the walk is.

    Attributes:
        path: below the root.
        own: what the tar made of it; None where it names nothing in it.
        is_bare: whether nothing of the tree below is left in it.
    """

    path: bytes
    own: Original | None
    is_bare: bool


class WholeTreeCheck:
    """Checks one layer."""

    def __init__(
        self,
        archive: LayerArchive,
        below: HostDir | None,
        found: LayerFindings,
        attributes: Attributes,
        told: Callable[[int], object],
    ) -> None:
        """Check a layer.

        Args:
            archive: its tar, and its tree.
            below: the tree of the layer below; None for a base.
            found: collects the findings.
            attributes: how to compare them.
            told: called with the number of bytes.
        """
        self._archive = archive
        self._diff = archive.diff
        self._below = below
        self._found = found
        self._attributes = attributes
        self._told = told
        self._links: dict[bytes, bytes] = {}
        self._faulty: set[bytes] = set()

    def run(self, diff_id: DiffID) -> tuple[bool, int]:
        """Compare everything; whether the tar is the one of `diff_id`, and its size; raises `OSError`."""
        made = rebuilt(self._archive, diff_id, self._found, self._told)
        if made.is_whole:
            try:
                originals = self._originals()
            except (CorruptStore, FormatError):
                return False, made.size
            gone = self._archive.marks().whiteouts
            faults = [fault for fault in made.faults if fault.path not in gone]
            told_of_faults(faults, self._found, proven=made.proven)
            self._faulty = {fault.path for fault in made.faults}
            self._walk(originals.root)
        return made.proven, made.size

    def _originals(self) -> Originals:
        """What the tar made; its hard links are noted, as they may lead to the tree below."""

        def members() -> Iterator[Member]:
            with closing(self._archive.members(cut=True)) as found:
                for member in found:
                    if isinstance(member, Member):
                        if member.header.is_hard_link:
                            self._links[member.path] = clean_name(member.header.linkname)
                        yield member

        return Originals(members(), TRUSTED.opaque)

    # -- the walk ------------------------------------------------------------------------------

    def _walk(self, root: Original) -> None:
        pending = [_Place(b"", root, is_bare=self._below is None or _is_opaque(root))]
        while pending:
            place = pending.pop()
            with ExitStack() as opened:
                try:
                    here = opened.enter_context(self._diff.subdir(place.path))
                except OSError as error:
                    self._found.add("unreadable", place.path, None, error.strerror, "cannot be looked at")
                    continue
                below = self._opened(place)
                if below:
                    opened.enter_context(below)
                pending += self._directory(place, here, below)

    def _opened(self, place: _Place) -> HostDir | None:
        if place.is_bare or self._below is None:
            return None
        try:
            return self._below.subdir(place.path)
        except OSError:  # another type there, or told when that layer is compared
            return None

    def _directory(self, place: _Place, here: HostDir, below: HostDir | None) -> Iterator[_Place]:
        """Compare the entries of a directory; yields the directories in it."""
        ours, theirs = dict(here.scan()), dict(below.scan()) if below else {}
        named: Mapping[bytes, Original] = (place.own.children if place.own else None) or {}
        for name in sorted(ours.keys() | theirs.keys() | named.keys()):
            path = place.path + b"/" + name if place.path else name
            own, found, under = named.get(name), ours.get(name), theirs.get(name)
            self._found.entries += 1
            if own is not None and not _is_whiteout(own):
                is_dir = self._of_tar(path, here, name, own, found, under)
                is_bare = _is_opaque(own) or not (under and stat.S_ISDIR(under.st_mode))
                if is_dir:
                    yield _Place(path, own, is_bare or below is None)
            elif own is not None:
                if found is not None:
                    words = kind_words(found.st_mode)
                    self._found.add("whiteout-missing", path, None, words, "what it deletes is still there")
            elif under is not None and below:
                if self._inherited(path, here, below, name, under, found):
                    yield _Place(path, None, is_bare=False)
            elif found is not None and not self._is_linked(path, found):
                message = "neither the archive has such an entry, nor the layer below"
                self._found.add("entry-extra", path, None, kind_words(found.st_mode), message)

    def _is_linked(self, path: bytes, found: os.stat_result) -> bool:
        """Whether the tar made a hard link there to a file of the tree below."""
        target = self._links.get(path)
        try:
            other = self._diff.lstat(target) if target else None
        except OSError:
            return False
        return other is not None and (other.st_dev, other.st_ino) == (found.st_dev, found.st_ino)

    def _of_tar(
        self,
        path: bytes,
        here: HostDir,
        name: bytes,
        own: Original,
        found: os.stat_result | None,
        under: os.stat_result | None,
    ) -> bool:
        """Compare an entry with its header; whether it is a directory on both sides."""
        if found is None:
            if path not in self._faulty and not self._attributes.leaves_out(own.kind):
                words = kind_words(own.mode)
                self._found.add("entry-missing", path, words, None, "it is in the archive, but not on disk")
            return False
        if stat.S_IFMT(found.st_mode) != own.kind:
            if path not in self._faulty:
                wanted, actual = kind_words(own.mode), kind_words(found.st_mode)
                self._found.add("type-altered", path, wanted, actual, "of another type")
            return False
        if own.kind == stat.S_IFLNK and (target := here.readlink(name)) != own.target:
            wanted, actual = os.fsdecode(own.target), os.fsdecode(target)
            self._found.add("target-altered", path, wanted, actual, "the link leads elsewhere")
        if own.kind in (stat.S_IFCHR, stat.S_IFBLK) and found.st_rdev != own.rdev:
            wanted, actual = _device(own.rdev), _device(found.st_rdev)
            self._found.add("device-altered", path, wanted, actual, "another device")
        if own.has_header:
            self._attributes_of(path, here, name, own, found)
        elif under is None:
            for difference in self._attributes.implied(found):
                self._add(path, difference)
        else:
            self._as_below(path, under, found, is_changed=True)
        return own.kind == stat.S_IFDIR

    def _attributes_of(
        self, path: bytes, here: HostDir, name: bytes, own: Original, found: os.stat_result
    ) -> None:
        assert own.mtime_ns is not None  # noqa: S101 - it has a header
        header = Header(
            path, _TYPES[own.kind], stat.S_IMODE(own.mode), own.uid, own.gid, own.size, own.mtime_ns,
            xattrs={key: value for key, value in own.xattrs.items() if key != TRUSTED.opaque},
        )  # fmt: skip
        for difference in self._attributes.differences(found, header):
            self._add(path, difference)
        if "xattr" in self._attributes.aspects:
            names = here.xattr_names(name)
            for difference in self._attributes.xattr_differences(here, name, names, header.xattrs, own.mode):
                self._add(path, difference)

    # -- what is as in the tree below ----------------------------------------------------------

    def _inherited(
        self,
        path: bytes,
        here: HostDir,
        below: HostDir,
        name: bytes,
        under: os.stat_result,
        found: os.stat_result | None,
    ) -> bool:
        """Compare an entry with that of the tree below; whether it is a directory in both."""
        if found is None:
            words = kind_words(under.st_mode)
            self._found.add(
                "entry-missing", path, words, None, "the layer below has it, and nothing deletes it"
            )
            return False
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(under.st_mode):
            wanted, actual = kind_words(under.st_mode), kind_words(found.st_mode)
            self._found.add("type-altered", path, wanted, actual, "of another type than in the layer below")
            return False
        self._as_below(path, under, found)
        self._xattrs(path, here, below, name)
        if stat.S_ISREG(found.st_mode):
            sizes = f"{under.st_size} bytes", f"{found.st_size} bytes"
            self._pair("size-altered", path, sizes, "the size")
            if sizes[0] == sizes[1] and not _is_same(here, below, name, found, under, self._told):
                message = "the content is not that in the layer below"
                self._found.add("content-altered", path, None, None, message)
        elif stat.S_ISLNK(found.st_mode):
            targets = os.fsdecode(below.readlink(name)), os.fsdecode(here.readlink(name))
            self._pair("target-altered", path, targets, "the target")
        devices = _device(under.st_rdev), _device(found.st_rdev)
        self._pair("device-altered", path, devices, "the device")
        return stat.S_ISDIR(found.st_mode)

    def _as_below(
        self, path: bytes, under: os.stat_result, found: os.stat_result, *, is_changed: bool = False
    ) -> None:
        """Compare attributes with those in the tree below; what is in a changed directory gave it a time."""
        aspects = self._attributes.aspects
        if "mode" in aspects and not stat.S_ISLNK(found.st_mode):
            modes = f"{stat.S_IMODE(under.st_mode):04o}", f"{stat.S_IMODE(found.st_mode):04o}"
            self._pair("mode-altered", path, modes, "the mode")
        if "owner" in aspects:
            owners = f"{under.st_uid}:{under.st_gid}", f"{found.st_uid}:{found.st_gid}"
            self._pair("owner-altered", path, owners, "the owner")
        if "mtime" in aspects and not is_changed and under.st_mtime_ns != found.st_mtime_ns:
            times = format_time(under.st_mtime_ns), format_time(found.st_mtime_ns)
            self._pair("mtime-altered", path, times, "the modification time")

    def _xattrs(self, path: bytes, here: HostDir, below: HostDir, name: bytes) -> None:
        if "xattr" not in self._attributes.aspects:
            return
        ours, theirs = here.xattr_names(name), below.xattr_names(name)
        for key in sorted({*ours, *theirs}):
            old, new = below.xattr(name, key), here.xattr(name, key)
            code = "xattr-altered"
            if key not in ours or key not in theirs:
                code = "xattr-extra" if key in ours else "xattr-missing"
            words = [None if value is None else xattr_words(key, value) for value in (old, new)]
            if old != new:
                message = "an extended attribute is not as in the layer below"
                self._found.add(code, path, words[0], words[1], message)

    def _pair(self, code: str, path: bytes, said: tuple[str, str], what: str) -> None:
        if said[0] != said[1]:
            self._found.add(code, path, *said, f"{what} is not that in the layer below")

    def _add(self, path: bytes, difference: Difference) -> None:
        self._found.add(difference.code, path, difference.expected, difference.actual, difference.message)


def _is_opaque(own: Original | None) -> bool:
    return own is not None and own.xattrs.get(TRUSTED.opaque) == OPAQUE


def _is_whiteout(own: Original) -> bool:
    return own.kind == stat.S_IFCHR and own.rdev == 0


def _device(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _is_same(
    here: HostDir,
    below: HostDir,
    name: bytes,
    found: os.stat_result,
    under: os.stat_result,
    told: Callable[[int], object],
) -> bool:
    """Whether two files have the same content; one that cannot be read does not."""
    if (found.st_dev, found.st_ino) == (under.st_dev, under.st_ino):
        return True
    if found.st_size != under.st_size:
        return False
    try:
        with here.file(name) as ours, below.file(name) as theirs:
            at = 0
            while at < found.st_size:
                piece = ours.read(at, _CHUNK)
                if not piece or piece != theirs.read(at, _CHUNK):
                    return False
                at += len(piece)
                told(0)
    except OSError:
        return False
    return True
