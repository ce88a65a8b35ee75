"""Options and parameter types that several commands share. Used by `main` and every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any] | click.Command")

__all__ = ["DEFAULT_ROOT", "complete_directory", "root_option", "selected_root"]

DEFAULT_ROOT = "/var/lib/docker"


def complete_directory(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Let the shell itself complete a directory of the host."""
    return [CompletionItem(typed, type="dir")]


def selected_root(context: click.Context | None) -> str:
    """The data root chosen by the nearest `--root`, by LAYERFS_ROOT, or by default."""
    while context is not None:
        root = context.params.get("root")
        if root is not None:
            return str(root)
        context = context.parent
    return DEFAULT_ROOT


def root_option(command: _Function) -> _Function:
    """Add `--root` to a command; its value falls back on the one given before the command's name."""
    decorate = click.option(
        "--root",
        metavar="PATH",
        callback=_inherit,
        shell_complete=complete_directory,
        help="Data root to read, also accepted before the command's name.",
    )
    return decorate(command)


def _inherit(context: click.Context, _parameter: click.Parameter, root: str | None) -> str:
    """The value given here, or else the one of the contexts above."""
    return selected_root(context.parent) if root is None else root
