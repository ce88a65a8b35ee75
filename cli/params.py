"""Options and parameter types that several commands share. Used by `main` and every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any] | click.Command")

__all__ = [
    "DEFAULT_ROOT",
    "bolt_state_option",
    "complete_directory",
    "metadata_option",
    "root_option",
    "selected_bolt_state",
    "selected_metadata",
    "selected_root",
    "selected_userns",
    "userns_option",
]

DEFAULT_ROOT = "/var/lib/docker"

_METADATA = "layerfs.metadata"  # the key of the choice, which commands share with the contexts above
_USERNS = "layerfs.userns"  # likewise
_BOLT_STATE = "layerfs.bolt-state"  # likewise


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


def metadata_option(*, envvar: str | None = None) -> Callable[[_Function], _Function]:
    """Add `--metadata`; no parameter of the function, as only `selected_metadata` asks for it."""
    return click.option(
        "--metadata",
        type=click.Choice(("auto", "disk", "tar-split")),
        envvar=envvar,
        show_envvar=True,
        expose_value=False,
        callback=_note_metadata,
        help="Where modes, owners, times and marks come from: the disk, or each layer's tar-split.json.gz. "
        "By default the disk, unless a copy lost them.",
    )


def _note_metadata(context: click.Context, _parameter: click.Parameter, chosen: str | None) -> None:
    """What is chosen last, behind the command's name, counts."""
    if chosen is not None:
        context.meta[_METADATA] = chosen


def userns_option(*, envvar: str | None = None) -> Callable[[_Function], _Function]:
    """Add `--userns`; no parameter of the function, as only `selected_userns` asks for it."""
    return click.option(
        "--userns",
        metavar="auto|none|BASE|UID.GID|MAP",
        envvar=envvar,
        show_envvar=True,
        expose_value=False,
        callback=_note_userns,
        help="The engine's user namespace, whose owners are shown: the host's number of its root, or ranges "
        "INSIDE:OUTSIDE:COUNT,...[/for groups]. By default found; none shows the numbers on disk.",
    )


def _note_userns(context: click.Context, _parameter: click.Parameter, chosen: str | None) -> None:
    """Check it where it is given."""
    if chosen is None:
        return
    from layerfs.formats.errors import FormatError
    from layerfs.formats.idmap import parse_owners

    try:
        if chosen != "auto":
            parse_owners(chosen)
    except FormatError as error:
        raise click.BadParameter(f"{chosen}: {error}: expected {error.expected}") from error
    context.meta[_USERNS] = chosen


def bolt_state_option(command: _Function) -> _Function:
    """Add `--bolt-state`; no parameter of the function, as only `selected_bolt_state` asks for it."""
    decorate = click.option(
        "--bolt-state",
        type=click.Choice(("newest", "previous")),
        expose_value=False,
        callback=_note_bolt_state,
        help="Which state of the engine's bolt databases to read. Each holds the one before its last "
        "transaction too, for when the newest is damaged.",
    )
    return decorate(command)


def _note_bolt_state(context: click.Context, _parameter: click.Parameter, chosen: str | None) -> None:
    if chosen is not None:
        context.meta[_BOLT_STATE] = chosen


def selected_bolt_state(context: click.Context) -> str:
    """The choice of `--bolt-state`."""
    return str(context.meta.get(_BOLT_STATE, "newest"))


def selected_userns(context: click.Context) -> str:
    """The choice of `--userns`."""
    return str(context.meta.get(_USERNS, "auto"))


def selected_metadata(context: click.Context) -> str:
    """The choice of `--metadata`."""
    return str(context.meta.get(_METADATA, "auto"))
