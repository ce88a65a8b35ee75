"""Compares the attributes of entries with their headers, and reports differences.

`attributes` says what may differ. Some comparisons wait until all members were read: opaque directories,
whose mark may come later, and inodes with several names, for which the last header counts.

Source: moby `pkg/archive/archive.go` (createTarFile: every header of an inode is applied).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from layerfs.analysis.verify.attributes import kind_words, xattr_words
from layerfs.formats.tarsplit import Paths, clean_name
from layerfs.formats.unpacked import add_hard_link
from layerfs.formats.whiteouts import OPAQUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.analysis.verify.attributes import Attributes, Difference
    from layerfs.analysis.verify.hiding import Hiding
    from layerfs.analysis.verify.layerfindings import LayerFindings
    from layerfs.formats.tarheader import Header
    from layerfs.hostdir import HostDir

__all__ = ["EntryCheck", "Inodes", "link_words"]


class EntryCheck:
    """Compares attributes, and adds differences to the findings.

    Attributes:
        wants_xattrs: whether extended attributes are compared at all.
    """

    def __init__(self, attributes: Attributes, found: LayerFindings, hiding: Hiding) -> None:
        """Compare with `attributes`, and judge marks with `hiding`."""
        self._hiding = hiding
        self.wants_xattrs = "xattr" in attributes.aspects
        self._attributes = attributes
        self._found = found
        self._opaque = Paths()
        self._marked: dict[bytes, Difference] = {}

    def compare(
        self,
        path: bytes,
        directory: HostDir,
        name: bytes,
        found: os.stat_result,
        header: Header,
        names: Sequence[bytes] | None = None,
    ) -> None:
        """Compare an entry with its header; both are of one type.

        Args:
            path: the path of the entry, below `diff/`.
            directory: the directory of the entry.
            name: its name there.
            found: its attributes on disk.
            header: its header.
            names: the names of its extended attributes, if they are known already.
        """
        mode = stat.S_IFMT(found.st_mode) | header.mode
        if not _has_values(found, header):
            for difference in self._attributes.differences(found, header):
                self._add(path, difference)
        if self.wants_xattrs:
            names = directory.xattr_names(name) if names is None else names
            if names and header.kind == stat.S_IFDIR:  # what is in it may have made it, before its header
                names = self._own_names(path, directory, name, names, header.xattrs)
            if names or header.xattrs:
                self._compare_xattrs(path, directory, name, names, header, mode)

    def stat_of(self, directory: HostDir, name: bytes) -> os.stat_result:
        """What an entry is; raises `OSError`."""
        return self._attributes.stat_of(directory, name, directory.lstat(name))

    def is_plain(
        self,
        directory: HostDir,
        name: bytes,
        found: os.stat_result,
        header: Header,
        names: Sequence[bytes] | None,
    ) -> bool:
        """Whether an entry has just what its header says, and no extended attributes; arguments as above."""
        if header.xattrs or not _has_values(found, header):
            return False
        return not self.wants_xattrs or not (directory.xattr_names(name) if names is None else names)

    def _compare_xattrs(
        self,
        path: bytes,
        directory: HostDir,
        name: bytes,
        names: Sequence[bytes],
        header: Header | None,
        mode: int,
    ) -> None:
        xattrs = header.xattrs if header else {}
        for difference in self._attributes.xattr_differences(directory, name, names, xattrs, mode):
            if difference.code == "opaque-extra":  # its `.wh..wh..opq` may come later
                self._marked[path] = difference
            else:
                self._add(path, difference)

    def compare_implied(self, path: bytes, directory: HostDir) -> None:
        """Compare a directory without a header, which the engine made for root; `b""` is `diff/` itself."""
        found = self._attributes.stat_of(directory, b"", directory.lstat())
        for difference in (
            () if self._is_copied_up(path, found) else self._attributes.implied(found, is_root=not path)
        ):
            self._add(path, difference._replace(code=difference.code if path else "root-altered"))
        if self.wants_xattrs:
            names = self._own_names(path, directory, b"", directory.xattr_names())
            self._compare_xattrs(path, directory, b"", names, None, found.st_mode)

    def _own_names(
        self,
        path: bytes,
        directory: HostDir,
        name: bytes,
        names: Sequence[bytes],
        wanted: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> Sequence[bytes]:
        """The attributes of a directory without those, not `wanted`, that it took of the layers below."""
        if not path or not self._attributes.copies_up or wanted.keys() >= set(names):
            return names
        below = self._hiding.given(path)
        taken = {key: value for key, value in below.xattrs.items() if key not in wanted} if below else {}
        return [key for key in names if key not in taken or taken[key] != directory.xattr(name, key)]

    def compare_root(self, directory: HostDir, header: Header) -> None:
        """Compare `diff/` with a header `./`, which some engines apply; others make `diff/` for root."""
        found = self._attributes.stat_of(directory, b"", directory.lstat())
        differ = {difference.code for difference in self._attributes.differences(found, header)}
        if not self._attributes.naive or differ - {"mtime-altered"}:  # members after it change it
            self.compare_implied(b"", directory)

    def _is_copied_up(self, path: bytes, found: os.stat_result) -> bool:
        """Whether a directory was copied up, and so has the attributes of the same directory below."""
        below = self._hiding.given(path) if self._attributes.copies_up and path else None
        return below is not None and (below.mode, below.uid, below.gid) == (
            found.st_mode,
            *self._attributes.inside(found),
        )

    def compare_whiteout(self, path: bytes, found: os.stat_result, header: Header) -> None:
        """Compare a whiteout with the header of its `.wh.` member: the engine sets only the owner."""
        for difference in self._attributes.whiteout(found, header):
            self._add(path, difference)

    def compare_opaque(self, path: bytes, directory: HostDir | None) -> None:
        """Check a directory that a member `.wh..wh..opq` marks as opaque."""
        self._opaque.add(path)
        mark = self._attributes.opaque
        try:
            value = directory.xattr(b"", mark) if directory else None
        except OSError:
            value = None
        seen = value is not None or self._attributes.sees(mark)
        if value != OPAQUE and seen and self._hiding.merges(path):
            said = xattr_words(mark, OPAQUE), None if value is None else xattr_words(mark, value)
            self._found.add("opaque-missing", path, *said, "what the directory hid shows again")

    def finish(self) -> None:
        """Report opaque directories without such a member, when all members were read."""
        for path, difference in sorted(self._marked.items()):
            if path not in self._opaque and self._hiding.opaque_hides(path):
                self._add(path, difference)

    def _add(self, path: bytes, difference: Difference) -> None:
        self._found.add(difference.code, path, difference.expected, difference.actual, difference.message)


@dataclass(slots=True)
class _Inode:
    """An inode of which some names were not read yet; a `plain` one was compared, and nothing differs."""

    path: bytes
    header: Header
    xattrs: dict[bytes, bytes]
    kind: int
    plain: bool
    names: int = 1


class Inodes:
    """Compares the inodes with several names."""

    def __init__(self, diff: HostDir, entries: EntryCheck, found: LayerFindings) -> None:
        """Compare the inodes below `diff`."""
        self._diff = diff
        self._entries = entries
        self._found = found
        self._open: dict[int, _Inode] = {}

    def first_name(self, path: bytes, header: Header, found: os.stat_result, *, plain: bool) -> None:
        """Add a member that is no hard link in the archive, but has several names on disk.

        Of most files all further names are outside of the layer, as of a copy by hard links: what is `plain`
        by this header is looked at again only if a further header says something else.
        """
        other = self._open.get(found.st_ino)
        if other is None:
            kind = stat.S_IFMT(found.st_mode)
            self._open[found.st_ino] = _Inode(path, header, dict(header.xattrs), kind, plain)
            return
        said = "a file of its own", f"one with {os.fsdecode(other.path)}"
        self._found.add("hard-link-extra", path, *said, "joined with another file")
        self._one_more_name(other, found)

    def further_name(self, path: bytes, header: Header, found: os.stat_result, named: Paths) -> None:
        """Add a hard link; `named` has the paths of the members so far."""
        target = clean_name(header.linkname)
        try:
            linked = self._diff.lstat(target)
        except OSError:
            linked = None
        if linked is None and target in named:
            return  # that one is missing, which was reported
        if linked is None or (linked.st_dev, linked.st_ino) != (found.st_dev, found.st_ino):
            said = link_words(header), f"{kind_words(found.st_mode)} of its own"
            self._found.add("hard-link-broken", path, *said, "no longer the same file")
        elif inode := self._open.get(found.st_ino):
            before = inode.header
            inode.header = add_hard_link(before, inode.xattrs, header, inode.kind)
            inode.plain = inode.plain and not inode.xattrs and _values(inode.header) == _values(before)
            self._one_more_name(inode, found)

    def _one_more_name(self, inode: _Inode, found: os.stat_result) -> None:
        inode.names += 1
        if inode.names == found.st_nlink:
            self._compare(self._open.pop(found.st_ino))

    def finish(self) -> None:
        """Compare the inodes of which not all names were read."""
        for inode in self._open.values():
            self._compare(inode)
        self._open.clear()

    def _compare(self, inode: _Inode) -> None:
        if inode.plain:
            return
        parent, _, name = inode.path.rpartition(b"/")
        try:
            with self._diff.subdir(parent) as directory:
                found = self._entries.stat_of(directory, name)
                self._entries.compare(inode.path, directory, name, found, inode.header)
        except OSError as error:
            self._found.add("unreadable", inode.path, None, error.strerror, "cannot be looked at")


def _has_values(found: os.stat_result, header: Header) -> bool:
    """Whether the values of lstat(2) are those of the header; the types are the same."""
    return (
        found.st_mtime_ns == header.mtime_ns
        and stat.S_IMODE(found.st_mode) == header.mode
        and found.st_uid == header.uid
        and found.st_gid == header.gid
    )


def _values(header: Header) -> tuple[int, int, int, int]:
    return header.mode, header.uid, header.gid, header.mtime_ns


def link_words(header: Header) -> str:
    """A hard link in words, for `expected` of a finding."""
    return f"a hard link to {os.fsdecode(clean_name(header.linkname))}"
