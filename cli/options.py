"""The options that several commands share, and their values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any] | click.Command")

__all__ = [
    "DEFAULT_FORMAT",
    "DEFAULT_ROOT",
    "additional_store_option",
    "bolt_state_option",
    "choice",
    "complete_directory",
    "complete_path",
    "exclude_option",
    "format_option",
    "include_option",
    "metadata_option",
    "namespace_option",
    "no_trunc_option",
    "noted",
    "one_of",
    "options_again",
    "root_option",
    "selected_additional_stores",
    "selected_bolt_state",
    "selected_metadata",
    "selected_namespace",
    "selected_root",
    "selected_store",
    "selected_userns",
    "store_option",
    "type_option",
    "userns_option",
]

DEFAULT_FORMAT = "table"
DEFAULT_ROOT = "/var/lib/docker"

_OF_A_RUN = ("verbose", "cache_dir", "no_cache", "largest_layer", "decoder_memory")
"""Global options that do not say what is read."""

_NOTED = "layerfs."  # the beginning of keys in `Context.meta`, which all contexts of a run share


def complete_directory(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Let the shell itself complete a directory of the host."""
    return [CompletionItem(typed, type="dir")]


def complete_path(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Let the shell itself complete a file or directory of the host."""
    return [CompletionItem(typed, type="file")]


def noted(
    name: str, read: Callable[[click.Context, click.Parameter, Any], Any] | None = None
) -> dict[str, Any]:
    """The settings of an option that is no parameter of its command; `choice` gives its value.

    The last one given counts, so an option behind the command's name overrules one before it.

    Args:
        name: the name for `choice`.
        read: converts the typed text to the value, or to None for none; raises a usage error.
    """

    def note(context: click.Context, parameter: click.Parameter, typed: Any) -> None:
        if typed is None or typed is False:
            return
        value = read(context, parameter, typed) if read else typed
        if value is not None:
            context.meta[_NOTED + name] = value

    return {"expose_value": False, "callback": note}


def one_of(name: str) -> dict[str, Any]:
    """The settings of one of several flags for one thing; `choice` gives the flag without dashes.

    Two different ones together are refused.
    """

    def note(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        if not given:
            return
        option = max(parameter.opts, key=len).removeprefix("--")
        if other := context.meta.get(_NOTED + name):
            raise click.UsageError(f"--{other} and --{option} exclude each other", context)
        context.meta[_NOTED + name] = option

    return {"is_flag": True, "expose_value": False, "callback": note}


def choice(context: click.Context, name: str, default: Any = None) -> Any:
    """The value of an option with the settings of `noted` or `one_of`."""
    return context.meta.get(_NOTED + name, default)


def options_again(context: click.Context, *, of_a_run: bool = False) -> list[str]:
    """The global options of this command line, for another that reads the same.

    Not those that come from the environment, which the other has too; and only if asked for those that do
    not say what is read.
    """
    words: list[str] = []
    for option in context.find_root().command.params:
        given = choice(context, str(option.name).replace("_", "-"))
        if not isinstance(option, click.Option) or given is None:
            continue
        if option.name in _OF_A_RUN and not of_a_run:
            continue
        inherited = option.value_from_envvar(context) if option.envvar else None
        if option.multiple:
            words += [word for value in given for word in (option.opts[0], str(value))]
        elif given not in (inherited, option.default):
            words += [option.opts[0]] if option.is_flag else [option.opts[0], str(given)]
    return words


def selected_root(context: click.Context) -> str:
    """The data root chosen by the nearest `--root`, by LAYERFS_ROOT, or by default."""
    return str(choice(context, "root", DEFAULT_ROOT))


def root_option(command: _Function) -> _Function:
    """Add `--root` to a command; without it, the one before the command's name counts."""
    decorate = click.option(
        "--root",
        metavar="PATH",
        shell_complete=complete_path,
        help="What to read: a data root or an archive, also accepted before the command's name.",
        **noted("root"),
    )
    return decorate(command)


def metadata_option(*, envvar: str | None = None) -> Callable[[_Function], _Function]:
    """Add `--metadata`; no parameter of the function, as only `selected_metadata` asks for it."""
    return click.option(
        "--metadata",
        type=click.Choice(("auto", "disk", "tar-split")),
        envvar=envvar,
        show_envvar=True,
        **noted("metadata"),
        help="Where to read modes, owners, times and overlay marks: from the disk, or from each layer's "
        "tar-split.json.gz. auto uses the disk, unless the root is a copy that lost them.",
    )


def userns_option(*, envvar: str | None = None) -> Callable[[_Function], _Function]:
    """Add `--userns`; no parameter of the function, as only `selected_userns` asks for it."""
    return click.option(
        "--userns",
        metavar="auto|none|BASE|UID.GID|MAP",
        envvar=envvar,
        show_envvar=True,
        **noted("userns", _read_userns),
        help="The engine's user namespace, to show owners as inside it: the host's ID of its root, or ranges "
        "INSIDE:OUTSIDE:COUNT,...[/for groups]. auto finds it; none shows the IDs on disk.",
    )


def _read_userns(_context: click.Context, _parameter: click.Parameter, chosen: str) -> str:
    """Check the value where it is given."""
    from layerfs.formats.errors import FormatError
    from layerfs.formats.idmap import parse_owners

    try:
        if chosen != "auto":
            parse_owners(chosen)
    except FormatError as error:
        raise click.BadParameter(f"{chosen}: {error}: expected {error.expected}") from error
    return chosen


def selected_userns(context: click.Context) -> str:
    """The choice of `--userns`."""
    return str(choice(context, "userns", "auto"))


def bolt_state_option(command: _Function) -> _Function:
    """Add `--bolt-state`; no parameter of the function, as only `selected_bolt_state` asks for it."""
    return click.option(
        "--bolt-state",
        type=click.Choice(("newest", "previous")),
        **noted("bolt-state"),
        help="Which state of the engine's bolt databases to read. Each database also has the state before "
        "its last transaction, which may be readable when the newest is damaged.",
    )(command)


def namespace_option(command: _Function) -> _Function:
    """Add `--namespace`; no parameter of the function, as only `selected_namespace` asks for it."""
    return click.option(
        "--namespace",
        metavar="NS|all",
        envvar="LAYERFS_NAMESPACE",
        show_envvar=True,
        **noted("namespace"),
        help="Which namespace of a containerd store to read, or all. By default Docker's own, or the one "
        "that has images.",
    )(command)


def store_option(command: _Function) -> _Function:
    """Add `--store`; no parameter of the function, as only `selected_store` asks for it."""
    return click.option(
        "--store",
        type=click.Choice(("overlay2", "containerd")),
        envvar="LAYERFS_STORE",
        show_envvar=True,
        **noted("store"),
        help="Which store to read where a data root has images in both. By default the one that its "
        "containers use, else the one that Docker would choose.",
    )(command)


def additional_store_option(command: _Function) -> _Function:
    """Add `--additional-store`; no parameter of the function, as only `selected_additional_stores` asks."""
    return click.option(
        "--additional-store",
        metavar="PATH",
        multiple=True,
        **noted("additional-store", _absolute_paths),
        help="A further store of Podman, CRI-O or Buildah from which --root has layers or images, as "
        "imagestore and additionalimagestores of its storage.conf name them. Can be repeated.",
    )(command)


def _absolute_paths(
    _context: click.Context, _parameter: click.Parameter, typed: tuple[str, ...]
) -> tuple[str, ...] | None:
    """The paths that were given; None for none."""
    return tuple(map(os.path.abspath, typed)) or None


def selected_additional_stores(context: click.Context) -> tuple[str, ...]:
    """The choices of `--additional-store`, in order."""
    found: tuple[str, ...] = choice(context, "additional-store", ())
    return found


def selected_store(context: click.Context) -> str | None:
    """The choice of `--store`."""
    found: str | None = choice(context, "store")
    return found


def selected_namespace(context: click.Context) -> str | None:
    """The choice of `--namespace`."""
    found: str | None = choice(context, "namespace")
    return found


def selected_bolt_state(context: click.Context) -> str:
    """The choice of `--bolt-state`."""
    return str(choice(context, "bolt-state", "newest"))


def selected_metadata(context: click.Context) -> str:
    """The choice of `--metadata`."""
    return str(choice(context, "metadata", "auto"))


def include_option(function: _Function) -> _Function:
    """Add `--include`, as the argument `include`: patterns for `globs.Globs`."""
    return click.option(
        "--include",
        metavar="GLOB",
        multiple=True,
        help="Show only paths that match, and what is below them. Can be repeated.",
    )(function)


def exclude_option(function: _Function) -> _Function:
    """Add `--exclude`, as the argument `exclude`: patterns for `globs.Globs`."""
    return click.option(
        "--exclude",
        metavar="GLOB",
        multiple=True,
        help="Leave out paths that match, and what is below them. Can be repeated.",
    )(function)


def type_option(*kinds: str, name: str = "--type", of: str = "NAME") -> Callable[[_Function], _Function]:
    """Add `--type`, as the argument `kind`, for a NAME that is ambiguous."""
    return click.option(
        name,
        "kind",
        type=click.Choice(kinds),
        help=f"Kind of {of}, if the name is ambiguous.",
    )


def format_option(function: _Function) -> _Function:
    """Add `--format`, as the argument `form`: checked before the command runs."""
    decorate = click.option(
        "--format",
        "form",
        default=DEFAULT_FORMAT,
        metavar="FORMAT",
        callback=_read_format,
        shell_complete=_complete_format,
        help="Output format: table, json, jsonl (or ndjson), csv, tsv, a tabulate format such as github, or "
        "a Go template such as '{{.ID}}' or 'table {{.ID}}\\t{{.Size}}'.",
    )
    return decorate(function)


def no_trunc_option(function: _Function) -> _Function:
    """Add `--no-trunc`."""
    return click.option("--no-trunc", is_flag=True, help="Show IDs and commands in full.")(function)


def _read_format(_context: click.Context, _parameter: click.Parameter, form: str) -> str:
    if form == DEFAULT_FORMAT:  # what knows all others is not needed
        return form
    from .emit import checked_format

    return checked_format(form)


def _complete_format(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    from .emit import format_names

    return [CompletionItem(name) for name in format_names() if name.startswith(typed)]
