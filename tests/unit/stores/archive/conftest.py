"""Recorded archives, unpacked once, and a way to open what a test made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.cache.options import CacheOptions
from layerfs.stores.archive.store import ArchiveStore
from tests.support.layouts import as_tar, unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STORES = Path(__file__).parents[4] / "fixtures/stores"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The recorded archives by name: files as they were recorded, and what collections of them hold."""
    top = tmp_path_factory.mktemp("recorded")
    found = {path.name.removesuffix(".tar.xz"): path for path in STORES.glob("*.tar.xz")}
    podman = unpack_sample(found.pop("podman-save-formats"), top / "podman") / "podman-save"
    found |= {path.name: path for path in podman.iterdir() if path.suffix != ".json"}
    found["chunked"] = unpack_sample(found.pop("oci-layout-zstd-chunked"), top / "chunked") / "chunked-layout"
    for name in ("oci-layout-plain", "docker20-save-legacy", "docker29-save-two-images"):
        found[f"{name}, unpacked"] = unpack_sample(found[name], top / name)
    return found


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., ArchiveStore]:
    """Opens members as a tar, a file of bytes, or a path; with a cache of the test's own."""

    def open_it(what: Mapping[str, bytes] | bytes | Path, **options: object) -> ArchiveStore:
        path = what
        if not isinstance(path, Path):
            path = tmp_path / "archive.tar"
            path.write_bytes(what if isinstance(what, bytes) else as_tar(what))  # type: ignore[arg-type]
        options.setdefault("cache", CacheOptions(directory=str(tmp_path / "cache")))
        return ArchiveStore.open(path, **options)  # type: ignore[arg-type]

    return open_it
