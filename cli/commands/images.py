"""`layerfs images`: the images of a data root, as `docker images` lists them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..emit import emit, is_template
from ..filters import Filters, filter_option, invalid_filter, labels, moment
from ..options import format_option, no_trunc_option, root_option
from ..rows.identities import NONE
from ..stores import is_carried, open_root, open_word
from ..subjects import complete_images, image_names
from ..table import Column, Table
from ..units import ZERO_TIME_NS, age, clock, human_size, rfc3339, short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.listing import Digests, ImageFilter, ImageRow
    from layerfs.analysis.store.usage import ImageUsage
    from layerfs.model import Image
    from layerfs.store import Store

__all__ = ["command"]

UNKNOWN = "N/A"

_TAGGED = "table {{.Repository}}\t{{.Tag}}"
_SIZE = "\t{{.Size}}"
_REST = "\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}" + _SIZE
_USAGE = "\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.FreedSize}}\t{{.Containers}}"

SORT_KEYS = ("repository", "tag", "digest", "id", "created", "size", "containers")
USAGE_SORT_KEYS = ("shared_size", "unique_size", "freed_size")


class Sizes:
    """The sizes of an image in bytes, each reckoned when it is asked for; None where it is not known."""

    def __init__(self, root: Store, image: Image, usage: ImageUsage | None) -> None:
        """Those of `image` in `root`; `usage` where that was reckoned already."""
        self._root = root
        self._image = image
        self._usage = usage

    @functools.cached_property
    def size(self) -> int | None:
        """As its engine prints it."""
        return self._root.size(self._image)

    @property
    def is_all(self) -> bool:
        """Whether that is all that the image takes, which parts of it are shared: of Kubernetes it is not."""
        return self._usage is None or self._usage.size == self.size

    @functools.cached_property
    def content(self) -> int | None:
        """Of its blobs, in kinds of store that keep them."""
        return self._root.packed_size(self._image)

    @functools.cached_property
    def on_disk(self) -> int | None:
        """Of all that is kept of it, where that is more than one form."""
        return self._root.disk_usage(self._image)


@dataclass(frozen=True, slots=True)
class Row:
    """One line; `usage` only where it was asked for."""

    name: ImageRow
    sizes: Sizes | None
    containers: int
    usage: ImageUsage | None

    @property
    def size(self) -> int | None:
        """The size that its engine prints."""
        return self.sizes.size if self.sizes else None

    @property
    def content(self) -> int | None:
        """Bytes of its blobs."""
        return self.sizes.content if self.sizes else None

    @property
    def on_disk(self) -> int | None:
        """What it takes on disk."""
        return self.sizes.on_disk if self.sizes else None

    def of_usage(self, part: str) -> int | None:
        """The part `shared`, `unique` or `freed` of the size, where it is known."""
        found: int | None = getattr(self.usage, part, None)
        return found


def _complete_sort(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    minus = "-" * typed.startswith("-")
    keys = (minus + key for key in (*SORT_KEYS, *USAGE_SORT_KEYS))
    return [CompletionItem(key) for key in keys if key.startswith(typed)]


def _filter_values(root: Store, name: str) -> Iterable[str]:
    """What a filter may be given, as far as it can be listed."""
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
    rows = list(_rows(data_root, names, usage=usage))
    counted = data_root.account_rules.containers_listed
    table = _table(full=no_trunc, platforms=all_platforms, usage=usage, counted=counted)
    if usage and form.startswith(_TAGGED) and not all(row.sizes.is_all for row in rows if row.sizes):
        form = form.replace(_SIZE, f"{_SIZE}\t{{{{.DiskUsage}}}}")  # what the parts are parts of
    emit(table, _sorted(rows, sort) if sort else rows, form)


def _layout(form: str, *, quiet: bool, digests: bool, platforms: bool, usage: bool) -> str:
    """Docker's tables as the templates they are; `--digests` adds its column to a table of one's own."""
    if form == "table":
        digest = "\t{{.Digest}}" if digests else ""
        platform = "\t{{.Platform}}" if platforms else ""
        return "{{.ID}}" if quiet else _TAGGED + digest + platform + _REST + (_USAGE if usage else "")
    if form.startswith("table") and digests and "{{.Digest}}" not in form:
        return form + "\t{{.Digest}}"
    return form


def _told_digests(form: str, *, digests: bool) -> Digests:
    """Which rows tell digests: in data all, in a template as Docker has it."""
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


def _rows(root: Store, names: Iterable[ImageRow], *, usage: bool) -> Iterator[Row]:
    from layerfs.analysis.store.listing import container_counts

    containers = container_counts(root)
    account = _account(root) if usage else None
    sizes: dict[str, Sizes] = {}
    for name in names:
        image = name.image
        part = account(image) if account else None
        if image.id not in sizes:
            sizes[image.id] = Sizes(root, image, part)
        yield Row(name, sizes[image.id], containers[image.id], part)


def _account(root: Store) -> Callable[[Image], ImageUsage]:
    """The usage of images, each reckoned once however many names it has."""
    from layerfs.analysis.store.usage import StoreUsage
    from layerfs.capabilities import Accountable, lacking

    if not isinstance(root, Accountable):
        raise lacking(root, "images --usage")
    usage = StoreUsage(root)
    known: dict[str, ImageUsage] = {}

    def of(image: Image) -> ImageUsage:
        return known.get(image.id) or known.setdefault(image.id, usage.of(image))

    return of


def _sorted(rows: list[Row], column: str) -> list[Row]:
    """The rows by one column, the unknown last, otherwise in their order."""
    usual, key = not column.startswith("-"), column.removeprefix("-").lower().replace("-", "_")
    keys = (*SORT_KEYS, *USAGE_SORT_KEYS)
    key = next((known for known in keys if key in (known, known.removesuffix("_size"))), "")
    if not key:
        raise click.BadParameter(f"choose one of {', '.join(keys)}", param_hint="--sort")
    if key in USAGE_SORT_KEYS and not all(row.usage for row in rows):
        raise click.BadParameter(f"{key} needs --usage", param_hint="--sort")
    values = [(_sort_value(row, key), row) for row in rows]
    known = [(value, row) for value, row in values if value is not None]
    largest_first = bool(known) and isinstance(known[0][0], int)
    known.sort(key=lambda pair: pair[0], reverse=largest_first == usual)
    return [row for _, row in known] + [row for value, row in values if value is None]


def _sort_value(row: Row, key: str) -> Any:
    if key == "created":
        return row.name.image.config.created_ns
    if key in USAGE_SORT_KEYS:
        return row.of_usage(key.removesuffix("_size"))
    return row.name.image.id if key == "id" else getattr(row if hasattr(row, key) else row.name, key)


# -- columns -------------------------------------------------------------------------------------


def _table(*, full: bool, platforms: bool, usage: bool, counted: bool) -> Table[Row]:
    columns: list[Column[Row]] = [
        Column("repository", lambda row: row.name.repository, "Repository", "REPOSITORY", _repository),
        Column("tag", lambda row: row.name.tag, "Tag", "TAG", lambda row: row.name.tag or NONE),
        Column("digest", lambda row: row.name.digest, "Digest", "DIGEST", _digest),
        Column("id", lambda row: row.name.image.id, "ID", "IMAGE ID", _id if full else _short),
        Column("created", lambda row: rfc3339(_created(row)), "CreatedAt", "CREATED AT", _created_at),
        Column("", _created, "CreatedSince", "CREATED", _created_since),
        Column("size", lambda row: row.size, "Size", "SIZE", lambda row: _size(row.size)),
        Column("", lambda row: row.size, "VirtualSize", "SIZE", lambda row: _size(row.size, 4)),
        Column(
            "content_size",
            lambda row: row.sizes and row.sizes.content,
            "ContentSize",
            "CONTENT SIZE",
            lambda row: _size(row.content),
            listed=False,
        ),
        Column(
            "disk_usage",
            lambda row: row.sizes and row.sizes.on_disk,
            "DiskUsage",
            "DISK USAGE",
            lambda row: _size(row.on_disk),
            listed=False,
        ),
        Column(
            "target",
            lambda row: row.name.image.target_digest,
            "Target",
            "TARGET",
            lambda row: row.name.image.target_digest or UNKNOWN,
            listed=False,
        ),
        Column("containers", lambda row: row.containers, "Containers", "CONTAINERS", _containers(counted)),
    ]
    if platforms:
        columns.append(
            Column(
                "platform",
                lambda row: row.name.image.platform_name,
                "Platform",
                "PLATFORM",
                lambda row: row.name.image.platform_name or UNKNOWN,
            )
        )
    columns += [_usage_column(part, in_data=usage) for part in ("shared", "unique")]
    if usage:
        columns.append(_usage_column("freed", in_data=True))
    shown = ("Repository", "Tag", "ID", "CreatedSince", "Size")
    return Table(columns, shown + (("SharedSize", "UniqueSize", "FreedSize", "Containers") if usage else ()))


def _usage_column(part: str, *, in_data: bool) -> Column[Row]:
    """A part of the size; `N/A` in templates, and no part of the data, unless it was asked for."""

    def value(row: Row) -> int | None:
        return row.of_usage(part)

    def cell(row: Row) -> str:
        return _size(value(row), 4)

    key = f"{part}_size" if in_data else ""
    return Column(key, value, f"{part.title()}Size", f"{part.upper()} SIZE", cell)


def _created(row: Row) -> int | None:
    return row.name.image.config.created_ns


def _created_at(row: Row) -> str:
    created = _created(row)
    return clock(ZERO_TIME_NS if created is None else created)


def _created_since(row: Row) -> str:
    created = _created(row)
    return "" if created is None else age(created)


def _repository(row: Row) -> str:
    return row.name.repository or NONE


def _digest(row: Row) -> str:
    """`<none>`; nothing where Docker leaves it out: of a repository known by digest alone."""
    without_tag = row.name.repository is not None and row.name.tag is None
    return row.name.digest or ("" if without_tag else NONE)


def _id(row: Row) -> str:
    return row.name.image.id


def _short(row: Row) -> str:
    return short_id(row.name.image.id)


def _size(size: int | None, digits: int = 3) -> str:
    return UNKNOWN if size is None else human_size(size, digits)


def _containers(counted: bool) -> Callable[[Row], str]:
    """How many, where the engine counts them: older ones only where they account for disk usage."""
    return lambda row: str(row.containers) if counted or row.usage else UNKNOWN
