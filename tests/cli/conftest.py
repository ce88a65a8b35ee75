from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.kernel import overlay_mount
from tests.support.mounts import stacked_by_docker
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture
def mounted_by_kernel(dataroot_path: Path) -> Callable[[str], AbstractContextManager[Path]]:
    """Mounts an image of the recorded root as the kernel does, over the directories Docker's files name."""

    @contextmanager
    def mount(image: str) -> Iterator[Path]:
        root = DataRoot.open(dataroot_path)
        with overlay_mount(
            stacked_by_docker(dataroot_path, root.chain(root.image(image))[-1].cache_id)
        ) as top:
            yield top

    return mount


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks a recorded store of another engine, once; nobody changes it."""
    top = tmp_path_factory.mktemp("samples")
    return functools.cache(lambda name: unpack_sample(name, top / name))
