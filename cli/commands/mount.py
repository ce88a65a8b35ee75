"""`layerfs mount`: an image, container or layer as a directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..messages import say
from ..params import complete_directory
from ..subjects import complete_names, open_root, open_subject, subject_options

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["command"]


@click.command("mount")
@click.argument("name", shell_complete=complete_names)
@click.argument("mountpoint", type=click.Path(path_type=Path), shell_complete=complete_directory)
@click.option("-f", "--foreground", is_flag=True, help="Serve until Ctrl-C, SIGTERM or umount, then return.")
@click.option("--allow-other", is_flag=True, help="Let other users look into the mount.")
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    mountpoint: Path,
    foreground: bool,
    allow_other: bool,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
    root: str,  # noqa: ARG001 - read from the context
) -> None:
    """Mount an image, container or layer read-only on a directory.

    Returns when the mount can be used; `layerfs umount MOUNTPOINT` or umount(8) ends it.

    \b
    Examples:
      layerfs mount nginx:latest /mnt
      layerfs mount --up-to 2 nginx:latest /mnt    the image as of its second layer
      layerfs mount --layer 3 nginx:latest /mnt    that layer alone, with its whiteouts
      layerfs mount my-container /mnt              what the container would see
    """
    from layerfs.views.fuse.driver import MountOptions
    from layerfs.views.fuse.fusepy_driver import FusepyDriver
    from layerfs.views.fuse.mountpoint import check_mountpoint
    from layerfs.views.fuse.server import serve_detached

    data_root = open_root(ctx)
    subject = open_subject(data_root, name, kind=kind, up_to=up_to, layer=layer)
    target = check_mountpoint(mountpoint, Path(data_root.path))
    options = MountOptions(source=subject.title, allow_other=allow_other)
    if foreground:
        FusepyDriver().serve(subject.tree, target, options, _announce(subject.title, target))
    else:
        serve_detached(FusepyDriver(), subject.tree, target, options)


def _announce(title: str, target: Path) -> Callable[[], None]:
    """Say on standard error that the mount can be used."""
    return lambda: say("info", f"{title} is mounted on {target}; Ctrl-C unmounts")
