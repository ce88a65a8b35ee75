"""`layerfs mount`: an image, container or layer as a directory."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import syslog
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..escape import printable
from ..messages import say
from ..options import complete_directory, format_option
from ..progress import phases
from ..stores import chosen_with_one_image, find_name
from ..subjects import name_argument, open_subject, subject_options

if TYPE_CHECKING:
    from layerfs.subject import Subject
    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.server import Job

__all__ = ["command"]


@click.command("mount")
@name_argument()
@click.argument("mountpoint", required=False, type=Path, shell_complete=complete_directory)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Mount the whole store: every image, layer and container as a directory. Takes only a MOUNTPOINT.",
)
@click.option(
    "-f", "--foreground", is_flag=True, help="Stay in the foreground until Ctrl-C, SIGTERM or umount."
)
@click.option("--allow-other", is_flag=True, help="Let other users access the mount.")
@click.option(
    "--ignore-permissions",
    is_flag=True,
    help="Ignore the permissions in the image: read all that the disk lets you read. Not with --allow-other.",
)
@click.option("--noexec", is_flag=True, help="Do not allow programs in the mount to be executed.")
@click.option(
    "--driver",
    "driver_name",
    type=click.Choice(["native", "fusepy", "kernel"]),
    default="native",
    show_default=True,
    help="What shows it. native and fusepy (libfuse 2) are FUSE; kernel is the kernel's own overlayfs: "
    "fastest, for root, Linux 6.8 and unpacked layers.",
)
@click.option(
    "--passthrough/--no-passthrough",
    default=True,
    help="Let the kernel read files itself where it can (native driver, root, Linux 6.9). "
    "Without it, small files are faster the second time.  [default: passthrough]",
)
@click.option(
    "--provenance",
    is_flag=True,
    help="Also list the user.layerfs.* attributes, which can be read in every FUSE mount: layer, "
    "diff_id, chain_id, created_by, versions.",
)
@format_option
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str | None,
    mountpoint: Path | None,
    everything: bool,
    foreground: bool,
    form: str,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
    **_options: object,
) -> None:
    """Mount an image, container or layer read-only on a directory, or list what is mounted.

    With --all it is the whole store as one tree, and each part is read when somebody looks into it. Nothing
    in it can be executed. Its README says what is where.

    Returns when the mount can be used. `layerfs umount MOUNTPOINT` or umount(8) ends it. Later errors go to
    syslog, or with -f to standard error.

    \b
    Examples:
      layerfs mount nginx:latest /mnt
      layerfs mount --up-to 2 nginx:latest /mnt  # the image as of layer 2
      layerfs mount --layer 3 nginx:latest /mnt  # layer 3 alone, with whiteouts
      layerfs mount my-container /mnt            # what the container would see
      layerfs mount --driver kernel big /mnt     # as fast as the kernel itself
      layerfs mount --all /mnt                   # all images, layers, containers
      layerfs mount                              # what is mounted, dead or alive
      getfattr -n user.layerfs.created_by /mnt/etc/motd  # the step that made it
    """
    if name is None and not _given(ctx, but=("form",)):
        _list_mounts(form)
        return
    if everything:
        job = _everything(ctx, name, mountpoint)
        _say_what_stays_closed(job, own=False)
        _mount(job, foreground=foreground)
    else:
        name, mountpoint = _arguments(ctx, name, mountpoint)
        data_root, name, _ = find_name(ctx, name)
        subject = open_subject(data_root, name, kind=kind, up_to=up_to, layer=layer)
        tree = _traced(subject, listed=ctx.params["provenance"])
        job = _job(ctx, tree, subject.title, Path(data_root.path), mountpoint)
        _say_what_stays_closed(job, own=tree.root.stat.uid == os.geteuid())
        _look_at(tree)
        _mount(job, foreground=foreground)
    ctx.obj.damage = False  # what is mounted is mounted: what is missing was said, and is no failure


def _job(ctx: click.Context, tree: UnionTree, title: str, store: Path, mountpoint: Path) -> Job:
    """What to serve, and how: as the command line says; raises as `check_mountpoint` and `driver_named`."""
    from layerfs.views.fuse.driver import MountOptions
    from layerfs.views.fuse.drivers import driver_named
    from layerfs.views.fuse.mountpoint import check_mountpoint
    from layerfs.views.fuse.server import Job

    given = ctx.params
    target = check_mountpoint(mountpoint, store)
    options = MountOptions(
        source=printable(title),
        allow_other=given["allow_other"],
        passthrough=given["passthrough"],
        ignore_permissions=given["ignore_permissions"],
        noexec=given["noexec"] or given["everything"],
    )
    return Job(driver_named(given["driver_name"]), tree, target, options, _log_to_syslog)


def _everything(ctx: click.Context, only: str | None, second: Path | None) -> Job:
    """The whole store, with nothing in it that could be executed."""
    from ..wholestores import chosen_parts, whole_tree

    mountpoint = _place_of_everything(ctx, only, second)
    stores = chosen_parts(ctx)
    path = next(iter(stores.values())).path
    tree = whole_tree(stores, listed=ctx.params["provenance"])
    return _job(ctx, tree, f"all of {path}", Path(path), mountpoint)


def _place_of_everything(ctx: click.Context, only: str | None, second: Path | None) -> Path:
    """The mount point, which is the only argument; raises a usage error."""
    if only is None:
        raise click.MissingParameter(ctx=ctx, param_hint="'MOUNTPOINT'", param_type="argument")
    if second is not None:
        raise click.UsageError(f"--all takes a MOUNTPOINT and no NAME, and there are two: {only}, {second}")
    for option in ("up_to", "layer", "kind"):
        if ctx.params[option] is not None:
            words = {"up_to": "--up-to", "layer": "--layer", "kind": "--type"}
            raise click.UsageError(f"--all mounts everything: {words[option]} is for one NAME")
    if ctx.params["driver_name"] == "kernel":
        raise click.UsageError(
            "--driver kernel cannot mount a whole store: its directories are made when they are entered, "
            "which takes a server. Leave it out"
        )
    _check_usage(ctx)
    return Path(only)


def _mount(job: Job, *, foreground: bool) -> None:
    """Mount, and come back when the mount can be used, or when it has ended."""
    from layerfs.views.fuse.server import serve, serve_detached

    with contextlib.ExitStack() as shown:
        bar = shown.enter_context(phases({"marks": "Looking through layers"}))
        job = job._replace(options=replace(job.options, on_progress=bar))

        def ready() -> None:
            shown.close()
            say("info", f"{job.options.source} is mounted on {job.mountpoint}; Ctrl-C unmounts")
            _say_who_looks_in(job)

        if foreground:
            serve(job, ready)
            return
        serve_detached(job)
    _say_who_looks_in(job)


def _list_mounts(form: str) -> None:
    from ..rows.mounts import list_mounts

    list_mounts(form)


def _given(ctx: click.Context, *, but: tuple[str, ...] = ()) -> list[str]:
    """The parameters that were given on the command line."""
    return [
        name
        for name in ctx.params
        if name not in but and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]


def _arguments(ctx: click.Context, name: str | None, mountpoint: Path | None) -> tuple[str | None, Path]:
    """The name and the mount point; raises a usage error. A store with one image needs no NAME."""
    if name and not mountpoint and chosen_with_one_image(ctx):
        mountpoint, name = Path(name), None
    elif name is None or mountpoint is None:
        missing = "NAME" if name is None else "MOUNTPOINT"
        raise click.MissingParameter(ctx=ctx, param_hint=repr(missing), param_type="argument")
    _check_usage(ctx)
    assert mountpoint is not None  # noqa: S101 - as was asked
    return name, mountpoint


def _check_usage(ctx: click.Context) -> None:
    """Refuse options that exclude each other."""
    if "form" in _given(ctx):
        raise click.UsageError("--format is for the list of mounts, which has no NAME")
    if ctx.params["allow_other"] and ctx.params["ignore_permissions"]:
        raise click.UsageError(
            "--allow-other and --ignore-permissions exclude each other: others would see what is not theirs"
        )
    _check_kernel_usage(ctx)


def _check_kernel_usage(ctx: click.Context) -> None:
    """Refuse what only a server of ours can do, where the kernel shows the layers by itself."""
    if ctx.params["driver_name"] != "kernel":
        return
    if ctx.params["provenance"]:
        raise click.UsageError(
            "--driver kernel has no user.layerfs.* attributes: `layerfs stat` and `layerfs blame` tell the "
            "same, or --driver native"
        )
    if ctx.params["ignore_permissions"]:
        raise click.UsageError(
            "--driver kernel goes by the permissions in the image, which root need not mind: leave out "
            "--ignore-permissions, or take --driver native"
        )


def _say_who_looks_in(job: Job) -> None:
    """Tell that others may look in, where they could and were not meant to."""
    from layerfs.views.fuse.driver import Unattended

    if job.options.allow_other or not isinstance(job.driver, Unattended):
        return
    if all(place.stat().st_mode & stat.S_IXOTH for place in job.mountpoint.parents):
        say("info", "other users can look in: the kernel's overlayfs goes by owners and modes alone")
        say("hint", "below a directory of mode 0700 they cannot; --allow-other says that they may")


def _say_what_stays_closed(job: Job, *, own: bool) -> None:
    """Tell a user who owns the files on disk, but not in the image, how to be able to read all of them."""
    if os.geteuid() != 0 and not own and not job.options.ignore_permissions:
        say(
            "info",
            "the mount keeps from you what the image keeps from ordinary users; "
            "--ignore-permissions shows all that this copy holds",
        )


def _look_at(tree: UnionTree) -> None:
    """List the root of the tree, so that a damaged layer is reported before the server detaches."""
    from layerfs.errors import TreeError

    with contextlib.suppress(TreeError):  # reported to whoever enters the mount
        tree.children(tree.root)


def _traced(subject: Subject, *, listed: bool) -> UnionTree:
    """The tree with the attributes `user.layerfs.*`."""
    from layerfs.views.provenance import TracedTree

    def created_by(number: int) -> str | None:
        command = subject.created_by(number)
        return None if command is None else printable(command)

    return TracedTree(subject.tree, subject.layers, created_by, listed=listed)


class _LogToSyslog(logging.Handler):
    """Writes the log of a server without a terminal to syslog, each distinct line once."""

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
    """Send the engine's log to syslog instead of standard error."""
    syslog.openlog("layerfs", syslog.LOG_PID, syslog.LOG_DAEMON)
    logger = logging.getLogger("layerfs")
    logger.handlers[:] = [_LogToSyslog()]
