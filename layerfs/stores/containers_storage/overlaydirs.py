"""The small files in a layer's directory, which repeat what layers.json says: read to be checked only.

Source: containers/storage `drivers/overlay/overlay.go`.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from layerfs.errors import BrokenChain, CorruptStore, MalformedFile, MissingFile
from layerfs.formats.layerfiles import parse_link, parse_lower
from layerfs.ids import CacheID, InvalidID, LinkID
from layerfs.stores.files import JSON_LIMIT, parse_optional, read_optional

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerfs.stores.containers_storage.parts import Part, Stored

__all__ = ["OverlayDirs", "layer_of_link"]

_LOWER_IDS = "lower-layers"


class OverlayDirs:
    """The links of the layers of some roots."""

    def __init__(self, roots: Sequence[Part]) -> None:
        """Read them from `roots`, which may have links to one another's layers."""
        self._roots = roots

    def link(self, stored: Stored) -> LinkID | None:
        """A layer's short name, or None where it is missing; raises `CorruptStore`."""
        path = f"{stored.part.layer_path(stored.record.id)}/link"
        return parse_optional(stored.part.directory, path, parse_link)

    def lower(self, stored: Stored) -> tuple[LinkID, ...] | None:
        """The short names of the layers below, uppermost first, or None where there is no file."""
        return self.lower_of(stored.part, stored.record.id)

    def lower_of(self, part: Part, layer: CacheID) -> tuple[LinkID, ...] | None:
        """As `lower`, of a layer by its ID."""
        return parse_optional(part.directory, f"{part.layer_path(layer)}/lower", parse_lower)

    @functools.cached_property
    def by_link(self) -> Mapping[str, CacheID]:
        """The layers by the short links that lead to them; the first root's counts."""
        found: dict[str, CacheID] = {}
        for part in self._roots:
            for name, target in part.short_links().items():
                if layer := layer_of_link(target):
                    found.setdefault(os.fsdecode(name), layer)
        return found

    @functools.cached_property
    def _own_links(self) -> Mapping[CacheID, str]:
        return {layer: link for link, layer in self.by_link.items()}

    def link_to(self, layer: CacheID) -> LinkID | None:
        """A short name that leads to a layer, whatever its own file says; None where none does."""
        try:
            return LinkID(self._own_links[layer])
        except (KeyError, InvalidID):
            return None

    def problems(self, stack: Sequence[Stored]) -> Iterator[CorruptStore]:
        """What of a stack, uppermost first, does not agree with layers.json."""
        for stored in stack:
            yield from self.link_problems(stored)
        if stack:
            yield from self.lower_problems(stack)

    def link_problems(self, stored: Stored) -> Iterator[CorruptStore]:
        """What is wrong with the short name of a layer, and the link of this name."""
        try:
            problem = self._link_problem(stored, self.link(stored))
        except CorruptStore as error:
            problem = error
        if problem:
            yield problem

    def lower_problems(self, stack: Sequence[Stored]) -> Iterator[CorruptStore]:
        """Where what the uppermost layer of a stack says of those below is not what layers.json says."""
        try:
            lower = self.lower(stack[0])
        except CorruptStore as error:
            yield error
        else:
            yield from self._lower_problem(stack, lower, [self._short(stored) for stored in stack[1:]])

    def _short(self, stored: Stored) -> str | None:
        """The short name of a layer, from whichever side it can be told."""
        try:
            link = self.link(stored)
        except CorruptStore:
            link = None
        if link and self.by_link.get(link) == stored.record.id:
            return link
        return self._own_links.get(stored.record.id) or link

    def of_ids_problem(self, stack: Sequence[Stored]) -> CorruptStore | None:
        """Where `lower-layers`, which later engines write too, names other layers than layers.json."""
        top = stack[0]
        path = f"{top.part.layer_path(top.record.id)}/{_LOWER_IDS}"
        name = top.part.directory.name_of(path)
        try:
            content = read_optional(top.part.directory, path, JSON_LIMIT)
        except CorruptStore as error:
            return error
        wanted = ":".join(stored.record.id for stored in stack[1:])
        if content is None or content.strip() == wanted.encode():
            return None
        if not content.strip():
            return MalformedFile(name, "the file is empty")
        return BrokenChain(name, "not the layers that layers.json names")

    def _link_problem(self, stored: Stored, link: LinkID | None) -> CorruptStore | None:
        name = f"{stored.part.directory.name_of(stored.part.layer_path(stored.record.id))}/link"
        if link is None:
            return MissingFile(name, "the file is missing")
        target = self.by_link.get(link)
        if target == stored.record.id:
            return None
        short = stored.part.directory.name_of(f"overlay/l/{link}")
        if target and (own := self._own_links.get(stored.record.id)):
            return BrokenChain(name, "the short link of another layer", expected=own, found=link)
        if target is None:
            return MissingFile(short, "the short link is missing", expected=f"../{stored.record.id}/diff")
        return BrokenChain(short, "the short link leads elsewhere", expected=stored.record.id, found=target)

    def _lower_problem(
        self, stack: Sequence[Stored], lower: Sequence[LinkID] | None, links: Sequence[str | None]
    ) -> Iterator[CorruptStore]:
        top = stack[0]
        name = f"{top.part.directory.name_of(top.part.layer_path(top.record.id))}/lower"
        if lower is None:
            if links:
                yield MissingFile(name, "the file is missing: the engine would show this layer alone")
        elif len(lower) != len(links):
            problem = "not the layers that layers.json names"
            yield BrokenChain(name, problem, expected=str(len(links)), found=str(len(lower)))
        else:
            for found, wanted in zip(lower, links, strict=True):
                if wanted and found != wanted:
                    problem = "not the layers that layers.json names"
                    yield BrokenChain(name, problem, expected=wanted, found=found)
                    return


def layer_of_link(target: bytes) -> CacheID | None:
    """The layer that the text of a short link names: `../<ID>/diff`, or an absolute path with this end."""
    head, _, tail = os.fsdecode(target).rpartition("/")
    try:
        return CacheID(head.rpartition("/")[2]) if tail == "diff" and "/" in head else None
    except InvalidID:
        return None
