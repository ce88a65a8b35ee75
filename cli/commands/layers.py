"""`layerfs layers`: every layer of an image or of the root, by all its names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..output import Column, Table, emit, format_option, no_trunc_option
from ..params import root_option
from ..subjects import complete_images, open_root

if TYPE_CHECKING:
    from layerfs.analysis.layers import LayerRow

__all__ = ["command"]

MISSING = "<missing>"
UNKNOWN = "N/A"
SHOWN = ("Index", "DiffID", "ChainID", "CacheID", "Link", "Size", "CreatedBy")


@click.command("layers")
@click.argument("image", required=False, shell_complete=complete_images)
@click.option("-q", "--quiet", is_flag=True, help="Show chain IDs only.")
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    image: str | None,
    quiet: bool,
    no_trunc: bool,
    form: str,
    root: str,  # noqa: ARG001 - read from the context
) -> None:
    """List the layers of an image, base first, or all layers of the root.

    All layers come parents first; INDEX is a layer's number in its chain. --format json also tells
    each layer's parent and directory, and the images and containers that need it.

    \b
    Examples:
      layerfs layers nginx:latest
      layerfs layers --no-trunc -q nginx:latest       the chain ID of each layer
      layerfs layers --format '{{.ChainID}} {{.Images}}'    who uses which layer
    """
    from layerfs.analysis.layers import LayerTable
    from layerfs.dataroot import IMAGE_HALF

    data_root = open_root(ctx)
    data_root.require(IMAGE_HALF)
    layers = LayerTable(data_root)
    rows = layers.of_root() if image is None else layers.of_image(data_root.image(image))
    emit(_table(full=no_trunc), rows, "{{.ChainID}}" if quiet else form)


def _table(*, full: bool) -> Table[LayerRow]:
    from ..units import ellipsis, human_size, short_id

    def shown(text: str | None) -> str:
        return MISSING if text is None else text if full else short_id(text)

    def created_by(row: LayerRow) -> str:
        text = (row.created_by or "").replace("\t", " ")
        return text if full else ellipsis(text, 45)

    def size(row: LayerRow) -> str:
        if row.layer is None:
            return MISSING
        return UNKNOWN if row.layer.size is None else human_size(row.layer.size)

    columns: tuple[Column[LayerRow], ...] = (
        Column("index", lambda row: row.index, "Index", "INDEX", lambda row: str(row.index or "?")),
        Column("diff_id", lambda row: row.diff_id, "DiffID", "DIFF ID", lambda row: shown(row.diff_id)),
        Column("chain_id", lambda row: row.chain_id, "ChainID", "CHAIN ID", lambda row: shown(row.chain_id)),
        Column("parent", lambda row: row.parent, "Parent", "PARENT", lambda row: shown(row.parent or "")),
        Column("cache_id", _cache_id, "CacheID", "CACHE ID", lambda row: shown(_cache_id(row))),
        Column("link", lambda row: row.link, "Link", "LINK", lambda row: shown(row.link)),
        Column(
            "size",
            lambda row: row.layer.size if row.layer else None,
            "Size",
            "SIZE",
            size,
        ),
        Column("created_by", lambda row: row.created_by, "CreatedBy", "CREATED BY", created_by),
        Column("directory", _directory, "Directory", "DIRECTORY", lambda row: _directory(row) or MISSING),
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
    )
    return Table(columns, SHOWN)


def _cache_id(row: LayerRow) -> str | None:
    return row.layer.cache_id if row.layer else None


def _directory(row: LayerRow) -> str | None:
    return row.directory and os.path.abspath(row.directory)
