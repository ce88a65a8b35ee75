"""What is beside the tree on a wide terminal: the versions of an entry, and the beginning of its contents."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layerfs.analysis.tree.versions import versions
from layerfs.errors import reason
from layerfs.tree.glance import glance

from ..units import human_size
from .filerows import visible_text
from .spans import Span, name_text
from .treerows import mode_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .opening import Stack
    from .questions import Found
    from .reader import Ticket

__all__ = ["PreviewRows", "preview"]

MOST = 1 << 14
"""Bytes that are read of a file."""

MOST_ROWS = 200


class PreviewRows:
    """Lines that are made already."""

    def __init__(self, lines: Sequence[Span] = ()) -> None:
        """Show `lines`."""
        self.lines = lines

    def __len__(self) -> int:
        """How many lines."""
        return len(self.lines)

    def heading(self, width: int) -> Sequence[Span]:  # noqa: ARG002 - it has none
        """None."""
        return ()

    def row(self, index: int, width: int) -> Sequence[Span]:  # noqa: ARG002 - lines are cut where drawn
        """One line."""
        return (self.lines[index],)


def preview(stack: Stack, found: Found, ticket: Ticket) -> PreviewRows:
    """The lines about an entry. What cannot be read is told in them."""
    lines = [Span(name_text(found.node.name or b"/"), "head")]
    try:
        lines += _versions(stack, found, ticket)
        lines.append(Span(""))
        lines += _contents(found)
    except OSError as error:
        lines.append(Span(reason(error), "error"))
    return PreviewRows(lines[:MOST_ROWS])


def _versions(stack: Stack, found: Found, ticket: Ticket) -> Iterator[Span]:
    items = list(ticket.watch(versions(stack.subject.tree.layers, below=found.path, depth=0)))
    for item in reversed(items):
        hidden = item.hidden
        state = "shown" if hidden is None else f"{hidden.how} by layer {hidden.by}"
        size = human_size(item.stat.size) if item.stat.is_file else ""
        yield Span(
            f"layer {item.layer:>3}  {mode_text(item.stat.mode)}  {size:>8}  {state}", "dim" if hidden else ""
        )


def _contents(found: Found) -> Iterator[Span]:
    node = found.node
    if node.stat.is_symlink:
        yield Span(f"link to {name_text(found.tree.readlink(node))}")
    elif node.is_dir and not found.version:
        names = None if node.refusal else glance(found.tree, node)
        if names is None:
            names = {name: child.stat.kind for name, child in found.tree.children(node).items()}
        yield Span("1 entry" if len(names) == 1 else f"{len(names):,} entries")
        for name in sorted(names)[:MOST_ROWS]:
            yield Span(name_text(name), "directory" if stat.S_ISDIR(names[name]) else "")
    elif node.stat.is_file:
        with found.tree.open(node) as content:
            data = content.pread(MOST, 0)
        yield from _bytes(data) if b"\0" in data else _lines(data)
        if node.stat.size > len(data):
            yield Span(f"… {node.stat.size - len(data):,} bytes more", "dim")


def _lines(data: bytes) -> Iterator[Span]:
    lines = data.split(b"\n")
    for line in lines[:-1] if not lines[-1] else lines:
        yield Span(visible_text(line.removesuffix(b"\r")))


def _bytes(data: bytes) -> Iterator[Span]:
    for at in range(0, min(len(data), 8 * MOST_ROWS), 8):
        part = data[at : at + 8]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        yield Span(f"{at:08x}  {part.hex(' '):<23}  {text}")
