"""The rows of `layerfs blame`."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..table import Column, Narrow, Table
from ..units import human_size, rfc3339
from .entries import escaped, lossless, type_word
from .identities import cache_id_column, chain_id_column, diff_id_column, id_words
from .provenance import command_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.tree.blame import Content, Event
    from layerfs.analysis.tree.versions import Version
    from layerfs.model import Image

__all__ = ["ENTRIES", "EVERYWHERE", "HISTORY", "BlameRow", "blame_table"]

HISTORY: tuple[str, ...] = ("Layer", "Action", "Detail", "Visible", "Mode", "Size", "SHA256", "CreatedBy")
ENTRIES: tuple[str, ...] = ("Layer", "Action", "Mode", "Size", "Path", "CreatedBy")
EVERYWHERE: tuple[str, ...] = (
    "ChainID",
    "Layer",
    "Action",
    "Detail",
    "Mode",
    "Size",
    "SHA256",
    "Images",
    "VisibleIn",
)


_NARROW = {
    HISTORY: Narrow({"CreatedBy": 20}, ("SHA256", "Detail", "Mode")),
    ENTRIES: Narrow({"CreatedBy": 20, "Path": 24}, ("Mode",), middle=("Path",)),
    EVERYWHERE: Narrow({"Images": 16, "VisibleIn": 16}, ("SHA256", "Mode", "Detail")),
}


class BlameRow(NamedTuple):
    """An event, its layer, and the command that made the layer.

    Attributes:
        event: the event.
        content: called for the content after the event, as reading a file takes time.
        ids: diff ID, chain ID and cache ID of the layer; a container's own layers have only the last.
        created_by: the history entry that made the layer, or None.
        maker: the text of CREATED BY: the command, or of which container a layer is; None if not known.
        backing_path: the file of the store that has the version, or None.
        images: with --all, the images that have the layer.
        visible_in: those of them that show this version.
    """

    event: Event
    content: Callable[[], Content]
    ids: tuple[str | None, str | None, str | None]
    created_by: str | None
    maker: str | None
    backing_path: str | None
    images: tuple[Image, ...] = ()
    visible_in: tuple[Image, ...] = ()

    @property
    def version(self) -> Version | None:
        """The version after the event, or None."""
        return self.event.step.after

    @property
    def visible(self) -> bool:
        """Whether the final tree, or that of any image, shows this version."""
        return bool(self.visible_in) if self.images else self.event.step.visible


def _detail(row: BlameRow) -> str:
    """The attributes that differ, or what hid the path."""
    event = row.event
    if event.hidden is None:
        return ", ".join(event.changes)
    if event.hidden.at == event.step.path:
        return str(event.hidden.how)
    return f"{event.hidden.how}: {escaped(event.hidden.at)}"


def _of(value: Callable[[Version], Any]) -> Callable[[BlameRow], Any]:
    """A value of the version after the event; None without one."""
    return lambda row: None if row.version is None else value(row.version)


def _column(
    key: str, placeholder: str, header: str, value: Callable[[BlameRow], Any], words: Any = None
) -> Column[BlameRow]:
    return Column(key, value, placeholder, header, words and (lambda row: words(value(row))))


def blame_table(shown: tuple[str, ...], *, full: bool) -> Table[BlameRow]:
    """The columns of events.

    Args:
        shown: what a table shows: `HISTORY` of a path, `ENTRIES` of a directory, or `EVERYWHERE` with --all.
        full: show IDs, digests and commands in full.
    """
    identity = id_words(full=full)

    def text(value: str | None) -> str:
        return "" if value is None else escaped(value.encode("utf-8", "surrogateescape"))

    def hash_words(value: str | None) -> str:
        return (value or "") if full else (value or "")[:12]

    def target(row: BlameRow) -> str | None:
        found = row.content().target
        return None if found is None else lossless(found)

    def names(images: tuple[Image, ...]) -> str:
        return ", ".join(image.name if image.has_name else identity(image.id) for image in images)

    columns: tuple[Column[BlameRow], ...] = (
        _column("path", "Path", "PATH", lambda row: lossless(row.event.step.path), text),
        _column("layer", "Layer", "LAYER", lambda row: row.event.step.layer),
        _column("action", "Action", "ACTION", lambda row: str(row.event.action)),
        Column("", _detail, "Detail", "DETAIL"),
        _column("changes", "Changes", "CHANGES", lambda row: list(row.event.changes), ", ".join),
        _column("how", "How", "HOW", lambda row: row.event.hidden and str(row.event.hidden.how)),
        _column(
            "hidden_at",
            "HiddenAt",
            "HIDDEN AT",
            lambda row: row.event.hidden and lossless(row.event.hidden.at),
            text,
        ),
        _column("visible", "Visible", "VISIBLE", lambda row: row.visible, lambda value: "*" if value else ""),
        *_attribute_columns(),
        _column("target", "Target", "TARGET", target, text),
        _column("sha256", "SHA256", "SHA256", lambda row: row.content().sha256, hash_words),
        diff_id_column(lambda row: row.ids[0], identity),
        chain_id_column(lambda row: row.ids[1], identity),
        cache_id_column(lambda row: row.ids[2], identity),
        _column("backing_path", "BackingPath", "BACKING PATH", lambda row: row.backing_path),
        _maker_column(full=full),
        *(_image_columns(names) if shown is EVERYWHERE else ()),
    )
    return Table(columns, shown, narrow=None if full else _NARROW[shown])


def _attribute_columns() -> tuple[Column[BlameRow], ...]:
    """The columns of the attributes of a version."""

    def size(value: int | None) -> str:
        return "" if value is None else human_size(value, 4)

    return (
        _column("type", "Type", "TYPE", _of(lambda version: type_word(version.stat.mode))),
        _column("size", "Size", "SIZE", _of(lambda version: version.stat.size), size),
        Column(
            "mode",
            _of(lambda version: f"{stat.S_IMODE(version.stat.mode):04o}"),
            "Mode",
            "MODE",
            lambda row: "" if row.version is None else stat.filemode(row.version.stat.mode),
        ),
        _column("uid", "UID", "UID", _of(lambda version: version.stat.uid)),
        _column("gid", "GID", "GID", _of(lambda version: version.stat.gid)),
        _column("mtime", "MTime", "MTIME", _of(lambda version: rfc3339(version.stat.mtime_ns))),
    )


def _maker_column(*, full: bool) -> Column[BlameRow]:
    command = command_words(full=full)
    return Column(
        "created_by", lambda row: row.created_by, "CreatedBy", "CREATED BY", lambda row: command(row.maker)
    )


def _image_columns(names: Callable[[tuple[Image, ...]], str]) -> Iterator[Column[BlameRow]]:
    """The columns of --all."""
    yield Column(
        "images",
        lambda row: [image.name for image in row.images],
        "Images",
        "IMAGES",
        lambda row: names(row.images),
    )
    yield Column(
        "visible_in",
        lambda row: [image.name for image in row.visible_in],
        "VisibleIn",
        "VISIBLE IN",
        lambda row: names(row.visible_in),
    )
