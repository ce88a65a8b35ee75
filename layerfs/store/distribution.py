"""`distribution/`: which layer a registry's blobs were, as pulls and pushes noted it; a mere cache.

Source: moby `distribution/metadata/v2_metadata_service.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.formats import layerfiles
from layerfs.ids import DiffID
from layerfs.store.files import identities, open_optional, parse_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.hostdir import HostDir
    from layerfs.store.files import Problem

__all__ = ["distribution_entries", "known_diff_ids"]

_BY_DIGEST = "distribution/diffid-by-digest/sha256"
_BY_DIFF = "distribution/v2metadata-by-diffid/sha256"


def distribution_entries(driver_dir: HostDir) -> Iterator[tuple[str, DiffID | Problem]]:
    """The path of every note below `driver_dir`, and the layer it is about, or what is wrong with it."""
    for digest in _names(driver_dir, _BY_DIGEST):
        path = f"{_BY_DIGEST}/{digest}"
        try:
            yield path, parse_file(driver_dir, path, layerfiles.parse_diff)
        except CorruptStore as error:
            yield path, error
    for diff_id in _names(driver_dir, _BY_DIFF):
        yield f"{_BY_DIFF}/{diff_id}", DiffID.from_hex(diff_id)


def known_diff_ids(driver_dir: HostDir) -> list[DiffID]:
    """Every layer that was pulled or pushed, by its diff ID, sorted."""
    return [DiffID.from_hex(name) for name in _names(driver_dir, _BY_DIFF)]


def _names(driver_dir: HostDir, path: str) -> list[str]:
    try:
        return sorted(found.hex for found in identities(open_optional(driver_dir, path), DiffID.from_hex))
    except CorruptStore:
        return []
