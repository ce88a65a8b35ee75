"""`layerfs chain-id`: the chain ID of layers, and every hash on the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..emit import emit
from ..messages import say
from ..options import format_option, root_option
from ..rows.chainsteps import Step, step_table
from ..stores import find_name, open_root
from ..subjects import complete_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.ids import DiffID

__all__ = ["command"]


@click.command("chain-id")
@click.argument("names", metavar="IMAGE | DIFF_ID...", nargs=-1, shell_complete=complete_images)
@click.option("--steps", is_flag=True, help="Print each sha256 as a command line for a shell.")
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    steps: bool,
    form: str,
) -> None:
    """Compute the chain ID of an image's layers, or of diff IDs given base first.

    For diff IDs no data root is read. With --format there is a row for each layer, base first.

    \b
    Examples:
      layerfs chain-id nginx:latest
      layerfs chain-id --steps nginx:latest | sh  # sha256sum computes each one
      layerfs chain-id sha256:1f2e… sha256:9a0b…
    """
    from layerfs.ids import chain_ids

    diff_ids = _diff_ids(ctx, names)
    chain = chain_ids(diff_ids)
    rows = [
        Step(index, *step) for index, step in enumerate(zip(diff_ids, (None, *chain), chain, strict=False), 1)
    ]
    if not rows:
        say("note", f"{names[0] if names else 'the image'} has no layers, and so no chain ID")
    if ctx.get_parameter_source("form") is not ParameterSource.DEFAULT:
        emit(step_table(), rows, form)
        return
    for row in rows if steps else rows[-1:]:
        click.echo(row.line if steps else row.chain_id)


def _diff_ids(ctx: click.Context, names: tuple[str, ...]) -> Sequence[DiffID]:
    """The diff IDs given, or those of a named image; a single digest may be either."""
    from layerfs.errors import LayerfsError
    from layerfs.ids import DiffID, InvalidID

    if not names:
        return _of_image(ctx, None)
    try:
        given = [DiffID(name if ":" in name else f"sha256:{name}") for name in names]
    except InvalidID as error:
        if len(names) > 1:
            raise click.UsageError(f"give one image, or diff IDs only: {error}") from error
        return _of_image(ctx, names[0])
    if len(given) > 1:
        return given
    try:
        root = open_root(ctx)
        found = root.names.of_every_kind(names[0])
    except LayerfsError:
        return given
    if any(match.meaning in ("diff ID", "chain ID") for match in found):
        return given
    # a known name of 64 digits is not taken for a diff ID
    return root.image(names[0]).config.diff_ids if found else given


def _of_image(ctx: click.Context, name: str | None) -> Sequence[DiffID]:
    found = find_name(ctx, name, "IMAGE | DIFF_ID...")
    return found.store.image(found.name).config.diff_ids
