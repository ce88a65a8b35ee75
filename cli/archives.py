"""The global options for reading archives, and their values."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from .options import choice, complete_directory, noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.cache.options import CacheOptions

__all__ = ["archive_options", "blob_progress", "cache_directory", "selected_cache", "selected_platform"]

_Function = TypeVar("_Function", bound="Callable[..., Any] | click.Command")


def archive_options(command: _Function) -> _Function:
    """Add the options, which are no parameters of the function: this module's functions give their values."""
    options = (
        click.option(
            "--platform",
            metavar="OS/ARCH",
            help="Which platform of a multi-platform image in an archive to use, such as linux/arm/v7.",
            **noted("platform"),
        ),
        click.option(
            "--cache-dir",
            metavar="DIR",
            envvar="LAYERFS_CACHE_DIR",
            show_envvar=True,
            shell_complete=complete_directory,
            help="Where to keep decompressed layers of archives. Default: ~/.cache/layerfs.",
            **noted("cache-dir"),
        ),
        click.option(
            "--no-cache",
            is_flag=True,
            help="Do not keep decompressed layers of archives.",
            **noted("no-cache"),
        ),
        click.option(
            "--largest-layer",
            metavar="SIZE",
            help="Largest size of a decompressed layer of an archive. Default: 64 GiB.",
            **noted("largest-layer", _size),
        ),
        click.option(
            "--decoder-memory",
            metavar="SIZE",
            help="Most memory for a zstd window or for xz. Default: 128 MiB.",
            **noted("decoder-memory", _size),
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _size(context: click.Context, parameter: click.Parameter, typed: str) -> int | None:
    from .amounts import parse_size

    return parse_size(context, parameter, typed or None)


def selected_platform(context: click.Context) -> str | None:
    """The value of `--platform`; raises a usage error if it is no platform."""
    chosen: str | None = choice(context, "platform")
    if not chosen:
        return None
    from layerfs.formats.platforms import parse_platform

    try:
        parse_platform(chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return chosen


def cache_directory(context: click.Context) -> str | None:
    """The directory of the cache; None with `--no-cache`, and for a user without a home directory."""
    if choice(context, "no-cache"):
        if _typed(context, "cache_dir"):
            raise click.UsageError("--cache-dir and --no-cache exclude each other")
        return None
    if chosen := choice(context, "cache-dir"):
        return os.path.abspath(str(chosen))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "layerfs") if os.path.isabs(base) else None


def _typed(context: click.Context, name: str) -> bool:
    """Whether the command line has an option, before or behind the command's name."""
    at: click.Context | None = context
    while at is not None:
        if at.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return True
        at = at.parent
    return False


def selected_cache(context: click.Context) -> CacheOptions:
    """The options for decompressing blobs of archives."""
    from layerfs.cache.options import CacheOptions

    default = CacheOptions()
    return CacheOptions(
        directory=cache_directory(context),
        scratch=os.environ.get("TMPDIR") or default.scratch,
        largest=choice(context, "largest-layer", default.largest),
        memory=choice(context, "decoder-memory", default.memory),
    )


def blob_progress() -> Callable[[str, int, int], None] | None:
    """A function that shows on a terminal how much of a blob was read; None without a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from .escape import printable

    shown = -1

    def show(label: str, done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // total if total else 100
        if percent == shown and done < total:
            return
        shown = percent
        line = f"reading {printable(label.rpartition(':')[2])[-40:]}: {percent} %"
        sys.stderr.write("\r\x1b[K" + ("" if done >= total else line))
        sys.stderr.flush()

    return show
