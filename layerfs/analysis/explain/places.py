"""Where an entry of a layer lies on the disk, for who wants to look with other tools: `disk_path`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from layerfs.hostdir import HostDir
from layerfs.tree.archived import ArchivedLayer
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.tarlayer import TarLayer

if TYPE_CHECKING:
    from layerfs.tree.node import Part
    from layerfs.tree.source import LayerSource
    from layerfs.tree.tarlayer import TarPlace

__all__ = ["OnDisk", "disk_path", "is_from_archive", "is_tar", "marked_by", "tar_place"]

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
    raw = layer.stored if isinstance(layer, OverlayLayer) else None
    if not isinstance(raw, RawLayer):
        return None
    try:
        raw.directory.lstat(part.path)
    except OSError:
        return None  # known from its archive alone
    above, _, name = raw.directory.display.rpartition("/")
    end = b""
    if len(name) < _LONG:  # `diff` in the directory whose name is long
        end, (above, _, name) = b"/" + name.encode(), above.rpartition("/")
    end = end + b"/" + part.path if part.path else end
    head = above.encode("utf-8", "surrogateescape") + b"/" if above else b""
    pattern = _pattern(above, name) if short and len(name) >= _LONG else None
    if pattern is None:
        return OnDisk(head + name.encode("utf-8", "surrogateescape") + end)
    return OnDisk(head + name[:_SHORT].encode(), pattern, end)


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


def marked_by(layer: LayerSource, mark: str) -> str | None:
    """The name of the attribute that is a mark (`opaque`, `redirect`, `metacopy`) in the layer's dialect."""
    if not isinstance(layer, OverlayLayer):
        return None
    name: bytes = getattr(layer.dialect, mark)
    return name.decode()
