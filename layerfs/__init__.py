"""See through Docker's overlay2 without Docker: the public names, nothing else.

from layerfs import DataRoot, open_subject

root = DataRoot.open("/var/lib/docker")
tree = open_subject(root, "nginx:latest").tree
with tree.open(tree.resolve(b"/etc/os-release")) as file:
    print(file.read().decode())

Each name is imported when it is first asked for: whoever imports a module of the engine passes here.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.errors import LayerfsError
    from layerfs.ids import CacheID, ChainID, ContainerID, DiffID, ImageID, LinkID, chain_id, chain_ids
    from layerfs.model import Container, Image, Layer, LayerInfo
    from layerfs.stores.docker.dataroot import DEFAULT_ROOT, DataRoot
    from layerfs.subject import Subject, open_subject
    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.union import UnionTree

__all__ = [
    "DEFAULT_ROOT",
    "CacheID",
    "ChainID",
    "Container",
    "ContainerID",
    "DataRoot",
    "DiffID",
    "FileStat",
    "Image",
    "ImageID",
    "Layer",
    "LayerInfo",
    "LayerfsError",
    "LinkID",
    "Node",
    "Subject",
    "UnionTree",
    "chain_id",
    "chain_ids",
    "open_subject",
]

_HOMES = {
    "errors": ("LayerfsError",),
    "ids": ("CacheID", "ChainID", "ContainerID", "DiffID", "ImageID", "LinkID", "chain_id", "chain_ids"),
    "model": ("Container", "Image", "Layer", "LayerInfo"),
    "stores.docker.dataroot": ("DEFAULT_ROOT", "DataRoot"),
    "subject": ("Subject", "open_subject"),
    "tree.node": ("FileStat", "Node"),
    "tree.union": ("UnionTree",),
}
"""The module of each name."""


if not TYPE_CHECKING:  # or every name would be one to a type checker

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                found = globals()[name] = getattr(importlib.import_module(f"layerfs.{home}"), name)
                return found
        raise AttributeError(f"module 'layerfs' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
