"""The rows of `layerfs history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..table import Column, Table
from ..units import ZERO_TIME_NS, age, ellipsis, human_size, local_rfc3339, rfc3339
from .identities import cache_id_column, chain_id_column, diff_id_column, id_words
from .provenance import own_words

if TYPE_CHECKING:
    from layerfs.analysis.store.history import HistoryRow
    from layerfs.store import Store

__all__ = ["history_table"]

MISSING = "<missing>"
UNKNOWN = "N/A"
CREATED_BY_WIDTH = 45


def history_table(name: str, store: Store, *, human: bool, layers: bool, full: bool) -> Table[HistoryRow]:
    """The columns of the history of `name`; `layers` shows those of the layers too."""
    identity = id_words(full=full)

    def size(row: HistoryRow) -> str:
        if row.size is None:
            return UNKNOWN
        return human_size(row.size) if human else str(row.size)

    def since(row: HistoryRow) -> str:
        return _age(row) if human else _created_at(row)

    def command_of(row: HistoryRow) -> str:
        return row.entry.created_by if row.kind == "layer" else own_words(row.kind, name)

    def created_by(row: HistoryRow) -> str:
        text = command_of(row).replace("\t", " ")
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    columns: list[Column[HistoryRow]] = [
        Column(
            "image_id", lambda row: row.image_id, "ID", "IMAGE", lambda row: identity(row.image_id or MISSING)
        ),
        Column("created", _created, "CreatedAt", "CREATED AT", _created_at),
        Column("", _created, "CreatedSince", "CREATED", since),
        Column("created_by", command_of, "CreatedBy", "CREATED BY", created_by),
        Column("comment", lambda row: row.entry.comment, "Comment", "COMMENT"),
        Column("size", lambda row: row.size, "Size", "SIZE", size),
        Column("empty_layer", lambda row: row.entry.empty_layer),
        diff_id_column(lambda row: row.diff_id, identity),
        chain_id_column(lambda row: row.chain_id, identity),
        cache_id_column(lambda row: row.cache_id, identity, store.place_word),
        Column("", lambda row: row.number, "Layer", "LAYER"),
    ]
    made = (("Layer", "DiffID", "CacheID") if store.has_places else ("Layer", "DiffID")) if layers else ()
    created = "CreatedSince" if human else "CreatedAt"
    return Table(columns, ("ID", *made, created, "CreatedBy", "Size", "Comment"))


def _created(row: HistoryRow) -> str | None:
    return rfc3339(row.entry.created_ns)


def _time(row: HistoryRow) -> int:
    """The time for tables; if it is not recorded, Docker shows its zero time."""
    return ZERO_TIME_NS if row.entry.created_ns is None else row.entry.created_ns


def _age(row: HistoryRow) -> str:
    return age(_time(row))


def _created_at(row: HistoryRow) -> str:
    return local_rfc3339(_time(row))
