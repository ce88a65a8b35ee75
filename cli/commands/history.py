"""`layerfs history`: the steps that made an image, as `docker history` tells them, and their layers."""

from __future__ import annotations

import re

import click

from ..emit import emit
from ..options import format_option, no_trunc_option, root_option
from ..rows.history import history_table
from ..rows.provenance import kind_option, open_owner
from ..stores import find_name
from ..subjects import complete_images

__all__ = ["command"]

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
    emit(history_table(owner.name, data_root, human=human, layers=layers, full=no_trunc), rows, form)
