"""What `export` writes of a graph root: skopeo finds the same digests, Podman loads it by the same name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.podman.conftest import BUILT, COMMITTED
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.podman import Podman

pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.skopeo]


@pytest.mark.parametrize("image", [BUILT, COMMITTED])
def test_digests_are_kept(podman: Podman, image: str) -> None:
    """The manifest of an image with plain layers is written byte for byte, in every form of root."""
    (told,) = json.loads(podman("image", "inspect", image))
    layout = podman.path / f"{told['Id']}-layout"
    layout.mkdir(exist_ok=True)
    done = layerfs(podman.root, "export", "--force", "--format", "oci", "-o", f"{layout}/", image)
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(podman.run("skopeo", "inspect", f"oci:{layout.name}"))
    assert (found["Digest"], found["Layers"]) == (told["Digest"], told["RootFS"]["Layers"])


def test_podman_loads_it(made: Callable[[str], Podman]) -> None:
    """Into a store of its own, by a short name: the same image with the same name."""
    podman = made("rootful")
    (told,) = json.loads(podman("image", "inspect", BUILT))
    done = layerfs(podman.root, "export", "-o", str(podman.path / "built.tar"), BUILT.rpartition("/")[2])
    assert (done.code, done.stderr) == (0, "")
    places = [f"--{name}=/mnt/work/other-{name}" for name in ("root", "runroot", "tmpdir")]
    other = ("podman", *places, "--storage-driver=vfs")
    podman.run(*other, "load", "--quiet", "--input=built.tar")
    (found,) = json.loads(podman.run(*other, "images", "--format", "json"))
    assert (found["Id"], found["Names"]) == (told["Id"], [BUILT])
