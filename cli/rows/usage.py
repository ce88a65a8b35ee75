"""The rows of `layerfs du`: images, layers, orphans, and what a removal would free.

A row is an object of `--format json`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from ..table import Column, Narrow, Table
from ..units import ellipsis, human_size
from .identities import NONE, cache_id_column, chain_id_column, diff_id_column, id_words, place_or_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerfs.analysis.store.usage import ImageUsage, Orphan, OwnDirectory, StoreUsage, WhatIf
    from layerfs.model import Container, Image, Layer

__all__ = [
    "Row",
    "image_rows",
    "image_usage_table",
    "layer_rows",
    "layer_usage_table",
    "orphan_rows",
    "orphan_table",
    "usage_document",
    "what_if_document",
    "what_if_rows",
    "what_if_table",
]

Row: TypeAlias = dict[str, Any]

UNKNOWN = "N/A"
ORPHAN = "<orphan>"
TOTAL = "TOTAL"
_NO_BLOB: Row = {"blob": None, "blob_size": None}


def usage_document(usage: StoreUsage, sort: str | None) -> Row:
    """All of a store in one object, for `--format json`; `sort` is the column to sort the images by."""
    orphans = usage.orphans
    return {
        "images": image_rows(usage, sort),
        "layers": [_layer_row(usage, layer) for layer in _largest_first(usage)],
        "orphans": None if orphans is None else list(map(_orphan_row, orphans)),
        "total_size": usage.total_size,
        "reclaimable_size": usage.reclaimable_size,
    }


# -- images --------------------------------------------------------------------------------------


def image_rows(usage: StoreUsage, sort: str | None, *, total: bool = False) -> list[Row]:
    """A row for each image that `layerfs images` lists; `total` adds one that counts each layer once."""
    rows = _sorted(map(_image_row, usage.listed()), sort)
    return [*rows, _image_total(usage, rows)] if total else rows


def _image_row(usage: ImageUsage) -> Row:
    repository, tag = usage.image.first_tag
    return {
        "repository": repository,
        "tag": tag,
        "id": usage.image.id,
        "references": list(usage.image.every_name),
        "size": usage.size,
        "shared_size": usage.shared,
        "unique_size": usage.unique,
        "freed_size": usage.freed,
        "containers": usage.containers,
    }


def _image_total(usage: StoreUsage, rows: Sequence[Row]) -> Row:
    total, shared = usage.total_size, usage.shared_size
    return {
        "repository": TOTAL,
        "tag": "",
        "id": "",
        "references": [],
        "size": total,
        "shared_size": shared,
        "unique_size": None if total is None or shared is None else total - shared,
        "freed_size": usage.what_if([item.image for item in usage.listed()]).freed_size,
        "containers": sum(row["containers"] for row in rows),
    }


def image_usage_table(*, full: bool) -> Table[Row]:
    """The columns of images; `full` shows IDs in full."""
    columns = (
        _column("repository", "Repository", "REPOSITORY", lambda value: NONE if value is None else value),
        _column("tag", "Tag", "TAG", lambda value: NONE if value is None else value),
        _column("id", "ID", "IMAGE ID", id_words(full=full, missing=NONE)),
        _column("references", "References", "REFERENCES", ", ".join),
        _column("size", "Size", "SIZE", _size),
        _column("shared_size", "SharedSize", "SHARED SIZE", _size),
        _column("unique_size", "UniqueSize", "UNIQUE SIZE", _size),
        _column("freed_size", "FreedSize", "FREED SIZE", _size),
        _column("containers", "Containers", "CONTAINERS", str),
    )
    shown = ("Repository", "Tag", "ID", "Size", "SharedSize", "UniqueSize", "FreedSize", "Containers")
    narrow = Narrow({"Repository": 20}, ("SharedSize", "Containers"), middle=("Repository",))
    return Table(columns, shown, narrow=None if full else narrow)


# -- layers --------------------------------------------------------------------------------------


def layer_rows(usage: StoreUsage, sort: str | None, *, total: bool) -> list[Row]:
    """A row for each layer, the largest first, and each directory that is no layer's; `total` adds sums."""
    orphans = usage.orphans or ()
    rows = [_layer_row(usage, layer) for layer in _largest_first(usage)]
    rows += [_unregistered_row(orphan) for orphan in orphans if orphan.layer is None]
    rows = _sorted(rows, sort)
    return [*rows, _layer_total(rows, orphans)] if total else rows


def _largest_first(usage: StoreUsage) -> list[Layer]:
    return sorted(usage.holders.layers.values(), key=lambda layer: (-(layer.size or 0), layer.chain_id))


def _layer_row(usage: StoreUsage, layer: Layer, removed: Iterable[Image | Container] = ()) -> Row:
    """A layer and who uses it, images and containers in `removed` left out."""
    gone: set[str] = {item.id for item in removed}
    images = [image for image in usage.holders.images.get(layer.chain_id, ()) if image.id not in gone]
    holders = usage.holders.containers.get(layer.chain_id, ())
    containers = [container for container in holders if container.id not in gone]
    return {
        "chain_id": layer.chain_id,
        "diff_id": layer.diff_id,
        "parent": layer.parent,
        "cache_id": layer.cache_id,
        "blob": layer.blob_digest,
        "size": layer.size,
        "blob_size": layer.blob_size,
        "images": [image.id for image in images],
        "containers": [container.id for container in containers],
        "buildkit": layer.chain_id in usage.holders.buildkit,
        "borrowed": layer.chain_id in usage.holders.borrowed,
    }


def _unregistered_row(orphan: Orphan) -> Row:
    """A directory that is no layer's."""
    name = orphan.cache_id or os.path.basename(orphan.directory)
    row: Row = {"chain_id": None, "diff_id": None, "parent": None, "cache_id": name, "blob": None}
    row |= {"size": orphan.size, "blob_size": None, "images": [], "containers": []}
    return row | {"buildkit": False, "borrowed": False}


def _layer_total(rows: Sequence[Row], orphans: Iterable[Orphan]) -> Row:
    """The sum of the rows, and of which parts it is made."""
    whole = sum(row["size"] or 0 for row in rows)
    orphaned = sum((orphan.layer.size if orphan.layer else orphan.size) or 0 for orphan in orphans)
    used = sum(row["size"] or 0 for row in rows if row["images"])
    parts = {"images": used, "containers or build cache alone": whole - used - orphaned, "orphans": orphaned}
    return {
        **_NO_BLOB,
        **dict.fromkeys(
            ("diff_id", "parent", "cache_id", "images", "containers", "buildkit", "borrowed"), ""
        ),
        "chain_id": TOTAL,
        "size": whole,
        "note": ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size),
    }


def layer_usage_table(usage: StoreUsage, *, full: bool) -> Table[Row]:
    """The columns of layers and directories; `full` shows IDs and names in full."""
    identity = id_words(full=full, missing=NONE)
    users = _user_words(usage, ORPHAN if usage.orphans else "", full=full)
    columns = (
        chain_id_column(_key("chain_id"), identity),
        diff_id_column(_key("diff_id"), identity),
        _column("parent", "Parent", "PARENT", identity),
        cache_id_column(_key("cache_id"), identity, usage.root.place_word, place_or_blob(identity)),
        _column("blob", "Blob", "BLOB", identity),
        _column("size", "Size", "SIZE", _size),
        _column("blob_size", "BlobSize", "BLOB SIZE", _size),
        _column("images", "Images", "IMAGES", _count),
        _column("containers", "Containers", "CONTAINERS", _count),
        _column("buildkit", "BuildKit", "BUILDKIT", str),
        _column("borrowed", "Borrowed", "BORROWED", str),
        Column("", users, "UsedBy", "USED BY"),
    )
    narrow = Narrow({"UsedBy": 20}, ("Containers", "Images"))
    shown = ("ChainID", "CacheID", "Size", "Images", "Containers", "UsedBy")
    return Table(columns, shown, narrow=None if full else narrow)


# -- orphans -------------------------------------------------------------------------------------


def orphan_rows(usage: StoreUsage) -> list[Row]:
    """A row for each directory that nothing needs; none where that is not known."""
    return list(map(_orphan_row, usage.orphans or ()))


def _orphan_row(orphan: Orphan) -> Row:
    return {
        "cache_id": orphan.cache_id,
        "directory": os.path.abspath(orphan.directory),
        "chain_id": orphan.layer.chain_id if orphan.layer else None,
        "size": orphan.size,
    }


def orphan_table() -> Table[Row]:
    """The columns of directories that nothing needs."""
    columns = (
        _column("directory", "Directory", "DIRECTORY", str),
        _column("size", "Size", "SIZE", _size),
    )
    return Table(columns, ("Directory", "Size"))


# -- what if -------------------------------------------------------------------------------------


def what_if_document(usage: StoreUsage, outcome: WhatIf) -> Row:
    """What a removal would free, in one object, for `--format json`."""
    freed, kept = _freed_and_kept(usage, outcome)
    return {
        "freed_size": outcome.freed_size,
        "images": [image.id for image in outcome.removed],
        "containers": [container.id for container in outcome.containers],
        "directories": list(map(_own_row, outcome.directories)),
        "others": [{"name": part.name, "size": part.size} for part in outcome.others],
        "layers": freed,
        "kept": kept,
    }


def what_if_rows(usage: StoreUsage, outcome: WhatIf, sort: str | None, *, total: bool) -> list[Row]:
    """A row for each thing that would be freed, and each layer that would stay; `total` adds the sums."""
    from layerfs.model import added_up

    names = {container.id: container.name for container in outcome.containers}
    own = map(_own_row, outcome.directories)
    rows = [_unlayered_row(row, _own_words(row, names[row["container"]])) for row in own]
    if outcome.others:
        size = added_up(part.size for part in outcome.others)
        others = f"blobs and the like: {len(outcome.others)}"
        rows.append(_unlayered_row({"cache_id": NONE, "size": size}, others))
    freed, kept = _freed_and_kept(usage, outcome)
    rows += [row | {"note": ""} for row in freed]
    rows = _sorted([*rows, *(row | {"freed_size": 0} for row in kept)], sort)
    if not total:
        return rows
    last: Row = {"chain_id": TOTAL, "cache_id": "", "diff_id": "", **_NO_BLOB, "note": ""}
    return [
        *rows,
        last | {"size": added_up(row["size"] for row in rows), "freed_size": outcome.freed_size},
    ]


def _freed_and_kept(usage: StoreUsage, outcome: WhatIf) -> tuple[list[Row], list[Row]]:
    removed: list[Image | Container] = [*outcome.removed, *outcome.containers]
    freed = [
        _layer_row(usage, layer, removed) | {"freed_size": usage.root.freed_size(layer)}
        for layer in outcome.layers
    ]
    return freed, [_layer_row(usage, layer, removed) for layer in outcome.kept]


def _own_row(found: OwnDirectory) -> Row:
    """A directory of a container."""
    return {"cache_id": found.cache_id, "container": found.container.id, "size": found.size}


def _own_words(row: Row, container: str) -> str:
    """What a container has for itself."""
    return f"{'goes with' if row['cache_id'] else 'config and log of'} container {container}"


def _unlayered_row(row: Row, note: str) -> Row:
    """What is no layer, as a row among layers."""
    row = row | {"cache_id": row["cache_id"] or NONE}
    return {"chain_id": None, "diff_id": None, **_NO_BLOB, **row, "freed_size": row["size"], "note": note}


def what_if_table(usage: StoreUsage, *, full: bool) -> Table[Row]:
    """The columns of what would be freed or stay; `full` shows IDs and names in full."""
    identity = id_words(full=full, missing=NONE)
    users = _user_words(usage, "an unused layer above it", full=full)
    columns = (
        chain_id_column(_key("chain_id"), identity),
        diff_id_column(_key("diff_id"), identity),
        cache_id_column(_key("cache_id"), identity, usage.root.place_word, place_or_blob(identity)),
        _column("blob", "Blob", "BLOB", identity),
        _column("size", "Size", "SIZE", _size),
        _column("blob_size", "BlobSize", "BLOB SIZE", _size),
        _column("freed_size", "FreedSize", "FREED SIZE", _size),
        Column("", users, "KeptFor", "KEPT FOR"),
    )
    shown = ("ChainID", "CacheID", "Size", "FreedSize", "KeptFor")
    return Table(columns, shown, narrow=None if full else Narrow({"KeptFor": 20}))


# -- cells ---------------------------------------------------------------------------------------


def _key(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


def _column(key: str, placeholder: str, header: str, words: Callable[[Any], str]) -> Column[Row]:
    return Column(key, _key(key), placeholder, header, lambda row: words(row[key]))


def _size(value: int | None) -> str:
    return UNKNOWN if value is None else human_size(value, 4)


def _count(value: Sequence[str]) -> str:
    return str(len(value)) if isinstance(value, list) else ""


def _user_words(usage: StoreUsage, nobody: str, *, full: bool) -> Callable[[Row], str]:
    """A function that names the users of a row's layer; `nobody` if there are none."""
    names: dict[str, str] = {}
    for image in usage.root.images():
        names[image.id] = image.name if image.has_name else f"image {image.id.short}"
    for container in usage.root.containers():
        names[container.id] = f"container {container.name}"

    def words(row: Row) -> str:
        if "note" in row:
            return str(row["note"])
        users = [names[item] for item in (*row["images"], *row["containers"])]
        users += ["build cache"] * row["buildkit"] + ["another store"] * row["borrowed"]
        text = ", ".join(users) or nobody
        return text if full else ellipsis(text, 60)

    return words


def _sorted(rows: Iterable[Row], column: str | None) -> list[Row]:
    """The rows by a column: numbers and lists largest first, names from A, the unknown last."""
    found = list(rows)
    if column is None or not found:
        return found
    wanted = column.lower().replace("-", "_").replace(" ", "_")
    key = next((name for name in (wanted, f"{wanted}_size") if name in found[0]), None)
    if key is None:
        raise click.BadParameter(f"choose one of {', '.join(found[0])}", param_hint="--sort")
    return sorted(found, key=lambda row: _rank(row[key]))


def _rank(value: Any) -> tuple[bool, Any]:
    if isinstance(value, str):
        return False, value
    return value is None, -(len(value) if isinstance(value, list) else value or 0)
