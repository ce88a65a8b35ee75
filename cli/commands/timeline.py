"""`layerfs timeline`: when files of layers were changed, and what the engine noted, in one order of time."""

from __future__ import annotations

import functools
import itertools
import operator
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import click
from click.core import ParameterSource

from ..emit import emit
from ..filters import point_in_time
from ..options import format_option, no_trunc_option, root_option
from ..progress import progress
from ..rows.entries import Complaints
from ..rows.findings import InRoot
from ..rows.provenance import kind_option
from ..rows.timeline import Event, FileRow, body_line, engine_line, timeline_table
from ..stores import find_names, open_root
from ..subjects import KINDS, names_argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.analysis.store.forest import Forest, Owner
    from layerfs.analysis.store.seen import LayerHit
    from layerfs.analysis.store.timeline import EngineEvent, Period
    from layerfs.analysis.tree.find import Contents
    from layerfs.store import Store

__all__ = ["command"]


class Digests(NamedTuple):
    """The digests of contents that are asked for."""

    md5: bool
    sha256: bool


@click.command("timeline")
@names_argument("NAME...|--all")
@click.option(
    "--all", "everything", is_flag=True, help="Show all layers, images and containers of the data root."
)
@click.option(
    "--bodyfile", is_flag=True, help="Write a bodyfile for mactime(1) of the Sleuth Kit 3 or later."
)
@click.option(
    "--since",
    metavar="TIME",
    help="Show what happened at or after TIME: a date or time in UTC, or a duration before now, as 24h.",
)
@click.option("--until", metavar="TIME", help="Show what happened before TIME.")
@click.option("--md5", is_flag=True, help="Add the MD5 of each file's content.")
@click.option("--sha256", is_flag=True, help="Add the sha256 of each file's content; not in a bodyfile.")
@click.option(
    "--owners",
    "every_owner",
    is_flag=True,
    help="In JSON and CSV list all images and containers of each row.",
)
@no_trunc_option
@format_option
@kind_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    everything: bool,
    bodyfile: bool,
    since: str | None,
    until: str | None,
    md5: bool,
    sha256: bool,
    every_owner: bool,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> int:
    """Show when files of all layers, images and containers were made and changed.

    NAME is an image or a container. Each version of each file in each layer, with hidden ones and
    whiteouts, has three times: modification (m), last access (a) and change of attributes (c). m is that of
    the image; a and c are of this host. The engine's records add the steps of builds, and when images and
    containers were created, tagged, started and finished.

    All times are in UTC, earliest first. A bodyfile is in the order of the layers; in brackets behind each
    name it has the layer, the images that have it, and what hides it. A table shortens long paths and shows
    one of several images, unless --no-trunc is given.

    \b
    Examples:
      layerfs timeline --since 2026-11-20 --until 2026-11-22T12:00 nginx:latest
      layerfs timeline --format jsonl --sha256 web > web.jsonl
      layerfs timeline --all --bodyfile --md5 > body
      mactime -b body -d -y > timeline.csv
    """
    from layerfs.analysis.store.forest import Forest
    from layerfs.analysis.store.timeline import Period, engine_events

    given = ctx.get_parameter_source("form") != ParameterSource.DEFAULT
    if bodyfile and (given or sha256 or every_owner):
        raise click.UsageError("--bodyfile excludes --format, --sha256 and --owners: its fields are given")
    if names and everything:
        raise click.UsageError("give NAMEs, or --all, and not both")
    period = Period(_time("--since", since), _time("--until", until))
    chosen = {open_root(ctx): None} if everything else _owners(ctx, names, kind)
    forests = [Forest(store, owners) for store, owners in chosen.items()]
    noted = [event for store, owners in chosen.items() for event in engine_events(store, _all(store, owners))]
    complaints = Complaints()
    digests = Digests(md5, sha256)
    steps = itertools.chain.from_iterable(_files(forest, period, digests, complaints) for forest in forests)
    if bodyfile:
        _print_body(noted, steps, period)
    else:
        events = _events(noted, steps, sum(map(len, forests)), period)
        table = timeline_table(full=no_trunc, every_owner=every_owner)
        emit(table, events, form, key=operator.attrgetter("key"))
    return complaints.code


def _time(option: str, text: str | None) -> int | None:
    """A time in ns since the epoch, from typed text; UTC if that has no zone."""
    if text is None:
        return None
    now = time.time_ns()
    for form in (f"{text}Z", text):
        if (found := point_in_time(form, now)) is not None:
            return found
    raise click.BadParameter(
        f"{text!r}: expected a date or time such as 2026-11-21T04:00, a duration such as 24h, or seconds",
        param_hint=option,
    )


def _owners(
    context: click.Context, names: tuple[str, ...], kind: str | None
) -> dict[Store, list[Owner] | None]:
    """The named images and containers, by store; None for all of a store."""
    from layerfs.model import Container, Image

    found: dict[Store, list[Owner] | None] = {}
    for store, name, _ in find_names(context, names, "give NAMEs, or --all, and not both"):
        owner = store.names.anything(name, (kind,) if kind else KINDS[:2])
        owners = found.setdefault(store, [])
        if owners is not None and isinstance(owner, (Image, Container)):
            owners.append(owner)
    return found


def _all(store: Store, owners: list[Owner] | None) -> list[Owner]:
    """The chosen images and containers of a store; without a choice all."""
    return [*store.images(), *store.containers()] if owners is None else owners


# -- files ---------------------------------------------------------------------------------------


def _events(
    noted: Iterable[EngineEvent], steps: Iterable[Iterable[FileRow]], layers: int, period: Period
) -> Iterator[Event]:
    """All that happened in the period, in no order; so many layers are read while these are taken."""
    for item in noted:
        if period.holds(item.time_ns):
            yield Event(item.time_ns, "....", engine=item)
    with progress(steps, "Reading layers", layers) as watched:
        for files in watched:
            yield from _moments(files, period)


def _files(
    forest: Forest, period: Period, digests: Digests, complaints: Complaints
) -> Iterator[Iterable[FileRow]]:
    """The files of each layer with a time in the period, one layer after the other."""
    from layerfs.analysis.store.findall import contents_of
    from layerfs.analysis.store.timeline import file_versions

    contents = functools.lru_cache(1)(functools.partial(contents_of, forest))  # a layer's files come together
    for found, whiteouts in file_versions(forest, complaints.add):
        yield (
            _row(item, contents(item.stage), asked, complaints)
            for items, asked in ((found, digests), (whiteouts, None))
            for item in items
            if _is_in(item, period)
        )


def _is_in(item: LayerHit, period: Period) -> bool:
    return any(map(period.holds, (item.stat.mtime_ns, item.stat.atime_ns, item.stat.ctime_ns)))


def _row(item: LayerHit, contents: Contents, digests: Digests | None, complaints: Complaints) -> FileRow:
    """The row of a file, with its target and digests; a whiteout has none."""
    from layerfs.errors import TreeError
    from layerfs.tree.node import Part

    part = Part(0, item.path[1:])
    target = md5 = sha256 = None
    try:
        if item.stat.is_symlink:
            target = contents.target(part)
        elif digests and item.stat.is_file:
            md5 = contents.digest(part, item.stat, "md5") if digests.md5 else None
            sha256 = contents.sha256(part, item.stat) if digests.sha256 else None
    except TreeError as error:
        complaints.add(error)
    row = InRoot(item, target, contents.location(part), sha256, item.sights())
    return FileRow(row, digests is None, md5)


def _moments(files: Iterable[FileRow], period: Period) -> Iterator[Event]:
    from layerfs.analysis.store.timeline import moments

    for file in files:
        for moment in moments(file.stat):
            if period.holds(moment.time_ns):
                yield Event.of_file(moment, file)


def _print_body(noted: Iterable[EngineEvent], steps: Iterable[Iterable[FileRow]], period: Period) -> None:
    """Print bodyfile lines in the order of reading, as mactime sorts them."""
    for item in noted:
        if period.holds(item.time_ns):
            sys.stdout.write(engine_line(item))
    for files in steps:
        sys.stdout.writelines(map(body_line, files))
