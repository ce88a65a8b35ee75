"""`STORE_KINDS`: the kinds of store that a suite runs over; a new kind joins every suite by one line here.

A suite that holds for every kind takes the parameter `kind` (`@each_kind`) and works on `kind.make(path)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fixtures.unpack import unpack
from tests.support.graphroots import GraphRootFiles
from tests.support.hostilecontainerd import hostile_docker29
from tests.support.hostilegraphroot import hostile_podman
from tests.support.hostility import hostile_overlay2
from tests.support.records import containerd_records, graphroot_records, overlay2_records
from tests.support.samples import unpack_sample
from tests.support.shallow import unpack_shallow
from tests.support.tarstacks import containerd_of_tars, graphroot_of_tars, overlay2_of_tars
from tests.support.things import (
    containerd_things,
    graphroot_things,
    name_image_in_containerd,
    name_image_in_graphroot,
    name_image_in_overlay2,
    overlay2_things,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.support.records import Record
    from tests.support.tarstacks import Members
    from tests.support.things import Thing

__all__ = ["STORE_KINDS", "StoreKind", "each_kind"]


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A kind of store with a recorded example.

    Attributes:
        name: what the kind is called, for the names of tests.
        make: unpacks the recorded store of this kind below an existing directory of the test's own, which
            may be damaged at will; its path.
        of_tars: writes a store of this kind with images of given layers, see `tarstacks`; its path.
        records: the records of a layer of an image of it, by name: the store, the image, the number (base 1).
        things: things in it with every name they have.
        make_hostile: puts hostile texts everywhere in one that was made; the images are called `evil:N` then.
        name_image: gives an image of it, by its ID, the name `<repository>:latest`.
        image, other, odd: the names of three images in it; the first has several layers, and `/etc/motd`.
        tagged: the first with another tag than `latest`.
        hosted: an image with a registry that has a port.
        container: the name of a container that changed something, on an image in it.
        shallow: as `make`, without an image of very many layers; None where there is none such.
        lacks: words of command lines that no store of this kind answers yet: exit code 4.
    """

    name: str
    make: Callable[[Path], Path]
    of_tars: Callable[[Path, Mapping[str, Sequence[Members]]], Path]
    records: Callable[[Path, str, int], Mapping[str, Record]]
    things: Callable[[Path], list[Thing]]
    make_hostile: Callable[[Path], None]
    name_image: Callable[[Path, str, str], None]
    image: str
    tagged: str
    other: str
    odd: str
    hosted: str
    container: str = "changed"
    shallow: Callable[[Path], Path] | None = None
    lacks: frozenset[str] = frozenset()

    def make_shallow(self, path: Path) -> Path:
        """As `make`, without an image of very many layers: for suites that ask much, and never of that."""
        return (self.shallow or self.make)(path)

    def can(self, words: Sequence[str]) -> bool:
        """Whether a command line asks for nothing that this kind lacks."""
        return self.lacks.isdisjoint(words)

    @property
    def names(self) -> Mapping[str, str]:
        """What to put for `{image}` and so on in the words of a command line."""
        wanted = ("image", "tagged", "other", "odd", "hosted", "container")
        return {name: getattr(self, name) for name in wanted}


def _containerd(path: Path) -> Path:
    """The data root of a Docker Engine whose images are in a containerd store of its own."""
    return unpack_sample("docker29-containerd", path)


def _graph_root(path: Path) -> Path:
    """The graph root of Podman, which has nothing but full names, and a short one for `latest`."""
    root = unpack_sample("podman-4.3-rootful", path)
    store = GraphRootFiles(root)
    name_image_in_graphroot(root, "multi", f"sha256:{store.image('docker.io/library/multi:1')['id']}")
    return root


STORE_KINDS = (
    StoreKind(
        "overlay2", unpack, overlay2_of_tars, overlay2_records, overlay2_things,
        hostile_overlay2, name_image_in_overlay2,
        "demo", "demo:1.0", "buildkit", "lab/whiteouts:1", "localhost:5000/team/tagged:2",
        shallow=unpack_shallow,
    ),
    StoreKind(
        "containerd", _containerd, containerd_of_tars, containerd_records, containerd_things,
        hostile_docker29, name_image_in_containerd,
        "multi", "multi:1", "buildkit:1", "dockertypes:1", "localhost:5057/team/pulled:1",
    ),
    StoreKind(
        "containers-storage", _graph_root, graphroot_of_tars, graphroot_records, graphroot_things,
        hostile_podman, name_image_in_graphroot,
        "multi", "multi:1", "built:1", "localhost/second:name", "registry.example.com:5000/team/arch:1",
    ),
)  # fmt: skip


each_kind = pytest.mark.parametrize("kind", STORE_KINDS, ids=lambda kind: kind.name)
"""Runs a test once for each kind of store, as the parameter `kind`."""
