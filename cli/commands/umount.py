"""`layerfs umount`: the end of a mount."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ..main import EXIT_CODES
from ..messages import say_error

__all__ = ["command"]


def _complete_mounts(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """What is mounted, by its path from here too, and without a look at it: a mount's server may be dead."""
    from layerfs.views.fuse.mountpoint import mount_table

    here = os.getcwd().rstrip("/") + "/"
    paths = [str(mount.path) for mount in mount_table() if mount.is_ours]
    named = [path if path.startswith(typed) else path.removeprefix(here) for path in paths]
    return [CompletionItem(path) for path in named if path.startswith(typed) and path.isprintable()]


@click.command("umount")
@click.argument(
    "mountpoints",
    metavar="MOUNTPOINT...",
    nargs=-1,
    required=True,
    type=Path,  # no checks by click.Path, which would access the mount: its server may be dead
    shell_complete=_complete_mounts,
)
@click.option("-l", "--lazy", is_flag=True, help="Detach now, and clean up when it is no longer in use.")
def command(mountpoints: tuple[Path, ...], lazy: bool) -> int:
    """Unmount what `layerfs mount` mounted, also if its server has died.

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
