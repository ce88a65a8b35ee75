"""Compares one layer with its archive: every content, every attribute, and entries without a header.

The headers and checksums of the tar are read once, in its order. For each, the entry on disk is compared,
its content is added to the sha256 that must be the diff ID, and its CRC-64 shows whether this file differs.
Then all directories are walked for entries without a header.
Memory: 64 bits for each path, unfinished hard links, and the findings.

Sources: moby `pkg/archive/archive.go` (Unpack, createTarFile), `layer/ro_layer.go`; vbatts/tar-split
`tar/asm/assemble.go`.
"""

from __future__ import annotations

import errno
import os
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING

from layerfs.analysis.verify.attributes import kind_words
from layerfs.analysis.verify.helddirs import HeldDirs
from layerfs.analysis.verify.layercontent import LayerContent
from layerfs.analysis.verify.layerentry import EntryCheck, Inodes, link_words
from layerfs.analysis.verify.repeats import Repeats
from layerfs.analysis.verify.strays import strays
from layerfs.analysis.verify.unpacking import marker_code
from layerfs.errors import CorruptStore
from layerfs.formats.tarsplit import Paths, Segment, clean_name
from layerfs.formats.unpacked import OPAQUE_MARKER, WHITEOUT, ignores_root
from layerfs.hostdir import xattr_names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.analysis.verify.attributes import Attributes
    from layerfs.analysis.verify.hiding import Hiding
    from layerfs.analysis.verify.kept import KeptTar
    from layerfs.analysis.verify.layerfindings import LayerFindings
    from layerfs.analysis.verify.strays import Stray
    from layerfs.formats.tarheader import Header
    from layerfs.formats.tarsplit import Member
    from layerfs.hostdir import HostDir
    from layerfs.ids import DiffID

__all__ = ["LayerCheck"]

_REFUSED = (errno.EACCES, errno.EPERM)
_NO_NAMES = (b"", b".", b"..")


class LayerCheck:
    """Checks one layer.

    Attributes:
        content: the tar as it was made again; its size is that of the tar.
        found: the findings.
        proven: whether the content hashed to the diff ID.
        sizes: the sizes that the engine may have recorded for the layer, one for each way to count.
    """

    def __init__(
        self,
        archive: KeptTar,
        found: LayerFindings,
        attributes: Attributes,
        hiding: Hiding,
        *,
        told: Callable[[int], object],
        beside: bool = False,
        repeated: Mapping[bytes, int] = MappingProxyType({}),
    ) -> None:
        """Check a layer.

        Args:
            archive: the layer's archive.
            found: collects the findings.
            attributes: how to compare them.
            hiding: what the layer's marks hide.
            told: called with the number of bytes from time to time.
            beside: whether a thread does the hashing, as a processor is free for it.
            repeated: `archive.repeated()`; needed only after `PathRepeated` was raised.
        """
        self.content = LayerContent(told, beside=beside)
        self.found = found
        self.proven = False
        self.sizes: frozenset[int] = frozenset()
        self._archive = archive
        self._diff = archive.diff
        self._directories = HeldDirs(archive.diff)
        self._attributes = attributes
        self._hiding = hiding
        self._repeats = Repeats(archive, repeated, self.content, found)
        self._entries = EntryCheck(attributes, found, hiding)
        self._inodes = Inodes(archive.diff, self._entries, found)
        self._seen = Paths()  # members, by their names
        self._made = Paths()  # entries that they made elsewhere: whiteouts, and those behind links
        self._overwritten = Paths()  # whiteouts in whose place is something else
        self._marked = Paths()  # directories above marks, which may have no header
        self._parent: bytes | None = None  # of the members that are read now, and where it really is
        self._place = b""
        self._directory: HostDir | None = None
        self._refusal: OSError | None = None
        self._misfits: list[tuple[bytes, str, str]] = []
        self._root_has_header = False
        self._tar_size = self._disk_size = 0

    def run(self, diff_id: DiffID) -> None:
        """Compare everything; the sha256 of the layer's tar should be `diff_id`.

        Raises:
            PathRepeated: the archive has a path twice, and `repeated` is needed to know which comes last.
            OSError: the layer's own directory cannot be read.
        """
        with self.content:
            self._run(diff_id)

    def _run(self, diff_id: DiffID) -> None:
        try:
            for member in self._archive.members(self._seen, cut=True):
                if isinstance(member, Segment):
                    self.content.add(member.payload)
                else:
                    self._member(member)
        except CorruptStore as error:
            self.content.whole = False
            self.found.add(
                f"{self._archive.noun}-malformed", error.path, error.expected, error.found, error.problem
            )
            self._inodes.finish()
            self._judge(diff_id, complete=False)
            return
        self._inodes.finish()
        if self._judge(diff_id, complete=True):
            self._walk()
            self._entries.finish()

    # -- members -------------------------------------------------------------------------------

    def _member(self, member: Member) -> None:
        """Compare what the engine made of a member; called in the order of the tar."""
        self.content.add(member.raw)
        if not member.header.is_entry:
            return
        self._note(member.header, member)
        last = self._repeats.last(member)
        if last is not None:
            self._last(last)

    def _last(self, member: Member) -> None:
        """Compare what is on disk at the path of a member."""
        path = member.path
        if not path:
            self._root(member)
            return
        parent, _, name = path.rpartition(b"/")
        if parent != self._parent:
            self._enter(parent)
        if name.startswith(WHITEOUT) and not self._attributes.is_file(self._directory, name):
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
            found = self._attributes.stat_of(self._directory, name, self._directory.lstat(name))
        except OSError as error:
            self._absent(member, error)
            return
        try:
            self._entry(member, self._directory, name, found)
        except OSError as error:
            self.content.whole = self.content.whole and not member.has_content
            self.found.add("unreadable", path, None, error.strerror, "cannot be read")

    def _note(self, header: Header, member: Member) -> None:
        """Compare the two names of a member, and add its size in each way that the engine may count."""
        if header.name != member.content.name and clean_name(header.name) != member.path:
            said = ascii(header.name)[1:], ascii(member.content.name)[1:]
            self.found.add(
                f"{self._archive.noun}-altered", self._archive.name, *said, "a name is not its header's"
            )
        size = member.content.size
        self._tar_size += size
        if size and header.kind == stat.S_IFREG:
            self._disk_size += size
        elif header.kind == stat.S_IFLNK:
            self._disk_size += len(header.linkname)

    def _enter(self, parent: bytes) -> None:
        """Open the directory at `parent`; links on the way to it are followed within the layer."""
        self._parent = self._place = parent
        self._directory, self._refusal = None, None
        try:
            self._directory, self._place = self._directories.resolve(parent)
        except OSError as error:
            self._refusal = error

    def _entry(self, member: Member, directory: HostDir, name: bytes, found: os.stat_result) -> None:
        """Compare an entry with its header."""
        header, mode = member.header, found.st_mode
        if header.is_hard_link:
            self._hard_link(member, found)
            return
        kind = header.kind
        if stat.S_IFMT(mode) != kind:
            self.content.whole = self.content.whole and not member.has_content
            self.found.add("type-altered", member.path, kind_words(kind), kind_words(mode), "of another type")
            return
        names: Sequence[bytes] | None = None
        if kind == stat.S_IFREG and member.has_content:
            names = self._file(member, directory, name)
        elif kind == stat.S_IFDIR:
            names = self._xattr_names(name)
        elif kind == stat.S_IFLNK:
            self._symlink(member, directory, name)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            self._device(member, found)
        if found.st_nlink > 1 and kind != stat.S_IFDIR:
            plain = self._entries.is_plain(directory, name, found, header, names)
            self._inodes.first_name(_join(self._place, name), header, found, plain=plain)
        else:
            self._entries.compare(member.path, directory, name, found, header, names)

    def _hard_link(self, member: Member, found: os.stat_result) -> None:
        target = clean_name(member.header.linkname)
        if target in self._repeats:
            return  # the file that it was a link to may be the one that is missing
        if self._attributes.naive and target not in self._seen:
            self._made.add(target)  # a file of a layer below, copied up for a hard link
        self._inodes.further_name(member.path, member.header, found, self._seen)

    def _absent(self, member: Member, error: OSError) -> None:
        """Report an entry that is missing, or that cannot be read."""
        if self._attributes.leaves_out(member.header.kind):
            return  # the root of a user namespace cannot make devices
        if member.has_content:
            self.content.whole = False
        if error.errno in _REFUSED:
            self.found.add("unreadable", member.path, None, error.strerror, "permission refused")
            return
        header = member.header
        expected = link_words(header) if header.is_hard_link else kind_words(header.kind)
        self.found.add("entry-missing", member.path, expected, None, "it is in the archive, but not on disk")

    def _root(self, member: Member) -> None:
        """Compare the layer's own directory: a header of `./` had no effect on it, one of `/` has."""
        if not stat.S_ISDIR(member.header.kind):
            return
        self._root_has_header = True
        if ignores_root(member.content.name):
            self._entries.compare_root(self._diff, member.header)
            return
        self._entries.compare(b"", self._diff, b"", self._entries.stat_of(self._diff, b""), member.header)

    # -- what entries have besides attributes --------------------------------------------------

    def _file(self, member: Member, directory: HostDir, name: bytes) -> Sequence[bytes] | None:
        """Read a regular file; returns the names of its extended attributes, as the file is open here."""
        if member.header.sparse:
            self.content.whole = False
            message = "stored with holes in the archive: its tar cannot be rebuilt, the content was compared"
            self.found.add("sparse-member", member.path, None, None, message)
        fd = directory.open_seen(name)
        try:
            misfit = self.content.add_file(fd, member.content)
            names = xattr_names_of(fd) if self._entries.wants_xattrs else None
        finally:
            os.close(fd)
        if misfit and misfit.what == "size":
            self.found.add(
                "size-altered", member.path, misfit.expected, misfit.actual, "the file has another size"
            )
        elif misfit:
            self._misfits.append((member.path, misfit.expected, misfit.actual))
        return names

    def _xattr_names(self, name: bytes) -> Sequence[bytes] | None:
        """The names of a directory's extended attributes; it stays open, as its entries mostly come next."""
        if not self._entries.wants_xattrs:
            return None
        try:
            return xattr_names_of(self._directories.at(_join(self._place, name)).fd)
        except OSError:
            return None

    def _symlink(self, member: Member, directory: HostDir, name: bytes) -> None:
        target = directory.readlink(name)
        if target != member.header.linkname:
            said = os.fsdecode(member.header.linkname), os.fsdecode(target)
            self.found.add("target-altered", member.path, *said, "the link leads elsewhere")

    def _device(self, member: Member, found: os.stat_result) -> None:
        numbers = os.major(found.st_rdev), os.minor(found.st_rdev)
        if numbers != member.header.device:
            expected, actual = (f"{major}:{minor}" for major, minor in (member.header.device, numbers))
            self.found.add("device-altered", member.path, expected, actual, "another device")

    # -- marks ---------------------------------------------------------------------------------

    def _marker(self, member: Member, name: bytes) -> None:
        """Compare a whiteout, or the mark of an opaque directory."""
        path, header = member.path, member.header
        self._marked.add_with_parents(self._place)
        if member.content.size:
            self._disk_size -= member.content.size
            self.content.whole = self.content.whole and not member.has_content
            message = "a whiteout with content, which the engine dropped: the layer's tar cannot be rebuilt"
            self.found.add("whiteout-with-content", path, None, None, message)
        if name == OPAQUE_MARKER:
            self._entries.compare_opaque(self._place, self._directory)
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
            if code == "unreadable" or self._hiding.lets_through(place):
                self.found.add(code, place, "a whiteout", None, "what it hid shows again")
            return
        if _is_whiteout(found):
            self._entries.compare_whiteout(place, found, header)
        else:  # a later member may have taken its place
            self._overwritten.add(place)

    # -- the end -------------------------------------------------------------------------------

    def _judge(self, diff_id: DiffID, *, complete: bool) -> bool:
        """Report files that differ; returns whether the archive is complete enough to know extra entries."""
        file, noun, unclosed = self._archive.name, self._archive.noun, self._archive.unclosed
        self.proven = complete and self.content.whole and self.content.diff_id == diff_id
        for path, expected, actual in self._misfits:
            if self.proven:
                message = f"the content is the original; its checksum in {file.rpartition('/')[2]} is not"
                self.found.add("checksum-altered", path, actual, expected, message)
            else:
                self.found.add("content-altered", path, expected, actual, "the content was changed")
        altered = complete and self.content.whole and not self.proven and not self._misfits
        if unclosed and self.proven:
            message = (
                "the gzip stream was never closed, as early engines left it: the content is the original"
            )
            self.found.add(f"{noun}-unclosed", file, None, None, message)
        elif unclosed:
            self.found.add(f"{noun}-malformed", file, None, None, "the file ends before its end")
        elif altered:
            message = "every file fits its checksum, and yet this is not the layer's tar"
            self.found.add(f"{noun}-altered", file, diff_id, self.content.diff_id, message)
        whole = complete and (self.proven or not unclosed)
        if whole and not altered:
            self.sizes = frozenset({self._tar_size, self._disk_size - self._repeats.size})
        return whole

    def _walk(self) -> None:
        """Report entries without a header; compare the directories that the engine made without one."""
        for stray in strays(self._diff, self._has_header):
            if stray.found is None:
                reason = stray.problem.strerror if stray.problem else None
                self.found.add("unreadable", stray.path, None, reason, "cannot be looked at")
            elif stray.implied or (stray.path in self._marked and stat.S_ISDIR(stray.found.st_mode)):
                with self._diff.subdir(stray.path) as directory:
                    self._entries.compare_implied(stray.path, directory)
            else:
                self._extra(stray, stray.found)
        if not self._root_has_header:
            self._entries.compare_implied(b"", self._diff)

    def _has_header(self, path: bytes) -> bool:
        return path in self._seen or (path in self._made and path not in self._overwritten)

    def _extra(self, stray: Stray, found: os.stat_result) -> None:
        words = kind_words(found.st_mode)
        if stray.path in self._overwritten:
            self.found.add("whiteout-missing", stray.path, "a whiteout", words, "what it hid was replaced")
        elif _is_whiteout(found):
            if self._hiding.whiteout_hides(stray.path):
                message = "it hides what the archive does not"
                self.found.add("whiteout-extra", stray.path, None, "a whiteout", message)
        elif self._attributes.marker_files and (code := marker_code(stray.path)):
            self.found.add(code, stray.path, None, words, "it hides what the archive does not")
        elif stat.S_ISSOCK(found.st_mode) and self._attributes.in_place:
            self.found.add("socket-kept", stray.path, None, words, "of the build: a tar cannot have it")
        else:
            self.found.add("entry-extra", stray.path, None, words, "the archive has no such entry")


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
