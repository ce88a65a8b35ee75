"""The rows of `layerfs layers`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..table import Column, Narrow, Table
from ..units import ellipsis, human_size
from .identities import chain_id_column, diff_id_column, id_words
from .provenance import own_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.store.layers import LayerRow, LayerTable
    from layerfs.store import Store

__all__ = ["layer_table"]

MISSING = "<missing>"
UNKNOWN = "N/A"
SHOWN = ("Index", "DiffID", "ChainID", "CacheID", "Link", "Size", "CreatedBy")
PLACES = ("CacheID", "Link")
SHOWN_WITH_DIGESTS = ("Index", "DiffID", "Digests", "CacheID", "Size", "Repositories", "CreatedBy")


def layer_table(store: Store, layers: LayerTable, *, digests: bool, full: bool) -> Table[LayerRow]:
    """The columns of layers of `store`; `digests` shows those of registries."""
    missing = MISSING if store.has_every_layer_unpacked else ""
    shown = id_words(full=full, missing=missing)

    def cache_id(row: LayerRow) -> str:
        """Of a container's two directories only one ends in `-init`."""
        init = "-init" if row.kind == "init layer" and not full else ""
        return shown(row.cache_id) + init

    def created_by(row: LayerRow) -> str:
        text = _own_words(row) or (row.created_by or "").replace("\t", " ")
        return text if full else ellipsis(text, 45)

    columns: tuple[Column[LayerRow], ...] = (
        Column("index", lambda row: row.index, "Index", "INDEX", lambda row: str(row.index or "?")),
        Column("kind", lambda row: row.kind, "Kind", "KIND"),
        Column("", lambda row: shown(row.chain_id or row.cache_id), "ID", "ID"),
        diff_id_column(lambda row: row.diff_id, id_words(full=full)),
        chain_id_column(lambda row: row.chain_id, id_words(full=full)),
        Column("parent", lambda row: row.parent, "Parent", "PARENT", lambda row: shown(row.parent or "")),
        Column("cache_id", lambda row: row.cache_id, "CacheID", store.place_word.upper(), cache_id),
        Column("link", lambda row: row.link, "Link", store.link_word.upper(), lambda row: shown(row.link)),
        Column(
            "size",
            lambda row: row.size,
            "Size",
            "SIZE",
            lambda row: UNKNOWN if row.size is None else human_size(row.size),
        ),
        Column(
            "blob_size",
            lambda row: row.blob_size,
            "BlobSize",
            "BLOB SIZE",
            lambda row: UNKNOWN if row.blob_size is None else human_size(row.blob_size),
        ),
        Column("created_by", lambda row: row.created_by, "CreatedBy", "CREATED BY", created_by),
        Column("directory", _directory, "Directory", "DIRECTORY", lambda row: _directory(row) or missing),
        Column(
            "images",
            lambda row: [image.id for image in row.images],
            "Images",
            "IMAGES",
            lambda row: ", ".join(image.name for image in row.images),
        ),
        Column(
            "containers",
            lambda row: [container.id for container in row.containers],
            "Containers",
            "CONTAINERS",
            lambda row: ", ".join(container.name for container in row.containers),
        ),
        *_blob_columns(layers, shown),
    )
    names = SHOWN_WITH_DIGESTS if digests else SHOWN
    narrow = Narrow({"CreatedBy": 20}, ("Link", "Repositories", "ChainID"))
    shown_names = [name for name in names if store.has_places or name not in PLACES]
    return Table(columns, shown_names, narrow=None if full else narrow)


def _blob_columns(
    layers: LayerTable, shown: Callable[[str], str]
) -> tuple[Column[LayerRow], Column[LayerRow]]:
    """The columns of a layer's blobs in registries."""

    def blobs(row: LayerRow) -> list[dict[str, Any]]:
        found = layers.blobs(row.diff_id)
        return [{"digest": blob.digest, "repositories": list(blob.repositories)} for blob in found]

    def digests(row: LayerRow) -> str:
        return ", ".join(shown(blob.digest) for blob in layers.blobs(row.diff_id))

    def repositories(row: LayerRow) -> str:
        names = [name for blob in layers.blobs(row.diff_id) for name in blob.repositories]
        return ", ".join(dict.fromkeys(names))

    return (
        Column("distribution", blobs, "Digests", "DIGESTS", digests),
        Column("", repositories, "Repositories", "REPOSITORIES"),
    )


def _own_words(row: LayerRow) -> str | None:
    """The text in place of a command for a container's own layer."""
    return own_words(row.kind, row.containers[0].name) if row.kind != "layer" and row.containers else None


def _directory(row: LayerRow) -> str | None:
    return row.directory and os.path.abspath(row.directory)
