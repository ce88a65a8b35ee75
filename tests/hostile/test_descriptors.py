"""Few descriptors: any number of layers is read with them, and what cannot be is never called damage."""

from __future__ import annotations

import gc
import hashlib
import os
import resource
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from layerfs.hostdir import RESERVES
from layerfs.ids import DiffID
from layerfs.stores.docker.dataroot import DataRoot
from tests.support.command import layerfs, run_bytes
from tests.support.mounts import FUSE, served
from tests.support.rootbuilder import BuiltLayer, RootBuilder
from tests.support.tarsplit import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

_IMAGES, _DEPTH = 2, 110
_FEW = 100  # descriptors: fewer than an image has layers
_HOST_ERROR = 74


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of two images with 110 layers each, none shared, and their archives."""
    builder = RootBuilder(tmp_path_factory.mktemp("deep") / "root")
    for image in range(_IMAGES):
        top: BuiltLayer | None = None
        for number in range(_DEPTH):
            top = _add(builder, top, image, number)
        builder.image(top, f"deep:{image}")
    return builder.finish()


def _add(builder: RootBuilder, below: BuiltLayer | None, image: int, number: int) -> BuiltLayer:
    members = [_member(f"d{j}/k{image}_{number}", b"%d %d" % (image, number)) for j in range(3)]
    tar = b"".join(
        info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512) for info, content in members
    )

    def fill(diff: Path) -> None:
        for info, content in members:
            path = diff / info.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (0, 0))

    layer = builder.layer(below, fill, DiffID.from_hex(hashlib.sha256(tar + bytes(1024)).hexdigest()))
    record = builder.path / "image/overlay2/layerdb/sha256" / layer.chain_id.hex
    (record / "tar-split.json.gz").write_bytes(lines_of(iter(members)))
    return layer


def _member(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info, content


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
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_need_few_descriptors(deep: Path, arguments: tuple[str, ...]) -> None:
    """What is shown with few descriptors is what is shown with many."""
    expected = layerfs(deep, *arguments)
    assert expected.code in (0, 1)
    with _limited(_FEW):
        assert layerfs(deep, *arguments) == expected


@pytest.mark.parametrize("salvage", [(), ("--salvage",)], ids=["whole", "salvaged"])
def test_any_number_of_layers_is_exported(deep: Path, salvage: tuple[str, ...]) -> None:
    """Several images of many layers in one archive, each layer its original, with few descriptors."""
    names = [f"deep:{image}" for image in range(_IMAGES)]
    with _limited(_FEW):
        found = run_bytes(deep, "export", *salvage, *names)
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
        root = DataRoot.open(deep)
        with served(root.tree(root.image("deep:1")), tmp_path / "mnt", driver) as place:
            for name in sorted(os.listdir(place / "d2")):
                image, number = name.removeprefix("k").split("_")
                assert (place / "d2" / name).read_text() == f"{image} {number}"


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
