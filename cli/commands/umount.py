"""`layerfs umount`: the end of a mount."""

from __future__ import annotations

from pathlib import Path

import click

from ..params import complete_directory

__all__ = ["command"]


@click.command("umount")
@click.argument(
    "mountpoints",
    metavar="MOUNTPOINT...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    shell_complete=complete_directory,
)
@click.option("-l", "--lazy", is_flag=True, help="Detach now, clean up when nobody uses it any more.")
def command(mountpoints: tuple[Path, ...], lazy: bool) -> None:
    """Unmount what `layerfs mount` mounted; also when its server has died.

    Example: layerfs umount /mnt
    """
    from layerfs.views.fuse.mountpoint import unmount

    for mountpoint in mountpoints:
        unmount(mountpoint, lazy=lazy)
