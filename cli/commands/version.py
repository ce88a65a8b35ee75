"""`layerfs version`: which layerfs this is."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("version")
def command() -> None:
    """Show which layerfs this is, as `layerfs --version`."""
    from importlib.metadata import version

    click.echo(f"layerfs {version('layerfs')}")
