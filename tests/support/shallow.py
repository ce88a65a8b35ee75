"""The recorded data root without its image of a hundred layers and the container on it.

These are two thirds of its layers. A command that asks all layers takes two to three times as long with
them, and a copy twice as long; so suites that ask much, of other images, do without.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from fixtures.unpack import unpack
from tests.support.command import forget_image
from tests.support.planting import placed_layers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["unpack_shallow"]

_IMAGE, _BASE, _CONTAINER = "lab/hundred:latest", "base:1", "/deep"


def unpack_shallow(directory: Path) -> Path:
    """Unpack the recording below an existing directory; the data root, as if the image had never been."""
    root = unpack(directory)
    _forget_container(root)
    layers = {layer.chain_id: layer for layer in placed_layers(root, _IMAGE)}
    for shared in placed_layers(root, _BASE):
        layers.pop(shared.chain_id, None)
    names = json.loads((root / "image/overlay2/repositories.json").read_bytes())["Repositories"]
    forget_image(root, names[_IMAGE.partition(":")[0]][_IMAGE])
    for layer in layers.values():
        _forget_directory(root, layer.directory.name)
        shutil.rmtree(layer.record)
    return root


def _forget_container(root: Path) -> None:
    (directory,) = (
        config.parent
        for config in (root / "containers").glob("*/config.v2.json")
        if json.loads(config.read_bytes())["Name"] == _CONTAINER
    )
    record = root / "image/overlay2/layerdb/mounts" / directory.name
    for name in ("mount-id", "init-id"):
        _forget_directory(root, (record / name).read_text())
    shutil.rmtree(record)
    shutil.rmtree(directory)


def _forget_directory(root: Path, cache_id: str) -> None:
    """Remove a layer's directory, and the short link to it."""
    directory = root / "overlay2" / cache_id
    (root / "overlay2/l" / (directory / "link").read_text()).unlink()
    shutil.rmtree(directory)
