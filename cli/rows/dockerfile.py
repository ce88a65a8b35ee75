"""The rows of `layerfs dockerfile`: an instruction each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..table import Column, Table
from ..units import ellipsis, human_size
from .identities import diff_id_column, id_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.dockerfile.steps import Recipe

__all__ = ["DockerfileRow", "dockerfile_table", "rows_of"]

WIDTH = 60
UNKNOWN = "N/A"


class DockerfileRow(NamedTuple):
    """An instruction, or a step of which none is known.

    Attributes:
        step: the row of the history, 1 for the oldest; None for FROM, the config, and a layer without one.
        builder: who wrote the row; `config` for what only the config says, empty if not known.
        instruction: as in the Dockerfile, line breaks included; empty if none is known.
        layer: the number of the layer, 1 for the base; None for none.
        size: bytes of the layer; None where that is not known.
        diff_id: of the layer.
        unknown: what cannot be known of it.
        notes: what else is known.
        created_by: the row's text.
    """

    step: int | None
    builder: str
    instruction: str
    layer: int | None = None
    size: int | None = 0
    diff_id: str | None = None
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created_by: str | None = None


def rows_of(recipe: Recipe) -> Iterator[DockerfileRow]:
    """The rows of a Dockerfile, in its order."""
    from layerfs.analysis.dockerfile.document import from_line

    yield DockerfileRow(None, "", from_line(recipe))
    for step in recipe.steps:
        yield DockerfileRow(
            step.number,
            step.builder,
            "\n".join(step.lines),
            step.layer,
            step.size,
            step.diff_id,
            step.unknown,
            step.notes,
            step.created_by,
        )
    for line in recipe.rest.lines:
        yield DockerfileRow(None, "config", line)
    for text in recipe.rest.unknown:
        yield DockerfileRow(None, "config", "", unknown=(text,))


def dockerfile_table() -> Table[DockerfileRow]:
    """The columns of the instructions."""
    columns: list[Column[DockerfileRow]] = [
        Column("step", lambda row: row.step, "Step", "STEP"),
        Column(
            "instruction",
            lambda row: row.instruction,
            "Instruction",
            "INSTRUCTION",
            lambda row: ellipsis(row.instruction.replace("\t", " "), WIDTH),
        ),
        Column("layer", lambda row: row.layer, "Layer", "LAYER"),
        Column("size", lambda row: row.size, "Size", "SIZE", _size),
        diff_id_column(lambda row: row.diff_id, id_words(full=False)),
        Column(
            "unknown",
            lambda row: list(row.unknown),
            "Unknown",
            "UNKNOWN",
            lambda row: str(len(row.unknown) or ""),
        ),
        Column("notes", lambda row: list(row.notes)),
        Column("builder", lambda row: row.builder, "Builder", "BUILDER"),
        Column("created_by", lambda row: row.created_by, "CreatedBy", "CREATED BY"),
    ]
    return Table(columns, ("Step", "Layer", "Size", "Builder", "Unknown", "Instruction"))


def _size(row: DockerfileRow) -> str:
    return UNKNOWN if row.size is None else human_size(row.size)
