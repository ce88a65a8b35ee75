"""`layerfs logs`: what containers wrote, as `docker logs` and `podman logs` show it."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..filters import point_in_time
from ..options import DEFAULT_FORMAT, complete_directory, format_option, root_option, selected_root
from ..rows.logs import LogRow, LogText, log_table, write_rows
from ..stores import find_name, open_root
from ..subjects import complete_containers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.analysis.store.logs import LogWindow
    from layerfs.capabilities import Logging
    from layerfs.containerlog import ContainerLog
    from layerfs.hostdir import HostDir
    from layerfs.model import Container
    from layerfs.store import Store

__all__ = ["command"]


def _moment(_context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """The time of `--since` or `--until`, in ns since the epoch."""
    if text is None or (when := point_in_time(text, time.time_ns())) is not None:
        return None if text is None else when
    message = f"{text!r}: expected a duration as 24h, a time as 2026-11-21T04:00, or seconds"
    raise click.BadParameter(message, param=parameter)


def _number(_context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """The value of `--tail`: None for all; as in Docker, a negative number is all too."""
    digits = text.removeprefix("-")
    if text == "all":
        return None
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise click.BadParameter(f"{text!r}: expected a number, or all", param=parameter)
    return int(text) if int(text) >= 0 else None


def _refuse_follow(_context: click.Context, _parameter: click.Parameter, typed: bool) -> None:
    if typed:
        raise click.UsageError("--follow: layerfs reads what is there now, and waits for nothing")


@click.command("logs")
@click.argument("name", metavar="CONTAINER|--all", required=False, shell_complete=complete_containers)
@click.option(
    "--all", "everything", is_flag=True, help="Show the logs of all containers, in the order of time."
)
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option(
    "--since",
    metavar="TIME",
    callback=_moment,
    help="Show lines from TIME on: a date or time, local if it has no zone; a duration before now, as 24h; "
    "or seconds since 1970.",
)
@click.option("--until", metavar="TIME", callback=_moment, help="Show lines up to TIME.")
@click.option(
    *("-n", "--tail", "last"),
    metavar="N",
    default="all",
    show_default=True,
    callback=_number,
    help="Show the last N lines of each log; those before --since or after --until count too.",
)
@click.option("--details", is_flag=True, help="Add the labels and variables that the log driver noted.")
@click.option("-f", "--follow", is_flag=True, hidden=True, expose_value=False, callback=_refuse_follow)
@click.option(
    "--host-root",
    metavar="DIR",
    shell_complete=complete_directory,
    help="The top of the file system of the host on which the engine ran, or of a copy of it, for logs that "
    "lie outside of the store: those of Kubernetes, nerdctl and CRI-O.",
)
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    everything: bool,
    timestamps: bool,
    since: int | None,
    until: int | None,
    last: int | None,
    details: bool,
    host_root: str | None,
    form: str,
) -> None:
    """Show what containers wrote to standard output and standard error, as `docker logs` does.

    What went to standard error is written there. To a file or a pipe it goes byte for byte; on a terminal all
    but colours is escaped. Parts that the engine put away, also packed ones, are read too. What is damaged is
    named, and what is behind it shown. With --all each line begins with the name of its container.

    Other values of --format give a row for each line: time, container, stream and text.

    \b
    Examples:
      layerfs logs web
      layerfs logs -t --since 24h --tail 100 web
      layerfs logs web | grep error
      layerfs logs --all --since 2026-11-20T10:00 --until 2026-11-20T11:00
      layerfs logs --format jsonl web
      layerfs logs --host-root /mnt/host prod/api-0/api
    """
    from layerfs.analysis.store.logs import LogWindow

    if (name is None) != everything:
        raise click.UsageError("give a CONTAINER, or --all, and not both")
    store, name = find_name(ctx, name)[:2] if name is not None else (open_root(ctx), None)
    source, host = _logging(store), _host(ctx, store, host_root)
    window = LogWindow(since, until, last)
    if name is not None:
        container = store.names.container(name)
        log = source.log(container, host)
        rows = _rows(store, container, log, window)
        text = LogText(timestamps, details, continues=log.form.continues)
    else:
        logs = list(_logs(store, source, host))
        rows = _merged(store, logs, window, whole=form == DEFAULT_FORMAT)
        text = LogText(timestamps, details, prefixes=_prefixes(container for container, _ in logs))
    if form == DEFAULT_FORMAT:
        write_rows(rows, text)
    else:
        emit(log_table(), rows, form)


def _logging(store: Store) -> Logging:
    """The store; raises `NotInThisKind` where it keeps no logs."""
    from layerfs.capabilities import Logging, lacking

    if not isinstance(store, Logging):
        raise lacking(store, "logs")
    return store


def _host(context: click.Context, store: Store, given: str | None) -> HostDir | None:
    """The file system of the host: what was given, or what has the store at an engine's usual place."""
    from layerfs.hostdir import HostDir

    if given is not None:
        return HostDir.open(given)
    top = selected_root(context)
    below = os.path.relpath(os.path.abspath(store.path), os.path.abspath(top))
    return HostDir.open(top) if below.startswith("var/lib/") else None


def _rows(store: Store, container: Container, log: ContainerLog, window: LogWindow) -> Iterator[LogRow]:
    from layerfs.analysis.store.logs import log_records

    return (LogRow(container, record) for record in log_records(log, window, store.report))


def _logs(store: Store, source: Logging, host: HostDir | None) -> Iterator[tuple[Container, ContainerLog]]:
    """The log of each container; which is elsewhere, or cannot be read, is said."""
    from layerfs.damage import attempt
    from layerfs.errors import LogElsewhere

    from ..messages import say

    for container in store.containers():
        try:
            log = attempt(store.report, lambda container=container: source.log(container, host))  # type: ignore[misc]
        except LogElsewhere as error:
            if container.kind == "container":  # what holds a pod together writes nothing
                say("note", str(error))
            continue
        if log:
            yield container, log


def _merged(
    store: Store, logs: Sequence[tuple[Container, ContainerLog]], window: LogWindow, *, whole: bool
) -> Iterator[LogRow]:
    """The records of several logs by time; `whole` puts the parts of lines together."""
    from layerfs.analysis.store.logs import log_records, merged, whole_lines

    records = [(container, log_records(log, window, store.report)) for container, log in logs]
    found = [(container, whole_lines(of_one)) for container, of_one in records] if whole else records
    return itertools.starmap(LogRow, merged(found))


def _prefixes(containers: Iterable[Container]) -> dict[str, bytes]:
    """What the lines of each container begin with: its name, as `docker compose logs` has it."""
    from ..escape import printable

    names = {container.id: printable(container.name) for container in containers}
    width = max(map(len, names.values()), default=0)
    return {own: f"{name:<{width}} | ".encode() for own, name in names.items()}
