"""The smallest kind of store there can be: what a new kind has to give, in one module.

`toy.json` names images and the directories of their layers, base first; a layer's directory is read as
overlayfs reads `diff/`. Its digests are of its name: nothing here checks contents.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerfs.errors import MissingFile
from layerfs.formats.imageconfig import parse_image_config
from layerfs.formats.reference import parse_reference
from layerfs.formats.repositories import Repositories, RepositoryRow
from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import HostDir
from layerfs.ids import ChainID, DiffID, ImageID, chain_id
from layerfs.model import BareLayer, Image, Layer
from layerfs.store import Store
from layerfs.tree.overlay import OverlayLayer, RawLayer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.stores.registry import Options
    from layerfs.tree.source import LayerSource

__all__ = ["ToyStore", "detect", "open_kind"]

_INDEX = "toy.json"


def detect(path: str) -> bool:
    """Whether a toy store is at `path`."""
    return (Path(path) / _INDEX).is_file()


def open_kind(path: str, options: Options) -> ToyStore:
    """Open it; no option concerns this kind."""
    del options
    return ToyStore(path)


@dataclass(frozen=True, slots=True)
class _ToyLayer(Layer):
    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    directory: str
    size: int
    cache_id: None = None


class ToyStore(Store):
    """A directory with `toy.json` in it."""

    kind = "toy"

    @functools.cached_property
    def _directory(self) -> HostDir:
        return HostDir.open(self.path)

    @functools.cached_property
    def _configs(self) -> Mapping[str, bytes]:
        """The config of each image, by its name."""
        index = json.loads((Path(self.path) / _INDEX).read_bytes())
        return {name: _config(layers) for name, layers in index.items()}

    @functools.cached_property
    def _layers(self) -> Mapping[ChainID, _ToyLayer]:
        index = json.loads((Path(self.path) / _INDEX).read_bytes())
        found: dict[ChainID, _ToyLayer] = {}
        for names in index.values():
            below = None
            for name in names:
                chain = chain_id(below, _digest(name))
                size = sum(
                    file.stat().st_size for file in (Path(self.path) / name).rglob("*") if file.is_file()
                )
                found[chain] = _ToyLayer(chain, _digest(name), below, name, size)
                below = chain
        return found

    def image_ids(self, beginning: str = "") -> Sequence[ImageID]:
        """Every image."""
        ids = {ImageID.of(content) for content in self._configs.values()}
        return sorted(image_id for image_id in ids if image_id.hex.startswith(beginning))

    def read_image(self, image_id: ImageID) -> Image:
        """An image with its names."""
        for content in self._configs.values():
            if ImageID.of(content) == image_id:
                names = [row.reference for row in self.repositories.rows if row.image_id == image_id]
                return Image(image_id, tuple(names), parse_image_config(content))
        raise MissingFile(self.record_name(image_id), "there is no such image")

    def config_bytes(self, image: Image) -> bytes:
        """The config that was made up for it."""
        return next(content for content in self._configs.values() if ImageID.of(content) == image.id)

    @property
    def repositories(self) -> Repositories:
        """The names of `toy.json`."""
        rows = [
            RepositoryRow(parse_reference(name), ImageID.of(content))
            for name, content in self._configs.items()
        ]
        return Repositories(tuple(rows))

    def layers(self) -> Sequence[Layer]:
        """Every layer."""
        return [layer for _, layer in sorted(self._layers.items())]

    def record(self, chain: ChainID) -> Layer:
        """A layer."""
        if chain not in self._layers:
            raise MissingFile(self.record_name(chain), "there is no such layer")
        return self._layers[chain]

    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """A layer's directory."""
        assert isinstance(layer, _ToyLayer)
        return OverlayLayer(RawLayer(self._directory.subdir(layer.directory)), TRUSTED)

    def evidence(self) -> set[tuple[int, int]]:
        """The store itself."""
        found = self._directory.lstat()
        return {(found.st_dev, found.st_ino)}


def _digest(name: str) -> DiffID:
    return DiffID.of(name.encode())


def _config(layers: Sequence[str]) -> bytes:
    history = [{"created": "2024-01-02T03:04:05Z", "created_by": f"COPY {name} /"} for name in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05Z",
        "history": history,
        "rootfs": {"type": "layers", "diff_ids": [_digest(name) for name in layers]},
    }
    return json.dumps(document).encode()
