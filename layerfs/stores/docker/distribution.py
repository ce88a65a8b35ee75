"""`distribution/`: the layers of registries' blobs, as recorded by pulls and pushes; the engine's cache.

Source: moby `distribution/metadata/v2_metadata_service.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.formats import layerfiles
from layerfs.formats.blobsources import parse_blob_sources
from layerfs.ids import BlobDigest, DiffID
from layerfs.model import Blob
from layerfs.stores.files import identities, open_optional, parse_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.hostdir import HostDir
from layerfs.stores.files import Problem

__all__ = ["Distribution", "distribution_entries", "known_diff_ids"]

_BY_DIGEST = "distribution/diffid-by-digest/sha256"
_BY_DIFF = "distribution/v2metadata-by-diffid/sha256"


class Distribution:
    """Reader of one `distribution/` directory.

    Attributes:
        problems: what is wrong with the records; complete after `blobs` was read.
    """

    def __init__(self, driver_dir: HostDir) -> None:
        """Read the `distribution/` below `image/<driver>/`, if there is one."""
        self._driver_dir = driver_dir
        self.problems: list[Problem] = []

    @functools.cached_property
    def blobs(self) -> Mapping[DiffID, tuple[Blob, ...]]:
        """The blobs of each layer, from both kinds of records; damaged ones are left out."""
        found: dict[DiffID, dict[BlobDigest, dict[str, None]]] = {}
        for path, about in distribution_entries(self._driver_dir):
            if not isinstance(about, DiffID):
                self.problems.append(about)
                continue
            blobs = found.setdefault(about, {})
            if not path.startswith(_BY_DIFF):
                blobs.setdefault(BlobDigest.from_hex(path.rpartition("/")[2]), {})
                continue
            try:
                for digest, repository in parse_file(self._driver_dir, path, parse_blob_sources):
                    blobs.setdefault(digest, {}).update({repository: None} if repository else {})
            except CorruptStore as error:
                self.problems.append(error)
        return {
            diff_id: tuple(Blob(digest, tuple(names)) for digest, names in blobs.items())
            for diff_id, blobs in found.items()
        }


def distribution_entries(driver_dir: HostDir) -> Iterator[tuple[str, DiffID | Problem]]:
    """The path of every record below `driver_dir`, with its layer, or with its problem."""
    for digest in _names(driver_dir, _BY_DIGEST):
        path = f"{_BY_DIGEST}/{digest}"
        try:
            yield path, parse_file(driver_dir, path, layerfiles.parse_diff)
        except CorruptStore as error:
            yield path, error
    for diff_id in _names(driver_dir, _BY_DIFF):
        yield f"{_BY_DIFF}/{diff_id}", DiffID.from_hex(diff_id)


def known_diff_ids(driver_dir: HostDir) -> list[DiffID]:
    """The diff IDs of all layers that were pulled or pushed, sorted."""
    return [DiffID.from_hex(name) for name in _names(driver_dir, _BY_DIFF)]


def _names(driver_dir: HostDir, path: str) -> list[str]:
    try:
        return sorted(found.hex for found in identities(open_optional(driver_dir, path), DiffID.from_hex))
    except CorruptStore:
        return []
