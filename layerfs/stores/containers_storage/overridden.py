"""Layers whose entries carry their attributes beside them, as the disk could not hold them (`force_mask`).

Whether a layer is one of these its root says: an attribute of that name on an entry of any other layer is an
image's own, and is shown.

Source: fuse-overlayfs `direct.c` (direct_load_data_source: the root decides), `utils.c` (override_mode: files
and directories only).
"""

from __future__ import annotations

import functools
import logging
import os
import stat
from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.overridestat import ATTRIBUTES, parse_override_stat
from layerfs.tree.overlay import RawLayer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.idmap import Owners
    from layerfs.formats.overridestat import OverrideStat
    from layerfs.hostdir import HostDir
    from layerfs.tree.source import Entry

__all__ = ["Kept", "OverriddenLayer", "override_in_force"]

_STANDS_FOR = {
    stat.S_IFDIR: (stat.S_IFDIR,),
    stat.S_IFREG: (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR),
}
"""What an entry on disk can stand for; a link has a target, which no file on disk could give."""

_log = logging.getLogger(__name__)


def override_in_force(directory: HostDir) -> bytes | None:
    """The attribute that replaces attributes in the layer of this `diff/`; None for most layers."""
    names = directory.xattr_names()
    return next((name for name in ATTRIBUTES if name in names), None)


class Kept:
    """The attributes that the entries of one layer carry, for comparing them; see `analysis.verify`.

    Attributes:
        name: the attribute that has them.
    """

    def __init__(self, name: bytes, owners: Owners) -> None:
        """Read the attribute `name`; `owners` is the namespace in whose numbers the disk is read."""
        self.name = name
        self._owners = owners

    def stat_of(self, directory: HostDir, name: bytes, found: os.stat_result) -> os.stat_result:
        """What an entry stands for; `found` itself where it carries nothing that makes sense."""
        held = stat.S_IFMT(found.st_mode)
        value = directory.xattr(name, self.name) if held in _STANDS_FOR else None
        if value is None:
            return found
        try:
            told = parse_override_stat(value)
            _check(told, held)
        except FormatError:
            return found
        users, groups = self._owners
        owner = users.outside(told.uid), groups.outside(told.gid)
        values = list(found[:10])
        values[0] = (told.kind or held) | told.mode
        values[4:6] = [now if new is None else new for now, new in zip(found[4:6], owner, strict=True)]
        more = {
            key: getattr(found, key) for key in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blocks")
        }
        return os.stat_result(values, {**more, "st_rdev": os.makedev(*told.device)})


class OverriddenLayer(RawLayer):
    """A `diff/` directory with the attributes that its entries carry, if its root carries some.

    The owners there are those inside: no namespace shifted them. The attribute itself shows, as it does
    through fuse-overlayfs, which hides those of its own name.
    """

    def __init__(self, directory: HostDir, owners: Owners) -> None:
        """Read the layer whose root is `directory`; `owners` is for entries that carry nothing."""
        super().__init__(directory, owners)
        self._told = False

    @functools.cached_property
    def _attribute(self) -> bytes | None:
        return override_in_force(self._directory)

    @property
    def is_as_on_disk(self) -> bool:
        """Whether nothing is replaced."""
        return self._attribute is None

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        found = super().entry(path)
        return found if found is None or self._attribute is None else self._replaced(path, found)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        found = super().scan(path)
        if self._attribute is None:
            return found
        prefix = path + b"/" if path else b""
        return [self._replaced(prefix + entry.name, entry) for entry in found]

    def _replaced(self, path: bytes, entry: Entry) -> Entry:
        """An entry with the attributes that it carries; what cannot be is told of, and ignored."""
        held = entry.stat
        if self._attribute is None or held.kind not in _STANDS_FOR:
            return entry
        value = RawLayer.xattr(self, path, self._attribute)
        if value is None:
            return entry
        try:
            told = parse_override_stat(value)
            _check(told, held.kind)
        except FormatError as error:
            self._tell(path, error)
            return entry
        kind = told.kind or held.kind
        found = held._replace(
            mode=kind | told.mode,
            uid=told.uid,
            gid=told.gid,
            rdev=os.makedev(*told.device),
            size=held.size if kind == held.kind else 0,
        )
        return entry._replace(stat=found)

    def _tell(self, path: bytes, error: FormatError) -> None:
        """Tell of the first one in the layer, not of hundreds."""
        if not self._told:
            self._told = True
            _log.warning(
                "%s: %s: %s (found %s): shown as on disk (so may others be in this layer)",
                self._directory.name_of(path),
                (self._attribute or b"").decode(),
                error.problem,
                error.found,
                extra={"damage": True},
            )


def _check(told: OverrideStat, held: int) -> None:
    """Raise `FormatError` where an entry of type `held` cannot stand for what it tells."""
    if told.kind and told.kind not in _STANDS_FOR[held]:
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link"}
        what = kinds.get(told.kind, "no directory")
        raise FormatError("not what the entry can stand for", found=what)
