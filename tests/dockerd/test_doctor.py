"""What `layerfs doctor` says of damaged roots, against a real Engine that is started on them."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs.stores.docker.checks.remedies import REMEDIES
from tests.hostile.demo import Demo
from tests.support.command import configs
from tests.support.doctoring import container_id, found
from tests.support.engine import Engine, EngineError, copy_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.dockerd

STORE = "image/overlay2"
NAME = "demo:1.0"
OTHER = b"sha256:" + b"0" * 64


@pytest.fixture
def demo(dataroot_path: Path, tmp_path: Path) -> Demo:
    """The image `demo` in a copy of the recorded root for an Engine to start on."""
    return Demo(copy_root(dataroot_path, tmp_path / "root"))


def _containers(engine: Engine) -> set[str]:
    return {item["Id"] for item in engine.containers()}


# -- what is not loaded ----------------------------------------------------------------------------


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _writing(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


DROPPING: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "diff missing": ("diff", _remove, "diff-missing"),
    "diff malformed": ("diff", _writing(b"x"), "diff-malformed"),
    "size with a newline": ("size", _writing(b"8\n"), "size-malformed"),
    "cache-id empty": ("cache-id", _writing(b" "), "cache-id-malformed"),
    "parent malformed": ("parent", _writing(b"x"), "parent-malformed"),
    "parent of nothing": ("parent", _writing(OTHER), "parent-wrong"),
    "layer missing": ("", _remove, "layer-missing"),
}


@pytest.mark.parametrize(("name", "damage", "code"), DROPPING.values(), ids=DROPPING)
def test_engine_loses_just_what_is_named(
    demo: Demo, engine: Engine, name: str, damage: Callable[[Path], None], code: str
) -> None:
    """The images and containers that the Engine no longer lists are those that the finding affects."""
    path = demo.layer(4) / name
    damage(path)
    row = found(demo.root, "--quick")[code, str(path.relative_to(demo.root)).rstrip("/")]
    assert "drops" in row["at_start"]
    images, containers = {image["Id"] for image in engine.images()}, _containers(engine)
    with Engine(demo.root) as damaged:
        lost = {f"image {name}" for name in images - {image["Id"] for image in damaged.images()}}
        lost |= {f"container {name}" for name in containers - _containers(damaged)}
    assert set(row["affects"]) == lost != set()


CONTAINER: dict[str, tuple[str, bytes]] = {
    "mount-id-malformed": ("image/overlay2/layerdb/mounts/{}/mount-id", b"x"),
    "init-id-malformed": ("image/overlay2/layerdb/mounts/{}/init-id", b"x"),
    "mount-parent-malformed": ("image/overlay2/layerdb/mounts/{}/parent", b"x"),
    "container-config-malformed": ("containers/{}/config.v2.json", b'{"ID'),
}


def test_engine_loses_damaged_containers(demo: Demo, engine: Engine) -> None:
    """Each container with a damaged record is the one that the Engine no longer lists."""
    victims = [container_id(demo.root, name) for name in ("clean", "changed", "links", "odd")]
    for victim, (path, content) in zip(victims, CONTAINER.values(), strict=True):
        (demo.root / path.format(victim)).write_bytes(content)
    rows = found(demo.root, "--quick")
    for victim, (code, (path, _)) in zip(victims, CONTAINER.items(), strict=True):
        assert rows[code, path.format(victim)]["affects"] == [f"container {victim}"]
    with Engine(demo.root) as damaged:
        assert _containers(engine) - _containers(damaged) == set(victims)


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        (f"{STORE}/repositories.json", b'{"Repositories": {"demo', "names-malformed"),
        ("buildkit/snapshots.db", b"garbage", "buildkit-malformed"),
    ],
)
def test_engine_refuses_what_is_said_to_stop_it(demo: Demo, path: str, content: bytes, code: str) -> None:
    """Where a finding says that an Engine refuses to start, it does."""
    (demo.root / path).write_bytes(content)
    assert found(demo.root, "--quick")[code, path]["at_start"] == "refuses to start"
    with pytest.raises(EngineError, match="dockerd ended with"), Engine(demo.root):
        pass


# -- what fails later ------------------------------------------------------------------------------


class _Failing(NamedTuple):
    """A defect.

    Attributes:
        path: what is damaged.
        damage: how.
        code: what it is called.
        fails: what an Engine cannot do with the image.
        words: what it says of saving it.
    """

    path: Callable[[Demo], Path]
    damage: Callable[[Path], None]
    code: str
    fails: set[str]
    words: str = ""


def _absolute(path: Path) -> None:
    target = os.readlink(path).removeprefix("../")
    path.unlink()
    path.symlink_to(f"/nowhere/overlay2/{target}")


def _note(demo: Demo) -> Path:
    path = demo.root / STORE / "imagedb/metadata/sha256" / demo.image_hex / "lastUpdated"
    path.parent.mkdir(exist_ok=True)
    return path


def _short_link(demo: Demo) -> Path:
    return demo.root / "overlay2/l" / (demo.directory(4) / "link").read_text()


def _lengthen(tree: Path) -> None:
    victim = next(path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink())
    victim.write_bytes(victim.read_bytes() + b"tampered")


FAILING = {
    "diff wrong": _Failing(
        lambda demo: demo.layer(4) / "diff",
        _writing(OTHER),
        "diff-wrong",
        {"save"},
        "could not verify layer data",
    ),
    "tar-split missing": _Failing(
        lambda demo: demo.layer(4) / "tar-split.json.gz",
        _remove,
        "tar-split-missing",
        {"save"},
        "no such file",
    ),
    "base directory missing": _Failing(
        lambda demo: demo.directory(4), _remove, "directory-missing", {"save", "create"}
    ),
    "top directory missing": _Failing(
        lambda demo: demo.directory(6), _remove, "directory-missing", {"inspect", "save", "create"}
    ),
    "short link missing": _Failing(_short_link, _remove, "short-link-missing", {"inspect", "save", "create"}),
    "short link absolute": _Failing(_short_link, _absolute, "short-link-absolute", {"save", "create"}),
    "link missing": _Failing(lambda demo: demo.directory(6) / "link", _remove, "link-missing", {"create"}),
    "lower malformed": _Failing(
        lambda demo: demo.directory(6) / "lower",
        _writing(b"l/x"),
        "lower-malformed",
        {"inspect", "save", "create"},
    ),
    "time of tagging malformed": _Failing(_note, _writing(b"garbage"), "tag-time-malformed", {"inspect"}),
    "size wrong": _Failing(lambda demo: demo.layer(4) / "size", _writing(b"999999"), "size-wrong", set()),
    "file changed": _Failing(
        lambda demo: demo.directory(2) / "diff",
        _lengthen,
        "layer-altered",
        {"save"},
        "integrity",
    ),
}


@pytest.mark.parametrize("defect", FAILING.values(), ids=FAILING)
def test_engine_fails_where_it_is_said_to(demo: Demo, defect: _Failing) -> None:
    """The finding names what fails later, and just that fails: inspect, history, save, create."""
    path = defect.path(demo)
    defect.damage(path)
    row = found(demo.root)[defect.code, str(path.relative_to(demo.root))]
    assert f"image sha256:{demo.image_hex}" in row["affects"]
    assert row["at_start"] in ("", "lists images on it as ever")
    said = {"created" if word == "create" else word for word in defect.fails}
    assert all(word in row["later"] for word in said - {"created"})
    failed: dict[str, str] = {}
    with Engine(demo.root) as engine:
        assert demo.image_hex in {image["Id"].removeprefix("sha256:") for image in engine.images()}
        attempts: dict[str, Callable[[], object]] = {
            "inspect": lambda: engine.image(NAME),
            "history": lambda: engine.history(NAME),
            "save": lambda: engine.cli_bytes("save", NAME),
            "create": lambda: engine.cli("create", NAME),
        }
        for name, attempt in attempts.items():
            try:
                attempt()
            except EngineError as error:
                failed[name] = str(error)
    assert set(failed) == defect.fails
    assert defect.words in failed.get("save", "")


def test_without_lower_an_image_is_its_top_layer_alone(demo: Demo) -> None:
    """As the finding says: save goes on, and a container silently sees but the top layer."""
    lower = demo.directory(6) / "lower"
    lower.unlink()
    row = found(demo.root, "--quick")["lower-missing", str(lower.relative_to(demo.root))]
    assert "silently" in row["later"]
    assert "save still succeeds" in row["later"]
    with Engine(demo.root) as engine:
        engine.cli_bytes("save", NAME)
        container = engine.cli("create", NAME).strip()
        with tarfile.open(fileobj=io.BytesIO(engine.cli_bytes("export", container))) as archive:
            names = set(archive.getnames())
    own = {str(path.relative_to(lower.parent / "diff")) for path in (lower.parent / "diff").rglob("*")}
    assert own <= names
    assert (demo.directory(1) / "diff/bin/fx").exists()
    assert "bin/fx" not in names


def test_without_parent_a_layer_is_a_base_and_sizes_are_wrong(demo: Demo) -> None:
    """As the finding says: the Engine counts the layers from that one upwards only."""
    parent = demo.layer(4) / "parent"
    size = sum(int((demo.layer(number) / "size").read_text()) for number in (4, 5, 6))
    parent.unlink()
    assert ("parent-missing", str(parent.relative_to(demo.root))) in found(demo.root, "--quick")
    with Engine(demo.root) as engine:
        assert engine.image(NAME)["Size"] == size


# -- what stays ------------------------------------------------------------------------------------


def test_orphans_and_leftovers_stay_where_it_is_said(demo: Demo) -> None:
    """No `system prune` removes an orphan; what an Engine is said to remove it removes."""
    removing = demo.root / STORE / "layerdb/sha256" / f"{'a' * 64}-{'b' * 64}-removing"
    gone = demo.root / "overlay2" / ("a" * 64)
    shutil.copytree(demo.layer(1), removing)
    (removing / "cache-id").write_text(gone.name)
    places = {
        "transaction-left": demo.root / STORE / "layerdb/tmp/write-set-1",
        "temporary-left": demo.root / STORE / ".tmp-repositories.json1",
        "probe-left": demo.root / "overlay2/check-overlayfs-support1",
        "directory-orphaned": demo.root / "overlay2" / ("e" * 64),
        "directory-unfinished": demo.root / "overlay2" / ("f" * 64),
        "download-left": demo.root / "tmp/GetImageBlob1",
        "removing-left": removing,
    }
    for place in (gone, *places.values()):
        place.mkdir(parents=True, exist_ok=True)
    (places["directory-orphaned"] / "diff").mkdir()
    (places["directory-orphaned"] / "link").write_text("Z" * 26)
    orphans = _orphan_layers(demo.root)
    before = found(demo.root, "--quick")
    assert not any(path == f"overlay2/{gone.name}" for _, path in before)
    assert {(code, str(place.relative_to(demo.root))) for code, place in places.items()} <= before.keys()
    assert {path for code, path in before if code == "layer-orphaned"} == orphans
    with Engine(demo.root) as engine:
        assert not places["download-left"].exists()
        engine.cli("system", "prune", "--all", "--force")
        after = found(demo.root, "--quick")
    assert orphans <= {path for code, path in after if code == "layer-orphaned"}
    assert all((demo.root / path).exists() for path in orphans)
    kept = {code for code, place in places.items() if place.exists()}
    assert kept == {code for code in places if REMEDIES[code].later.startswith("takes space")}
    assert not gone.exists(), "it went with the layer that was being removed"


def _orphan_layers(root: Path) -> set[str]:
    """Remove the config and names of an image with layers of its own; where these lie."""
    names_path = root / STORE / "repositories.json"
    names = json.loads(names_path.read_bytes())
    image = names["Repositories"].pop("lab/twice")["lab/twice:1"]
    names_path.write_text(json.dumps(names))
    own = configs(root)[image]["rootfs"]["diff_ids"]
    (root / STORE / "imagedb/content/sha256" / image.removeprefix("sha256:")).unlink()
    needed = {
        diff_id for config in configs(root).values() for diff_id in config["rootfs"].get("diff_ids") or []
    }
    return {
        str(layer.relative_to(root))
        for layer in (root / STORE / "layerdb/sha256").iterdir()
        if (diff := layer / "diff").exists() and diff.read_text() in set(own) - needed
    }
