"""`overlay2/`: the layers' directories, their short links, and whether these agree.

`diff/` has the files; `link`, `lower` and `l/` repeat for the kernel what `layerdb` says. So they are checked
and reported, but used only if `layerdb` gives no answer (`directories`). `merged/` and `work/` are never
entered.

Source: moby `daemon/graphdriver/overlay2/overlay.go` (v20.10.24 and v28.5).
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from typing import TYPE_CHECKING

from layerfs.errors import BrokenChain, CorruptStore, MissingFile
from layerfs.formats import layerfiles
from layerfs.ids import CacheID, InvalidID, LinkID
from layerfs.stores.files import explain, identities, open_optional, open_part, parse_optional
from layerfs.stores.inodesizes import inode_sizes
from layerfs.stores.sealed import SealedDirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.hostdir import HostDir
    from layerfs.stores.files import Problem

__all__ = ["MAX_STACK", "Overlay2"]

MAX_STACK = 500
"""The most layers that overlayfs mounts (Linux `fs/overlayfs/params.c`); engines make at most 125."""

_NOT_LAYERS = frozenset({"backingFsBlockDev"})


class Overlay2:
    """Reader of one `overlay2/` directory.

    Attributes:
        problems: why the directory cannot be read.
    """

    def __init__(self, root: HostDir) -> None:
        """Read the `overlay2/` below the data root."""
        self._root = root
        self.problems: list[Problem] = []
        self._directory = open_part(root, "overlay2", self.problems)

    def path_of(self, cache_id: CacheID) -> str:
        """A layer's directory relative to the data root."""
        return self._root.name_of(f"overlay2/{cache_id}")

    def cache_ids(self) -> list[CacheID]:
        """The names of all layer directories, sorted, without the engine's short-lived probes."""
        return [
            cache_id
            for cache_id in sorted(identities(self._directory, CacheID))
            if cache_id not in _NOT_LAYERS and self._is_dir(cache_id)
        ]

    def __contains__(self, cache_id: CacheID | None) -> bool:
        """Whether there is a directory of this name; False for None."""
        return cache_id is not None and self._is_dir(cache_id)

    def _is_dir(self, cache_id: CacheID) -> bool:
        try:
            return self._directory is not None and stat.S_ISDIR(self._directory.lstat(cache_id).st_mode)
        except OSError:
            return False

    def diff(self, cache_id: CacheID) -> HostDir:
        """The layer's `diff/`, which has a descriptor only while it is used; raises `CorruptStore`."""
        path = f"overlay2/{cache_id}/diff"
        try:
            return self._layers.open(f"{cache_id}/diff")
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise MissingFile(self._root.name_of(path), "the layer's directory is missing") from error
            raise explain(error, self._root.name_of(path)) from error

    def is_diff(self, cache_id: CacheID, directory: HostDir) -> bool:
        """Whether `directory`, which `diff` gave, is still what lies there: not removed, nor replaced."""
        try:
            found, opened = self._root.lstat(f"overlay2/{cache_id}/diff"), directory.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)

    def made_ns(self, cache_id: CacheID) -> int | None:
        """When the engine made a layer's directory, by the time of its `link`, in ns; None without one."""
        try:
            return self._root.lstat(f"overlay2/{cache_id}/link").st_mtime_ns
        except OSError:
            return None

    def link(self, cache_id: CacheID) -> LinkID | None:
        """The layer's short name in `l/`, or None if the file is missing; raises `CorruptStore`."""
        path = f"overlay2/{cache_id}/link"
        return parse_optional(self._root, path, layerfiles.parse_link)

    def lower(self, cache_id: CacheID) -> tuple[LinkID, ...] | None:
        """The short names of the layers below, uppermost first, or None if the file is missing."""
        path = f"overlay2/{cache_id}/lower"
        return parse_optional(self._root, path, layerfiles.parse_lower)

    def short_links(self) -> list[LinkID]:
        """Every name in `l/` that could be a layer's, sorted; raises `CorruptStore`."""
        return sorted(identities(open_optional(self._root, "overlay2/l"), LinkID))

    def link_target(self, link: LinkID) -> CacheID | None:
        """The layer that a short link names, or None if the link is missing or leads elsewhere.

        The link is not followed. Its text must be `../<cache ID>/diff`, or an absolute path with this end.
        """
        try:
            target = os.fsdecode(self.link_text(link))
        except OSError:
            return None
        head, _, tail = target.rpartition("/")
        directory, _, name = head.rpartition("/")
        try:
            return CacheID(name) if tail == "diff" and directory else None
        except InvalidID:
            return None

    def link_text(self, link: LinkID) -> bytes:
        """The text of a short link, read so that no access is noted; raises `OSError`."""
        if self._layers.mount is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"overlay2/l/{link}")
        return self._layers.mount.readlink(f"l/{link}")

    @functools.cached_property
    def _layers(self) -> SealedDirs:
        return SealedDirs(self._root, "overlay2", self._directory)

    def is_mounted(self, cache_id: CacheID) -> bool:
        """Whether a file system is mounted on the layer's `merged/` now, on this host."""
        try:
            own = self._root.lstat(f"overlay2/{cache_id}").st_dev
            return self._root.lstat(f"overlay2/{cache_id}/merged").st_dev != own
        except OSError:
            return False

    def names_in(self, cache_id: CacheID, part: str) -> list[bytes] | None:
        """The names in a part of a layer's directory, as `work/work`, sorted; None if it is not there."""
        try:
            with self._root.subdir(f"overlay2/{cache_id}/{part}") as directory:
                return sorted(directory.names())
        except OSError:
            return None

    def content_size(self, cache_id: CacheID) -> int:
        """Bytes in a layer's `diff/` as the engine counts them: each inode once, without directories.

        Raises:
            CorruptStore: the directory is missing or unreadable.
        """
        with self.diff(cache_id) as directory:
            try:
                return sum(inode_sizes(directory).values())
            except OSError as error:
                raise explain(error, directory.display) from error

    def strangers(self) -> Iterator[tuple[bytes, int | None]]:
        """The directories in `overlay2/` whose names cannot be a layer's, sorted, and the bytes in each.

        Each inode counts once, directories do not count; None if something cannot be read.
        """
        try:
            with self._root.subdir("overlay2") as directory:
                entries = sorted(directory.scan())
        except OSError:
            return
        for name, found in entries:
            if stat.S_ISDIR(found.st_mode) and name != b"l" and not _is_cache_id(name):
                try:
                    with self._root.subdir(b"overlay2/" + name) as stranger:
                        yield name, sum(inode_sizes(stranger).values())
                except OSError:
                    yield name, None

    def link_problem(
        self, cache_id: CacheID, link_of: Callable[[CacheID], LinkID | None]
    ) -> CorruptStore | None:
        """The fault of a layer's `link` file, or of the short link that it names; or None."""
        try:
            link = self.link(cache_id)
        except CorruptStore as error:
            return error
        if link is None:
            return MissingFile(f"{self.path_of(cache_id)}/link", "the file is missing")
        if self.link_target(link) == cache_id:
            return None
        if (right := link_of(cache_id)) != link:
            path = f"{self.path_of(cache_id)}/link"
            return BrokenChain(path, "not the directory's short name", expected=right, found=link)
        name, expected = self._root.name_of(f"overlay2/l/{link}"), f"../{cache_id}/diff"
        try:
            if not stat.S_ISLNK(self._root.lstat(f"overlay2/l/{link}").st_mode):
                return BrokenChain(name, "no symbolic link", expected=expected)
            target = self.link_text(link)
        except FileNotFoundError:
            return MissingFile(name, "the short link is missing", expected=expected)
        except OSError as error:
            return BrokenChain(name, "not readable", expected=expected, found=error.strerror)
        return BrokenChain(name, "the short link leads elsewhere", expected=expected, found=ascii(target)[1:])

    def is_absolute(self, link: LinkID) -> bool:
        """Whether a short link is an absolute path, from the place where the data root once was."""
        try:
            return self.link_text(link).startswith(b"/")
        except OSError:
            return False

    def lower_problem(
        self, stack: Sequence[CacheID | None], link_of: Callable[[CacheID], LinkID | None]
    ) -> CorruptStore | None:
        """The fault of the `lower` of a stack's uppermost layer, or None; None in it is an unknown one."""
        top, *below = stack
        if top is None:
            return None
        try:
            return self._lower_problem(top, self.lower(top), below, link_of)
        except CorruptStore as error:
            return error

    def _lower_problem(
        self,
        top: CacheID,
        lower: Sequence[LinkID] | None,
        below: Sequence[CacheID | None],
        link_of: Callable[[CacheID], LinkID | None],
    ) -> CorruptStore | None:
        """As `lower_problem`; reads a link for each entry of `lower`, not for each layer below."""
        name = f"{self.path_of(top)}/lower"
        if lower is None and not below:
            return None
        if lower is None:
            return MissingFile(
                name,
                "the file is missing",
                hint="Docker would show this layer alone; layerfs goes by layerdb",
            )
        problem = "not the layers that layerdb names"
        if len(lower) != len(below):
            return BrokenChain(name, problem, expected=str(len(below)), found=str(len(lower)))
        for found, cache_id in zip(lower, below, strict=True):
            wanted = link_of(cache_id) if cache_id else None
            if wanted is not None and found != wanted:
                return BrokenChain(name, problem, expected=wanted, found=found)
        return None


def _is_cache_id(name: bytes) -> bool:
    try:
        return bool(CacheID(os.fsdecode(name)))
    except InvalidID:
        return False
