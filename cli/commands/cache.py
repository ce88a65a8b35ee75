"""`layerfs cache`: what is kept of archives that were decompressed, and its removal."""

from __future__ import annotations

import click
from click.core import ParameterSource

from ..archives import cache_directory
from ..emit import emit
from ..options import format_option

__all__ = ["command"]


@click.command("cache")
@click.argument("what", type=click.Choice(("info", "clear")), default="info")
@format_option
@click.pass_context
def command(ctx: click.Context, what: str, form: str) -> None:
    """Show the disk space of the cache of decompressed layers, or clear it.

    Compressed layers of archives are decompressed once and kept for the next command, in a directory that
    other users cannot read. --cache-dir chooses another directory, and --no-cache keeps nothing. With
    --format there is one row: the path, the number of entries, and their size on disk. With `clear` these
    are the entries that were there before.

    \b
    Examples:
      layerfs cache
      layerfs cache clear
      layerfs cache --format json
    """
    from layerfs.cache.directory import clear, usage

    from ..rows.cache import CacheRow, cache_table
    from ..units import human_size

    directory = cache_directory(ctx)
    if directory is None:
        raise click.UsageError("there is no cache: --no-cache, or no home directory")
    is_cleared = what == "clear"
    found = clear(directory) if is_cleared else usage(directory)
    if ctx.get_parameter_source("form") != ParameterSource.DEFAULT:
        emit(cache_table(), [CacheRow(directory, found, is_cleared)], form)
        return
    verb = "removed from" if is_cleared else "in"
    click.echo(f"{found.files} files, {human_size(found.size)} {verb} {directory}")
