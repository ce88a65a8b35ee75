"""The data roots that are measured: many images, and one image with many files.

Both are made once and kept in `.bench/`; removing that directory is all it takes to have them made anew.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs import DataRoot
from tests.bench.memory import many_entries
from tests.bench.packing import (
    ARCHIVE,
    IMAGE,
    load_into_engine,
    load_into_podman,
    pack_archive,
    save_from_engine,
    to_layout,
    unpack_layers,
)
from tests.support import containerdbuilder, graphrootbuilder
from tests.support.rootbuilder import SHARING, many_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = [
    "BIG",
    "BIG_LAYERS",
    "IMAGES",
    "MEASURED_IMAGE",
    "TreeRoot",
    "big_root",
    "containerd_root",
    "containerd_tree",
    "graph_root",
    "image_size",
    "images_root",
    "layer_tars",
    "many_root",
    "oci_layout",
    "podman_store",
    "saved_archive",
    "tree_root",
]

IMAGES = 1000
BIG = 5000
BIG_LAYERS = 6
MEASURED_IMAGE = "registry.example:5000/team-5/app-100:1.0"
"""An image of the big root whose history is asked for."""

_SPACE_NEEDED = 5 << 30


def images_root(place: Path) -> Path:
    """A data root with `IMAGES` images."""
    return _once(place / f"images-{IMAGES}", lambda path: many_images(path, IMAGES))


def containerd_root(place: Path) -> Path:
    """A containerd root with `IMAGES` images, whose layers are shared as those of `images_root`."""
    build = functools.partial(
        containerdbuilder.many_images, images=IMAGES, layers=len(SHARING), sharing=SHARING
    )
    return _once(place / f"containerd-{IMAGES}", build)


def graph_root(place: Path) -> Path:
    """A graph root of Podman with `IMAGES` images, whose layers are shared likewise."""
    build = functools.partial(graphrootbuilder.many_images, images=IMAGES, sharing=SHARING)
    return _once(place / f"graphroot-{IMAGES}", build)


def big_root(place: Path) -> Path:
    """A containerd root with `BIG` images, each with `BIG_LAYERS` layers of its own."""
    build = functools.partial(containerdbuilder.many_images, images=BIG, layers=BIG_LAYERS)
    return _once(place / f"containerd-{BIG}", build)


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """The data root of one image with many files.

    Attributes:
        path: the data root.
        layers: the layers' `diff/` directories, uppermost first.
    """

    path: Path
    layers: tuple[Path, ...]


def tree_root(place: Path) -> TreeRoot:
    """A data root, written by a real Engine, whose image `IMAGE` is this machine's `/usr`; needs root."""
    return _with_layers(_once(place / "engine-tree", lambda path: load_into_engine(path, _archive(place))))


def containerd_tree(place: Path) -> TreeRoot:
    """A containerd root of the image of `tree_root`, copied: by links each file would have two names."""
    layers = tree_root(place).layers
    path = _once(place / "containerd-tree", lambda path: _to_containerd(path, layers))
    found = path / "io.containerd.snapshotter.v1.overlayfs/snapshots"
    return TreeRoot(path, tuple(found / str(number) / "fs" for number in range(len(layers), 0, -1)))


def _to_containerd(path: Path, layers: Sequence[Path]) -> None:
    """Make each of the layers, uppermost first, a snapshot; what its blob holds is read by no mount."""
    builder = containerdbuilder.ContainerdBuilder(path)
    stack: list[containerdbuilder.BuiltSnapshot] = []
    for number, layer in enumerate(reversed(layers)):
        fill = functools.partial(_copy_tree, layer)
        stack.append(builder.layer(stack[-1] if stack else None, b"layer %d" % number, fill))
    builder.image([IMAGE], stack)
    builder.finish()


def _copy_tree(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--archive", "--reflink=auto", f"{source}/.", target], check=True)


def image_size(tree: TreeRoot) -> int:
    """The bytes of the image as Docker counts them."""
    root = DataRoot.open(tree.path)
    return root.size(root.image(IMAGE)) or 0


def podman_store(place: Path) -> Path:
    """A directory with a store of Podman's that holds the same images; needs root.

    It is built where it stays, as Podman's database names its own place.
    """
    path, loaded = place / "podman", place / "podman.loaded"
    if not loaded.exists():
        shutil.rmtree(path, ignore_errors=True)
        load_into_podman(path, _archive(place))
        loaded.touch()
    return path


def saved_archive(place: Path) -> Path:
    """The archive that `docker save` of a real Engine writes of `IMAGE`; needs root."""
    return _once(place / "saved", lambda path: save_from_engine(path, _archive(place))) / ARCHIVE


def oci_layout(place: Path) -> Path:
    """The same image as skopeo makes an OCI layout of it, its layers compressed by gzip."""
    archive = saved_archive(place)
    return _once(place / "layout", lambda path: to_layout(path, archive))


def layer_tars(place: Path) -> tuple[Path, ...]:
    """The layers of the same image as files, base first."""
    archive = saved_archive(place)
    return tuple(sorted(_once(place / "layers", lambda path: unpack_layers(path, archive)).iterdir()))


def _archive(place: Path) -> Path:
    return _once(place / "archive", pack_archive) / ARCHIVE


def many_root(place: Path) -> TreeRoot:
    """A data root whose image `IMAGE` has half a million entries."""
    return _with_layers(_once(place / "many", many_entries))


def _with_layers(path: Path) -> TreeRoot:
    root = DataRoot.open(path)
    chain = root.chain(root.image(IMAGE))
    return TreeRoot(path, tuple(path / "overlay2" / layer.cache_id / "diff" for layer in reversed(chain)))


def _once(path: Path, build: Callable[[Path], object]) -> Path:
    """`path`, built beside its place and moved there when it is complete."""
    if not path.exists():
        unfinished = path.with_name(path.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        free = shutil.disk_usage(unfinished).free
        if free < _SPACE_NEEDED:
            raise RuntimeError(f"{path.parent}: {free >> 20} MiB free, {_SPACE_NEEDED >> 20} are needed")
        build(unfinished)
        unfinished.rename(path)
    return path
