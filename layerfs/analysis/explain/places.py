"""Where an entry of a layer lies on the disk, for who wants to look with other tools: `disk_path`."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore
from layerfs.hostdir import HostDir
from layerfs.tree.archived import ArchivedLayer
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.tarlayer import TarLayer

if TYPE_CHECKING:
    import os

    from layerfs.tree.node import Part
    from layerfs.tree.source import LayerSource
    from layerfs.tree.tarlayer import TarPlace

__all__ = [
    "OnDisk",
    "disk_path",
    "disk_stat",
    "is_from_archive",
    "is_tar",
    "listed_in",
    "marker",
    "opaque_by",
    "tar_place",
]

_PLAIN = re.compile(rb"[A-Za-z0-9._/=@+-]+")
_SHORT = 12
_LONG = 20
"""Characters of a name from which on it is worth a pattern."""


class OnDisk(NamedTuple):
    """A path on the disk: no component of it below the root is a link, when it was looked at.

    Attributes:
        begin: the path up to a name that can be cut, and the beginning of that name; all if none can be.
        pattern: the rest of the name as a pattern of the shell; it means this name alone.
        end: what is behind the name.
    """

    begin: bytes
    pattern: str = ""
    end: bytes = b""


def disk_path(layer: LayerSource, part: Part, *, short: bool) -> OnDisk | None:
    """Where an entry that the layer was found to have lies on the disk; None where it lies in no directory.

    Entries are found without following a link (`hostdir`), so the path leads to what was found.

    Args:
        layer: the layer.
        part: the place in it.
        short: whether a long name of the layer's directory may be written as a pattern.
    """
    path = layer.lies_at(part.path)
    if disk_stat(layer, part) is None and not _is_object(layer, path, part):
        return None  # known from its archive alone
    return _shown(layer.label, path, short=short)


def _shown(directory: str, path: bytes, *, short: bool) -> OnDisk:
    above, _, name = directory.rpartition("/")
    end = b""
    if len(name) < _LONG:  # `diff` in the directory whose name is long
        end, (above, _, name) = b"/" + name.encode(), above.rpartition("/")
    end = end + b"/" + path if path else end
    head = above.encode("utf-8", "surrogateescape") + b"/" if above else b""
    pattern = _pattern(above, name) if short and len(name) >= _LONG else None
    if pattern is None:
        return OnDisk(head + name.encode("utf-8", "surrogateescape") + end)
    return OnDisk(head + name[:_SHORT].encode(), pattern, end)


def disk_stat(layer: LayerSource, part: Part) -> os.stat_result | None:
    """What lstat(2) says of what lies there on the disk, whatever is shown; None where that is nothing."""
    raw = _raw(layer)
    try:
        return raw.directory.lstat(layer.lies_at(part.path)) if raw else None
    except OSError:
        return None


def marker(layer: LayerSource, part: Part, *, opaque: bool = False) -> bytes | None:
    """The file in the layer that is the mark of an entry, where marks are files."""
    raw = _raw(layer)
    return raw.marker(part.path, opaque=opaque) if raw else None


def listed_in(layer: LayerSource, path: bytes) -> tuple[str, str] | None:
    """A file that lists what is in the layer, and the text in it, once, that is the name of this entry."""
    raw = layer.stored if isinstance(layer, OverlayLayer) else None
    table = getattr(raw.tree, "table", None) if isinstance(raw, TarLayer) else None
    if table is None or not _PLAIN.fullmatch(path):
        return None
    try:
        name, content = table()
    except CorruptStore:
        return None
    texts = [f'"name":"{before}{path.decode()}"' for before in ("", "./", "/")]
    return next(((name, text) for text in texts if content.count(text.encode()) == 1), None)


def _raw(layer: LayerSource) -> RawLayer | None:
    raw = layer.stored if isinstance(layer, OverlayLayer) else None
    return raw if isinstance(raw, RawLayer) else None


def _is_object(layer: LayerSource, path: bytes, part: Part) -> bool:
    """Whether the content lies as an object in a pool, and not in a tar."""
    return is_tar(layer) and path != part.path and tar_place(layer) is None


def _pattern(directory: str, name: str) -> str | None:
    """A pattern that begins behind the first characters of a name, and means no other name beside it."""
    if not name.replace("-", "").isalnum() or not name.isascii():
        return None
    try:
        with HostDir.open(directory or ".") as opened:
            beside = [other.decode("utf-8", "surrogateescape") for other in opened.names()]
    except OSError:
        return None
    for pattern in ("*", "*-init", "*[0-9a-f]"):
        if [other for other in beside if fnmatchcase(other, name[:_SHORT] + pattern)] == [name]:
            return pattern
    return None


def is_from_archive(layer: LayerSource) -> bool:
    """Whether attributes and marks are told by the layer's archive, as the disk lost them."""
    return isinstance(layer, OverlayLayer) and isinstance(layer.stored, ArchivedLayer)


def is_tar(layer: LayerSource) -> bool:
    """Whether a layer is read from a tar, in which marks are names."""
    return isinstance(layer, OverlayLayer) and isinstance(layer.stored, TarLayer)


def tar_place(layer: LayerSource) -> TarPlace | None:
    """Where the tar lies that a layer is read from; None for other layers, and where no tool gets at it."""
    raw = layer.stored if isinstance(layer, OverlayLayer) else layer
    return raw.place() if isinstance(raw, TarLayer) else None


def opaque_by(layer: LayerSource, part: Part) -> str | None:
    """The name of the attribute that makes a directory opaque; None where none does."""
    if not isinstance(layer, OverlayLayer):
        return None
    raw = _raw(layer)
    name: bytes = (raw.opaque_attribute(part.path) if raw else None) or layer.dialect.opaque
    return name.decode()
