"""`layerfs layers`: every layer of an image, a container or the root, by all its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..options import format_option, no_trunc_option, root_option
from ..rows.layers import layer_table
from ..rows.provenance import kind_option, open_owner
from ..stores import find_name, open_root
from ..subjects import name_argument

if TYPE_CHECKING:
    from layerfs.analysis.store.layers import LayerRow, LayerTable
    from layerfs.model import Container, Image

__all__ = ["command"]


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
    emit(layer_table(data_root, layers, digests=digests, full=no_trunc), rows, "{{.ID}}" if quiet else form)


def _rows(layers: LayerTable, owner: Image | Container | None) -> list[LayerRow]:
    from layerfs.model import Container

    if owner is None:
        return layers.of_root()
    return layers.of_container(owner) if isinstance(owner, Container) else layers.of_image(owner)
