"""The columns and lines of `layerfs find`, for findings in one tree and in all layers of a store."""

from __future__ import annotations

import functools
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..escape import printable
from ..table import Column, Table
from ..units import rfc3339
from .entries import escaped, lossless, type_word
from .identities import cache_id_column, chain_id_column, diff_id_column, id_words
from .listing import clock_short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.store.forest import Owner
    from layerfs.analysis.store.seen import LayerHit, Sights
    from layerfs.analysis.tree.find import Hit
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.model import LayerInfo
    from layerfs.store import Store
    from layerfs.tree.node import FileStat

__all__ = [
    "SHOWN_OWNERS",
    "InRoot",
    "InTree",
    "hidden_value",
    "ls_line",
    "owner_value",
    "owners_text",
    "root_table",
    "tree_table",
]

SHOWN_OWNERS = 3
"""How many images and containers are named before the others are counted."""

_KNOWN = 16
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)


class InTree(NamedTuple):
    """A finding of one tree.

    Attributes:
        found: the finding.
        target: the target of a symbolic link.
        backing: its path on disk.
        sha256: the digest of its content, if that was asked for. layer: its layer; None in an image without
        layers.
    """

    found: Hit
    target: bytes | None
    backing: str
    sha256: str | None
    layer: LayerInfo | None

    @property
    def state(self) -> str:
        """`visible`, or `hidden` by a later layer."""
        return "hidden" if self.found.hidden else "visible"

    @property
    def place(self) -> str:
        """The number of its layer, for the long format."""
        number = self.layer.number if self.layer else None
        return f"{'-' if number is None else number:>3}"

    @property
    def remark(self) -> str:
        """What hides it."""
        hidden = self.found.hidden
        return f"  ({_hidden_words(self)})" if hidden else ""


class InRoot(NamedTuple):
    """A finding in a whole root: as `InTree`, and how each tree that has its layer stands to it."""

    found: LayerHit
    target: bytes | None
    backing: str
    sha256: str | None
    sights: Sights

    @property
    def state(self) -> str:
        """`visible` in any tree, `hidden` in all, `unknown` for damage, `used` by a build, or `unused`."""
        if self.sights.seen:
            return "visible"
        if self.sights.missed:
            return "hidden"
        if self.sights.every or self.found.stage.used is None:
            return "unknown"
        return "used" if self.found.stage.used else "unused"

    @property
    def place(self) -> str:
        """Its state and its layer, for the long format."""
        return f"{self.state:<7} {(self.found.stage.cache_id or '-')[:12]:<12}"

    @property
    def remark(self) -> str:
        """The trees that show it."""
        seen = _seen_words(self.sights, full=False)
        return f"  ({printable(seen)})" if seen else ""


def ls_line(row: InTree | InRoot, now_ns: int) -> str:
    """The fields of `find -ls`, with owners as numbers, between the place and the remark."""
    found = row.found.stat
    size = str(found.size)
    if found.kind in _DEVICES:
        size = f"{os.major(found.rdev)}, {os.minor(found.rdev):>3}"
    arrow = f" -> {escaped(row.target)}" if row.target is not None else ""
    return (
        f"{row.place} {found.ino:>9} {-(-found.blocks // 2):>6} {stat.filemode(found.mode)} {found.nlink:>3} "
        f"{found.uid:<8} {found.gid:<8} {size:>8} {clock_short(found.mtime_ns, now_ns)} "
        f"{escaped(row.found.path)}{arrow}{row.remark}\n"
    )


# -- columns -------------------------------------------------------------------------------------


def _rdev(found: FileStat) -> dict[str, int] | None:
    if found.kind not in _DEVICES:
        return None
    return {"major": os.major(found.rdev), "minor": os.minor(found.rdev)}


def _column(key: str, placeholder: str, value: Any, cell: Any = None) -> Column[Any]:
    return Column(key, value, placeholder, placeholder.upper(), cell)


_ENTRY_COLUMNS: tuple[Column[Any], ...] = (
    _column("path", "Path", lambda row: lossless(row.found.path)),
    _column("name", "Name", lambda row: lossless(row.found.path.rpartition(b"/")[2] or b"/")),
    _column("type", "Type", lambda row: type_word(row.found.stat.mode)),
    _column("mode", "Mode", lambda row: f"{stat.S_IMODE(row.found.stat.mode):04o}"),
    _column("uid", "UID", lambda row: row.found.stat.uid),
    _column("gid", "GID", lambda row: row.found.stat.gid),
    _column("size", "Size", lambda row: row.found.stat.size),
    _column("mtime", "MTime", lambda row: rfc3339(row.found.stat.mtime_ns)),
    _column("target", "Target", lambda row: None if row.target is None else lossless(row.target)),
    _column("nlink", "NLink", lambda row: row.found.stat.nlink),
    _column("inode", "Inode", lambda row: row.found.stat.ino),
    _column("rdev", "Rdev", lambda row: _rdev(row.found.stat)),
    _column("sha256", "SHA256", lambda row: row.sha256),
    _column("backing_path", "BackingPath", lambda row: row.backing),
    _column("state", "State", lambda row: row.state),
)


def tree_table() -> Table[InTree]:
    """The columns of findings in one tree."""
    return Table(
        (
            *_ENTRY_COLUMNS,
            _column("layer", "Layer", lambda row: row.layer.number if row.layer else None),
            diff_id_column(lambda row: row.layer and row.layer.diff_id),
            chain_id_column(lambda row: row.layer and row.layer.chain_id),
            cache_id_column(lambda row: row.layer and row.layer.cache_id),
            _column("hidden", "Hidden", lambda row: hidden_value(row.found.hidden), _hidden_words),
        ),
        ("Layer", "State", "Type", "Mode", "UID", "GID", "Size", "MTime", "Path"),
    )


def root_table(store: Store, *, full: bool) -> Table[InRoot]:
    """The columns of findings in a whole store; `full` shows all names."""
    words = id_words(full=full)
    return Table(
        (
            *_ENTRY_COLUMNS,
            _column("layer", "Layer", lambda row: row.found.stage.number),
            diff_id_column(lambda row: row.found.stage.diff_id, words),
            chain_id_column(lambda row: row.found.stage.chain_id, words),
            cache_id_column(lambda row: row.found.stage.cache_id, words, store.place_word),
            Column(
                "visible_in",
                lambda row: [owner_value(sight.owner) for sight in row.sights.seen],
                "VisibleIn",
                "VISIBLE IN",
                lambda row: _seen_words(row.sights, full=full),
            ),
            Column(
                "hidden_in",
                lambda row: [
                    owner_value(sight.owner) | (hidden_value(sight.hidden) or {})
                    for sight in row.sights.missed
                ],
                "HiddenIn",
                "HIDDEN IN",
                lambda row: _missed_words(row.sights, full=full),
            ),
        ),
        ("State", "Layer", "CacheID" if store.has_places else "DiffID", "VisibleIn", "HiddenIn", "Path"),
    )


def hidden_value(hidden: Hidden | None) -> dict[str, Any] | None:
    """What hides an entry as a JSON value."""
    if hidden is None:
        return None
    return {"by": hidden.by, "how": str(hidden.how), "at": lossless(hidden.at)}


def _hidden_words(row: InTree) -> str:
    hidden = row.found.hidden
    if hidden is None:
        return ""
    elsewhere = f" {escaped(hidden.at)}" if hidden.at != row.found.path else ""
    return f"layer {hidden.by}: {hidden.how}{elsewhere}"


def owner_value(owner: Owner) -> dict[str, Any]:
    """An image or container as a JSON value."""
    from layerfs.model import Image

    kind = "image" if isinstance(owner, Image) else "container"
    return {"kind": kind, "id": str(owner.id), "name": owner.name}


@functools.lru_cache(_KNOWN)  # most entries of a layer have the same
def _seen_words(sights: Sights, *, full: bool) -> str:
    return owners_text([sight.owner for sight in sights.seen], full=full)


@functools.lru_cache(_KNOWN)
def _missed_words(sights: Sights, *, full: bool) -> str:
    return owners_text([sight.owner for sight in sights.missed], full=full)


def owners_text(owners: Sequence[Owner], *, full: bool, most: int = SHOWN_OWNERS) -> str:
    """The names of images and containers, at most `most`; one without a name by the beginning of its ID."""
    names = list(_sorted_names(owners, full=full))
    more = 0 if full else max(len(names) - most, 0)
    return ", ".join(names[: len(names) - more]) + (f" and {more} more" if more else "")


def _sorted_names(owners: Sequence[Owner], *, full: bool) -> Iterator[str]:
    """Those with names first."""
    nameless = []
    for owner in owners:
        if owner.name == owner.id:
            nameless.append(id_words(full=full)(owner.id))
        else:
            yield owner.name
    yield from nameless
