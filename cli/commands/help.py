"""`layerfs help`: the same as `--help`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from ..main import COMMANDS, run

__all__ = ["command"]


def _complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in COMMANDS if name.startswith(typed)]


@click.command("help")
@click.argument("words", metavar="[COMMAND]", nargs=-1, shell_complete=_complete)
def command(words: tuple[str, ...]) -> int:
    """Show the help of a command, as `layerfs COMMAND --help`, or of all."""
    return run([*words, "--help"])
