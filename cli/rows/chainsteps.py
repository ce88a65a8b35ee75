"""The rows of `layerfs chain-id`: how each chain ID is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..table import Column, Table
from .identities import chain_id_column, diff_id_column

if TYPE_CHECKING:
    from layerfs.ids import ChainID, DiffID

__all__ = ["Step", "step_table"]


class Step(NamedTuple):
    """One layer's place in the chain; `parent` is the chain below it."""

    number: int
    diff_id: DiffID
    parent: ChainID | None
    chain_id: ChainID

    @property
    def line(self) -> str:
        """A line for a shell that computes this chain ID; a comment for the base, which needs none."""
        if self.parent is None:
            return f"# layer {self.number}: {self.chain_id}, the diff ID of the base"
        computed = f"printf '%s %s' {self.parent} {self.diff_id} | sha256sum"
        return f"{computed}   # layer {self.number}: {self.chain_id}"


def step_table() -> Table[Step]:
    """The columns of the steps."""
    columns: tuple[Column[Step], ...] = (
        Column("index", lambda row: row.number, "Index", "INDEX"),
        diff_id_column(lambda row: row.diff_id),
        Column("parent", lambda row: row.parent, "Parent", "PARENT"),
        chain_id_column(lambda row: row.chain_id),
        Column("command", lambda row: row.line if row.parent else None, "Command", "COMMAND"),
    )
    return Table(columns, ("Index", "DiffID", "ChainID"))
