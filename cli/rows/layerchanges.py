"""The rows of `layerfs changes`: a layer each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..table import Column, Narrow, Table
from ..units import ellipsis, human_size, rfc3339
from .identities import cache_id_column, chain_id_column, diff_id_column
from .provenance import own_words

if TYPE_CHECKING:
    from layerfs.analysis.diff.layerchanges import LayerChanges

__all__ = ["layer_changes_table"]

SHOWN = ("Layer", "Added", "Modified", "Metadata", "Type", "Deleted", "Bytes", "Identical", "CreatedBy")
CREATED_BY_WIDTH = 36
KINDS = ("added", "modified", "metadata", "type", "deleted")


def layer_changes_table(name: str, *, full: bool) -> Table[LayerChanges]:
    """The columns of the layers of `name`, and of what each changed."""

    def created_by(row: LayerChanges) -> str:
        made_by = row.made_by.created_by if row.made_by else ""
        text = made_by.replace("\t", " ") if row.kind == "layer" else own_words(row.kind, name)
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    columns: list[Column[LayerChanges]] = [
        Column("layer", lambda row: row.number, "Layer", "LAYER"),
        Column("kind", lambda row: row.kind, "Kind", "KIND"),
        diff_id_column(lambda row: row.diff_id),
        chain_id_column(lambda row: row.chain_id),
        cache_id_column(lambda row: row.layer.cache_id),
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
    return Table(columns, SHOWN, narrow=None if full else Narrow({"CreatedBy": 12}))


def _count_column(kind: str) -> Column[LayerChanges]:
    return Column(
        kind,
        lambda row: row.tally.entries[kind],
        kind.capitalize(),
        kind.upper(),
    )


def _bytes_column(kind: str) -> Column[LayerChanges]:
    return Column(f"bytes_{kind}", lambda row: row.tally.size[kind])
