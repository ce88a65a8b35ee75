"""A graph root of containers/storage, read and edited by its files alone, without layerfs.

Source: containers/storage `images.go`, `layers.go`, `containers.go`, `store.go`.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["GraphRootFiles", "big_data_name"]

_PLAIN = re.compile(r"[.0-9a-z]+")


def big_data_name(key: str) -> str:
    """The name of the file of a document."""
    return key if _PLAIN.fullmatch(key) else "=" + base64.b64encode(key.encode()).decode()


@dataclass(frozen=True, slots=True)
class GraphRootFiles:
    """The records of one root, read anew each time.

    Attributes:
        path: the root, whose driver is overlay.
    """

    path: Path

    @property
    def images_file(self) -> Path:
        """The records of images."""
        return self.path / "overlay-images/images.json"

    @property
    def layers_file(self) -> Path:
        """The records of layers."""
        return self.path / "overlay-layers/layers.json"

    @property
    def containers_file(self) -> Path:
        """The records of containers."""
        return self.path / "overlay-containers/containers.json"

    def records(self, file: Path) -> list[dict[str, Any]]:
        """What is in a file of records."""
        found: list[dict[str, Any]] = json.loads(file.read_bytes()) if file.exists() else []
        return found

    def image(self, name: str) -> dict[str, Any]:
        """The record of an image by a name or its ID."""
        images = self.records(self.images_file)
        return next(item for item in images if name in (item["id"], *(item.get("names") or ())))

    def container(self, name: str) -> dict[str, Any]:
        """The record of a container by its name."""
        return next(item for item in self.records(self.containers_file) if name in item["names"])

    def layer(self, layer: str) -> dict[str, Any]:
        """The record of a layer by its ID."""
        return next(item for item in self.records(self.layers_file) if item["id"] == layer)

    def stack(self, top: str) -> list[str]:
        """A layer and those it stands on, uppermost first."""
        parents = {item["id"]: item.get("parent") for item in self.records(self.layers_file)}
        found = [top]
        while parent := parents.get(found[-1]):
            found.append(parent)
        return found

    def directory(self, layer: str) -> Path:
        """The directory of a layer."""
        return self.path / "overlay" / layer

    def tar_split(self, layer: str) -> Path:
        """What is kept of a layer's tar."""
        return self.path / "overlay-layers" / f"{layer}.tar-split.gz"

    def big_data(self, image: str, key: str) -> Path:
        """The file of a document of an image."""
        return self.path / "overlay-images" / image / big_data_name(key)

    def config(self, image: str) -> dict[str, Any]:
        """The config of an image by its ID."""
        found: dict[str, Any] = json.loads(self.big_data(image, f"sha256:{image}").read_bytes())
        return found

    def edit(self, file: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
        """Change the records in a file."""
        records = self.records(file)
        change(records)
        file.write_text(json.dumps(records))
