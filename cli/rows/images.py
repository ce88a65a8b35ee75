"""The rows of `layerfs images`, their columns, and their order."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..table import Column, Table
from ..units import ZERO_TIME_NS, age, clock, human_size, rfc3339, short_id
from .identities import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.listing import ImageRow
    from layerfs.analysis.store.usage import ImageUsage
    from layerfs.model import Image
    from layerfs.store import Store

__all__ = ["SORT_KEYS", "USAGE_SORT_KEYS", "image_lines", "image_table", "sorted_lines"]

UNKNOWN = "N/A"
SORT_KEYS = ("repository", "tag", "digest", "id", "created", "size", "containers")
USAGE_SORT_KEYS = ("shared_size", "unique_size", "freed_size")


class Sizes:
    """The sizes of an image in bytes, each computed when it is asked for; None if not known."""

    def __init__(self, root: Store, image: Image, usage: ImageUsage | None) -> None:
        """The sizes of `image` in `root`; `usage` if that was computed already."""
        self._root = root
        self._image = image
        self._usage = usage

    @functools.cached_property
    def size(self) -> int | None:
        """The size that its engine prints."""
        return self._root.size(self._image)

    @property
    def is_all(self) -> bool:
        """Whether that is all that the image takes, which parts of it are shared: of Kubernetes it is not."""
        return self._usage is None or self._usage.size == self.size

    @functools.cached_property
    def content(self) -> int | None:
        """Bytes of its blobs, in kinds of store that keep them."""
        return self._root.packed_size(self._image)

    @functools.cached_property
    def on_disk(self) -> int | None:
        """Bytes of its blobs and unpacked layers, in kinds of store that keep both."""
        return self._root.disk_usage(self._image)


@dataclass(frozen=True, slots=True)
class Row:
    """One line; `usage` only if it was asked for."""

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
        """Bytes of its blobs and unpacked layers."""
        return self.sizes.on_disk if self.sizes else None

    def of_usage(self, part: str) -> int | None:
        """The part `shared`, `unique` or `freed` of the size, if it is known."""
        found: int | None = getattr(self.usage, part, None)
        return found


def image_lines(root: Store, names: Iterable[ImageRow], *, usage: bool) -> Iterator[Row]:
    """The rows of a listing; `usage` adds shared, unique and freed sizes, or raises `NotInThisKind`."""
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
    """A function for the usage of an image, which is computed once for all of its names."""
    from layerfs.analysis.store.usage import StoreUsage
    from layerfs.capabilities import Accountable, lacking

    if not isinstance(root, Accountable):
        raise lacking(root, "images --usage")
    usage = StoreUsage(root)
    known: dict[str, ImageUsage] = {}

    def of(image: Image) -> ImageUsage:
        return known.get(image.id) or known.setdefault(image.id, usage.of(image))

    return of


def sorted_lines(rows: list[Row], column: str) -> list[Row]:
    """The rows sorted by one column, unknown values last."""
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


def image_table(*, full: bool, platforms: bool, usage: bool, counted: bool) -> Table[Row]:
    """The columns of a listing; `counted`: the engine counts containers also where usage is not asked for."""
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
    """A part of the size; if it was not asked for, `N/A` in templates, and not in JSON."""

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
    """The digest, or `<none>`; empty as in Docker for a repository with only digests."""
    without_tag = row.name.repository is not None and row.name.tag is None
    return row.name.digest or ("" if without_tag else NONE)


def _id(row: Row) -> str:
    return row.name.image.id


def _short(row: Row) -> str:
    return short_id(row.name.image.id)


def _size(size: int | None, digits: int = 3) -> str:
    return UNKNOWN if size is None else human_size(size, digits)


def _containers(counted: bool) -> Callable[[Row], str]:
    """The number of containers, if the engine counts them: older engines do that only for disk usage."""
    return lambda row: str(row.containers) if counted or row.usage else UNKNOWN
