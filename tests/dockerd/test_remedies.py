"""What `layerfs doctor` says could be done, carried out for a real Engine: all is well then.

Each defect is on an image of its own, so that one Engine tells of many.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.stores.docker.checks.remedies import REMEDIES
from tests.support.command import layerfs
from tests.support.doctoring import container_id, found
from tests.support.engine import Engine, EngineError, copy_root
from tests.support.planting import PlacedLayer, placed_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    Row = dict[str, Any]
    Rows = dict[tuple[str, str], Row]
    Damage = Callable[[PlacedLayer], object]

pytestmark = pytest.mark.dockerd

STORE = "image/overlay2"
OTHER = "sha256:" + "0" * 64


# -- what could be done, as a table ------------------------------------------------------------------


def _write(root: Path, row: Row) -> None:
    """Write the expected value into the file, without a newline; where none is expected remove it."""
    del root
    _clear(Path(row["path"]))
    if row["expected"] != "none":
        Path(row["path"]).write_text(row["expected"])


def _write_size(root: Path, row: Row) -> None:
    """Write the size of diff/ into the file: each inode once, nothing for directories."""
    path = Path(row["path"])
    diff = root / "overlay2" / (path.parent / "cache-id").read_text() / "diff"
    status = [item.lstat() for item in diff.rglob("*")]
    path.write_text(
        str(sum({item.st_ino: item.st_size for item in status if not stat.S_ISDIR(item.st_mode)}.values()))
    )


def _write_cache_id(root: Path, row: Row) -> None:
    """Write the name of its directory: the one that no other record names."""
    records = (root / STORE / "layerdb").glob("*/*/*")
    named = {path.read_text() for path in records if path.name in ("cache-id", "mount-id", "init-id")}
    owned = {path.name for path in (root / "overlay2").iterdir() if len(path.name) in (64, 69)} - named
    (name,) = owned
    Path(row["path"]).write_text(name)


def _write_link(root: Path, row: Row) -> None:
    """Write the name of its link in l/."""
    path = Path(row["path"])
    (name,) = (link.name for link in (root / "overlay2/l").iterdir() if path.parent.name in os.readlink(link))
    path.write_text(name)


def _write_lower(root: Path, row: Row) -> None:
    """Write l/<short name> of every layer below, joined by colons."""
    path = Path(row["path"])
    records = (root / STORE / "layerdb/sha256").iterdir()
    record = next(item for item in records if (item / "cache-id").read_text() == path.parent.name)
    links = []
    while (record / "parent").exists():
        record = record.with_name((record / "parent").read_text().removeprefix("sha256:"))
        links.append("l/" + (root / "overlay2" / (record / "cache-id").read_text() / "link").read_text())
    path.write_text(":".join(links))


def _link(root: Path, row: Row) -> None:
    """Make the symbolic link again, to the expected target."""
    del root
    _clear(Path(row["path"]))
    Path(row["path"]).symlink_to(row["expected"])


def _remove(root: Path, row: Row) -> None:
    """Remove what is listed."""
    assert row["remove"], row
    for path in row["remove"]:
        assert path.startswith(f"{root}/")
        _clear(Path(path))


def _move_away(root: Path, row: Row) -> None:
    """Move the file, or buildkit/, away."""
    path = root / "buildkit" if row["code"] == "buildkit-malformed" else Path(row["path"])
    path.rename(root.parent / path.name)


def _remove_row(root: Path, row: Row) -> None:
    """Remove the row from repositories.json."""
    path = root / STORE / "repositories.json"
    names = json.loads(path.read_bytes())
    del names["Repositories"]["UPPER"]
    assert "UPPER" in row["actual"]
    path.write_text(json.dumps(names))


def _empty(root: Path, row: Row) -> None:
    """Remove what is in it."""
    del root
    _empty_directory(Path(row["path"]))


def _empty_directory(directory: Path) -> None:
    for path in directory.iterdir():
        _clear(path)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


BY_HAND: dict[str, Callable[[Path, Row], None]] = {
    **dict.fromkeys(("diff-missing", "diff-malformed", "diff-wrong", "size-wrong"), _write),
    **dict.fromkeys(("parent-missing", "parent-malformed", "parent-wrong", "init-id-missing"), _write),
    **dict.fromkeys(("cache-id-wrong", "link-wrong"), _write),
    **dict.fromkeys(("size-missing", "size-malformed"), _write_size),
    **dict.fromkeys(("cache-id-missing", "cache-id-malformed"), _write_cache_id),
    **dict.fromkeys(("link-missing", "link-malformed"), _write_link),
    **dict.fromkeys(("lower-missing", "lower-malformed", "lower-wrong"), _write_lower),
    **dict.fromkeys(("short-link-missing", "short-link-wrong", "short-link-absolute"), _link),
    **dict.fromkeys(("names-malformed", "buildkit-malformed"), _move_away),
    "name-invalid": _remove_row,
    "merged-copied": _empty,
}
"""What is done by hand with the Engine stopped, but for what is merely removed."""

RELOADED = ("config-missing", "name-dangling")
AGAIN = tuple(
    code for code, remedy in REMEDIES.items() if "remove the containers and images" in remedy.suggestion
)
BY_ENGINE = {
    "image-unused": "image prune --force",
    "container-dead": "rm",
    "container-image-missing": "export and import",
    "history-wrong": "build",
}
COPIED_AGAIN = ("store-missing", "store-malformed")
LOOKED_AT_AGAIN = ("layer-unclaimed", "directory-unclaimed")
"""What is gone, or has another code, once what is damaged is repaired."""
NOT_CARRIED_OUT = {
    "entry-unknown": "whose it is only its owner knows",
}


_LATER = {"cache": 1, "lower": 2}
"""What is found from other records, by the beginning of its code."""


def _cure(root: Path, rows: Rows, *, reload: bool = False) -> None:
    """Do by hand what each finding says; with `reload` remove records rather than write files."""
    # what is made of other records comes after them
    for (code, _), row in sorted(rows.items(), key=lambda item: _LATER.get(item[0][0][:5], 0)):
        cure = BY_HAND.get(code)
        if row["remove"] and (cure is None or (reload and REMEDIES[code].removes == "records")):
            cure = _remove
        if cure:
            cure(root, row)


def _new(root: Path, before: Rows, *options: str) -> Rows:
    """What is found now and was not in the root as it was recorded."""
    return {place: row for place, row in found(root, *options).items() if place not in before}


def _layers(root: Path, places: dict[str, tuple[str, int, Damage]]) -> None:
    """Damage one layer of each image."""
    found = {code: placed_layers(root, image)[number - 1] for code, (image, number, _) in places.items()}
    for code, layer in found.items():
        places[code][2](layer)


def _writing(name: str, text: str) -> Damage:
    return lambda layer: (layer.record / name).write_text(text)


def _removing(name: str) -> Damage:
    return lambda layer: (layer.record / name).unlink()


def _short_link(layer: PlacedLayer) -> Path:
    return layer.directory.parent / "l" / (layer.directory / "link").read_text()


def _anothers_link(layer: PlacedLayer) -> None:
    """Let `link` name the short link of another layer."""
    own = (layer.directory / "link").read_text()
    links = (path.name for path in (layer.directory.parent / "l").iterdir())
    (layer.directory / "link").write_text(min(name for name in links if name != own))


def _unclose(layer: PlacedLayer) -> None:
    """Leave the gzip stream without its end, as engines of 1.10 did."""
    path = layer.record / "tar-split.json.gz"
    packer = zlib.compressobj(wbits=31)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))


def _relink(target: str) -> Damage:
    def damage(layer: PlacedLayer) -> None:
        link = _short_link(layer)
        link.unlink()
        link.symlink_to(target.format(layer.directory.name))

    return damage


@pytest.fixture(scope="module")
def before(dataroot_path: Path) -> Rows:
    """What is found in the recorded root as it is."""
    return found(dataroot_path)


@pytest.fixture
def root(dataroot_path: Path, tmp_path: Path) -> Path:
    """A copy of the recorded root for an Engine to start on."""
    return copy_root(dataroot_path, tmp_path / "root")


def _check_works(engine: Engine, *images: str) -> None:
    """Save each image, and make a container of it and remove it."""
    for image in images:
        engine.cli_bytes("save", image)
        container = engine.cli("create", image, "/bin/fx").strip()
        engine.cli_bytes("export", container)
        engine.cli("rm", container)


# -- the tests ---------------------------------------------------------------------------------------


def test_every_remedy_is_in_a_table_here() -> None:
    """No code is left out: it is mended by hand, by the Engine, by loading again, or it is said why not."""
    done = {*BY_HAND, *AGAIN, *RELOADED, *BY_ENGINE, *COPIED_AGAIN, *LOOKED_AT_AGAIN, *NOT_CARRIED_OUT}
    done |= {code for code, remedy in REMEDIES.items() if remedy.removes}
    done |= {code for code, remedy in REMEDIES.items() if remedy.suggestion == "none needed"}
    assert done == set(REMEDIES)


WRITTEN: dict[str, tuple[str, int, Damage]] = {
    "diff-missing": ("lab/types:1", 2, _removing("diff")),
    "diff-malformed": ("lab/whiteouts:1", 2, _writing("diff", "x")),
    "diff-wrong": ("lab/opaque:1", 2, _writing("diff", OTHER)),
    "size-missing": ("lab/twice:1", 2, _removing("size")),
    "size-malformed": ("lab/nodes:1", 2, _writing("size", "8\n")),
    "size-wrong": ("lab/names:1", 2, _writing("size", "12345")),
    "parent-missing": ("lab/xattrs:1", 2, _removing("parent")),
    "parent-malformed": ("lab/tar-forms:1", 3, _writing("parent", "x")),
    "parent-wrong": ("lab/hundred:latest", 40, _writing("parent", OTHER)),
    "cache-id-missing": ("lab/attributes:1", 2, _removing("cache-id")),
    "cache-id-wrong": ("lab/hundred:latest", 60, _writing("cache-id", "0" * 64)),
    "link-wrong": ("lab/hundred:latest", 80, _anothers_link),
    "link-missing": ("lab/opaque-values:1", 2, lambda layer: (layer.directory / "link").unlink()),
    "link-malformed": ("lab/root-attributes:1", 2, lambda layer: (layer.directory / "link").write_text("?")),
    "short-link-missing": ("lab/xattr-whiteouts:1", 2, lambda layer: _short_link(layer).unlink()),
    "short-link-wrong": ("lab/xattr-whiteouts:1", 3, _relink("../nothing/diff")),
    "short-link-absolute": ("committed:1", 7, _relink("/nowhere/overlay2/{}/diff")),
    "lower-missing": ("rebuilt:latest", 2, lambda layer: (layer.directory / "lower").unlink()),
    "lower-malformed": ("config/newline:1", 2, lambda layer: (layer.directory / "lower").write_text("l/x")),
    "lower-wrong": ("lab/links:1", 2, lambda layer: (layer.directory / "lower").write_text(f"l/{'Z' * 26}")),
}  # fmt: skip


def test_what_is_written_by_hand(root: Path, before: Rows, engine: Engine) -> None:
    """Files of records written as said: an Engine lists every image again, and each works."""
    bases = [placed_layers(root, image)[0] for image in ("lab/opaque-values:1", "lab/root-attributes:1")]
    _layers(root, WRITTEN)
    for base_layer, parent in zip(bases, ("x", OTHER), strict=True):  # where none is expected
        (base_layer.record / "parent").write_text(parent)
    mounts = root / STORE / "layerdb/mounts"
    (mounts / container_id(root, "clean") / "init-id").unlink()
    names = json.loads((root / STORE / "repositories.json").read_bytes())
    base = names["Repositories"]["base"]["base:1"]
    names["Repositories"]["UPPER"] = {"UPPER:1": base}
    (root / STORE / "repositories.json").write_text(json.dumps(names))
    notes = root / STORE / "imagedb/metadata/sha256" / base.removeprefix("sha256:")
    notes.mkdir(exist_ok=True)
    (notes / "parent").mkdir()
    (notes / "lastUpdated").write_text("x")
    note = next((root / STORE / "distribution/diffid-by-digest/sha256").iterdir())
    note.write_text("{")
    rows = _new(root, before)
    others = {"init-id-missing", "name-invalid", "parent-note-malformed", "tag-time-malformed"}
    assert {code for code, _ in rows} >= {*WRITTEN, *others, "distribution-malformed"}
    _cure(root, rows)
    assert _new(root, before) == {}
    with Engine(root) as mended:
        assert {item["Id"] for item in mended.images()} == {item["Id"] for item in engine.images()}
        assert {item["Id"] for item in mended.containers()} == {item["Id"] for item in engine.containers()}
        _check_works(mended, "base:1", *dict.fromkeys(image for image, _, _ in WRITTEN.values()))
    assert {code for (code, _), row in _new(root, before).items() if row["severity"] != "note"} == set()


def _replace_by_file(path: Path) -> None:
    _clear(path)
    path.write_text("x")


LOADED: dict[str, tuple[str, int, Damage]] = {
    "layer-missing": ("lab/types:1", 2, lambda layer: _clear(layer.record)),
    "size-missing": ("lab/whiteouts:1", 3, lambda layer: _empty_directory(layer.record)),
    "layer-malformed": ("lab/xattrs:1", 2, lambda layer: _replace_by_file(layer.record)),
    "diff-malformed": ("lab/opaque:1", 3, _writing("diff", "x")),
    "size-malformed": ("lab/twice:1", 3, _writing("size", "8\n")),
    "cache-id-missing": ("lab/nodes:1", 2, _removing("cache-id")),
    "cache-id-malformed": ("lab/names:1", 2, _writing("cache-id", "")),
    "parent-malformed": ("lab/attributes:1", 2, _writing("parent", "x")),
    "tar-split-missing": ("lab/opaque-values:1", 2, _removing("tar-split.json.gz")),
    "tar-split-malformed": ("lab/root-attributes:1", 2, _writing("tar-split.json.gz", "x")),
    "tar-split-unclosed": ("lab/tar-forms:1", 3, _unclose),
    "directory-missing": ("lab/xattr-whiteouts:1", 3, lambda layer: _clear(layer.directory)),
    "directory-malformed": ("committed:1", 7, lambda layer: _replace_by_file(layer.diff)),
    "layer-altered": ("lab/links:1", 2, lambda layer: (layer.diff / "more").write_text("x")),
    "diff-wrong": ("localhost:5000/team/tagged:2", 2, _writing("diff", OTHER)),
}


CONFIGS = {"config-altered": "config/indented:1", "config-malformed": "config/offset:1"}


def _image_hex(root: Path, image: str) -> str:
    names = json.loads((root / STORE / "repositories.json").read_bytes())["Repositories"]
    return str(names[image.rpartition(":")[0]][image]).removeprefix("sha256:")


def test_what_is_loaded_again(root: Path, before: Rows, engine: Engine, tmp_path: Path) -> None:
    """Records removed as listed, or images by the Engine, then loaded again: the same, and they work."""
    images = [*dict.fromkeys(image for image, _, _ in LOADED.values()), *CONFIGS.values(), "config/arm64:1"]
    archives = {image: tmp_path / f"{number}.tar" for number, image in enumerate(images)}
    for image, archive in archives.items():
        archive.write_bytes(engine.cli_bytes("save", image))
    contents = root / STORE / "imagedb/content/sha256"
    configs = {image: contents / _image_hex(root, image) for image in images}
    _layers(root, LOADED)
    configs["localhost:5000/team/tagged:2"].unlink()  # else the config tells what is wrong with the chain
    configs["config/arm64:1"].unlink()
    configs[CONFIGS["config-altered"]].write_text("{}")
    _clear(configs[CONFIGS["config-malformed"]])
    configs[CONFIGS["config-malformed"]].mkdir()
    rows = _new(root, before)
    assert {code for code, _ in rows} >= {*LOADED, *CONFIGS, "name-dangling"}
    _cure(root, {place: row for place, row in rows.items() if place[0] not in AGAIN}, reload=True)
    rows = _new(root, before)  # without what was wrong in records that are gone
    with Engine(root) as mended:
        affected = [name for (code, _), row in rows.items() if code in AGAIN for name in row["affects"]]
        for kind in ("container", "image"):
            for name in dict.fromkeys(name for name in affected if name.startswith(kind)):
                mended.cli(*(("rm",) if kind == "container" else ("rmi", "--force")), name.split()[1])
        for archive in archives.values():
            mended.load(archive)
        assert {item["Id"] for item in mended.images(everything=False)} == {
            item["Id"] for item in engine.images(everything=False)
        }
        _check_works(mended, *images)
    for _ in range(2):  # what is left of the old layers is found then, and their short links after that
        _cure(root, _new(root, before))
    assert {code for (code, _), row in _new(root, before).items() if row["severity"] != "note"} == set()
    with Engine(root) as mended:
        _check_works(mended, *images)


def test_rmi_and_load_both_fail_over_an_emptied_record(
    root: Path, before: Rows, engine: Engine, tmp_path: Path
) -> None:
    """Why records are to be removed first: while the directory is there the Engine can do neither."""
    archive = tmp_path / "image.tar"
    archive.write_bytes(engine.cli_bytes("save", "lab/names:1"))
    layer = placed_layers(root, "lab/names:1")[1]
    _empty_directory(layer.record)
    with Engine(root) as broken:
        with pytest.raises(EngineError, match="unrecognized image ID"):
            broken.cli("rmi", "--force", "lab/names:1")
        with pytest.raises(EngineError, match="file exists"):
            broken.load(archive)
    rows = _new(root, before, "--quick")
    assert str(layer.record) in {path for row in rows.values() for path in row["remove"]}


def _plant_leftovers(root: Path) -> set[str]:
    """One of each code of what is to be removed; the codes."""
    overlay2, layerdb = root / "overlay2", root / STORE / "layerdb"
    layers = placed_layers(root, "demo:1.0")
    removing = layerdb / "sha256" / f"{'a' * 64}-{'b' * 64}-removing"
    shutil.copytree(layers[0].record, removing)
    (removing / "cache-id").write_text("a" * 64)
    files = {
        "removing-left": overlay2 / ("a" * 64) / "diff/f",
        "transaction-left": layerdb / "tmp/write-set-1/size",
        "temporary-left": root / STORE / ".tmp-repositories.json1",
        "probe-left": overlay2 / "check-overlayfs-support1/f",
        "directory-orphaned": overlay2 / ("e" * 64) / "diff/f",
        "directory-unfinished": overlay2 / ("f" * 64) / "f",
        "metadata-orphaned": root / STORE / "imagedb/metadata/sha256" / ("d" * 64) / "lastUpdated",
        "driver-left": root / "aufs/diff/layer/f",
        "version-left": root / "graph/image/json",
        "containerd-left": root / "containerd/daemon/io.containerd.content.v1.content/blobs/sha256/f",
        "merged-copied": layers[5].directory / "merged/f",
    }
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (overlay2 / ("e" * 64) / "link").write_text("E" * 26)
    (overlay2 / "l" / ("Z" * 26)).symlink_to("../nothing/diff")
    return {*files, "short-link-orphaned"}


def _damage_containers(root: Path) -> set[str]:
    """Damage one container for each code; the codes."""
    damages: dict[str, tuple[str, str, str | None]] = {
        "container-config-malformed": ("clean", "containers/{}/config.v2.json", "{"),
        "mount-id-malformed": ("changed", f"{STORE}/layerdb/mounts/{{}}/mount-id", "../.."),
        "mount-id-missing": ("crashed", f"{STORE}/layerdb/mounts/{{}}/mount-id", None),
        "init-id-malformed": ("links", f"{STORE}/layerdb/mounts/{{}}/init-id", "/etc"),
        "mount-parent-malformed": ("deep", f"{STORE}/layerdb/mounts/{{}}/parent", "x"),
        "mount-missing": ("odd", f"{STORE}/layerdb/mounts/{{}}", None),
        "container-config-missing": ("created", "containers/{}/config.v2.json", None),
        "mount-orphaned": ("orphan", "containers/{}", None),
    }
    names = {name: container_id(root, name) for name in ("zero", *(name for name, _, _ in damages.values()))}
    for name, path, text in damages.values():
        _clear(root / path.format(names[name]))
        if text is not None:
            (root / path.format(names[name])).write_text(text)
    zero = root / "containers" / names["zero"] / "config.v2.json"
    zero.write_text(json.dumps(json.loads(zero.read_text()) | {"Driver": "aufs"}))
    return {*damages, "container-driver"}


def test_what_is_removed_by_hand(root: Path, before: Rows) -> None:
    """Leftovers, orphans and lost containers removed as listed: an Engine starts and works."""
    codes = _plant_leftovers(root) | _damage_containers(root)
    config = root / STORE / "imagedb/content/sha256" / _image_hex(root, "lab/twice:1")
    names = json.loads((root / STORE / "repositories.json").read_bytes())
    del names["Repositories"]["lab/twice"]
    (root / STORE / "repositories.json").write_text(json.dumps(names))
    config.unlink()
    seen = set()
    for _ in range(5):  # what hangs on a damaged record is unclaimed until that is gone
        rows = _new(root, before)
        seen |= {code for code, _ in rows}
        _cure(root, rows)
    assert seen >= codes | {"layer-orphaned", *LOOKED_AT_AGAIN}
    left = {code for code, _ in _new(root, before) if REMEDIES[code].suggestion != "none needed"}
    assert left <= {"image-unused"}
    with Engine(root) as mended:
        mended.cli("image", "prune", "--force")
        _check_works(mended, "demo:1.0", "lab/types:1", "lab/links:1")
        assert [item["Names"] for item in mended.containers()] == [["/mounts"]]  # the one left as it was
    assert {code for (code, _), row in _new(root, before).items() if row["severity"] != "note"} == set()


def _broken(root: Path) -> set[tuple[str, str]]:
    """What is found in half a root: code and path."""
    done = layerfs(root, "doctor", "--quick", "--format", "json")
    return {(row["code"], row["path"]) for row in done.json}


def test_what_is_moved_away(root: Path, dataroot_path: Path, before: Rows) -> None:
    """With damaged names and a damaged build cache out of the way an Engine starts; images have their IDs.

    What is not there at all was copied again before that.
    """
    for code, half in zip(COPIED_AGAIN, ("image", "overlay2"), strict=True):
        _clear(root / half)
        if code == "store-malformed":
            (root / half).write_text("x")
        assert code in {found for found, _ in _broken(root)}
        shutil.rmtree(root)
        copy_root(dataroot_path, root)
    assert _new(root, before, "--quick") == {}
    image = f"sha256:{_image_hex(root, 'demo:1.0')}"
    (root / STORE / "repositories.json").write_text("{")
    (root / "buildkit/snapshots.db").write_bytes(b"garbage")
    rows = _new(root, before, "--quick")
    _cure(
        root,
        {place: row for place, row in rows.items() if place[0] in ("names-malformed", "buildkit-malformed")},
    )
    with Engine(root) as mended:
        mended.cli("tag", image, "demo:again")
        _check_works(mended, "demo:again")
    after = _new(root, before, "--quick")
    assert not {"names-malformed", "buildkit-malformed"} & {code for code, _ in after}


def test_what_an_engine_does(root: Path, before: Rows, tmp_path: Path) -> None:
    """The files of a container whose image is gone are kept; an image of a wrong history is built again."""
    store = root / STORE
    config = json.loads((store / "imagedb/content/sha256" / _image_hex(root, "demo:1.0")).read_bytes())
    config["history"] += [{"created": "2020-01-01T00:00:00Z", "created_by": "nothing"}]
    content = json.dumps(config).encode()
    wrong = hashlib.sha256(content).hexdigest()
    (store / "imagedb/content/sha256" / wrong).write_bytes(content)
    names = json.loads((store / "repositories.json").read_bytes())
    names["Repositories"]["wrong"] = {"wrong:1": f"sha256:{wrong}"}
    (store / "repositories.json").write_text(json.dumps(names))
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM demo:1.0\nLABEL again=1\n")
    assert "history-wrong" in {code for code, _ in _new(root, before, "--quick")}
    orphans = [row for (code, _), row in before.items() if code == "container-image-missing"]
    assert orphans
    with Engine(root) as mended:
        with pytest.raises(EngineError, match="history"):
            mended.history("wrong:1")
        mended.cli("rmi", "wrong:1")
        mended.build(tmp_path / "context", "--tag", "wrong:1")
        assert mended.history("wrong:1")
        for number, row in enumerate(orphans):
            container = row["subject"].split()[1]
            mended.import_tar(mended.cli_bytes("export", container), f"kept:{number}")
            mended.cli("rm", container)
            _check_works(mended, "wrong:1", f"kept:{number}")
    after = found(root, "--quick")
    assert {code for code, _ in after}.isdisjoint({"history-wrong", "container-image-missing"})


@pytest.mark.parametrize("meta", [0, 1])
def test_lost_meta_page_of_the_build_cache_stops_no_engine(root: Path, before: Rows, meta: int) -> None:
    """Bbolt opens a database with the meta page that is left: an Engine starts, as the finding says."""
    path = root / "buildkit/snapshots.db"
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[24:28], "little")  # the page size, in the first meta
    content[meta * page + 16 : meta * page + 64] = b"\xff" * 48
    path.write_bytes(content)
    new = _new(root, before, "--quick")
    told = {code: row["severity"] for (code, _), row in new.items() if row["severity"] != "note"}
    assert told == {"buildkit-state-lost": "warning"}
    with Engine(root) as engine:
        _check_works(engine, "demo:1.0")


def test_other_driver_stops_an_engine_that_is_not_told(root: Path) -> None:
    """As is said of a driver's leftover: an Engine that is not told its driver refuses to start."""

    class Untold(Engine):
        """An Engine that finds its storage driver itself."""

        def _settings(self, daemon: str) -> dict[str, Any]:
            return {key: value for key, value in super()._settings(daemon).items() if key != "storage-driver"}

    (root / "aufs/diff").mkdir(parents=True)
    with pytest.raises(EngineError, match="several valid graphdrivers"), Untold(root):
        pass
    (row,) = (row for (code, _), row in found(root, "--quick").items() if code == "driver-left")
    _remove(root, row)
    with Untold(root) as mended:
        _check_works(mended, "demo:1.0")
