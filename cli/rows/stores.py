"""The rows of `layerfs stores`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..table import Column, Table
from ..units import human_size

if TYPE_CHECKING:
    from layerfs.stores.search import FoundStore

__all__ = ["store_table"]

UNKNOWN = "N/A"
_USUAL_KINDS = {"podman": "containers-storage"}
"""The kind of store of an owner, where that is not called as the owner is."""


def store_table(*, joined: bool) -> Table[FoundStore]:
    """The columns of found stores; `joined` puts kind and namespace into the column of the owner."""

    def owner(row: FoundStore) -> str:
        return _owner(row, kind=joined)

    columns: list[Column[FoundStore]] = [
        Column("kind", lambda row: row.kind, "Kind", "KIND"),
        Column("owner", lambda row: row.owner, "Owner", "OWNER", owner),
        Column("user", lambda row: row.user, "User", "USER"),
        Column("images", lambda row: row.images, "Images", "IMAGES", lambda row: _number(row.images)),
        Column("containers", lambda row: row.containers, "Containers", "CONTAINERS", _containers),
        Column("size", lambda row: row.size, "Size", "SIZE", _size),
        Column("path", lambda row: row.path, "Path", "PATH"),
        Column("namespace", lambda row: row.part, "Namespace", "NAMESPACE"),
        Column("inside", lambda row: row.inside, "Inside", "INSIDE"),
        Column("problem", lambda row: row.problem, "Problem", "PROBLEM"),
    ]
    shown = ["Owner", "Images", "Containers", "Size", "Path"]
    return Table(columns, shown if joined else ["Kind", *shown, "Problem"])


def _owner(row: FoundStore, *, kind: bool) -> str:
    """The engine and the user; with `kind` also kind and namespace, where these are not the usual ones."""
    usual = row.kind in (row.owner, _USUAL_KINDS.get(row.owner))
    what = " ".join(filter(None, ["" if usual else row.kind, row.part])) if kind else ""
    return row.owner + (f" ({what})" if what else "") + (f" of {row.user}" if row.user else "")


def _containers(row: FoundStore) -> str:
    return _number(row.containers)


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _size(row: FoundStore) -> str:
    return UNKNOWN if row.size is None else human_size(row.size)
