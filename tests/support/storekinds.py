"""`STORE_KINDS`: the kinds of store that a suite runs over; a new kind joins every suite by one line here.

A suite that holds for every kind takes the parameter `kind` (`@each_kind`) and works on `kind.make(path)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fixtures.unpack import unpack
from tests.support.records import containerd_records, overlay2_records
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.records import Record

__all__ = ["STORE_KINDS", "StoreKind", "each_kind"]


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A kind of store with a recorded example.

    Attributes:
        name: what the kind is called, for the names of tests.
        make: unpacks the recorded store of this kind below an existing directory of the test's own, which
            may be damaged at will; its path.
        records: the records of a layer of an image of it, by name: the store, the image, the number (base 1).
        image, other, odd: the names of three images in it; the first has several layers, and `/etc/motd`.
        container: the name of a container that changed something, on an image in it.
    """

    name: str
    make: Callable[[Path], Path]
    records: Callable[[Path, str, int], Mapping[str, Record]]
    image: str
    other: str
    odd: str
    container: str

    @property
    def names(self) -> Mapping[str, str]:
        """What to put for `{image}`, `{other}`, `{odd}` and `{container}` in the words of a command line."""
        return {
            "image": self.image, "other": self.other, "odd": self.odd, "container": self.container
        }  # fmt: skip


def _containerd(path: Path) -> Path:
    """The data root of a Docker Engine whose images are in a containerd store of its own."""
    return unpack_sample("docker29-containerd", path)


STORE_KINDS = (
    StoreKind("overlay2", unpack, overlay2_records, "demo", "buildkit", "lab/whiteouts:1", "changed"),
    StoreKind(
        "containerd", _containerd, containerd_records, "multi:1", "buildkit:1", "dockertypes:1", "changed"
    ),
)

each_kind = pytest.mark.parametrize("kind", STORE_KINDS, ids=lambda kind: kind.name)
"""Runs a test once for each kind of store, as the parameter `kind`."""
