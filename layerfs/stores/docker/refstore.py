"""`image/overlay2/repositories.json`: the names of images.

Source: moby `reference/store.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.repositories import Repositories, parse_repositories
from layerfs.stores.files import JSON_LIMIT, parse_optional

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["read_repositories"]

_NAME = "repositories.json"


def read_repositories(driver_dir: HostDir) -> Repositories:
    """The names of the store; a missing file is a store without names.

    Raises:
        CorruptStore: the file is damaged, or cannot be read.
    """
    return parse_optional(driver_dir, _NAME, parse_repositories, JSON_LIMIT) or Repositories()
