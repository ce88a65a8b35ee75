"""One layer beside its archive: every content, every attribute, and that nothing is there besides.

The headers and checksums of `tar-split.json.gz` come by once, in the order of the tar. Of each the entry
on disk is looked at, its content goes into the sha256 that must be the diff ID, and its own CRC-64 tells
whether it is this file that does not fit. Then the directories are walked for what no header names.
Memory: 64 bits for each path, what is pending of hard links, and what is found. Used by `verify`.

Sources: moby `pkg/archive/archive.go` (Unpack, createTarFile), `layer/ro_layer.go`; vbatts/tar-split
`tar/asm/assemble.go`.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.analysis.attributes import kind_words, xattr_words
from layerfs.analysis.layercontent import LayerContent
from layerfs.analysis.strays import strays
from layerfs.errors import CorruptStore, TreeError
from layerfs.formats.tarsplit import Paths, Segment, clean_name
from layerfs.formats.unpacked import OPAQUE_MARKER, WHITEOUT, add_hard_link, ignores_root
from layerfs.formats.whiteouts import OPAQUE
from layerfs.hostdir import xattr_names_of
from layerfs.tree.overlay import RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.analysis.attributes import Attributes, Difference
    from layerfs.analysis.layerfindings import LayerFindings
    from layerfs.analysis.strays import Stray
    from layerfs.archive import LayerArchive
    from layerfs.formats.tarheader import Header
    from layerfs.formats.tarsplit import Member
    from layerfs.hostdir import HostDir
    from layerfs.ids import DiffID

__all__ = ["LayerCheck"]

_LEADS_AWAY = (errno.ELOOP, errno.ENOTDIR)
_REFUSED = (errno.EACCES, errno.EPERM)
_NO_NAMES = (b"", b".", b"..")


@dataclass(slots=True)
class _Inode:
    """An inode of several names, until all of them came by: what its last header says decides."""

    path: bytes
    header: Header
    kind: int
    names: int = 1


class LayerCheck:
    """Checks one layer.

    Attributes:
        content: what was read; its size is the tar's.
        found: what is found.
        proven: whether the content hashed to the diff ID.
        sizes: what the engine may have noted as the layer's size, by each of its ways to count.
    """

    def __init__(
        self,
        archive: LayerArchive,
        found: LayerFindings,
        attributes: Attributes,
        *,
        sees_all: bool,
        told: Callable[[int], object],
    ) -> None:
        """Check the layer of `archive`; `told` is called with the number of bytes from time to time."""
        self.content = LayerContent(told)
        self.found = found
        self.proven = False
        self.sizes: frozenset[int] = frozenset()
        self._archive = archive
        self._attributes = attributes
        self._sees_all = sees_all
        self._wants_xattrs = "xattr" in attributes.aspects
        self._wants_attributes = bool(attributes.aspects)
        self._diff = archive.diff
        self._seen, self._made, self._overwritten, self._opaque = Paths(), Paths(), Paths(), Paths()
        self._parent: bytes | None = None  # of the members that come by now, and where they really are
        self._place = b""
        self._directory: HostDir | None = None
        self._refusal: OSError | None = None
        self._inodes: dict[int, _Inode] = {}
        self._marked: dict[bytes, Difference] = {}
        self._misfits: list[tuple[bytes, str, str]] = []
        self._root_has_header = False
        self._tar_size = self._disk_size = 0

    def run(self, diff_id: DiffID) -> None:
        """Compare everything; the layer's tar should hash to `diff_id`."""
        try:
            for member in self._archive.members(self._seen, cut=True):
                if isinstance(member, Segment):
                    self.content.add(member.payload)
                else:
                    self._member(member)
        except CorruptStore as error:
            self.content.whole = False
            self.found.add("tar-split-malformed", error.path, error.expected, error.found, error.problem)
            self._settle_all()
            self._judge(diff_id, complete=False)
            return
        self._settle_all()
        if self._judge(diff_id, complete=True):
            self._walk()
            for path, difference in sorted(self._marked.items()):
                if path not in self._opaque:
                    self._add(path, difference)

    # -- members -------------------------------------------------------------------------------

    def _member(self, member: Member) -> None:
        """Look at what a member became, in the order in which the engine made it."""
        self.content.add(member.raw)
        header, path = member.header, member.path
        if not header.is_entry:
            return
        self._count(header, member.content.size)
        if header.name != member.content.name and clean_name(header.name) != path:
            said = ascii(header.name)[1:], ascii(member.content.name)[1:]
            self.found.add("tar-split-altered", self._archive.name, *said, "a name is not its header's")
        if not path:
            self._root(member)
            return
        parent, _, name = path.rpartition(b"/")
        if parent != self._parent:
            self._enter(parent)
        if name.startswith(WHITEOUT):
            self._marker(member, name)
            return
        self.found.entries += 1
        if member.content.size and not member.has_content:
            self.found.add("link-with-size", path, None, None, "its header has a size: docker save fails")
        if self._place != parent:
            self._made.add(_join(self._place, name))
        try:
            if self._directory is None:
                raise self._refusal or FileNotFoundError(errno.ENOENT, "")
            found = self._directory.lstat(name)
        except OSError as error:
            self._absent(member, error)
            return
        self._entry(member, self._directory, name, found)

    def _count(self, header: Header, size: int) -> None:
        """Count a member's size as the engine may have: from headers, or from inodes with links' targets."""
        self._tar_size += size
        if header.kind == stat.S_IFREG:
            self._disk_size += size
        elif header.kind == stat.S_IFLNK:
            self._disk_size += len(header.linkname)

    def _enter(self, parent: bytes) -> None:
        """Open the directory at `parent`, or the one of this layer to which links on the way lead."""
        self._parent = self._place = parent
        self._directory, self._refusal = None, None
        try:
            self._directory = self._diff.subdir(parent)
        except OSError as error:
            self._refusal = error
            if error.errno in _LEADS_AWAY:
                self._enter_through_links(parent)

    def _enter_through_links(self, parent: bytes) -> None:
        tree = UnionTree([RawLayer(self._diff)])
        try:
            node = tree.resolve(parent)
            self._directory = self._diff.subdir(node.part.path)
            self._place = node.part.path
        except (TreeError, OSError):
            return

    def _entry(self, member: Member, directory: HostDir, name: bytes, found: os.stat_result) -> None:
        """Compare an entry with its header."""
        header, mode = member.header, found.st_mode
        if header.is_hard_link:
            self._hard_link(member, found)
            return
        if stat.S_IFMT(mode) != header.kind:
            self.content.whole = self.content.whole and not member.has_content
            self.found.add(
                "type-altered", member.path, kind_words(header.kind), kind_words(mode), "of another type"
            )
            return
        names: Sequence[bytes] | None = None
        if header.kind == stat.S_IFREG and member.has_content:
            names = self._file(member, directory, name)
        elif header.kind == stat.S_IFLNK:
            self._symlink(member, directory, name)
        elif header.kind in (stat.S_IFCHR, stat.S_IFBLK):
            self._device(member, found)
        if found.st_nlink > 1 and header.kind != stat.S_IFDIR:
            self._first_name(member, found)
        elif self._wants_attributes:
            self._compare(member.path, directory, name, found, header, names)

    def _compare(
        self,
        path: bytes,
        directory: HostDir,
        name: bytes,
        found: os.stat_result,
        header: Header,
        names: Sequence[bytes] | None,
    ) -> None:
        """Compare attributes; `names` are those of the extended ones, where they are known already."""
        mode = stat.S_IFMT(found.st_mode) | header.mode
        if (found.st_mode, found.st_mtime_ns, found.st_uid, found.st_gid) != (
            mode,
            header.mtime_ns,
            header.uid,
            header.gid,
        ):
            for difference in self._attributes.differences(found, header):
                self._add(path, difference)
        if not self._wants_xattrs:
            return
        names = directory.xattr_names(name) if names is None else names
        if names or header.xattrs:
            for difference in self._attributes.xattr_differences(directory, name, names, header.xattrs, mode):
                self._add_or_wait(path, difference)

    def _add_or_wait(self, path: bytes, difference: Difference) -> None:
        """Add a difference, but wait for the marker that may come for an opaque directory."""
        if difference.code == "opaque-extra":
            self._marked[path] = difference
        else:
            self._add(path, difference)

    def _add(self, path: bytes, difference: Difference) -> None:
        self.found.add(difference.code, path, difference.expected, difference.actual, difference.message)

    def _absent(self, member: Member, error: OSError) -> None:
        """An entry that is not there, or cannot be looked at."""
        if member.has_content:
            self.content.whole = False
        if error.errno in _REFUSED:
            self.found.add("unreadable", member.path, None, error.strerror, "permission refused")
            return
        header = member.header
        expected = _link_words(header) if header.is_hard_link else kind_words(header.kind)
        self.found.add("entry-missing", member.path, expected, None, "the archive has it, the disk does not")

    def _root(self, member: Member) -> None:
        """The layer's own directory: a header `./` changes nothing, `/` does."""
        if ignores_root(member.content.name) or not stat.S_ISDIR(member.header.kind):
            return
        self._root_has_header = True
        if self._wants_attributes:
            self._compare(b"", self._diff, b"", self._diff.lstat(), member.header, None)

    # -- what entries have besides attributes --------------------------------------------------

    def _file(self, member: Member, directory: HostDir, name: bytes) -> Sequence[bytes] | None:
        """Read a regular file; the names of its extended attributes, as it is open already."""
        if member.header.sparse:
            self.content.whole = False
            message = "stored with holes in the archive: its tar cannot be rebuilt, the content was compared"
            self.found.add("sparse-member", member.path, None, None, message)
        try:
            fd = directory.open_seen(name)
        except OSError as error:
            self.content.whole = False
            self.found.add("unreadable", member.path, None, error.strerror, "the file cannot be read")
            return None
        try:
            misfit = self.content.add_file(fd, member.content)
            names = [os.fsencode(name) for name in xattr_names_of(fd)] if self._wants_xattrs else []
        except OSError as error:
            self.content.whole = False
            self.found.add("unreadable", member.path, None, error.strerror, "the file cannot be read")
            return None
        finally:
            os.close(fd)
        if misfit and misfit.what == "size":
            self.found.add(
                "size-altered", member.path, misfit.expected, misfit.actual, "the file has another size"
            )
        elif misfit:
            self._misfits.append((member.path, misfit.expected, misfit.actual))
        return names

    def _symlink(self, member: Member, directory: HostDir, name: bytes) -> None:
        target = directory.readlink(name)
        if target != member.header.linkname:
            said = os.fsdecode(member.header.linkname), os.fsdecode(target)
            self.found.add("target-altered", member.path, *said, "the link leads elsewhere")

    def _device(self, member: Member, found: os.stat_result) -> None:
        numbers = os.major(found.st_rdev), os.minor(found.st_rdev)
        if numbers != member.header.device:
            said = _device_words(member.header.device), _device_words(numbers)
            self.found.add("device-altered", member.path, *said, "another device")

    # -- hard links ----------------------------------------------------------------------------

    def _first_name(self, member: Member, found: os.stat_result) -> None:
        """An entry with an inode of its own, by the archive, that has several names on disk."""
        other = self._inodes.get(found.st_ino)
        if other is None:
            kind = stat.S_IFMT(found.st_mode)
            path = _join(self._place, member.path.rpartition(b"/")[2])
            self._inodes[found.st_ino] = _Inode(path, member.header, kind)
            return
        said = "a file of its own", f"one with {os.fsdecode(other.path)}"
        self.found.add("hard-link-extra", member.path, *said, "joined with another file")
        self._one_more_name(other, found)

    def _hard_link(self, member: Member, found: os.stat_result) -> None:
        """One more name of an entry before it."""
        target = clean_name(member.header.linkname)
        try:
            linked = self._diff.lstat(target)
        except OSError:
            linked = None
        if linked is None and target in self._seen:
            return  # that one is missing, and was named
        if linked is None or (linked.st_dev, linked.st_ino) != (found.st_dev, found.st_ino):
            said = _link_words(member.header), f"{kind_words(found.st_mode)} of its own"
            self.found.add("hard-link-broken", member.path, *said, "no longer the same file")
        elif inode := self._inodes.get(found.st_ino):
            inode.header = add_hard_link(inode.header, member.header, inode.kind)
            self._one_more_name(inode, found)

    def _one_more_name(self, inode: _Inode, found: os.stat_result) -> None:
        inode.names += 1
        if inode.names == found.st_nlink:
            self._settle(self._inodes.pop(found.st_ino))

    def _settle_all(self) -> None:
        """Compare the inodes of which not all names came by: another was added."""
        for inode in self._inodes.values():
            self._settle(inode)
        self._inodes.clear()

    def _settle(self, inode: _Inode) -> None:
        """Compare an inode with the headers of all its names."""
        if not self._wants_attributes:
            return
        parent, _, name = inode.path.rpartition(b"/")
        try:
            directory = self._diff.subdir(parent)
            found = directory.lstat(name)
        except OSError:
            return  # it vanished since
        self._compare(inode.path, directory, name, found, inode.header, None)

    # -- marks ---------------------------------------------------------------------------------

    def _marker(self, member: Member, name: bytes) -> None:
        """A member that is no entry but hides one: a whiteout, or the mark of an opaque directory."""
        path, header = member.path, member.header
        if member.content.size:
            self._disk_size -= member.content.size
            self.content.whole = self.content.whole and not member.has_content
            message = "a whiteout with content, which the engine dropped: the layer's tar cannot be rebuilt"
            self.found.add("whiteout-with-content", path, None, None, message)
        if name == OPAQUE_MARKER:
            self._opaque.add(self._place)
            self._check_opaque()
            return
        hidden = name[len(WHITEOUT) :]
        place = _join(self._place, hidden)
        self._made.add(place)
        self.found.entries += 1
        try:
            if self._directory is None or hidden in _NO_NAMES:
                raise self._refusal or FileNotFoundError(errno.ENOENT, "")
            found = self._directory.lstat(hidden)
        except OSError as error:
            code = "unreadable" if error.errno in _REFUSED else "whiteout-missing"
            self.found.add(code, place, "a whiteout", None, "what it hid shows again")
            return
        if _is_whiteout(found):
            self._compare_whiteout(place, found, header)
        else:  # a later member may have taken its place
            self._overwritten.add(place)

    def _check_opaque(self) -> None:
        try:
            value = self._directory.xattr(b"", self._attributes.opaque) if self._directory else None
        except OSError:
            value = None
        if value != OPAQUE and (self._sees_all or value is not None):
            shown = None if value is None else xattr_words(self._attributes.opaque, value)
            said = xattr_words(self._attributes.opaque, OPAQUE), shown
            self.found.add("opaque-missing", self._place, *said, "what the directory hid shows again")

    def _compare_whiteout(self, path: bytes, found: os.stat_result, header: Header) -> None:
        aspects = self._attributes.aspects
        if "owner" in aspects:
            for difference in self._attributes.owner(found, header.uid, header.gid):
                self._add(path, difference)
        mode = stat.S_IMODE(found.st_mode)
        if "mode" in aspects and mode and not self._attributes.in_place:
            self.found.add("mode-altered", path, "0000", f"{mode:04o}", "a whiteout has no permissions")

    # -- the end -------------------------------------------------------------------------------

    def _judge(self, diff_id: DiffID, *, complete: bool) -> bool:
        """Whether the archive is all there, so that what it lacks can be told; name the files that misfit."""
        unclosed = self._archive.unclosed
        self.proven = complete and self.content.whole and self.content.diff_id == diff_id
        for path, expected, actual in self._misfits:
            if self.proven:
                message = "the content is the original; its checksum in tar-split.json.gz is not"
                self.found.add("checksum-altered", path, actual, expected, message)
            else:
                self.found.add("content-altered", path, expected, actual, "the content was changed")
        altered = complete and self.content.whole and not self.proven and not self._misfits
        if unclosed and self.proven:
            message = (
                "the gzip stream was never closed, as early engines left it: the content is the original"
            )
            self.found.add("tar-split-unclosed", self._archive.name, None, None, message)
        elif unclosed:
            self.found.add(
                "tar-split-malformed", self._archive.name, None, None, "the file ends before its end"
            )
        elif altered:
            message = "every file fits its checksum, and yet this is not the layer's tar"
            self.found.add("tar-split-altered", self._archive.name, diff_id, self.content.diff_id, message)
        if complete and not altered and (self.proven or not unclosed):
            self.sizes = frozenset({self._tar_size, self._disk_size})
            return True
        return complete and not unclosed

    def _walk(self) -> None:
        """Name what no header names; compare the directories that the engine made on the way."""
        for stray in strays(self._diff, self._has_header):
            if stray.found is None:
                reason = stray.problem.strerror if stray.problem else None
                self.found.add("unreadable", stray.path, None, reason, "cannot be looked at")
            elif stray.implied:
                self._implied(stray.path, stray.found)
            else:
                self._extra(stray, stray.found)
        if not self._root_has_header:
            self._implied(b"", self._diff.lstat())

    def _has_header(self, path: bytes) -> bool:
        return path in self._seen or (path in self._made and path not in self._overwritten)

    def _extra(self, stray: Stray, found: os.stat_result) -> None:
        words = kind_words(found.st_mode)
        if stray.path in self._overwritten:
            self.found.add("whiteout-missing", stray.path, "a whiteout", words, "what it hid was replaced")
        elif _is_whiteout(found):
            self.found.add(
                "whiteout-extra", stray.path, None, "a whiteout", "it hides what the archive does not"
            )
        elif stat.S_ISSOCK(found.st_mode) and self._attributes.in_place:
            self.found.add("socket-kept", stray.path, None, words, "of the build: a tar cannot have it")
        else:
            self.found.add("entry-extra", stray.path, None, words, "the archive has no such entry")

    def _implied(self, path: bytes, found: os.stat_result) -> None:
        """A directory without a header: the engine made it, for root."""
        if not self._wants_attributes:
            return
        for difference in self._attributes.implied(found):
            if path:
                self._add(path, difference)
            else:
                said = difference.expected, difference.actual, difference.message
                self.found.add("root-altered", path, *said)
        if self._wants_xattrs:
            with self._diff.subdir(path) as directory:
                names = directory.xattr_names()
                for difference in self._attributes.xattr_differences(
                    directory, b"", names, {}, found.st_mode
                ):
                    self._add_or_wait(path, difference)


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _link_words(header: Header) -> str:
    return f"a hard link to {os.fsdecode(clean_name(header.linkname))}"


def _device_words(numbers: tuple[int, int]) -> str:
    return f"{numbers[0]}:{numbers[1]}"
