"""Few descriptors: any number of layers is read with them, and what cannot be is never called damage."""

from __future__ import annotations

import gc
import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from layerfs.reserves import RESERVES
from layerfs.stores.registry import Options, open_store
from layerfs_cli.main import COMMANDS as EVERY
from layerfs_cli.spellings import GROUPS
from layerfs_cli.wholestores import whole_tree
from tests.support.command import layerfs, run_bytes
from tests.support.mounts import FUSE, served
from tests.support.storekinds import STORE_KINDS
from tests.support.tarstacks import member

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.storekinds import StoreKind
    from tests.support.tarstacks import Members

pytestmark = pytest.mark.root

_IMAGES, _DEPTH = 2, 46
_FEW = 40  # descriptors: fewer than an image has layers
_HOST_ERROR = 74
_NOT_IN_THIS_KIND = 4  # `StoreKind.lacks` says of which


_ARCHIVES = {"archive": ("docker-archive", "images.tar"), "layout": ("oci", "layout/")}


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def deep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two images with 46 layers each, none shared, and the bytes of their tars."""
    kind: StoreKind = request.param
    return kind.of_tars(tmp_path_factory.mktemp("deep") / "root", _images())


@pytest.fixture(scope="module", params=_ARCHIVES)
def deep_archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images in a file, and in a directory."""
    place = tmp_path_factory.mktemp("deep")
    root = STORE_KINDS[0].of_tars(place / "root", _images())
    form, name = _ARCHIVES[request.param]
    assert layerfs(root, "export", "--format", form, "-o", f"{place}/{name}", *_images()).code == 0
    return place / name


def _images() -> dict[str, list[Members]]:
    return {f"deep:{image}": [_layer(image, number) for number in range(_DEPTH)] for image in range(_IMAGES)}


def _layer(image: int, number: int) -> Members:
    return [member(f"d{j}/k{image}_{number}", b"%d %d" % (image, number)) for j in range(3)]


@contextmanager
def _limited(number: int) -> Iterator[None]:
    """So many descriptors more than are open, for this process; those that it starts have the same limit."""
    gc.collect()
    while any(reserve.give_back() for reserve in list(RESERVES)):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # what other tests of this process hold is none of the command's, which would find none left for it
    resource.setrlimit(resource.RLIMIT_NOFILE, (number + len(os.listdir("/proc/self/fd")), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


NAMES = {*EVERY, *GROUPS} - {"image", "container"}  # which are other words for some

# where tables tell how long ago something was, JSON is compared: a second may pass in between
COMMANDS = [
    ("ls", "-R", "deep:0", "/"),
    ("tree", "deep:0"),
    ("cat", "deep:1", "/d1/k1_0"),
    ("diff", "deep:0", "deep:1"),
    ("find", "--all", "k1_*"),
    ("find", "deep:0", "k0_1"),
    ("blame", "-R", "deep:0"),
    ("changes", "deep:1"),
    ("deleted", "deep:1"),
    ("waste", "--all"),
    ("waste", "--duplicates", "deep:0"),
    ("hashes", "deep:1"),
    ("timeline", "deep:0"),
    ("du",),
    ("doctor",),
    ("verify", "--all", "--jobs", "1", "--format", "json"),
    ("verify", "--all", "--jobs", "2", "--format", "json"),
    ("--metadata", "tar-split", "ls", "-R", "deep:0", "/"),
    ("images", "-a", "--digests", "--format", "json"),
    ("containers", "--size", "--format", "json"),
    ("history", "--layers", "--format", "json", "deep:0"),
    ("dockerfile", "--full", "deep:0"),
    ("layers",),
    ("layers", "deep:1"),
    ("chain-id", "--steps", "deep:0"),
    ("inspect", "deep:0"),
    ("stat", "deep:1", "/d0", "/d1/k1_0"),
    ("explain", "-v", "deep:0"),
    ("explain", "deep:1", "/d1/k1_0"),
    ("explain", "--topic", "whiteout"),
    ("explain", "--topic", "shared-size"),
    ("blame", "--all", "/d0/k0_3"),
    ("whois", "deep:0"),
    ("report", "--all", "--reproducible", "-o", "-"),
    ("export", "--format", "rootfs", "-o", "-", "deep:1"),
    ("system", "df", "-v"),
    ("timeline", "--all"),
    ("grep", "--all", "-c", "1"),
    ("logs", "--all"),
    ("stores",),
    ("cache",),
]
ELSEWHERE = {
    "completion": "it opens no store",
    "cp": "it has a test of its own",
    "explore": "it needs a terminal",
    "mount": "it has tests of its own",
    "mount-helper": "it opens no store",
    "umount": "it opens no store",
}
OF_ARCHIVES = [
    words
    for words in COMMANDS
    if words[0] not in ("containers", "doctor", "du", "logs", "system", "stores", "--metadata")
]


def test_every_command_is_here() -> None:
    """A new command is asked with few descriptors too."""
    asked = {next(word for word in words if word in NAMES) for words in COMMANDS}
    assert asked | set(ELSEWHERE) == NAMES


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_need_few_descriptors(deep: Path, arguments: tuple[str, ...]) -> None:
    """What is shown with few descriptors is what is shown with many."""
    expected = layerfs(deep, *arguments)
    if expected.code == _NOT_IN_THIS_KIND:
        return
    assert expected.code in (0, 1)
    with _limited(_FEW):
        assert layerfs(deep, *arguments) == expected


@pytest.mark.parametrize("arguments", OF_ARCHIVES, ids=" ".join)
def test_commands_need_few_descriptors_for_archives(deep_archive: Path, arguments: tuple[str, ...]) -> None:
    """Likewise, of images in a file and in a layout, a file for each layer."""
    expected = layerfs(deep_archive, *arguments)
    assert expected.code in (0, 1)
    with _limited(_FEW):
        assert layerfs(deep_archive, *arguments) == expected


@pytest.mark.parametrize("salvage", [(), ("--salvage",)], ids=["whole", "salvaged"])
def test_any_number_of_layers_is_exported(deep: Path, salvage: tuple[str, ...]) -> None:
    """Several images of many layers in one archive, each layer its original, with few descriptors."""
    names = [f"deep:{image}" for image in range(_IMAGES)]
    with _limited(_FEW):
        found = run_bytes(deep, "export", *salvage, *names)
    if salvage and found.code == _NOT_IN_THIS_KIND:
        return
    assert (found.code, found.stderr) == (0, "")
    assert found.stdout.count(b"/k") == _IMAGES * _DEPTH * 3


def test_copies_need_few_descriptors(deep: Path, tmp_path: Path) -> None:
    """A directory that every layer has a part of is copied with few descriptors."""
    with _limited(_FEW):
        assert layerfs(deep, "cp", "deep:0:/d1", str(tmp_path / "copy")).code == 0
    assert len(os.listdir(tmp_path / "copy")) == _DEPTH


@pytest.mark.fuse
@pytest.mark.parametrize("driver", FUSE)
def test_mounts_need_few_descriptors(deep: Path, tmp_path: Path, driver: str) -> None:
    """A mount of more layers than descriptors shows every file's content."""
    with _limited(_FEW):
        root = open_store(deep, Options())
        with served(root.tree(root.image("deep:1")), tmp_path / "mnt", driver) as place:
            for name in sorted(os.listdir(place / "d2")):
                image, number = name.removeprefix("k").split("_")
                assert (place / "d2" / name).read_text() == f"{image} {number}"


@pytest.mark.fuse
def test_a_mount_of_everything_needs_few_descriptors(deep: Path, tmp_path: Path) -> None:
    """Each image and each layer of it can be entered, one after the other, and read."""
    with _limited(_FEW):
        tree = whole_tree({"x": open_store(deep, Options())}, listed=False)
        with served(tree, tmp_path / "mnt", "native") as place:
            images = sorted((place / "by-id").iterdir())
            assert [len(list(image.rglob("k*"))) for image in images] == [3 * _DEPTH] * _IMAGES
            for layer in sorted((place / "layers" / images[0].name).iterdir()):
                (found,) = (layer / "d1").iterdir()
                assert found.read_text().split() == found.name.removeprefix("k").split("_")


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "-R", "deep:0"),
        ("verify", "deep:0", "--jobs", "1", "--format", "json"),
        ("doctor",),
        ("layers", "deep:0"),
        ("find", "--all", "k1_1"),
        ("export", "--salvage", "deep:0"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_running_out_is_no_damage(deep: Path, arguments: tuple[str, ...]) -> None:
    """Without any descriptor left a command says that of the host, and nothing of the evidence."""
    expected = run_bytes(deep, *arguments)  # what it imports is loaded now
    outcomes = set()
    for spare in (0, 3, 6, 9, 12, 24):
        held = [os.open("/", os.O_PATH) for _ in range(_FEW)]
        limit = max(held) + 1
        for fd in held[:spare]:
            os.close(fd)
        try:
            with _limited(limit):
                found = run_bytes(deep, *arguments)
        finally:
            for fd in held[spare:]:
                os.close(fd)
        outcomes.add(found.code)
        if found.code == expected.code:
            assert (found.stdout[-200:], found.stderr) == (expected.stdout[-200:], expected.stderr)
        else:
            assert found.code == _HOST_ERROR
            assert "Too many open files" in found.stderr
            assert "missing" not in found.stderr
            assert "lost" not in found.stderr
    assert expected.code in outcomes
