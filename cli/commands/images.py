"""`layerfs images`: the images of a data root, as `docker images` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..emit import emit, is_template
from ..filters import Filters, filter_option, invalid_filter, labels, moment
from ..options import format_option, no_trunc_option, root_option
from ..rows.images import SORT_KEYS, USAGE_SORT_KEYS, image_lines, image_table, sorted_lines
from ..stores import is_carried, open_root, open_word
from ..subjects import complete_images, image_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.store.listing import Digests, ImageFilter
    from layerfs.store import Store

__all__ = ["command"]

_TAGGED = "table {{.Repository}}\t{{.Tag}}"
_SIZE = "\t{{.Size}}"
_REST = "\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}" + _SIZE
_USAGE = "\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.FreedSize}}\t{{.Containers}}"


def _complete_sort(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    minus = "-" * typed.startswith("-")
    keys = (minus + key for key in (*SORT_KEYS, *USAGE_SORT_KEYS))
    return [CompletionItem(key) for key in keys if key.startswith(typed)]


def _filter_values(root: Store, name: str) -> Iterable[str]:
    """Values for a filter, for completion."""
    if name == "dangling":
        return ("true", "false")
    if name == "label":
        return (f"{key}={value}" for image in root.images() for key, value in image.config.labels.items())
    return image_names(root) if name in ("before", "since", "reference") else ()


@click.command("images")
@click.argument("reference", required=False, shell_complete=complete_images)
@click.option("-a", "--all", "every", is_flag=True, help="Show intermediate images too.")
@click.option("-q", "--quiet", is_flag=True, help="Show image IDs only.")
@click.option("--digests", is_flag=True, help="Show manifest digests.")
@click.option("--all-platforms", is_flag=True, help="List every platform of a multi-platform image.")
@click.option(
    "--usage", is_flag=True, help="Show shared and unique size, and what removing the image would free."
)
@filter_option("dangling", "label", "before", "since", "until", "reference", values=_filter_values)
@click.option(
    "--sort",
    metavar="COLUMN",
    shell_complete=_complete_sort,
    help="Sort by a column: names in order, newest and largest first. -COLUMN reverses the order.",
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    reference: str | None,
    every: bool,
    quiet: bool,
    digests: bool,
    all_platforms: bool,
    usage: bool,
    filters: Filters,
    sort: str | None,
    no_trunc: bool,
    form: str,
) -> None:
    """List images, newest first, as `docker images` does.

    REFERENCE is a name, with or without a tag, or a pattern such as 'team/*:1.?'. It can name its store, as
    in ./app.tar or oci:layout:1.25.

    \b
    Examples:
      layerfs images
      layerfs images --filter dangling=true -q
      layerfs images --filter since=base:1 --filter until=24h
      layerfs images --usage --sort freed_size
      layerfs images --format '{{.ID}} {{.Repository}}:{{.Tag}}'
      layerfs images --format '{{.ID}} {{.DiskUsage}} {{.ContentSize}}'
    """
    from layerfs.analysis.store.listing import image_rows, listed_images
    from layerfs.store import RECORDS

    only = None
    if reference is not None and is_carried(reference):
        data_root, reference, only = open_word(ctx, reference)
    else:
        data_root = open_root(ctx)
    if reference is not None:
        filters.setdefault("reference", []).append(reference)
    form = _layout(form, quiet=quiet, digests=digests, platforms=all_platforms, usage=usage)
    data_root.require(RECORDS)
    listed = listed_images(
        data_root,
        _image_filter(data_root, filters),
        every=every,
        all_platforms=all_platforms,
        as_engine=is_template(form),
    )
    if only is not None:
        listed = (item for item in listed if item.image.id == only)
    names = image_rows(listed, _told_digests(form, digests=digests))
    rows = list(image_lines(data_root, names, usage=usage))
    counted = data_root.account_rules.containers_listed
    table = image_table(full=no_trunc, platforms=all_platforms, usage=usage, counted=counted)
    if usage and form.startswith(_TAGGED) and not all(row.sizes.is_all for row in rows if row.sizes):
        form = form.replace(_SIZE, f"{_SIZE}\t{{{{.DiskUsage}}}}")  # what the parts are parts of
    emit(table, sorted_lines(rows, sort) if sort else rows, form)


def _layout(form: str, *, quiet: bool, digests: bool, platforms: bool, usage: bool) -> str:
    """The template of Docker's table for these options; `--digests` adds its column also to other tables."""
    if form == "table":
        digest = "\t{{.Digest}}" if digests else ""
        platform = "\t{{.Platform}}" if platforms else ""
        return "{{.ID}}" if quiet else _TAGGED + digest + platform + _REST + (_USAGE if usage else "")
    if form.startswith("table") and digests and "{{.Digest}}" not in form:
        return form + "\t{{.Digest}}"
    return form


def _told_digests(form: str, *, digests: bool) -> Digests:
    """Which rows have digests: in JSON and the like all, in a template as in Docker."""
    if digests or not is_template(form):
        return "all"
    return "tagged" if "{{.Digest}}" in form else "hidden"


def _image_filter(root: Store, filters: Filters) -> ImageFilter:
    from layerfs.analysis.store.listing import ImageFilter
    from layerfs.formats.errors import FormatError
    from layerfs.formats.reference import parse_reference, reference_matches

    dangling = filters.get("dangling", [])
    if dangling and not {"true", "false"} & set(dangling):
        raise invalid_filter("dangling", dangling[0], "expected true or false")
    for pattern in filters.get("reference", ()):
        try:
            reference_matches(pattern, parse_reference("any"))
        except FormatError as error:
            raise invalid_filter("reference", pattern, error.problem) from error
    return ImageFilter(
        dangling="true" in dangling if dangling else None,
        labels=labels(filters),
        before=tuple(root.image(name) for name in filters.get("before", ())),
        since=tuple(root.image(name) for name in filters.get("since", ())),
        until_ns=moment(filters, "until"),
        references=tuple(filters.get("reference", ())),
    )
