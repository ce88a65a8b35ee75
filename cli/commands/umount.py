"""`layerfs umount`: the end of a mount."""

from __future__ import annotations

from pathlib import Path

import click

from ..main import EXIT_CODES
from ..messages import say_error
from ..params import complete_directory

__all__ = ["command"]


@click.command("umount")
@click.argument(
    "mountpoints",
    metavar="MOUNTPOINT...",
    nargs=-1,
    required=True,
    type=Path,  # click.Path would look at it: not at a mount whose server is dead, or does not answer
    shell_complete=complete_directory,
)
@click.option("-l", "--lazy", is_flag=True, help="Detach now, clean up when nobody uses it any more.")
def command(mountpoints: tuple[Path, ...], lazy: bool) -> int:
    """Unmount what `layerfs mount` mounted; also when its server has died.

    Example: layerfs umount /mnt
    """
    from layerfs.errors import MountFailed
    from layerfs.views.fuse.mountpoint import unmount

    code = 0
    for mountpoint in mountpoints:
        try:
            unmount(mountpoint, lazy=lazy)
        except MountFailed as error:
            say_error(error)
            code = EXIT_CODES["MountFailed"]
    return code
