"""What `layerfs stat` shows of an entry: the lines of stat(1), and a row."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..table import Column, Table
from ..units import rfc3339
from .entries import ENTRY_COLUMNS, STAT_WORDS, Entry, escaped, lossless
from .listing import clock_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.model import LayerInfo

__all__ = ["REPORT_TABLE", "Report", "report_lines"]


@dataclass(frozen=True, slots=True)
class Report:
    """An entry, and what only `stat` tells of it.

    Attributes:
        label: the path as given.
        entry: the entry.
        xattrs: its extended attributes, as the union shows them.
        backing: the files of the data root it consists of, uppermost first; several make a merged directory.
        layers: the layer of each of them.
    """

    label: bytes
    entry: Entry
    xattrs: Mapping[bytes, bytes]
    backing: tuple[str, ...]
    layers: tuple[LayerInfo, ...]


def report_lines(report: Report) -> Iterator[str]:
    """The layout of stat(1), and below it what the layers say."""
    entry, found = report.entry, report.entry.node.stat
    arrow = f" -> {escaped(entry.target)}" if entry.target is not None else ""
    kind = "regular empty file" if found.is_file and not found.size else STAT_WORDS.get(found.kind, "unknown")
    number = entry.subject.tree.inode(entry.node)
    yield f"  File: {escaped(report.label)}{arrow}\n"
    kind += f" {entry.mark_text}" if entry.mark_text else ""
    yield f"  Size: {found.size:<10}\tBlocks: {found.blocks:<10} {kind}\n"
    device = f"    Device type: {_device(entry)}" if entry.is_device else ""
    yield f" Inode: {number:<10}\tLinks: {entry.node.nlink}{device}\n"
    mode = f"{stat.S_IMODE(found.mode):04o}/{stat.filemode(found.mode)}"
    yield f"Access: ({mode})  Uid: {found.uid}   Gid: {found.gid}\n"
    yield f"Access: {clock_full(found.atime_ns)}\n"
    yield f"Modify: {clock_full(found.mtime_ns)}\n"
    yield f"Change: {clock_full(found.ctime_ns)}\n"
    for layer, path in zip(report.layers, report.backing, strict=True):
        yield f" Layer: {_layer_text(layer)}\n"
        yield f"  From: {escaped(path.encode('utf-8', 'surrogateescape'))}\n"
    for name, value in report.xattrs.items():
        yield f" Xattr: {escaped(name)}={_value_text(value)}\n"


def _device(entry: Entry) -> str:
    number = entry.node.stat.rdev
    return f"{os.major(number)},{os.minor(number)}"


def _layer_text(layer: LayerInfo) -> str:
    number = "?" if layer.number is None else layer.number
    return f"{number}  {layer.diff_id or 'of the container'}"


def _value_text(value: bytes) -> str:
    """A value as getfattr(1) shows it: in quotes if it is text, else in hexadecimal."""
    text = lossless(value)
    return f'"{text}"' if text.isprintable() and '"' not in text and "\\" not in text else "0x" + value.hex()


def _entry_column(column: Column[Entry]) -> Column[Report]:
    return Column(
        column.key,
        lambda report: column.value(report.entry),
        column.placeholder,
        column.header,
        lambda report: column.words(report.entry),
    )


def _column(key: str, placeholder: str, value: Callable[[Report], Any]) -> Column[Report]:
    return Column(key, value, placeholder, placeholder.upper())


def _identity(report: Report, name: str) -> str | None:
    """One of the names of the layer the entry comes from."""
    value = getattr(report.layers[0], name) if report.layers else None
    return None if value is None else str(value)


REPORT_TABLE = Table(
    (
        *map(_entry_column, ENTRY_COLUMNS),
        _column("blocks", "Blocks", lambda report: report.entry.node.stat.blocks),
        _column("atime", "ATime", lambda report: rfc3339(report.entry.node.stat.atime_ns)),
        _column("ctime", "CTime", lambda report: rfc3339(report.entry.node.stat.ctime_ns)),
        _column("diff_id", "DiffID", lambda report: _identity(report, "diff_id")),
        _column("chain_id", "ChainID", lambda report: _identity(report, "chain_id")),
        _column("cache_id", "CacheID", lambda report: _identity(report, "cache_id")),
        _column("backing_path", "BackingPath", lambda report: next(iter(report.backing), None)),
        _column("merged_layers", "MergedLayers", lambda report: [layer.number for layer in report.layers]),
        _column(
            "xattrs",
            "Xattrs",
            lambda report: {lossless(name): lossless(value) for name, value in report.xattrs.items()},
        ),
    ),
    ("Layer", "Type", "Mode", "UID", "GID", "Size", "MTime", "Path"),
)
