"""`layerfs history`: the steps that made an image, as `docker history` tells them, and their layers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..options import format_option, no_trunc_option, root_option
from ..rows.identities import cache_id_column, chain_id_column, diff_id_column, id_words
from ..rows.provenance import kind_option, open_owner, own_words
from ..stores import find_name
from ..subjects import complete_images
from ..table import Column, Table
from ..units import ZERO_TIME_NS, age, ellipsis, human_size, local_rfc3339, rfc3339

if TYPE_CHECKING:
    from layerfs.analysis.store.history import HistoryRow
    from layerfs.store import Store

__all__ = ["command"]

MISSING = "<missing>"
UNKNOWN = "N/A"
CREATED_BY_WIDTH = 45

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class GoFlags(click.Command):
    """Takes a flag's value behind an equals sign, as Docker's own command does: `-H=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `--human` and `--no-human` in place of `--human=VALUE` and `-H=VALUE`."""
        return super().parse_args(ctx, [_plain_flag(argument) for argument in args])


def _plain_flag(argument: str) -> str:
    match = re.fullmatch(r"(?:-H|--human)=(.*)", argument)
    if not match:
        return argument
    if match[1] not in _TRUE + _FALSE:
        raise click.BadParameter(f"{match[1]!r} is neither true nor false", param_hint="--human")
    return "--human" if match[1] in _TRUE else "--no-human"


@click.command("history", cls=GoFlags)
@click.argument("name", metavar="IMAGE", required=False, shell_complete=complete_images)
@click.option(
    "-H",
    "--human/--no-human",
    default=True,
    help="Print sizes and ages in words (the default), or bytes and times. --human=false works too.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show image IDs only.")
@click.option("--layers", is_flag=True, help="Show which layer each step made.")
@no_trunc_option
@format_option
@kind_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    human: bool,
    quiet: bool,
    layers: bool,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> None:
    """Show the steps that made an image, newest first, as `docker history` does.

    Unlike Docker, it can also show which layer a step made: its number (1 is the base), diff ID, chain ID
    and cache ID. They are shown with --layers, in JSON, and as {{.Layer}}, {{.DiffID}}, {{.ChainID}} and
    {{.CacheID}}. If no image has the name, it may be a container's: then its own layers come first, and
    after them the steps of its image.

    \b
    Examples:
      layerfs history nginx:latest
      layerfs history --layers --no-trunc nginx:latest
      layerfs history --format '{{.CacheID}} {{.CreatedBy}}' nginx:latest
    """
    from layerfs.analysis.store.history import history

    data_root, name, _ = find_name(ctx, name, "IMAGE")
    owner = open_owner(data_root, name, kind, image_first=True)
    rows = history(data_root, owner)
    form = "{{.ID}}" if quiet and form == "table" else form
    emit(_table(owner.name, data_root, human=human, layers=layers, full=no_trunc), rows, form)


def _table(name: str, store: Store, *, human: bool, layers: bool, full: bool) -> Table[HistoryRow]:
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
    """When, for tables: where nobody noted it, Docker counts from its zero time."""
    return ZERO_TIME_NS if row.entry.created_ns is None else row.entry.created_ns


def _age(row: HistoryRow) -> str:
    return age(_time(row))


def _created_at(row: HistoryRow) -> str:
    return local_rfc3339(_time(row))
