"""The recorded image `demo` in a copy of the root that a test may damage, found without layerfs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.command import layer_files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Demo"]


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the image's files are, its layers numbered from 1."""

    root: Path

    @property
    def image_hex(self) -> str:
        """The image ID without its algorithm, from repositories.json."""
        names = json.loads((self.root / "image/overlay2/repositories.json").read_bytes())
        return str(names["Repositories"]["demo"]["demo:latest"]).removeprefix("sha256:")

    @property
    def config(self) -> Path:
        """Its config."""
        return self.root / "image/overlay2/imagedb/content/sha256" / self.image_hex

    def layer(self, number: int) -> Path:
        """The directory of a layer in layerdb: by the `diff` and `parent` files alone."""
        wanted = json.loads(self.config.read_bytes())["rootfs"]["diff_ids"][:number]
        stored, parent = layer_files(self.root), None
        for diff_id in wanted:
            parent = next(
                chain
                for chain, files in stored.items()
                if files["diff"] == diff_id and files.get("parent") == parent
            )
        assert parent is not None
        return self.root / "image/overlay2/layerdb/sha256" / parent.removeprefix("sha256:")

    def directory(self, number: int) -> Path:
        """The layer's directory in overlay2."""
        return self.root / "overlay2" / (self.layer(number) / "cache-id").read_text()
