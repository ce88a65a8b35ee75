"""`layerfs completion`: the shell code that turns on completion; click generates it."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..main import COMPLETION_VARIABLE
from ..shells import register

__all__ = ["command"]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the shell code that completes commands, references and paths.

    Example: source <(layerfs completion bash)
    """
    register()
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all three
    click.echo(found(ctx.find_root().command, {}, "layerfs", COMPLETION_VARIABLE).source())
