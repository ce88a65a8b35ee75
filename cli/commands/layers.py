"""`layerfs layers`: every layer of an image, a container or the root, by all its names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ..emit import emit
from ..options import format_option, no_trunc_option, root_option
from ..rows.identities import chain_id_column, diff_id_column, id_words
from ..rows.provenance import kind_option, open_owner, own_words
from ..stores import find_name, open_root
from ..subjects import name_argument
from ..table import Column, Table
from ..units import ellipsis, human_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.store.layers import LayerRow, LayerTable
    from layerfs.model import Container, Image
    from layerfs.store import Store

__all__ = ["command"]

MISSING = "<missing>"
UNKNOWN = "N/A"
SHOWN = ("Index", "DiffID", "ChainID", "CacheID", "Link", "Size", "CreatedBy")
PLACES = ("CacheID", "Link")
SHOWN_WITH_DIGESTS = ("Index", "DiffID", "Digests", "CacheID", "Size", "Repositories", "CreatedBy")


@click.command("layers")
@name_argument()
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    help="Show chain IDs only; for a container's own layers, the names of their directories.",
)
@click.option(
    "--digests",
    is_flag=True,
    help="Show the digest of each layer in registries, as noted by pulls and pushes.",
)
@no_trunc_option
@format_option
@kind_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    quiet: bool,
    digests: bool,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> None:
    """List the layers of an image or container, base first, or all layers of the root.

    Without NAME all layers are listed, parents before children. INDEX is a layer's number in its chain. A
    container has the layers of its image and two of its own, which have no diff ID and no chain ID.
    --format json also has each layer's parent and directory, its digests in registries, and the images and
    containers that need it.

    \b
    Examples:
      layerfs layers nginx:latest
      layerfs layers --no-trunc -q nginx:latest  # the chain ID of each layer
      layerfs layers --digests nginx:latest      # as docker pull names them
      layerfs layers --format '{{.ChainID}} {{.Images}}'  # who uses which layer
    """
    from layerfs.analysis.store.layers import LayerTable
    from layerfs.store import RECORDS

    data_root = open_root(ctx) if name is None else None
    if data_root is None:
        data_root, name, _ = find_name(ctx, name)
    data_root.require(RECORDS)
    layers = LayerTable(data_root)
    rows = _rows(layers, None if name is None else open_owner(data_root, name, kind))
    emit(_table(data_root, layers, digests=digests, full=no_trunc), rows, "{{.ID}}" if quiet else form)


def _rows(layers: LayerTable, owner: Image | Container | None) -> list[LayerRow]:
    from layerfs.model import Container

    if owner is None:
        return layers.of_root()
    return layers.of_container(owner) if isinstance(owner, Container) else layers.of_image(owner)


def _table(store: Store, layers: LayerTable, *, digests: bool, full: bool) -> Table[LayerRow]:
    missing = MISSING if store.has_every_layer_unpacked else ""
    shown = id_words(full=full, missing=missing)

    def cache_id(row: LayerRow) -> str:
        """A container's two directories differ in what is behind the digits."""
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
    return Table(columns, [name for name in names if store.has_places or name not in PLACES])


def _blob_columns(
    layers: LayerTable, shown: Callable[[str], str]
) -> tuple[Column[LayerRow], Column[LayerRow]]:
    """What a layer was in registries."""

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
    """What stands for the command of a container's own layer."""
    return own_words(row.kind, row.containers[0].name) if row.kind != "layer" and row.containers else None


def _directory(row: LayerRow) -> str | None:
    return row.directory and os.path.abspath(row.directory)
