"""`snapshot`: a whole directory tree as comparable values, and `diff_snapshots` to say what differs.

Works with *at() calls from a directory descriptor, so depth beyond PATH_MAX is no limit; never
opens FIFOs or devices. Paths are bytes below the root, which itself is `b""`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

__all__ = [
    "Entry",
    "Snapshot",
    "at_path",
    "diff_snapshots",
    "errno_name",
    "open_below",
    "snapshot",
    "with_links",
    "without_ghosts",
]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SHOWN = 20
_GHOST = "lstat: ENOENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as stat, readlink, listxattr, getxattr and read tell it.

    Attributes:
        mode: type and permission bits; 0 for a name that is listed but cannot be stat'ed.
        size: in bytes; None for directories, whose size is the file system's own business.
        rdev: (major, minor) of a device.
        content: sha256 of a regular file.
        links: every path of the tree that shares the inode, this one included (non-directories).
        failures: what did not work or did not fit, as `operation: ERRNO`.
    """

    mode: int = 0
    uid: int = 0
    gid: int = 0
    nlink: int = 0
    mtime_ns: int = 0
    size: int | None = None
    rdev: tuple[int, int] | None = None
    target: bytes | None = None
    content: str | None = None
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    links: frozenset[bytes] = frozenset()
    failures: tuple[str, ...] = ()

    @property
    def is_ghost(self) -> bool:
        """Whether the name is listed but nothing is there."""
        return self.failures == (_GHOST,)


Snapshot: TypeAlias = dict[bytes, Entry]


def errno_name(error: OSError) -> str:
    """`ENOENT` and its siblings."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def open_below(root: int, path: bytes, flags: int = _DIRECTORY) -> int:
    """Open `path` below the directory descriptor `root`, in pieces no longer than the kernel takes."""
    at = os.dup(root)
    *parents, last = path.split(b"/")
    while parents:
        piece = [parents.pop(0)]
        while parents and sum(map(len, piece)) + len(piece) + len(parents[0]) < 4000:
            piece.append(parents.pop(0))
        at = _step(at, b"/".join(piece), _DIRECTORY)
    return _step(at, last or b".", flags)


def _step(at: int, path: bytes, flags: int) -> int:
    try:
        return os.open(path, flags, dir_fd=at)
    finally:
        os.close(at)


def at_path(directory: int, name: bytes) -> bytes:
    """A path for the system calls that have no *at() form (the xattr family)."""
    return b"/proc/self/fd/%d/%s" % (directory, name)


def snapshot(root: int | str | os.PathLike[str]) -> Snapshot:
    """Every entry below `root` (a path, or the descriptor of a directory), the root included."""
    top = os.dup(root) if isinstance(root, int) else os.open(root, _DIRECTORY & ~os.O_NOFOLLOW)
    entries: Snapshot = {}
    inodes: dict[bytes, Hashable] = {}
    try:
        entries[b""] = _describe(top, b".", os.fstat(top))
        pending = [b""]
        while pending:
            directory = pending.pop()
            try:
                fd = open_below(top, directory)
            except OSError as error:
                entries[directory] = _failed(entries[directory], f"open: {errno_name(error)}")
                continue
            try:
                for path, status, entry in _directory(fd, directory, entries):
                    entries[path] = entry
                    if status is None:
                        continue
                    inodes[path] = (status.st_dev, status.st_ino)
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(path)
            except OSError as error:
                entries[directory] = _failed(entries[directory], f"list: {errno_name(error)}")
            finally:
                os.close(fd)
    finally:
        os.close(top)
    return with_links(entries, inodes)


def _directory(
    fd: int, directory: bytes, entries: Snapshot
) -> Iterator[tuple[bytes, os.stat_result | None, Entry]]:
    """The entries of one open directory; a name listed twice is a failure of its second entry."""
    with os.scandir(fd) as listing:
        for listed in listing:
            name = os.fsencode(listed.name)
            path = directory + b"/" + name if directory else name
            try:
                status = os.lstat(name, dir_fd=fd)
            except OSError as error:
                yield path, None, Entry(failures=(f"lstat: {errno_name(error)}",))
                continue
            entry = _describe(fd, name, status)
            if path in entries:
                entry = _failed(entry, "listed twice")
            if not _types_agree(listed, status):
                entry = _failed(entry, "d_type is not the type lstat gives")
            yield path, status, entry


def _types_agree(listed: os.DirEntry[str], status: os.stat_result) -> bool:
    kind = stat.S_IFMT(status.st_mode)
    return (
        listed.is_dir(follow_symlinks=False) == (kind == stat.S_IFDIR)
        and listed.is_file(follow_symlinks=False) == (kind == stat.S_IFREG)
        and listed.is_symlink() == (kind == stat.S_IFLNK)
    )


def _failed(entry: Entry, what: str) -> Entry:
    return replace(entry, failures=(*entry.failures, what))


def _describe(fd: int, name: bytes, status: os.stat_result) -> Entry:
    kind = stat.S_IFMT(status.st_mode)
    failures: list[str] = []

    def attempt(what: str, action: Callable[[], bytes | str | None]) -> bytes | str | None:
        try:
            return action()
        except OSError as error:
            failures.append(f"{what}: {errno_name(error)}")
            return None

    target = content = None
    if kind == stat.S_IFLNK:
        target = attempt("readlink", lambda: os.readlink(name, dir_fd=fd))
    if kind == stat.S_IFREG:
        content = attempt("read", lambda: _digest(fd, name))
    return Entry(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        nlink=status.st_nlink,
        mtime_ns=status.st_mtime_ns,
        size=None if kind == stat.S_IFDIR else status.st_size,
        rdev=_device(status),
        target=target if isinstance(target, bytes) else None,
        content=content if isinstance(content, str) else None,
        xattrs=_xattrs(at_path(fd, name), failures),
        failures=tuple(failures),
    )


def _device(status: os.stat_result) -> tuple[int, int] | None:
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def _digest(fd: int, name: bytes) -> str:
    with os.fdopen(os.open(name, _FILE, dir_fd=fd), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(path: bytes, failures: list[str]) -> dict[bytes, bytes]:
    """Every attribute that is listed, with its value."""
    found: dict[bytes, bytes] = {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        failures.append(f"listxattr: {errno_name(error)}")
        return found
    for name in names:
        try:
            found[os.fsencode(name)] = os.getxattr(path, name, follow_symlinks=False)
        except OSError as error:
            failures.append(f"getxattr {name}: {errno_name(error)}")
    return found


def with_links(entries: Snapshot, inodes: Mapping[bytes, Hashable]) -> Snapshot:
    """The entries, each non-directory with the set of paths that share its inode."""
    groups: defaultdict[Hashable, set[bytes]] = defaultdict(set)
    for path, inode in inodes.items():
        groups[inode].add(path)
    return {
        path: replace(entry, links=frozenset(groups[inodes[path]]))
        if path in inodes and not stat.S_ISDIR(entry.mode)
        else entry
        for path, entry in entries.items()
    }


def without_ghosts(entries: Snapshot) -> Snapshot:
    """The entries that are really there: overlayfs lists some whiteouts it then does not find."""
    return {path: entry for path, entry in entries.items() if not entry.is_ghost}


def diff_snapshots(expected: Snapshot, actual: Snapshot) -> list[str]:
    """What differs, one line each, the first twenty; empty where the trees are equal."""
    lines: list[str] = []
    for path in sorted({*expected, *actual}):
        if path not in actual:
            lines.append(f"{path!r}: missing; expected {_kind(expected[path])}")
        elif path not in expected:
            lines.append(f"{path!r}: unexpected {_kind(actual[path])}")
        else:
            lines += (f"{path!r}: {change}" for change in _changes(expected[path], actual[path]))
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], f"and {more} more"]


def _kind(entry: Entry) -> str:
    return stat.filemode(entry.mode) if entry.mode else f"name without an entry ({entry.failures[0]})"


def _changes(expected: Entry, actual: Entry) -> Iterator[str]:
    for item in fields(Entry):
        want, got = getattr(expected, item.name), getattr(actual, item.name)
        if want == got:
            continue
        if item.name == "mode":
            want, got = f"{want:o}", f"{got:o}"
        elif item.name == "links":
            want, got = sorted(want), sorted(got)
        yield f"{item.name}: expected {want}, found {got}"
