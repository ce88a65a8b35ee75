"""How containerd changes a tar header before it unpacks the entry, as Docker's own stores do not.

It drops `trusted.*` attributes, ignores headers of the layer's root, and replaces times before 1970.

Source: containerd `pkg/archive/tar.go` (applyNaive), `tar_unix.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.tarsplit import clean_name

if TYPE_CHECKING:
    from layerfs.formats.tarheader import Header

__all__ = ["as_unpacked"]

_DROPPED = b"trusted."
_LAST_TIME = (1 << 63) - 1  # nanoseconds; later times, and those before 1970, become the epoch


def as_unpacked(header: Header) -> Header:
    """The header that Docker's stores would unpack as containerd unpacks this one."""
    if not header.name.strip(b"./") and not clean_name(header.name):
        header = header._replace(name=b"./")
    if not 0 <= header.mtime_ns <= _LAST_TIME:
        header = header._replace(mtime_ns=0)
    if any(name.startswith(_DROPPED) for name in header.xattrs):
        kept = {name: value for name, value in header.xattrs.items() if not name.startswith(_DROPPED)}
        header = header._replace(xattrs=kept)
    return header
