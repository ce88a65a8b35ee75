"""`layerfs cache`: what is kept of archives that were decompressed, and its removal."""

from __future__ import annotations

import click

from ..archives import cache_directory

__all__ = ["command"]


@click.command("cache")
@click.argument("what", type=click.Choice(("info", "clear")), default="info")
@click.pass_context
def command(ctx: click.Context, what: str) -> None:
    """Show the disk space of the cache of decompressed layers, or clear it.

    Compressed layers of archives are decompressed once and kept for the next command, in a directory that
    other users cannot read. --cache-dir chooses another directory, and --no-cache keeps nothing.

    \b
    Examples:
      layerfs cache
      layerfs cache clear
    """
    from layerfs.cache.directory import clear, usage

    from ..units import human_size

    directory = cache_directory(ctx)
    if directory is None:
        raise click.UsageError("there is no cache: --no-cache, or no home directory")
    found = clear(directory) if what == "clear" else usage(directory)
    verb = "removed from" if what == "clear" else "in"
    click.echo(f"{found.files} files, {human_size(found.size)} {verb} {directory}")
