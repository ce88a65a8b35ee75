"""What is exported comes back as it was: by containerd, and by Docker 20.10 with a graph driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.containerd import running
from tests.support.containerdroots import ContainerdRoot
from tests.support.engine import Engine
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.containerd import Containerd

pytestmark = [pytest.mark.containerd, pytest.mark.root]

NAMES = ("base:1", "multi:1", "twice:1", "dockertypes:1", "contentonly:1", "zstd:1")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("source"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd that has nothing."""
    with running(tmp_path_factory.mktemp("empty")) as found:
        yield found


@pytest.mark.parametrize("form", ["oci", "docker-archive"])
def test_containerd_imports_the_same_targets(
    root: ContainerdRoot, empty: Containerd, tmp_path: Path, form: str
) -> None:
    """Every image has the digest it had, but in docker-archives that of zstd, and `verify` proves it all."""
    path = tmp_path / "images.tar"
    assert layerfs(root.top, "export", "--format", form, "-o", str(path), *NAMES).code == 0
    empty.ctr("images", "import", str(path), namespace=form)
    listed = empty.ctr("images", "ls", namespace=form).splitlines()[1:]
    found = dict(re.split(r"\s+application/\S+\s+", line)[:2] for line in listed)
    found = {name: rest.split()[0] for name, rest in found.items()}
    wanted = {name: root.target(name) for name in (f"docker.io/library/{name}" for name in NAMES)}
    if form == "docker-archive":
        assert found.pop("docker.io/library/zstd:1") != wanted.pop("docker.io/library/zstd:1")
    assert found == wanted
    checked = layerfs(empty.root, "--namespace", form, "verify", "--all", "--strict")
    assert (checked.code, checked.stderr) == (0, "")
    assert layerfs(empty.root, "--namespace", form, "doctor", "--format", "json").json == []


@pytest.mark.dockerd
def test_docker_20_10_loads_it(root: ContainerdRoot, tmp_path: Path) -> None:
    """Packed layers too: every image is loaded under its name, with its config as its ID."""
    path = tmp_path / "images.tar"
    assert layerfs(root.top, "export", "-o", str(path), *NAMES).code == 0
    with Engine(tmp_path / "root") as engine:
        engine.cli("load", "--input", path)
        for name in NAMES:
            config = root.digest_of(f"docker.io/library/{name}", "config")
            assert engine.image(name)["Id"] == config, name
