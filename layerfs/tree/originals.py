"""What the engine made of a layer's archive: a tree of `Original`s, one an entry, made from headers alone.

The members come in the order of the tar, as the engine unpacked them: parents that are missing are made,
names are confined and cleaned, links on the way are followed inside the layer, a hard link is the same
`Original` under one more name.

Sources: moby `pkg/archive/archive.go` (Unpack, createTarFile), `archive_linux.go` (ConvertRead); the rules
for one header are in `formats.unpacked`.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.tarsplit import Segment, clean_name
from layerfs.formats.unpacked import (
    ACL_ACCESS,
    ACL_DEFAULT,
    CAPABILITY,
    OPAQUE_MARKER,
    WHITEOUT,
    ignores_root,
    stored_mtime,
    stored_xattrs,
)
from layerfs.formats.whiteouts import OPAQUE
from layerfs.tree.original import NO_XATTRS, Original
from layerfs.tree.weights import MOST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.tarheader import Header
    from layerfs.formats.tarsplit import Member
    from layerfs.tree.parents import Given

__all__ = ["Originals"]

_PATH_MAX, _NAME_MAX, _VALUE_MAX = 4096, 255, 1 << 16
_MOST_XATTRS = 4096  # of an inode: more have no room in a list of the kernel's (64 KiB), nor on any disk
_MOST_STEPS = 1 << 24  # components of link targets: the way of every member may lead through links
_MAX_SYMLINKS = 40
_MOST_FAULTS = 100
_MOST_ENTERED = 4096
_NOBODY = 0xFFFFFFFF  # to chown(2): leave it
_NAMESPACES = (b"user.", b"trusted.", b"security.", b"system.posix_acl_")


class Originals:
    """The entries of one layer.

    Attributes:
        root: the layer's root directory.
        faults: what no engine unpacks, and what was made of it: a sentence each, a hundred at most.
        names: for what has several names, by its number: all of them, where the engine put them.
        implied: by their numbers the directories that something in them made, before any header of their own:
            whether what they lie in had a header then.
    """

    def __init__(
        self,
        members: Iterable[Member | Segment],
        opaque: bytes,
        most: int = MOST,
        *,
        markers: bool = True,
        deleting: bool = False,
    ) -> None:
        """Unpack `members`.

        Args:
            members: of the archive, in order.
            opaque: the attribute that marks a directory as opaque.
            most: how much may be kept, in entries; a kibibyte of names and values counts as four.
            markers: whether names that begin with `.wh.` are whiteouts, as in layers, or names.
            deleting: whether a whiteout deletes what the same archive had before it, and leaves no mark; so
                does a mark of opaque with directories that have no header, and all that is in them.

        Raises:
            FormatError: there is more than that; and what `members` raises.
        """
        self.root = Original(1, links=2)
        self.faults: list[str] = []
        self.names: dict[int, list[bytes]] = {}
        self.implied: dict[int, bool] = {}
        self.weight = 1
        self._most = most
        self._opaque = opaque
        self._markers = markers
        self._deleting = deleting
        self._numbers = 1
        self._steps = 0
        self._entered: dict[bytes, Original] = {}  # directories by the paths they were reached by
        self._asked: tuple[bytes, Original | None] = b"", self.root
        self._equal: dict[int, int] = {}
        self._deleted: set[tuple[int, bytes]] = set()
        for member in members:
            if not isinstance(member, Segment) and member.header.is_entry:
                self.add(member.header, member.content.size)
        self.settle()

    def find(self, path: bytes) -> Original | None:
        """What was unpacked to `path`, no link followed; `b""` is the root."""
        if not path:
            return self.root
        folder, _, name = path.rpartition(b"/")
        asked = self._asked  # mostly it is one entry of a directory after the other; read once, for threads
        if asked[0] != folder:
            asked = self._asked = folder, self._walked(folder)
        directory = asked[1]
        return directory.children.get(name) if directory and directory.children else None

    def _walked(self, path: bytes) -> Original | None:
        found: Original | None = self.root
        for name in path.split(b"/") if path else ():
            found = found.children.get(name) if found and found.children else None
        return found

    # -- unpacking -----------------------------------------------------------------------------

    def add(self, header: Header, size: int) -> Original | None:
        """Unpack one member with `size` bytes of content; the entry made, or None where it makes none."""
        path = clean_name(header.name)
        if not path:
            if header.kind == stat.S_IFDIR and not ignores_root(header.name):
                self._dress(self.root, header)
            return None
        folder, _, name = path.rpartition(b"/")
        if len(path) > _NAME_MAX and self._is_too_long(path):
            self._fault(path, "the kernel refuses so long a name: left out")
            return None
        directory = self._enter(folder, make=True)
        if directory is None:
            self._fault(path, "a part of its path is no directory: left out")
        elif self._markers and name.startswith(WHITEOUT):
            self._mark(directory, name, header, path)
        elif kind := header.kind:
            return self._entry(directory, name, kind, header, size)
        elif header.is_hard_link:
            return self._link(directory, name, header, path)
        return None

    def _is_too_long(self, path: bytes) -> bool:
        *names, name = path.split(b"/")
        # a marker is never made under its own name, so it is what it hides that must fit
        made = name.removeprefix(WHITEOUT) if self._markers else name
        return len(path) >= _PATH_MAX or max(map(len, [*names, made])) > _NAME_MAX

    def settle(self) -> None:
        """Free what only unpacking needs."""
        self._equal.clear()
        self._entered.clear()
        self._deleted.clear()

    def _fault(self, path: bytes, what: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{os.fsdecode(path)}: {what}")

    def _entry(self, directory: Original, name: bytes, kind: int, header: Header, size: int) -> Original:
        if kind == stat.S_IFDIR:
            made = (directory.children or {}).get(name)
            if made is None or made.kind != kind:  # else what is in it came before
                made = self._put(directory, name, self._new(kind))
        else:
            made = self._new(kind)
            if kind == stat.S_IFREG:
                made.size = self._shared(size)
            elif kind == stat.S_IFLNK:
                made.target = header.linkname[: _PATH_MAX - 1]
            elif kind != stat.S_IFIFO:
                major, minor = header.device
                made.rdev = os.makedev(major & 0xFFF, minor & 0xFFFFF)
            self._put(directory, name, made)
        self._dress(made, header)
        return made

    def _mark(self, directory: Original, name: bytes, header: Header, path: bytes) -> None:
        if name != OPAQUE_MARKER:
            self._whiteout(directory, name[len(WHITEOUT) :], header, path)
        elif self._deleting:
            self._delete_bare(directory)
        else:
            self._set(directory, self._opaque, OPAQUE)

    def _whiteout(self, directory: Original, name: bytes, header: Header, path: bytes) -> None:
        """A device 0:0 without permissions, of the marker's owner."""
        if not name:
            self._fault(path, "a whiteout of nothing: left out")
            return
        is_there = directory.children is not None and name in directory.children
        if self._deleting:
            if is_there:
                self._delete(directory, name)
                self._deleted.add((directory.number, name))
            return
        if is_there:
            self._fault(path, "a whiteout of what the same archive holds: left out")
            return
        made = self._put(directory, name, self._new(stat.S_IFCHR))
        self._own(made, header)
        made.mtime_ns = self._shared(stored_mtime(header))

    def _link(self, directory: Original, name: bytes, header: Header, path: bytes) -> Original | None:
        """One more name; of what is not in this layer, nothing is known."""
        linked = clean_name(header.linkname)
        folder, _, last = linked.rpartition(b"/")
        place = self._enter(folder, make=False)
        found = place.children.get(last) if place and place.children else None
        if found is None or found.kind == stat.S_IFDIR:
            self._fault(path, "a hard link to nothing in this archive: left out")
            return None
        self._put(directory, name, found)
        found.links += 1
        self.names.setdefault(found.number, [linked]).append(path)
        self._dress(found, header)
        return found

    def _dress(self, made: Original, header: Header) -> None:
        """Give an entry the attributes of a header; another name's come over those it has."""
        kind, mode = made.kind, header.mode
        self._own(made, header)
        if header.xattrs or made.xattrs:
            self._take_xattrs(made, header)
        if kind == stat.S_IFLNK:
            made.mode = kind | 0o777
            if header.is_hard_link:
                return  # the engine looks at what the link leads to, and leaves both
        else:
            made.mode = self._shared(kind | mode)
        made.mtime_ns = self._shared(stored_mtime(header))

    def _take_xattrs(self, made: Original, header: Header) -> None:
        """Those of a header over those there are, of which only what depends on owner or mode is new.

        An inode may have as many names as there are headers: nothing goes through all it has already.
        """
        kept = {name: made.xattrs[name] for name in (ACL_ACCESS, ACL_DEFAULT) if name in made.xattrs}
        for name in (CAPABILITY, *kept):
            self._set(made, name, None)
        taken = {
            name: value
            for name, value in header.xattrs.items()
            if name.startswith(_NAMESPACES) and len(name) <= _NAME_MAX and len(value) <= _VALUE_MAX
        }
        if taken:
            self._weigh(sum(map(len, taken.values())))
        for name, value in stored_xattrs(kept | taken, made.kind, header.mode).items():
            self._set(made, name, value)

    def inherit(self, made: Original, within: Original, given: Given | None) -> None:
        """Give one of `implied`, which lies in `within`, what `Original.inherit` tells.

        Raises:
            FormatError: all entries and values are more than may be kept.
        """
        if given and given.xattrs:
            self._weigh(sum(map(len, given.xattrs.values())))
        made.inherit(within if self.implied.get(made.number) == within.has_header else None, given)
        self.implied.pop(made.number, None)

    @staticmethod
    def _set(made: Original, name: bytes, value: bytes | None) -> None:
        """Set one attribute, or remove it; no further ones than the kernel would list."""
        xattrs = made.xattrs
        if value is None:
            if name in xattrs:
                assert isinstance(xattrs, dict)  # noqa: S101 - what holds something is one of ours
                del xattrs[name]
        elif isinstance(xattrs, dict):
            if name in xattrs or len(xattrs) < _MOST_XATTRS:
                xattrs[name] = value
        else:
            made.xattrs = {name: value}

    def _own(self, made: Original, header: Header) -> None:
        uid, gid = header.uid & _NOBODY, header.gid & _NOBODY
        if uid not in (made.uid, _NOBODY):
            made.uid = self._shared(uid)
        if gid not in (made.gid, _NOBODY):
            made.gid = self._shared(gid)

    # -- the tree ------------------------------------------------------------------------------

    def _enter(self, folder: bytes, *, make: bool) -> Original | None:
        """The directory at a path, links on the way followed inside the layer; None where there is none."""
        known = self._entered.get(folder)
        if known is not None:
            return known
        above, _, name = folder.rpartition(b"/")
        within = self._entered.get(above)
        found = within.children.get(name) if within and within.children else None
        if found is None or found.kind != stat.S_IFDIR:
            found = self._walk_to(folder, make=make)
        if found is not None:
            if len(self._entered) >= _MOST_ENTERED:
                self._entered.clear()
            self._entered[folder] = found
        return found

    def _walk_to(self, folder: bytes, *, make: bool) -> Original | None:
        """See `_enter`."""
        way, pending = [self.root], folder.split(b"/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in (b"", b".", b".."):
                del way[max(1, len(way) - (name == b"..")) :]
                continue
            found = (way[-1].children or {}).get(name)
            if found is None and make:
                found = self._put(way[-1], name, self._new(stat.S_IFDIR))
                self.implied[found.number] = way[-1].has_header
            if found and found.kind == stat.S_IFLNK and links < _MAX_SYMLINKS:
                links += 1
                pending += self._followed(found)
                del way[1 if found.target.startswith(b"/") else len(way) :]
            elif found and found.kind == stat.S_IFDIR:
                way.append(found)
            else:
                return None
        return way[-1]

    def _followed(self, link: Original) -> list[bytes]:
        """The components of a link's target, last one first."""
        names = link.target.split(b"/")[::-1]
        self._steps += len(names)
        if self._steps > _MOST_STEPS:
            raise FormatError("the names of an archive lead through too many symbolic links")
        return names

    def _put(self, directory: Original, name: bytes, child: Original) -> Original:
        """Give a directory an entry; whatever had the name is gone."""
        if directory.children is None:
            directory.children = {}
        before = directory.children.get(name)
        if before is not None:
            before.drop()
            directory.links -= before.kind == stat.S_IFDIR
            if before.kind in (stat.S_IFDIR, stat.S_IFLNK):
                self._entered.clear()  # it may have led there
        if child.kind == stat.S_IFDIR:
            directory.links += 1
        directory.children[name] = child
        self._weigh(len(name) + len(child.target))
        return child

    def _delete(self, directory: Original, name: bytes) -> None:
        assert directory.children  # noqa: S101 - it has the name
        gone = directory.children.pop(name)
        directory.links -= gone.kind == stat.S_IFDIR
        gone.drop()
        self._entered.clear()  # it may have led there

    def _delete_bare(self, directory: Original) -> None:
        """Delete every directory below one that has no header, and had none before it was deleted once."""
        pending = [directory] if self.implied else []
        while pending:
            place = pending.pop()
            children = place.children or {}
            self._steps += len(children)
            if self._steps > _MOST_STEPS:
                raise FormatError("the archive has too many marks of opaque in large directories")
            for name, child in list(children.items()):
                if child.kind != stat.S_IFDIR:
                    continue
                if child.has_header or (place.number, name) in self._deleted:
                    pending.append(child)
                else:
                    self._delete(place, name)

    def _new(self, kind: int) -> Original:
        self._numbers += 1
        if kind == stat.S_IFDIR:
            return Original(self._numbers, links=2)
        # all in order, as every entry of every layer goes through here
        return Original(self._numbers, kind, 0, 0, None, 0, 0, 1, b"", NO_XATTRS)

    def _weigh(self, size: int) -> None:
        self.weight += 1 + (size >> 8)
        if self.weight > self._most:
            raise FormatError("the archive has too many entries", expected=f"at most {self._most}")

    def _shared(self, number: int) -> int:
        """An equal number that is kept already: most times, modes and sizes repeat."""
        return self._equal.setdefault(number, number)
