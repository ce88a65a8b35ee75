"""Archives beside a real Engine: what it loads and the kernel stacks is the tree that we read."""

from __future__ import annotations

import gzip
import json
import random
import stat
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.archives import Archive, Image, Layer
from fixtures.images import archive as hand_made
from layerfs import DataRoot
from layerfs.stores.archive.store import ArchiveStore
from tests.support.engine import Engine, EngineError
from tests.support.kernel import kernel_snapshot, refusals
from tests.support.layouts import layer_of
from tests.support.mounts import stacked_by_docker
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.stores.archive.images import ArchiveImage
    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.dockerd, pytest.mark.kernel]

SAMPLES = Path(__file__).parents[2] / "fixtures/stores"
SEEDS = range(20)
KINDS = ("file", "file", "dir", "dir", "symlink", "whiteout", "opaque", "node", "fifo")
NAMES = ("a", "b", "a/x", "a/y", "b/x", "a/d", "a/d/z", "c", "c/x", "d")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine that has nothing."""
    with Engine(tmp_path_factory.mktemp("archives") / "root") as running:
        yield running


def _told(expected: Snapshot, found: Snapshot) -> tuple[Snapshot, Snapshot]:
    """Both without what no archive tells: when the Engine made a directory that no header names."""
    for path, entry in found.items():
        if stat.S_ISDIR(entry.mode) and not entry.mtime_ns and path in expected:
            expected[path] = replace(expected[path], mtime_ns=0)
    return expected, found


def _compare(engine: Engine, store: ArchiveStore, images: list[ArchiveImage]) -> None:
    """Each image beside the Engine's: its ID, sizes, and the tree that the kernel shows of its layers."""
    root = DataRoot.open(engine.root)
    for image in images:
        theirs = root.load_image(image.id)
        assert theirs is not None, image.name
        assert theirs.chain == image.chain
        assert root.size(theirs) == store.size(image) == engine.image(image.id)["Size"]
        assert [layer.size for layer in root.chain(theirs)] == [layer.size for layer in store.chain(image)]
        if not image.chain:
            continue
        stack = stacked_by_docker(engine.root, root.chain(theirs)[-1].cache_id)
        expected = refusals(kernel_snapshot(stack, redirects=True))
        found = refusals(tree_snapshot(store.tree(image)))
        assert diff_snapshots(*_told(expected, found)) == [], image.name


def _loaded(engine: Engine, path: Path) -> ArchiveStore:
    engine.load(path)
    return ArchiveStore.open(path)


def test_hand_made_images(engine: Engine, tmp_path: Path) -> None:
    """Every oddity that the recorded root was made of: the file alone tells what the Engine made of it."""
    base = layer_of({"bin/fx": b"no program\n", "etc/motd": b"hello\n"})
    path = tmp_path / "hand-made.tar"
    path.write_bytes(hand_made(base))
    store = _loaded(engine, path)
    images = store.images()
    assert len(images) > 20
    names = {str(name) for image in images for name in image.references}
    assert names <= {tag for image in engine.images() for tag in image["RepoTags"] or []}
    _compare(engine, store, images)


@pytest.mark.parametrize("name", ["docker20-save-legacy", "podman-4.3-docker-archive"])
def test_recorded_archives(name: str, engine: Engine) -> None:
    """Archives as engines wrote them, compressed as a whole."""
    store = _loaded(engine, SAMPLES / f"{name}.tar.xz")
    _compare(engine, store, store.images())


def test_before_1_10(engine: Engine, tmp_path: Path) -> None:
    """Without `manifest.json` the Engine makes a config; ours has the same ID if no old engine wrote it."""
    with tarfile.open(SAMPLES / "docker20-save-legacy.tar.xz") as tar:
        tar.extractall(tmp_path / "old", filter="data")
    (tmp_path / "old/manifest.json").unlink()
    for name in (tmp_path / "old").glob("*/json"):
        document = json.loads(name.read_bytes())
        document |= {"docker_version": "1.9.1", "author": "<A & B>"}
        name.write_text(json.dumps(document, separators=(",", ":")))
    with tarfile.open(tmp_path / "old.tar", "w") as tar:
        tar.add(tmp_path / "old", ".")
    store = _loaded(engine, tmp_path / "old.tar")
    images = store.images()
    assert images
    _compare(engine, store, images)


def _random_layer(rng: random.Random) -> bytes:
    """A layer of a few names in any order, as odd as an Engine may still unpack it."""
    layer, made = Layer(), dict[str, str]()
    for _ in range(rng.randrange(1, 14)):
        name = rng.choice(NAMES)
        above = [name[:at] for at, letter in enumerate(name) if letter == "/"]
        if name in made or any(made.get(path, "dir") not in ("dir", "opaque") for path in above):
            continue  # the Engine refuses a name twice in a tar, and most ways through what is no directory
        targets = [path for path, what in made.items() if what == "file"]
        made[name] = rng.choice([*KINDS, *(["link"] * bool(targets))])
        _add_random(layer, rng, name, made[name], targets)
    return layer.done()


def _add_random(layer: Layer, rng: random.Random, name: str, kind: str, targets: list[str]) -> None:
    """One entry of a kind, spelled somehow."""
    fields: dict[str, Any] = {"uid": rng.choice([0, 1000]), "mtime": rng.choice([0, 1, 1_600_000_000, -5])}
    spelled = rng.choice([name, f"./{name}", f"/{name}", f"a/../{name}"])
    device = rng.choice([tarfile.CHRTYPE, tarfile.BLKTYPE])
    ways: dict[str, Callable[[], object]] = {
        "file": lambda: layer.file(spelled, rng.randbytes(3), rng.choice([0o644, 0o4755]), **fields),
        "dir": lambda: layer.dir(spelled, rng.choice([0o755, 0o1777, 0o700]), **fields),
        "symlink": lambda: layer.symlink(name, rng.choice(["a", "../b", "/c", "nowhere", "a/d"]), **fields),
        "link": lambda: layer.add(
            name, tarfile.LNKTYPE, linkname=rng.choice(targets), mode=rng.choice([0o600, 0o755]), **fields
        ),
        "whiteout": lambda: layer.whiteout(name),
        "opaque": lambda: layer.file(f"{name}/.wh..wh..opq"),
        "node": lambda: layer.node(name, device, rng.randrange(3), rng.randrange(3)),
        "fifo": lambda: layer.add(name, tarfile.FIFOTYPE, mode=0o600, **fields),
    }
    ways[kind]()


def test_generated_images(engine: Engine, tmp_path: Path) -> None:
    """Layers of anything in any order, compressed and not: whatever the Engine unpacks, we show alike."""
    accepted = 0
    for seed in SEEDS:
        rng = random.Random(seed)  # noqa: S311 - the same layers each time
        layers = [_random_layer(rng) for _ in range(rng.randrange(1, 5))]
        path = tmp_path / f"{seed}.tar"
        content = Archive([Image([f"made:{seed}"], layers, None)]).done()
        path.write_bytes(gzip.compress(content) if seed % 3 == 0 else content)
        try:
            store = _loaded(engine, path)
        except EngineError:
            continue  # what it refuses is no image
        accepted += 1
        _compare(engine, store, store.images())
    assert accepted > len(SEEDS) // 2
