"""The union of a stack of layers: lookup, resolution, and where an entry's bytes are.

With `merge.py` and `lower.py` this is the one place that knows overlayfs's rules. A directory is merged
when somebody first looks into it, never before, so opening an image costs nothing and a walk costs each
layer's directories once. Lookup goes one component at a time and carries, with each directory, the places
that still merge into it: opacity and cut-offs are inherited.

Sources: Linux `Documentation/filesystems/overlayfs.rst`, `fs/overlayfs/{namei,readdir,xattrs}.c`;
each rule is checked against the kernel in tests/kernel.
"""

from __future__ import annotations

import errno
import functools
import logging
import threading
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from layerfs.errors import (
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotASymlink,
    PathNotFound,
    SymlinkLoop,
    TreeError,
    UnreadableEntry,
    UnsupportedOverlay,
)
from layerfs.tree.listing import Listing, Numbering
from layerfs.tree.lower import Descent, InvalidRedirect, join
from layerfs.tree.merge import look_up, merge_directory
from layerfs.tree.node import Entries, FileStat, Node, Part

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from layerfs.tree.content import Content
    from layerfs.tree.source import LayerSource

__all__ = ["ASKED_BEFORE_LISTING", "MAX_SYMLINKS", "UnionTree"]

MAX_SYMLINKS = 40
"""Links followed in one resolution, as in Linux (path_resolution(7))."""

_NAME_MAX = 255  # linux/limits.h; of a tree without layers

ASKED_BEFORE_LISTING = 128
"""Names asked for one by one until the whole directory is worth listing."""

_EMPTY_ROOT = FileStat(0o040755, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)

_log = logging.getLogger(__name__)


class UnionTree:
    """A read-only tree made of layers, uppermost first; safe to use from several threads.

    Every method that takes a node raises a `TreeError` (which is an `OSError`) when the evidence
    does not give what is asked.
    """

    def __init__(self, layers: Sequence[LayerSource]) -> None:
        """Stack `layers`, uppermost first as in overlayfs's `lowerdir=`; none is an empty tree."""
        self.layers = tuple(layers)
        self._lock = threading.Lock()
        self._devices: dict[int, int] = {}
        self._roots = tuple(Part(index, b"") for index in range(len(self.layers)))
        self._ends: dict[int, int] = {}  # by layer, so that roots as of every layer ask each layer once
        self.root = self.root_as_of(0)

    def root_as_of(self, top: int) -> Node:
        """A new root of the tree without the layers above a layer, given by its index in `layers`.

        Its attributes are that layer's, and every layer merges (overlayfs asks no root whether it is opaque,
        fuse-overlayfs does). What is found from it are nodes like any others: their places are those in this
        tree.
        """
        if not self.layers:
            return Node(b"", None, _EMPTY_ROOT, Part(0, b""), entries=Entries(complete=True))
        layer = self.layers[top]
        try:
            entry = layer.entry(b"")
        except OSError as error:
            raise _unreadable(b"/", layer, error) from error
        if entry is None or not entry.stat.is_dir:
            raise NotADirectory(b"/", f"{layer.label}: the layer's root is not a directory")
        return Node(b"", None, entry.stat, self._roots[top], self._roots[top + 1 : self._end_of_roots(top)])

    def _end_of_roots(self, top: int) -> int:
        """How many layers count from the uppermost down to the first whose root hides all others."""
        asked = []
        end = top
        while end < len(self.layers) and end not in self._ends:
            asked.append(end)
            if self._hides_lower_roots(end):
                break
            end += 1
        else:
            end = self._ends.get(end, len(self.layers)) - 1
        self._ends.update(dict.fromkeys(asked, end + 1))
        return end + 1

    def _hides_lower_roots(self, index: int) -> bool:
        layer = self.layers[index]
        try:
            return layer.root_is_opaque
        except OSError as error:
            raise _unreadable(b"/", layer, error) from error

    # -- names ---------------------------------------------------------------------------------

    def children(self, node: Node) -> dict[bytes, Node]:
        """The entries of a directory by name, in the kernel's order; do not modify the dict."""
        if node.entries is not None and node.entries.complete:
            return node.entries
        listing = self.listing(node)
        with self._lock:
            known = node.entries or Entries()
            if not known.complete:
                # who was asked for by name stays the same node
                known = Entries(
                    {child.name: known.get(child.name, child) for child in listing.nodes()}, complete=True
                )
                node.entries = known
        return known

    def listing(self, node: Node) -> Listing:
        """The entries of a directory, merged anew: of these nothing is kept."""
        if not self.layers:
            return Listing(node, [], [], [], {})
        _check_enterable(node)
        try:
            return merge_directory(self.layers, node)
        except OSError as error:
            raise _unreadable(node.path, self.layers[node.part.layer], error) from error

    def child(self, node: Node, name: bytes) -> Node | None:
        """The entry `name` of a directory, or None; `.` and `..` are not names.

        A name that is too long is `NameTooLong`, never absent, as in overlayfs (ovl_lookup).

        A directory is not listed for a few names: on a cold disk, that would read many inodes for one.
        """
        self.check_name(node, name)
        known = node.entries
        if known is not None and (known.complete or name in known):
            return known.get(name)
        if known is not None and known.asked >= ASKED_BEFORE_LISTING:
            return self.children(node).get(name)
        found = self.look_up(node, name)
        with self._lock:
            if node.entries is None:
                node.entries = Entries()
            node.entries.asked += 1
            if found is None or node.entries.complete:
                return node.entries.get(name)
            return node.entries.setdefault(name, found)

    def look_up(self, node: Node, name: bytes) -> Node | None:
        """As `child`, asked anew in each layer: of this nothing is kept."""
        self.check_name(node, name)
        _check_enterable(node)
        if not self.layers or b"/" in name or name in (b"", b".", b".."):
            return None
        try:
            return look_up(self.layers, node, name)
        except OSError as error:
            raise _unreadable(join(node.path, name), self.layers[node.part.layer], error) from error

    def check_name(self, node: Node, name: bytes) -> None:
        """Raise for a name that no layer could hold."""
        if len(name) > self._name_max:
            _check_enterable(node)
            raise NameTooLong(join(node.path, name))

    @functools.cached_property
    def _name_max(self) -> int:
        """The longest name that any of the layers could hold, in bytes (`namelen` in ovl_get_layers)."""
        return max((layer.statvfs().f_namemax for layer in self.layers), default=_NAME_MAX)

    def lookup(self, node: Node, name: bytes) -> Node:
        """The entry `name` of a directory, as `child`; raises `PathNotFound`."""
        child = self.child(node, name)
        if child is None:
            raise PathNotFound(join(node.path, name))
        return child

    def resolve(self, path: bytes, *, follow: bool = True) -> Node:
        """The node at `path`, following symbolic links inside the tree only, as after chroot(2).

        Args:
            path: absolute or relative to the root; `..` at the root stays there.
            follow: whether a link in the last component is followed; a trailing slash forces it.
        """
        node, links = self.root, 0
        pending = [part for part in reversed(path.split(b"/")) if part]
        follow_last = follow or path.endswith(b"/")
        while pending:
            name = pending.pop()
            if name in (b".", b".."):
                if not node.is_dir:
                    raise NotADirectory(node.path)
                node = node if name == b"." else node.parent or node
                continue
            child = self.lookup(node, name)
            if not child.stat.is_symlink or not (pending or follow_last):
                node = child
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise SymlinkLoop(path)
            target = self.readlink(child)
            if target.startswith(b"/"):
                node = self.root
            pending.extend(part for part in reversed(target.split(b"/")) if part)
        if path.endswith(b"/") and not node.is_dir:
            raise NotADirectory(path)
        return node

    # -- contents ------------------------------------------------------------------------------

    def readlink(self, node: Node) -> bytes:
        """The target of a symbolic link, verbatim."""
        if not node.stat.is_symlink:
            raise NotASymlink(node.path)
        layer = self.layers[node.part.layer]
        try:
            return layer.readlink(node.part.path)
        except OSError as error:
            raise _unreadable(node.path, layer, error) from error

    def open(self, node: Node) -> Content:
        """Open a regular file for reading; a metacopy file's data come from the layers below."""
        if not S_ISREG(node.stat.mode):
            if node.is_dir:
                raise IsADirectory(node.path)
            raise UnreadableEntry(node.path, "not a regular file: never opened")
        part = node.part
        layer = self.layers[part.layer]
        try:
            opened = layer.open(part.path)
            if not layer.has_data(part.path, opened):
                part = self.data_part(node)
                layer = self.layers[part.layer]
                opened = layer.open(part.path)
        except OSError as error:
            raise _unreadable(node.path, layer, error) from error
        return opened

    def data_part(self, node: Node) -> Part:
        """Where the bytes of a regular file lie: its own place, or a lower one for a metacopy."""
        part = node.part
        if node.parent is None:
            return part
        layer = self.layers[part.layer]
        try:
            marks = layer.metacopy(part.path)
            if marks is None:
                return part
            descent = Descent(self.layers, node.parent.parts)
            for lower, entry in descent.below(part, marks.redirect or node.name):
                if not entry.stat.is_file:
                    break
                if self.layers[lower.layer].metacopy(lower.path) is None:
                    return lower
        except InvalidRedirect as error:
            raise UnsupportedOverlay(node.path, f"{layer.label}: {error}") from error
        except OSError as error:
            raise _unreadable(node.path, layer, error) from error
        raise UnsupportedOverlay(node.path, f"{layer.label}: metacopy without data in the layers below")

    def xattr_names(self, node: Node) -> list[bytes]:
        """The names of the extended attributes the union shows: those of the topmost object."""
        if not self.layers:
            return []
        layer = self.layers[node.part.layer]
        try:
            return layer.xattr_names(node.part.path)
        except OSError as error:
            raise _unreadable(node.path, layer, error) from error

    def xattr(self, node: Node, name: bytes) -> bytes | None:
        """The value of one extended attribute, or None where the union shows none of that name."""
        if not self.layers:
            return None
        layer = self.layers[node.part.layer]
        try:
            return layer.xattr(node.part.path, name)
        except OSError as error:
            raise _unreadable(node.path, layer, error) from error

    def statvfs(self) -> os.statvfs_result | None:
        """The file system of the uppermost layer, as overlayfs reports it; None for an empty tree."""
        return self.layers[0].statvfs() if self.layers else None

    def inode(self, node: Node) -> int:
        """An inode number: the backing file's own, made distinct where layers lie on several devices.

        A device below 0 is none of the host's: its layer gave a number that is distinct already.
        """
        return node.stat.ino ^ self.device_bits(node.stat.dev)

    def device_bits(self, device: int) -> int:
        """The bits by which the inode numbers of a device differ from those of others in this tree."""
        if device < 0:
            return 0
        number = self._devices.get(device)
        if number is None:
            with self._lock:  # two threads must not number two devices alike
                number = self._devices.setdefault(device, len(self._devices))
        return number << 48

    def numbering(self, node: Node) -> Numbering:
        """What the inode numbers of the entries of a directory are made distinct by."""
        del node
        return self

    @property
    def device(self) -> int:
        """The disk that the uppermost layer lies on; below 0 where that is none of the host's."""
        return self.root.stat.dev

    def may_look_ahead(self, node: Node) -> bool:
        """Whether directories in a directory may be listed before anybody asks for them."""
        del node
        return True


def _check_enterable(node: Node) -> None:
    """Raise where there is nothing to look into."""
    if not S_ISDIR(node.stat.mode):
        raise NotADirectory(node.path)
    if node.refusal:
        raise UnsupportedOverlay(node.path, node.refusal)


def _unreadable(path: bytes, layer: LayerSource, error: OSError) -> TreeError:
    """The error for a backing file that is gone, refused or broken; names the layer."""
    if isinstance(error, TreeError):
        return error
    reason = f"{layer.label}: {error.strerror or error}"
    if error.errno == errno.EACCES:
        refused = UnreadableEntry(path, reason, hint="run as the owner of the data root, or as root")
        refused.errno = errno.EACCES
        return refused
    found = UnreadableEntry(path, reason)
    if error.errno == errno.ENAMETOOLONG:
        found.errno = errno.ENAMETOOLONG
    return found
