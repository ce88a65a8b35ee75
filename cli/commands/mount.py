"""`layerfs mount`: an image, container or layer as a directory."""

from __future__ import annotations

import functools
import logging
import syslog
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..messages import printable, say
from ..params import complete_directory
from ..subjects import complete_names, open_root, open_subject, subject_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs import DataRoot
    from layerfs.tree.union import UnionTree

    from ..provenance import Provenance
    from ..subjects import Subject

__all__ = ["command"]


@click.command("mount")
@click.argument("name", shell_complete=complete_names)
@click.argument("mountpoint", type=click.Path(path_type=Path), shell_complete=complete_directory)
@click.option("-f", "--foreground", is_flag=True, help="Serve until Ctrl-C, SIGTERM or umount, then return.")
@click.option("--allow-other", is_flag=True, help="Let other users look into the mount.")
@click.option(
    "--driver",
    "driver_name",
    type=click.Choice(["native", "fusepy"]),
    default="native",
    show_default=True,
    help="What talks to the kernel: native does it itself, fusepy needs libfuse 2.",
)
@click.option(
    "--passthrough/--no-passthrough",
    default=True,
    help="Whether the kernel may read files itself, where it can (native driver, root, Linux 6.9). "
    "Without, small files are faster the second time.  [default: passthrough]",
)
@click.option(
    "--provenance",
    is_flag=True,
    help="Also list the user.layerfs.* attributes, which any mount answers: layer, diff_id, chain_id, "
    "created_by, versions.",
)
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    mountpoint: Path,
    foreground: bool,
    allow_other: bool,
    driver_name: str,
    passthrough: bool,
    provenance: bool,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
    root: str,  # noqa: ARG001 - read from the context
) -> None:
    """Mount an image, container or layer read-only on a directory.

    Returns when the mount can be used; `layerfs umount MOUNTPOINT` or umount(8) ends it.
    What goes wrong later is told to syslog, or with -f to standard error.

    \b
    Examples:
      layerfs mount nginx:latest /mnt
      layerfs mount --up-to 2 nginx:latest /mnt    the image as of its second layer
      layerfs mount --layer 3 nginx:latest /mnt    that layer alone, with its whiteouts
      layerfs mount my-container /mnt              what the container would see
      getfattr --only-values -n user.layerfs.created_by /mnt/etc/motd    what made a file
    """
    from layerfs.views.fuse.driver import MountOptions
    from layerfs.views.fuse.drivers import driver_named
    from layerfs.views.fuse.mountpoint import check_mountpoint
    from layerfs.views.fuse.server import Job, serve_detached

    data_root = open_root(ctx)
    subject = open_subject(data_root, name, kind=kind, up_to=up_to, layer=layer)
    target = check_mountpoint(mountpoint, Path(data_root.path))
    title = printable(subject.title)
    options = MountOptions(source=title, allow_other=allow_other, passthrough=passthrough)
    tree = _traced(data_root, subject, listed=provenance)
    driver = driver_named(driver_name)
    if foreground:
        driver.serve(tree, target, options, _announce(title, target))
    else:
        serve_detached(Job(driver, tree, target, options, _log_to_syslog))
    ctx.obj.damage = False  # what is mounted is mounted: what is missing was said, and is no failure


def _traced(root: DataRoot, subject: Subject, *, listed: bool) -> UnionTree:
    """The tree with the attributes that tell where an entry comes from."""
    from layerfs.views.provenance import Origin, TracedTree

    @functools.cache
    def provenance() -> Provenance:
        from ..provenance import Provenance

        return Provenance(root, subject)

    origins = [Origin(supplier.number, supplier.diff_id, supplier.chain_id) for supplier in subject.suppliers]
    return TracedTree(subject.tree, origins, lambda number: provenance().command(number), listed=listed)


def _announce(title: str, target: Path) -> Callable[[], None]:
    """Say on standard error that the mount can be used."""
    return lambda: say("info", f"{title} is mounted on {target}; Ctrl-C unmounts")


class _LogToSyslog(logging.Handler):
    """Where a server without a terminal says what goes wrong, each distinct line once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            syslog.syslog(syslog.LOG_WARNING, printable(message))


def _log_to_syslog() -> None:
    """Let the engine's log go to syslog instead of standard error."""
    syslog.openlog("layerfs", syslog.LOG_PID, syslog.LOG_DAEMON)
    logger = logging.getLogger("layerfs")
    logger.handlers[:] = [_LogToSyslog()]
