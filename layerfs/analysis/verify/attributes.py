"""Compares the attributes of an entry on disk with those of its header in the tar.

Every allowed difference is listed in this module: labels that the host's kernel adds, notes of overlayfs, and
what layers that BuildKit wrote in place have and their tars lack.

Sources: `formats.unpacked`; Linux `fs/overlayfs/overlayfs.h`; moby `pkg/archive/archive.go` (what a tar
made of a directory leaves out).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.verify.unpacking import Unpacking, is_marker_file
from layerfs.formats.gotime import format_time
from layerfs.formats.idmap import SAME
from layerfs.formats.unpacked import (
    ACL_ACCESS,
    ACL_DEFAULT,
    CAPABILITY,
    acl_inside,
    capability_inside,
    is_stored_time,
    plain_capability,
    stored_mtime,
    stored_xattrs,
)
from layerfs.formats.whiteouts import USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerfs.formats.idmap import IDMap, Owners
    from layerfs.formats.tarheader import Header
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir

__all__ = ["ASPECTS", "Attributes", "Difference", "kind_words", "xattr_words"]

ASPECTS = frozenset({"mode", "owner", "mtime", "xattr"})
"""What is compared, by the names that the option for leaving it out takes."""

_IMPLIED_MODE, _NAIVE_MODE = 0o755, 0o600
"""The mode of a directory without a header, and of `diff/` itself (second: by an engine that is naive)."""

_HOST_LABELS = frozenset(
    {b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor", b"security.SMACK64"}
)
"""Extended attributes that a kernel sets by itself."""

_MARKS = (b"opaque", b"redirect", b"metacopy", b"whiteout")

_NOBODY = 0xFFFFFFFF  # chown(2) takes it for "leave as it is"
_SECOND = 1_000_000_000
_SHOWN_BYTES = 64

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class Difference(NamedTuple):
    """One attribute that differs from the header."""

    code: str
    expected: str | None
    actual: str | None
    message: str


class Attributes:
    """Compares the entries of one layer.

    Attributes:
        aspects: which of `ASPECTS` are compared.
        in_place: whether the layer was written in place, as by BuildKit, and not unpacked from its tar.
        opaque: the attribute that marks a directory opaque.
        naive: whether the engine unpacks through overlayfs.
        copies_up: whether a directory without a header gets the attributes of the same directory in lower
            layers.
        rootless: whether the engine is root only in a user namespace, and so cannot make devices.
        by_parts: whether the engine wrote the files as it fetched them, in no order: directories without a
            header have no permissions then, others any time, as links have; devices and FIFOs are left out.
        marker_files: whether the engine leaves members `.wh.NAME` as they are: fuse-overlayfs reads them.
    """

    def __init__(
        self,
        aspects: frozenset[str],
        dialect: Dialect,
        *,
        in_place: bool,
        sees_all: bool,
        owners: Owners = SAME,
        naive: bool = False,
        unpacking: Unpacking | None = None,
    ) -> None:
        """Compare `aspects`.

        Args:
            aspects: some of `ASPECTS`.
            dialect: which extended attributes are overlayfs's own.
            in_place: see the class.
            sees_all: whether this process sees `trusted.*` attributes.
            owners: the user namespace of the engine.
            naive: whether the engine unpacks through overlayfs; see `hiding`.
            unpacking: how the engine unpacks; None for what Docker does.
        """
        unpacking = unpacking or Unpacking()
        self.aspects = aspects
        self.in_place = in_place
        self.opaque = dialect.opaque
        self._sees_all = sees_all
        self.naive = naive
        self.copies_up = unpacking.copies_up or naive
        self.rootless = dialect is USER or unpacking.rootless
        self.marker_files = unpacking.marker_files
        self._owners = owners
        self.by_parts = unpacking.by_parts
        self._kept = unpacking.kept
        self._implied_modes = (
            _IMPLIED_MODE,
            *((_NAIVE_MODE,) if naive else ()),
            *((0,) if self.by_parts else ()),
        )
        self._root_modes = unpacking.root_modes or self._implied_modes
        self._dialect = dialect
        self._marks = {dialect.prefix + name for name in _MARKS}

    def stat_of(self, directory: HostDir, name: bytes, found: os.stat_result) -> os.stat_result:
        """What an entry is, of which lstat(2) says `found`."""
        return found if self._kept is None else self._kept.stat_of(directory, name, found)

    def is_file(self, directory: HostDir | None, marker: bytes) -> bool:
        """Whether a whiteout, or a mark of opaque, is there as a file like any other."""
        return self.marker_files and is_marker_file(directory, marker)

    def leaves_out(self, kind: int) -> bool:
        """Whether the engine makes no entries of a type."""
        if kind == stat.S_IFIFO:
            return self.by_parts
        return kind in (stat.S_IFCHR, stat.S_IFBLK) and (self.rootless or self.by_parts)

    def differences(self, found: os.stat_result, header: Header) -> Iterator[Difference]:
        """The differences in the values of lstat(2), but the type, which was compared before."""
        kind = stat.S_IFMT(found.st_mode)
        is_link = kind == stat.S_IFLNK
        if "mode" in self.aspects and not is_link and stat.S_IMODE(found.st_mode) != header.mode:
            words = _octal(header.mode), _octal(stat.S_IMODE(found.st_mode))
            yield Difference("mode-altered", *words, "the permissions are not those of the archive")
        if "owner" in self.aspects:
            yield from self.owner(found, header.uid, header.gid)
        if "mtime" in self.aspects and not self._same_time(found, header):
            words = format_time(stored_mtime(header)), format_time(found.st_mtime_ns)
            yield Difference("mtime-altered", *words, "the modification time is not that of the archive")

    def implied(self, found: os.stat_result, *, is_root: bool = False) -> Iterator[Difference]:
        """The differences of a directory, or `diff/` itself, that the engine made without a header."""
        if self.in_place:
            return  # a container or build step made it, and may have changed everything
        modes = self._root_modes if is_root else self._implied_modes
        if "mode" in self.aspects and stat.S_IMODE(found.st_mode) not in modes:
            words = _octal(next(iter(modes))), _octal(stat.S_IMODE(found.st_mode))
            yield Difference("mode-altered", *words, "the permissions are not those the engine gives")
        if "owner" in self.aspects:
            yield from self.owner(found, 0, 0)

    def whiteout(self, found: os.stat_result, header: Header) -> Iterator[Difference]:
        """The differences of a whiteout: it must have no permissions, and the owner of its header.

        Or root as its owner, if the kernel made it.
        """
        if "owner" in self.aspects and not (self.naive and self.inside(found) == (0, 0)):
            yield from self.owner(found, header.uid, header.gid)
        mode = stat.S_IMODE(found.st_mode)
        if "mode" in self.aspects and mode and not self.in_place:
            yield Difference("mode-altered", _octal(0), _octal(mode), "a whiteout has no permissions")

    def sees(self, key: bytes) -> bool:
        """Whether this process can see an extended attribute of this name."""
        return self._sees_all or not key.startswith(b"trusted.")

    def owner(self, found: os.stat_result, uid: int, gid: int) -> Iterator[Difference]:
        """The difference between the owner of an entry and that of a header, if there is one."""
        wanted = [
            _outside(ids, number, actual)
            for ids, number, actual in zip(
                self._owners, (uid, gid), (found.st_uid, found.st_gid), strict=True
            )
        ]
        if wanted != [found.st_uid, found.st_gid]:
            words = f"{wanted[0]}:{wanted[1]}", f"{found.st_uid}:{found.st_gid}"
            yield Difference("owner-altered", *words, "the owner is not that of the archive")

    def inside(self, found: os.stat_result) -> tuple[int, int]:
        """The owner of an entry inside the engine's user namespace."""
        return self._owners.inside(found.st_uid, found.st_gid)

    def _same_time(self, found: os.stat_result, header: Header) -> bool:
        if is_stored_time(header, found.st_mtime_ns, found.st_ctime_ns):
            return True
        if self.by_parts and header.kind in (stat.S_IFDIR, stat.S_IFLNK):
            return True
        # the tar was made from the directory, with whole seconds
        return self.in_place and found.st_mtime_ns // _SECOND == header.mtime_ns // _SECOND

    # -- extended attributes -------------------------------------------------------------------

    def xattr_differences(
        self,
        directory: HostDir,
        name: bytes,
        names: Sequence[bytes],
        xattrs: Mapping[bytes, bytes],
        mode: int,
    ) -> Iterator[Difference]:
        """The differences between the extended attributes on disk and those of a header.

        Args:
            directory: the directory of the entry.
            name: its name; empty for the directory itself.
            names: the names of its extended attributes.
            xattrs: the extended attributes of its header.
            mode: type and permissions by the header.
        """
        wanted = stored_xattrs(xattrs, stat.S_IFMT(mode), stat.S_IMODE(mode))
        there = frozenset(names)
        for key in sorted(there | wanted.keys()):
            if key in _HOST_LABELS:
                continue
            if key not in wanted:
                if not self._may_have(directory, key):
                    yield self._extra(key, directory.xattr(name, key))
            elif key in there:
                value = directory.xattr(name, key)
                if self._normal(key, value, wanted[key]) != wanted[key]:
                    words = xattr_words(key, wanted[key]), xattr_words(key, value)
                    yield Difference("xattr-altered", *words, "an extended attribute was changed")
            elif self.sees(key) and not (self.rootless and _is_refused(key)):
                lost = xattr_words(key, wanted[key])
                yield Difference("xattr-missing", lost, None, "an extended attribute is missing")

    def _may_have(self, directory: HostDir, key: bytes) -> bool:
        """Whether an entry may have an extended attribute that its header lacks."""
        if self._dialect.is_bookkeeping(key) or (self._kept is not None and key == self._kept.name):
            return True
        if self.in_place:  # the tar has no extended attributes but file capabilities
            return key not in self._marks and key != CAPABILITY
        inherited = key in (ACL_ACCESS, ACL_DEFAULT)
        return inherited and directory.xattr(b"", ACL_DEFAULT) is not None

    def _extra(self, key: bytes, value: bytes | None) -> Difference:
        if key == self.opaque:
            words = xattr_words(key, value)
            return Difference("opaque-extra", None, words, "the directory was made to hide what is below it")
        return Difference("xattr-extra", None, xattr_words(key, value), "the archive has no such attribute")

    def _normal(self, key: bytes, value: bytes | None, wanted: bytes) -> bytes | None:
        """A value on disk in the form that headers have."""
        if key == CAPABILITY and value:
            in_place = self.in_place and plain_capability(wanted) == wanted
            return plain_capability(value) if in_place else capability_inside(value, self._owners.users)
        if key in (ACL_ACCESS, ACL_DEFAULT) and value and value != wanted:
            return acl_inside(value, self._owners)  # set from outside the namespace, by the archive's numbers
        return value


def _outside(ids: IDMap, inside: int, actual: int) -> int:
    """The ID on disk for an ID of a header; `actual` if the namespace's map does not tell it."""
    outside = None if inside & _NOBODY == _NOBODY else ids.outside(inside)
    return actual if outside is None else outside


def _is_refused(key: bytes) -> bool:
    """Whether the kernel refuses this attribute to root of a user namespace, which the engine ignores."""
    return key.startswith((b"trusted.", b"security.")) and key != CAPABILITY


def kind_words(mode: int) -> str:
    """The type of an entry, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "of no known type")


def xattr_words(key: bytes, value: bytes | None) -> str:
    """An extended attribute as text; its value as it is if that is printable ASCII, else in hexadecimal."""
    name = os.fsdecode(key)
    if value is None:
        return name
    shown = value[:_SHOWN_BYTES]
    text = shown.decode("latin-1")
    more = "..." if len(value) > _SHOWN_BYTES else ""
    return (
        f"{name}={text}{more}" if text.isascii() and text.isprintable() else f"{name}=0x{shown.hex()}{more}"
    )


def _octal(mode: int) -> str:
    return f"{mode:04o}"
