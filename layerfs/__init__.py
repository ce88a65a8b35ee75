"""See through Docker's overlay2 without Docker: the public names, nothing else.

from layerfs import DataRoot, open_subject

root = DataRoot.open("/var/lib/docker")
tree = open_subject(root, "nginx:latest").tree
with tree.open(tree.resolve(b"/etc/os-release")) as file:
    print(file.read().decode())
"""

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
