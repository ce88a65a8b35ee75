"""`layerfs changes`: what each layer of an image did, and the step of the build that made it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..changes import View
from ..entries import Complaints
from ..output import Column, Table, emit, format_option, no_trunc_option
from ..params import metadata_option, root_option
from ..progress import progress
from ..subjects import complete_images, open_root, open_subject
from ..units import ellipsis, human_size, rfc3339

if TYPE_CHECKING:
    from layerfs.analysis.layerchanges import LayerChanges
    from layerfs.dataroot import DataRoot

    from ..subjects import Subject

__all__ = ["command"]

SHOWN = ("Layer", "Added", "Modified", "Metadata", "Type", "Deleted", "Bytes", "Identical", "CreatedBy")
CREATED_BY_WIDTH = 36
KINDS = ("added", "modified", "metadata", "type", "deleted")


@click.command("changes")
@click.argument("image", shell_complete=complete_images)
@click.option(
    "--layer", type=click.IntRange(1), metavar="N", help="List what layer N did, as `diff IMAGE@N-1 IMAGE@N`."
)
@no_trunc_option
@format_option
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    image: str,
    layer: int | None,
    no_trunc: bool,
    form: str,
    root: str,  # noqa: ARG001 - read from the context
) -> int:
    """Show what each layer of an image did, base first, and the step of the build that made it.

    Counted are entries; BYTES are those of the files a layer adds, changes, or has a copy of because
    of changed attributes, IDENTICAL those of files that it has again without any change: together the size
    of the layer. --format json tells the bytes of each kind, those of what it deletes too.

    \b
    Examples:
      layerfs changes nginx:latest
      layerfs changes --layer 3 nginx:latest                     each path that layer 3 touched
      layerfs changes --format '{{.Layer}} {{.Bytes}}' nginx     bytes in a script
    """
    from layerfs.analysis.layerchanges import layer_changes

    data_root = open_root(ctx)
    complaints = Complaints()
    if layer is not None:
        _list(data_root, image, layer, form, complaints)
        return complaints.code
    found = data_root.image(image)
    rows = layer_changes(data_root, found, complaints.add)
    with progress(rows, "Comparing layers", len(found.config.diff_ids)) as shown:
        emit(_table(full=no_trunc), list(shown), form)
    return complaints.code


def _list(root: DataRoot, image: str, number: int, form: str, complaints: Complaints) -> None:
    """Print what one layer did."""
    from layerfs.analysis.difference import differences

    before, after = _step(root, image, number)
    view = View(before, after, complaints)
    changes = differences(before.tree, after.tree, complaints.add)
    if form == "table":
        sys.stdout.writelines(view.line(change) + "\n" for change in changes)
    else:
        emit(view.table(), changes, form)


def _step(root: DataRoot, image: str, number: int) -> tuple[Subject, Subject]:
    """The image as of the layer below, and as of the layer."""
    from layerfs.analysis.difference import below_top

    after = open_subject(root, image, kind="image", up_to=number, layer=None)
    return after._replace(tree=below_top(after.tree), suppliers=after.suppliers[1:]), after


def _table(*, full: bool) -> Table[LayerChanges]:
    def created_by(row: LayerChanges) -> str:
        text = (row.made_by.created_by if row.made_by else "").replace("\t", " ")
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    columns: list[Column[LayerChanges]] = [
        Column("layer", lambda row: row.number, "Layer", "LAYER"),
        Column("diff_id", lambda row: row.layer.diff_id, "DiffID", "DIFF ID"),
        Column("chain_id", lambda row: row.layer.chain_id, "ChainID", "CHAIN ID"),
        Column("cache_id", lambda row: row.layer.cache_id, "CacheID", "CACHE ID"),
        *(_count_column(kind) for kind in KINDS),
        Column(
            "bytes",
            lambda row: row.tally.new_size,
            "Bytes",
            "BYTES",
            lambda row: human_size(row.tally.new_size),
        ),
        *(_bytes_column(kind) for kind in KINDS),
        Column("identical", lambda row: row.tally.identical),
        Column(
            "bytes_identical",
            lambda row: row.tally.identical_size,
            "Identical",
            "IDENTICAL",
            lambda row: human_size(row.tally.identical_size),
        ),
        Column("size", lambda row: row.size, "Size", "SIZE", lambda row: human_size(row.size)),
        Column("created", lambda row: rfc3339(row.made_by.created_ns) if row.made_by else None),
        Column(
            "created_by",
            lambda row: row.made_by.created_by if row.made_by else None,
            "CreatedBy",
            "CREATED BY",
            created_by,
        ),
    ]
    return Table(columns, SHOWN)


def _count_column(kind: str) -> Column[LayerChanges]:
    return Column(
        kind,
        lambda row: row.tally.entries[kind],
        kind.capitalize(),
        kind.upper(),
    )


def _bytes_column(kind: str) -> Column[LayerChanges]:
    return Column(f"bytes_{kind}", lambda row: row.tally.size[kind])
