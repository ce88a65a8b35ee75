"""The one-line files of `layerdb/` and `overlay2/`.

The engine trims white space from every one of them but `size`.

Source: moby `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

import re
from typing import TypeVar

from layerfs.formats.errors import FormatError
from layerfs.ids import CacheID, ChainID, DiffID, Identity, InvalidID, LinkID

__all__ = [
    "parse_cache_id",
    "parse_diff",
    "parse_link",
    "parse_lower",
    "parse_mount_id",
    "parse_parent",
    "parse_size",
]

_MOUNT_ID = re.compile(r"[a-f0-9]{64}(-init)?")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,19}")
_MAX_INT64 = 2**63 - 1

ID = TypeVar("ID", bound=Identity)


def parse_diff(content: bytes) -> DiffID:
    """`diff`: the layer's diff ID."""
    return _identity(DiffID, content)


def parse_parent(content: bytes) -> ChainID:
    """`parent`: the chain ID of the layer below."""
    return _identity(ChainID, content)


def parse_cache_id(content: bytes) -> CacheID:
    """`cache-id`: the layer's directory in `overlay2/`."""
    return _identity(CacheID, content)


def parse_mount_id(content: bytes) -> CacheID:
    """`mount-id`, `init-id`: a container's directory in `overlay2/`."""
    cache_id = _identity(CacheID, content)
    if not _MOUNT_ID.fullmatch(cache_id):
        raise FormatError("malformed", expected="64 hex digits, perhaps -init", found=ascii(str(cache_id)))
    return cache_id


def parse_size(content: bytes) -> int:
    """`size`: bytes in decimal, nothing else: the engine refuses even a newline (strconv.ParseInt)."""
    value = int(content) if _INTEGER.fullmatch(content) else None
    if value is None or not -_MAX_INT64 - 1 <= value <= _MAX_INT64:
        raise FormatError("malformed", expected="a decimal integer and nothing else", found=_shown(content))
    return value


def parse_link(content: bytes) -> LinkID:
    """`link`: the layer's short name in `l/`."""
    return _identity(LinkID, content)


def parse_lower(content: bytes) -> tuple[LinkID, ...]:
    """`lower`: `l/<short name>` of every layer below, uppermost first."""
    return tuple(
        _identity(LinkID, part.removeprefix(b"l/") if part.startswith(b"l/") else b"?" + part)
        for part in content.strip().split(b":")
    )


def _identity(kind: type[ID], content: bytes) -> ID:
    try:
        return kind(content.strip().decode("ascii", "replace"))
    except InvalidID as error:
        raise FormatError("malformed", expected=f"a {kind.noun}", found=_shown(content)) from error


def _shown(content: bytes) -> str:
    return ascii(content[:80].decode("utf-8", "replace"))
