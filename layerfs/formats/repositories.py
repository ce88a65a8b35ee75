"""repositories.json: rows of names and image IDs.

Source: moby `reference/store.go`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, mapping, objects_by_name
from layerfs.formats.reference import Reference, parse_reference
from layerfs.ids import ImageID, InvalidID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.jsontext import Json

__all__ = ["Repositories", "RepositoryRow", "parse_repositories"]


class RepositoryRow(NamedTuple):
    """A name, and the image it points at."""

    reference: Reference
    image_id: ImageID


@dataclass(frozen=True)
class Repositories:
    """The names of images.

    Attributes:
        rows: the valid ones, sorted.
        problems: says which others were left out, as the engine ignores them.
        in_full: whether the engine shows names with their registry, whatever that is.
    """

    rows: tuple[RepositoryRow, ...] = ()
    problems: tuple[str, ...] = ()
    in_full: bool = False

    def image_of(self, reference: Reference) -> ImageID | None:
        """The image that a name in normal form points at, or None."""
        return self._by_reference.get(reference)

    @functools.cached_property
    def _by_reference(self) -> Mapping[Reference, ImageID]:
        return {row.reference: row.image_id for row in self.rows}


def parse_repositories(content: bytes) -> Repositories:
    """Parse repositories.json; the name of a row is its inner key.

    Raises:
        FormatError: not the JSON it should be.
    """
    document = mapping(load_object(content), "Repositories")
    rows: dict[Reference, RepositoryRow] = {}
    problems: list[str] = []
    for key, value in _inner_rows(document):
        try:
            reference = parse_reference(key)
            rows[reference] = RepositoryRow(reference, ImageID(str(value)))
        except (FormatError, InvalidID) as error:
            problems.append(f"{key!a}: {error}")
    return Repositories(tuple(sorted(rows.values(), key=lambda row: row.reference.familiar)), tuple(problems))


def _inner_rows(document: Json) -> Iterator[tuple[str, object]]:
    for repository in objects_by_name(document).values():
        yield from repository.items()
