"""Whether marks (whiteouts, opaque directories) that differ between archive and disk change the visible tree.

Most engines unpack a layer by itself, and write every mark of its archive. Others unpack through overlayfs
("naive diff": rootless engines, and kernels with redirect_dir on), where deleting a name makes the kernel
write the marks: single whiteouts in place of an opaque directory, none for a name that lower layers do not
have, and opaque marks on new directories in place of other entries. So marks are compared by what they hide.

Sources: moby `pkg/archive/diff.go` (UnpackLayer), `daemon/graphdriver/overlay2/overlay.go`
(doesSupportNativeDiff); Linux `fs/overlayfs/dir.c`.
"""

from __future__ import annotations

import functools
import stat
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootError, TreeError
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.parents import Given
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.verify.kept import KeptTar
    from layerfs.formats.tarsplit import ArchiveMarks
    from layerfs.formats.whiteouts import Dialect
    from layerfs.tree.node import Node

__all__ = ["Hiding"]

_DAMAGE = (CorruptStore, DataRootError, TreeError)


class Hiding:
    """Judges the marks of one layer. If it cannot be told whether a mark matters, it counts as if it did."""

    def __init__(
        self,
        archive: KeptTar,
        dialect: Dialect,
        below: Callable[[], UnionTree | None],
        *,
        naive: bool,
        gives: Callable[[bytes], Given | None] | None = None,
    ) -> None:
        """Judge a layer.

        Args:
            archive: the layer's tar.
            dialect: the extended attributes that are overlayfs's own.
            below: gives the tree of the layers below, or None for the base.
            naive: whether its engine uses naive diff; if not, every mark must be in the archive.
            gives: for an engine that makes directories without a header as `tree.parents` tells, and not as
                the kernel copies them up: what one at a path takes of the layers below; None of others.
        """
        self._naive = naive
        self._gives = gives
        self._archive = archive
        self._dialect = dialect
        self._make_below = below
        self._stored = RawLayer(archive.diff)

    def lets_through(self, path: bytes) -> bool:
        """Whether a missing whiteout at `path` makes an entry of the layers below visible."""
        return self._judge(self._lets_through, path)

    def _lets_through(self, path: bytes, below: UnionTree) -> bool:
        del below
        node = _find(self._above, path)
        return node is not None and node.part.layer > 0

    def merges(self, path: bytes) -> bool:
        """Whether a missing opaque mark of `path` makes entries of the layers below visible in it."""
        return self._judge(self._merges, path)

    def _merges(self, path: bytes, below: UnionTree) -> bool:
        del below
        node = _find(self._above, path)
        return node is not None and any(item.part.layer for item in _below(self._above, node))

    def whiteout_hides(self, path: bytes) -> bool:
        """Whether a whiteout that is only on disk hides something that the archive does not hide."""
        return self._judge(self._whiteout_hides, path)

    def _whiteout_hides(self, path: bytes, below: UnionTree) -> bool:
        return _find(below, path) is not None and not self._is_hidden(path)

    def opaque_hides(self, path: bytes) -> bool:
        """Whether an opaque mark that is only on disk hides something that the archive does not hide."""
        return self._judge(self._opaque_hides, path)

    def _opaque_hides(self, path: bytes, below: UnionTree) -> bool:
        node = _find(below, path)
        if node is None or not node.is_dir or self._is_hidden(path):
            return False
        return any(self._shows(item) for item in _below(below, node, self._is_merged))

    def _judge(self, hides: Callable[[bytes, UnionTree], bool], path: bytes) -> bool:
        if not self._naive:
            return True
        try:
            return self._below is not None and hides(path, self._below)
        except _DAMAGE:
            return True

    def given(self, path: bytes) -> Given | None:
        """What a directory at `path` that is made without a header takes of the layers below; or None."""
        try:
            if self._gives:
                return self._gives(path) or self._group_of_parent(path)
            return _given(path, self._below) if self._below else None
        except (*_DAMAGE, OSError):
            return None

    def _group_of_parent(self, path: bytes) -> Given | None:
        """What mkdir(2) takes of the directory that the new one is in, where that says so."""
        within = self._stored.entry(path.rpartition(b"/")[0])
        if within and within.stat.mode & stat.S_ISGID:
            return Given(stat.S_IFDIR | 0o755, 0, within.stat.gid, 0, {})
        return None

    # -- the trees -----------------------------------------------------------------------------

    @functools.cached_property
    def _below(self) -> UnionTree | None:
        return self._make_below()

    @functools.cached_property
    def _above(self) -> UnionTree:
        """The tree of the layer, as it is on disk, and those below it."""
        below = self._below.layers if self._below else ()
        return UnionTree([OverlayLayer(self._stored, self._dialect), *below])

    @functools.cached_property
    def _marks(self) -> ArchiveMarks:
        return self._archive.marks()

    def _is_hidden(self, path: bytes) -> bool:
        """Whether the archive hides what the layers below have at `path`."""
        if path in self._marks.whiteouts:
            return True
        while path:
            path = path.rpartition(b"/")[0]
            if path in self._marks.opaque or path in self._marks.whiteouts:
                return True
        return False

    def _is_merged(self, node: Node) -> bool:
        """Whether the layer has a directory that by its archive merges with this one of the layers below."""
        path = node.path[1:]
        own = self._stored.entry(path)
        return own is not None and own.stat.is_dir and not self._is_hidden(path)

    def _shows(self, node: Node) -> bool:
        """Whether by the archive this entry of the layers below is visible: nothing hides or replaces it."""
        path = node.path[1:]
        return self._stored.entry(path) is None and not self._is_hidden(path)


def _given(path: bytes, below: UnionTree) -> Given | None:
    """The attributes that a directory keeps when the kernel copies it up, and users see."""
    node = _find(below, path)
    if node is None:
        return None
    values = {name: below.xattr(node, name) for name in below.xattr_names(node)}
    xattrs = {name: value for name, value in values.items() if value is not None}
    return Given(node.stat.mode, node.stat.uid, node.stat.gid, node.stat.mtime_ns, xattrs)


def _find(tree: UnionTree, path: bytes) -> Node | None:
    """The entry at `path`, or None; follows no link."""
    node = tree.root
    for name in path.split(b"/") if path else ():
        found = tree.child(node, name) if node.is_dir else None
        if found is None:
            return None
        node = found
    return node


def _below(tree: UnionTree, top: Node, enter: Callable[[Node], bool] | None = None) -> Iterator[Node]:
    """Every entry in a directory, and in the directories for which `enter` is true."""
    pending = [top]
    while pending:
        for node in tree.children(pending.pop()).values():
            yield node
            if node.is_dir and (enter is None or enter(node)):
                pending.append(node)
