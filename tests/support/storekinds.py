"""`STORE_KINDS`: the kinds of store that a suite runs over; a new kind joins every suite by one line here.

A suite that holds for every kind takes the parameter `kind` (`@each_kind`) and works on `kind.make(path)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fixtures.unpack import unpack
from tests.support.records import overlay2_records

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
    """

    name: str
    make: Callable[[Path], Path]
    records: Callable[[Path, str, int], Mapping[str, Record]]


STORE_KINDS = (StoreKind("overlay2", unpack, overlay2_records),)

each_kind = pytest.mark.parametrize("kind", STORE_KINDS, ids=lambda kind: kind.name)
"""Runs a test once for each kind of store, as the parameter `kind`."""
