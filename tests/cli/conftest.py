from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.kernel import overlay_mount
from tests.support.mounts import stacked_by_docker

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
