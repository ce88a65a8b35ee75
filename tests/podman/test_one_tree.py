"""One image in every store that engines and tools make of it: one tree, one config, one list of diff IDs."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from layerfs.ids import ImageID
from layerfs.stores.registry import Options, open_store
from tests.podman.conftest import UPPER, images_of
from tests.support.command import layerfs
from tests.support.containerd import running as running_containerd
from tests.support.engine import Engine
from tests.support.podman import FORMS, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.containerd, pytest.mark.dockerd, pytest.mark.podman, pytest.mark.root, pytest.mark.skopeo,
]  # fmt: skip

NAME = "upper:1"
STORES = ("docker", "containerd", "archive", "rootful", "vfs", "copied layout", "copied archive")
PODMAN = {"rootful", "vfs"}


@pytest.fixture(scope="module")
def stores(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Each store with the image, as a path that `--root` takes; engines run until the end."""
    place = tmp_path_factory.mktemp("one")
    archive = place / "images.tar"
    archive.write_bytes(images_of(dataroot_path))
    found = {"archive": str(archive)}
    with ExitStack() as stack:
        for form in sorted(PODMAN):
            (place / form).mkdir()
            podman = stack.enter_context(running(place / form, FORMS[form]))
            (podman.path / archive.name).hardlink_to(archive)
            podman("load", "--quiet", f"--input={archive.name}")
            found[form] = str(podman.root)
        podman.skopeo("copy", "--quiet", f"{{store}}{UPPER}", f"oci:layout:{NAME}")
        podman.skopeo("copy", "--quiet", f"{{store}}{UPPER}", f"docker-archive:copied.tar:{NAME}")
        found |= {"copied layout": f"{podman.path}/layout", "copied archive": f"{podman.path}/copied.tar"}
        engine = stack.enter_context(Engine(place / "docker"))
        engine.load(archive)
        (place / "containerd").mkdir()
        containerd = stack.enter_context(running_containerd(place / "containerd"))
        containerd.ctr("images", "import", str(archive))
        yield found | {"docker": str(engine.root), "containerd": str(containerd.root)}


@pytest.mark.parametrize("pair", [*itertools.combinations(STORES, 2)], ids=" and ".join)
def test_one_tree(stores: Mapping[str, str], pair: tuple[str, str]) -> None:
    """`diff` of the image in both finds nothing but that Podman makes the root of every image read-only."""
    first, second = (f"{stores[name]}:{NAME}" for name in pair)
    done = layerfs(stores[pair[0]], "diff", "--ignore", "mtime", "--format", "json", first, second)
    assert done.stderr == ""
    different = {row["path"] for row in done.json}
    assert different == ({"/"} if len(PODMAN.intersection(pair)) == 1 else set())


def test_one_config(stores: Mapping[str, str]) -> None:
    """The bytes of the config, the diff IDs and the chain are one; for OCI skopeo writes a new config."""
    configs, chains = set(), set()
    for name in STORES:
        store = open_store(stores[name], Options())
        image = store.image(NAME)
        chains.add((image.config.diff_ids, image.chain))
        if name != "copied layout":
            configs.add(ImageID.of(store.config_bytes(image)))
    assert (len(configs), len(chains)) == (1, 1)


@pytest.mark.parametrize("form", sorted(PODMAN))
@pytest.mark.parametrize(
    "written", ["containers-storage:[{driver}@{root}+{run}]{name}", "containers-storage:{root}:{name}"]
)
def test_names_with_their_stores(stores: Mapping[str, str], form: str, written: str) -> None:
    """The store of Podman in skopeo's form and in the short one, compared with every other."""
    root = stores[form]
    driver = FORMS[form].driver
    own = written.format(driver=driver, root=root, run=f"{root}/../run", name=UPPER)
    for other in sorted({*STORES} - PODMAN):
        for pair in ((own, f"{stores[other]}:{NAME}"), (f"{stores[other]}:{NAME}", own)):
            done = layerfs("nowhere", "diff", "--ignore", "mtime", "--format", "json", *pair)
            assert (done.stderr, {row["path"] for row in done.json}) == ("", {"/"}), pair
