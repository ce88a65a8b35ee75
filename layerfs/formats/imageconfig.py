"""The image config. An image ID is the sha256 of its bytes.

Sources: moby `image/image.go`, `api/types/container/config.go`; OCI image-spec `config.md`.
"""

from __future__ import annotations

from typing import NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time
from layerfs.formats.jsontext import (
    Json,
    Wanted,
    array,
    fields,
    load_object,
    mapping,
    text,
    texts,
    texts_by_name,
    time_ns,
)
from layerfs.ids import DiffID, InvalidID

__all__ = ["HistoryEntry", "ImageConfig", "parse_image_config"]


class HistoryEntry(NamedTuple):
    """One step of a build; `created_ns` in ns since the epoch, None where it is not known."""

    created_ns: int | None
    created_by: str
    author: str
    comment: str
    empty_layer: bool


_STEP = Wanted.of(
    ("created", str, ""),
    ("created_by", str, ""),
    ("author", str, ""),
    ("comment", str, ""),
    ("empty_layer", bool, False),
)
"""Of a step, as `HistoryEntry` has them."""


class ImageConfig(NamedTuple):
    """What layerfs uses of a config; `raw` is the whole document.

    Attributes:
        created_ns: ns since the epoch; None where it is missing.
        diff_ids: the layers, base first.
        history: the steps, oldest first.
    """

    created_ns: int | None
    author: str
    comment: str
    architecture: str
    variant: str
    os: str
    diff_ids: tuple[DiffID, ...]
    history: tuple[HistoryEntry, ...]
    labels: dict[str, str]
    raw: Json


def parse_image_config(content: bytes) -> ImageConfig:
    """Parse a config; raises `FormatError`."""
    document = load_object(content)
    if document.get("rootfs") is None:
        raise FormatError("no rootfs", expected="an object rootfs")
    return ImageConfig(
        created_ns=time_ns(document, "created"),
        author=text(document, "author"),
        comment=text(document, "comment"),
        architecture=text(document, "architecture"),
        variant=text(document, "variant"),
        os=text(document, "os"),
        diff_ids=_diff_ids(mapping(document, "rootfs")),
        history=tuple(_entry(item) for item in array(document, "history")),
        labels=texts_by_name(mapping(mapping(document, "config"), "Labels")),
        raw=document,
    )


def _diff_ids(rootfs: Json) -> tuple[DiffID, ...]:
    try:
        return tuple(DiffID(diff_id) for diff_id in texts(rootfs, "diff_ids"))
    except InvalidID as error:
        raise FormatError("malformed rootfs.diff_ids", found=str(error)) from error


def _entry(item: object) -> HistoryEntry:
    if not isinstance(item, dict):
        raise FormatError("wrong type of history entry", expected="an object")
    created, created_by, author, comment, empty_layer = fields(item, _STEP)
    return HistoryEntry(parse_time(created) if created else None, created_by, author, comment, empty_layer)
