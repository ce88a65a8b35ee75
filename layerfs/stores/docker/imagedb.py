"""`image/overlay2/imagedb/`: image configs by image ID, and the engine's records about images.

Source: moby `image/fs.go`, `image/store.go` (v20.10.24 and v28.5).
"""

from __future__ import annotations

import bisect
import functools
from typing import TYPE_CHECKING

from layerfs.errors import DigestMismatch, MissingFile
from layerfs.formats.imageconfig import parse_image_config
from layerfs.ids import ImageID
from layerfs.stores.files import (
    JSON_LIMIT,
    identities,
    open_part,
    parse_bytes,
    read_optional,
)

if TYPE_CHECKING:
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.hostdir import HostDir
    from layerfs.stores.files import Problem

__all__ = ["ImageDB"]


class ImageDB:
    """Reader of one `imagedb/` directory.

    Attributes:
        problems: why parts of it cannot be read.
    """

    def __init__(self, driver_dir: HostDir) -> None:
        """Read the `imagedb/` below `image/<driver>/`."""
        self._driver_dir = driver_dir
        self.problems: list[Problem] = []
        self._content = open_part(driver_dir, "imagedb/content/sha256", self.problems)
        self._metadata = open_part(driver_dir, "imagedb/metadata/sha256", self.problems)

    def missing(self) -> MissingFile | None:
        """The error if the directory of configs is missing, else None."""
        if self._content is not None or self.problems:
            return None
        path = self._driver_dir.name_of("imagedb/content/sha256")
        return MissingFile(path, "the directory is missing: no image can be read")

    def file_name(self, image: ImageID) -> str:
        """The path of a config, for messages."""
        return self._driver_dir.name_of(_config_path(image))

    def image_ids(self) -> list[ImageID]:
        """The IDs of all configs, sorted; the configs are not read."""
        return list(self._ids)

    def ids_beginning(self, digits: str) -> list[ImageID]:
        """The names of configs that begin with these hexadecimal digits, sorted."""
        start = bisect.bisect_left(self._ids, f"sha256:{digits}")
        end = bisect.bisect_left(self._ids, f"sha256:{digits}g")  # the character after the last digit
        return self._ids[start:end]

    @functools.cached_property
    def _ids(self) -> list[ImageID]:
        return sorted(identities(self._content, ImageID.from_hex))

    def __contains__(self, image: ImageID) -> bool:
        """Whether there is a config of this name, sound or not."""
        try:
            return self._content is not None and bool(self._content.lstat(image.hex))
        except OSError:
            return False

    def config_bytes(self, image: ImageID) -> bytes:
        """The config, byte for byte; raises `CorruptStore` unless its bytes hash to its name."""
        if missing := self.missing():
            raise missing
        content = read_optional(self._content, image.hex, JSON_LIMIT) if self._content else None
        if content is None:
            raise MissingFile(self.file_name(image), "the file is missing")
        found = ImageID.of(content)
        if found != image:
            raise DigestMismatch(
                self.file_name(image), "the image config was altered", expected=image, found=found
            )
        return content

    def config(self, image: ImageID) -> ImageConfig:
        """The parsed config; raises `CorruptStore`."""
        return parse_bytes(
            self.config_bytes(image), self._driver_dir, _config_path(image), parse_image_config
        )

    def parent(self, image: ImageID) -> str | None:
        """The parent image's ID as the engine recorded it: raw text, not checked."""
        text = self._note(image, "parent")
        return text.decode("utf-8", "replace") if text else None

    def last_updated(self, image: ImageID) -> str:
        """When the image was last tagged, as the engine writes a time; raises `CorruptStore`."""
        from layerfs.formats.gostruct import go_time  # noqa: PLC0415 - only inspection needs it

        text = self._note(image, "lastUpdated") or b""
        path = f"imagedb/metadata/sha256/{image.hex}/lastUpdated"
        return parse_bytes(
            text, self._driver_dir, path, lambda content: go_time(content.decode("utf-8", "replace"))
        )

    def _note(self, image: ImageID, name: str) -> bytes | None:
        if self._metadata is None or image not in self._noted:
            return None
        return read_optional(self._metadata, f"{image.hex}/{name}")

    def noted_ids(self) -> list[ImageID]:
        """The IDs of all images with records, sorted, also of missing images."""
        return sorted(self._noted)

    @functools.cached_property
    def _noted(self) -> frozenset[ImageID]:
        """The images with records; few, as pulled images have none."""
        return frozenset(identities(self._metadata, ImageID.from_hex))


def _config_path(image: ImageID) -> str:
    return f"imagedb/content/sha256/{image.hex}"
