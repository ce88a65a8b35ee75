"""images.json and layers.json of containers/storage, and how it names files.

A record that cannot be used is told of and left out, so one damaged record hides no other. Where two have one
ID the first counts, as in the engine.

Source: containers/storage `images.go`, `layers.go`, `store.go` (2025-08).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.formats.errors import FormatError
from layerfs.formats.idmap import SAME, IDMap, IDRange, Owners, check_ranges
from layerfs.formats.jsontext import (
    Json,
    array,
    flag,
    integer,
    load_objects,
    mapping,
    text,
    texts,
    time_ns,
)
from layerfs.ids import CacheID, DiffID, Identity, InvalidID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "BigData",
    "GraphID",
    "ImageRecord",
    "LayerRecordText",
    "big_data_file",
    "big_data_key",
    "layer_id",
    "parse_images",
    "parse_layers",
]

_MOST = 1 << 20
"""Names of one record, or records of one file: more is an attack."""

_MOST_RANGES = 340
"""Ranges of a map of users, as many as the kernel takes (user_namespaces(7))."""

_PLAIN = re.compile(r"[.0-9a-z]+")
_DOTS = frozenset({".", ".."})

Record = TypeVar("Record", "ImageRecord", "LayerRecordText")


class GraphID(Identity):
    """The ID of an image, a layer or a container: 64 hex digits."""

    __slots__ = ()
    pattern = re.compile(r"[0-9a-f]{64}")
    noun = "ID of 64 hex digits"


class BigData(NamedTuple):
    """What is noted of a document of an image; None where it is not.

    Attributes:
        size: bytes.
        digest: of these bytes, as it is written.
    """

    size: int | None
    digest: str | None


class ImageRecord(NamedTuple):
    """An image of images.json.

    Attributes:
        id: mostly the digest of its config.
        digest: of the manifest or list that it was pulled by, as it is written; empty where it is not known.
        names: in full, with registry and tag.
        history: names that it has or had, the newest first.
        layer: the uppermost; None for an image of none.
        mapped: layers of the same content with other owners.
        big_data: its documents by their keys, in order.
        created_ns: when it was created; None where that is missing.
    """

    id: GraphID
    digest: str
    names: tuple[str, ...]
    history: tuple[str, ...]
    layer: CacheID | None
    mapped: tuple[CacheID, ...]
    big_data: Mapping[str, BigData]
    created_ns: int | None = None


class LayerRecordText(NamedTuple):
    """A layer of layers.json.

    Attributes:
        id: the name of its directory.
        names: such as `<container>-layer`.
        parent: the layer below; None for a base.
        created_ns: when it was created.
        diff_id: sha256 of its tar; None for a container's layer, and for one that was pulled by parts.
        size: bytes of its tar; None where `diff_id` is not known.
        blob: the digest of the blob that was applied last, packed or not, as it is written; empty for none.
        blob_size: bytes of it, as noted; None where they are not.
        toc: digest of the table of contents by which it was pulled; empty for none.
        incomplete: whether it was never finished.
        owners: the user namespace for which it was copied or made; without one it is the engine's own.
        big_data: the keys of its documents.
    """

    id: CacheID
    names: tuple[str, ...] = ()
    parent: CacheID | None = None
    created_ns: int | None = None
    diff_id: DiffID | None = None
    size: int | None = None
    blob: str = ""
    blob_size: int | None = None
    toc: str = ""
    incomplete: bool = False
    owners: Owners = SAME
    big_data: tuple[str, ...] = ()


def parse_images(content: bytes, report: Callable[[FormatError], object]) -> Mapping[str, ImageRecord]:
    """The images by ID; raises `FormatError` where it is no array of objects."""
    return _records(content, _image, report)


def parse_layers(content: bytes, report: Callable[[FormatError], object]) -> Mapping[str, LayerRecordText]:
    """The layers by ID, in their order; raises as `parse_images`."""
    return _records(content, _layer, report)


def big_data_file(key: str) -> str:
    """The name of the file of a document; raises `FormatError` for a key that no file can have.

    Source: containers/storage `utils.go` (makeBigDataBaseName).
    """
    if _PLAIN.fullmatch(key):
        if key in _DOTS:
            raise FormatError("no name of a document", found=ascii(key))
        return key
    if not key:
        raise FormatError("no name of a document", found="an empty text")
    return "=" + base64.b64encode(key.encode("utf-8", "surrogatepass")).decode("ascii")


def big_data_key(name: str) -> str | None:
    """The key of the document in a file of this name; None for a name that no document has."""
    if not name.startswith("="):
        return name if _PLAIN.fullmatch(name) and name not in _DOTS else None
    try:
        return base64.b64decode(name[1:].encode("ascii"), validate=True).decode("utf-8")
    except ValueError:
        return None


def layer_id(parent: str | None, *, diff: str = "", toc: str = "") -> str:
    """The ID that the engine gives a layer, if it is not taken: of what is in it, on what is below it.

    Args:
        parent: the ID of the layer below; None for a base.
        diff: the digits of its diff ID.
        toc: where that is not known, those of the digest of its table of contents.
    """
    own = diff or f"@TOC={toc}"
    if parent is None and diff:
        return diff
    return hashlib.sha256(f"{parent or ''}+{own}".encode()).hexdigest()


def _records(
    content: bytes, make: Callable[[Json], Record], report: Callable[[FormatError], object]
) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for number, document in enumerate(load_objects(content)):
        try:
            record = make(document)
        except (FormatError, InvalidID) as error:
            report(_at(error, number, document))
            continue
        if record.id in found:
            report(FormatError("a second record of this ID: the first counts", part=record.id))
        found.setdefault(record.id, record)
    return found


def _at(error: FormatError | InvalidID, number: int, document: Json) -> FormatError:
    """What is wrong with a record, which is named by its ID or its number."""
    own = document.get("id")
    part = own if isinstance(own, str) and GraphID.pattern.fullmatch(own) else f"[{number}]"
    if isinstance(error, InvalidID):
        return FormatError(str(error), part=part)
    return FormatError(error.problem, expected=error.expected, found=error.found, part=part)


def _image(document: Json) -> ImageRecord:
    layer = text(document, "layer")
    return ImageRecord(
        GraphID(text(document, "id")),
        text(document, "digest"),
        _few(texts(document, "names")),
        _few(texts(document, "names-history")),
        CacheID(layer) if layer else None,
        tuple(map(CacheID, texts(document, "mapped-layers"))),
        dict(_big_data(document)),
        time_ns(document, "created"),
    )


def _big_data(document: Json) -> Iterator[tuple[str, BigData]]:
    sizes, digests = mapping(document, "big-data-sizes"), mapping(document, "big-data-digests")
    for key in _few(texts(document, "big-data-names")):
        size, digest = sizes.get(key), digests.get(key)
        yield (
            key,
            BigData(
                size if type(size) is int and size >= 0 else None, digest if isinstance(digest, str) else None
            ),
        )


def _few(found: tuple[str, ...]) -> tuple[str, ...]:
    if len(found) > _MOST:
        raise FormatError("too many names", found=str(len(found)))
    return tuple(dict.fromkeys(found))


def _id_map(document: Json, key: str) -> IDMap:
    ranges = array(document, key)
    if len(ranges) > _MOST_RANGES:
        raise FormatError(f"too many ranges in {key}", found=str(len(ranges)))
    items = [mapping({key: item}, key) for item in ranges]
    return check_ranges(
        tuple(
            IDRange(integer(item, "container_id"), integer(item, "host_id"), integer(item, "size"))
            for item in items
        )
    )


def _layer(document: Json) -> LayerRecordText:
    parent, diff, flags = text(document, "parent"), text(document, "diff-digest"), mapping(document, "flags")
    size, blob_size = integer(document, "diff-size"), integer(document, "compressed-size")
    return LayerRecordText(
        CacheID(text(document, "id")),
        _few(texts(document, "names")),
        CacheID(parent) if parent else None,
        time_ns(document, "created"),
        DiffID(diff) if diff else None,
        size if diff and size >= 0 else None,
        text(document, "compressed-diff-digest"),
        blob_size if blob_size > 0 else None,
        text(document, "toc-digest"),
        flag(flags, "incomplete"),
        Owners(_id_map(document, "uidmap"), _id_map(document, "gidmap")),
        _few(texts(document, "big-data-names")),
    )
