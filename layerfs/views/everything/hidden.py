"""The hidden versions of an image's files, as a tree: `etc/motd@2` is the one of layer 2."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, TypeAlias

from layerfs.analysis.tree.deleted import deleted
from layerfs.analysis.tree.versions import node_of
from layerfs.errors import reason
from layerfs.tree.union import UnionTree
from layerfs.views.everything.directories import Borrowed, Directory, DirectoryLayer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.analysis.tree.deleted import Deleted
    from layerfs.errors import TreeError
    from layerfs.views.everything.directories import Item

__all__ = ["hidden_tree"]

_MOST = 255  # bytes of a name (NAME_MAX)
_BEGINNING = 200
_DIGITS = 12
_DEVICE = -2
"""None of the host's: its inode numbers are made distinct by whoever shows several such trees."""

_Level: TypeAlias = "dict[bytes, _Level | Borrowed]"

_log = logging.getLogger(__name__)


def hidden_tree(tree: UnionTree, mtime_ns: int) -> UnionTree:
    """Every version of a file that a higher layer of `tree` hides, in its directory.

    What cannot be read is logged and left out. Directories are not those of the image; their time is
    `mtime_ns`.
    """
    top: _Level = {}
    found: list[Deleted] = list(deleted(tree, problem=_log_problem))
    directories = [_level(top, item.version.path.split(b"/")[1:-1]) for item in found]
    for directory, item in zip(directories, found, strict=True):
        version, hidden = item.version, item.hidden
        notes = {
            b"user.layerfs.layer": b"%d" % version.layer,
            b"user.layerfs.hidden_by": b"%d" % hidden.by,
            b"user.layerfs.hidden_how": hidden.how.encode(),
        }
        name = version.path.rpartition(b"/")[2]
        directory[_free(name, version.layer, directory)] = Borrowed(tree, node_of(tree, version), notes)
    return UnionTree([DirectoryLayer(_directory(top), mtime_ns, _DEVICE)])


def _log_problem(error: TreeError) -> None:
    _log.warning("%s", reason(error))


def _level(top: _Level, path: list[bytes]) -> _Level:
    """The directory at a path, which is made."""
    for name in path:
        below = top.setdefault(name, {})
        assert isinstance(below, dict)  # noqa: S101 - files come after all directories
        top = below
    return top


def _free(name: bytes, layer: int, taken: Mapping[bytes, object]) -> bytes:
    """`name@layer`, and `@layer` once more where that is taken; cut, with a digest, if it is too long."""
    suffix = b"@%d" % layer
    found = name + suffix
    while found in taken:
        found += suffix
    if len(found) > _MOST:
        digest = hashlib.sha256(found).hexdigest()[:_DIGITS].encode()
        found = found[:_BEGINNING] + b"%~" + digest + suffix
    return found


def _directory(level: _Level) -> Directory:
    entries: dict[bytes, Item] = {
        name: item if isinstance(item, Borrowed) else _directory(item) for name, item in level.items()
    }
    return Directory(lambda: entries)
