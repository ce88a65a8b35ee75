"""`layerfs doctor` on damaged roots: each defect is found by its code and path, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.test_damage import DEFECTS, Defect
from tests.support.command import layerfs
from tests.support.doctoring import allocated, container_id, doctor, found
from tests.support.planting import placed_layers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.demo import Demo

    Findings = dict[tuple[str, str], dict[str, Any]]

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

CODES = {
    "diff missing": "diff-missing",
    "diff malformed": "diff-malformed",
    "diff wrong": "diff-wrong",
    "diff with a newline": None,
    "size missing": "size-missing",
    "size with a newline": "size-malformed",
    "size huge": "size-malformed",
    "cache-id missing": "cache-id-missing",
    "cache-id empty": "cache-id-malformed",
    "cache-id escaping": "cache-id-malformed",
    "cache-id absolute": "cache-id-malformed",
    "cache-id l": "cache-id-malformed",
    "cache-id with a newline": None,
    "cache-id of nothing": "cache-id-wrong",
    "parent missing": "parent-missing",
    "parent wrong": "parent-wrong",
    "parent malformed": "parent-malformed",
    "chain directory missing": "layer-missing",
    "chain directory a link": "layer-malformed",
    "diff file a link": "diff-malformed",
    "size a fifo": "size-malformed",
    "cache-id a device": "cache-id-malformed",
    "cache-id oversized": "cache-id-malformed",
    "tar-split missing": "tar-split-missing",
    "tar-split truncated": "tar-split-malformed",
    "layer directory missing": "directory-missing",
    "diff directory missing": "directory-missing",
    "diff directory a link": "directory-malformed",
    "diff directory a fifo": "directory-malformed",
    "layer directory a link": "directory-malformed",
    "link missing": "link-missing",
    "link garbage": "link-malformed",
    "link a fifo": "link-malformed",
    "link a link": "link-malformed",
    "short link missing": "short-link-missing",
    "short link leading elsewhere": "short-link-wrong",
    "short link a directory": "short-link-wrong",
    "lower missing": "lower-missing",
    "lower garbage": "lower-malformed",
    "lower shortened": "lower-wrong",
    "lower a link": "lower-malformed",
    "lower a device": "lower-malformed",
    "committed missing": None,
    "config altered": "config-altered",
    "config truncated": "config-altered",
    "config empty": "config-altered",
    "config oversized": "config-malformed",
    "config a link": "config-malformed",
    "config a fifo": "config-malformed",
    "config a device": "config-malformed",
    "config a directory": "config-malformed",
}
"""The code for each defect of `test_damage`; None where nothing is wrong."""

HARMLESS = {"directory-unclaimed"}
"""What a defect may entail: the directory of a layer whose record no longer names it."""


@pytest.fixture(scope="session")
def intact(shallow_path: Path) -> Findings:
    """What is found in the recorded root as it is."""
    return found(shallow_path, "--quick")


def test_every_defect_has_a_code() -> None:
    """No defect that the other commands are tested with is left out here."""
    assert list(CODES) == list(DEFECTS)


@pytest.mark.parametrize("name", CODES)
def test_defect_is_found_and_nothing_else(demo: Demo, intact: Findings, name: str) -> None:
    """A defect is an error with its code and its file; beside it only its consequences are found."""
    defect: Defect = DEFECTS[name]
    directory = str(demo.directory(4).relative_to(demo.root))
    path = defect.path(demo)
    defect.damage(path)
    after = found(demo.root, "--quick")
    assert after.keys() >= intact.keys()
    new = {place: row for place, row in after.items() if place not in intact}
    code = CODES[name]
    if code is None:
        assert new == {}
        return
    error = new.pop((code, str(path.relative_to(demo.root))))
    assert error["severity"] == "error"
    assert error["affects"], "an image needs it"
    assert new.keys() <= {(harmless, directory) for harmless in HARMLESS}
    assert all(row["severity"] == "note" for row in new.values())


def test_wrong_values_are_told_beside_the_right_ones(demo: Demo) -> None:
    """`diff` and `parent` of one layer, both wrong: what each should be is what was in it."""
    layer = demo.layer(4)
    right = {name: (layer / name).read_text() for name in ("diff", "parent")}
    for name in right:
        (layer / name).write_bytes(b"sha256:" + b"1" * 64)
    rows = found(demo.root, "--quick")
    for name, value in right.items():
        row = rows[f"{name}-wrong", str((layer / name).relative_to(demo.root))]
        assert (row["expected"], row["actual"]) == (value, "sha256:" + "1" * 64)


def test_layer_that_no_image_has_is_set_right_by_trying(demo: Demo) -> None:
    """Without any image's config, a layer's missing parent is the one that makes its chain ID."""
    layer = demo.layer(4)
    parent = (layer / "parent").read_text()
    for config in (demo.root / "image/overlay2/imagedb/content/sha256").iterdir():
        config.unlink()
    (layer / "parent").unlink()
    row = found(demo.root, "--quick")["parent-missing", str((layer / "parent").relative_to(demo.root))]
    assert row["expected"] == parent


def test_layer_with_another_ones_directory_is_told_its_own(demo: Demo, intact: Findings) -> None:
    """Of two layers that name the same directory the wrong one is found, with the directory it had."""
    one, other = demo.layer(3), demo.layer(4)
    own = (other / "cache-id").read_text()
    shutil.copyfile(one / "cache-id", other / "cache-id")
    rows = found(demo.root, "--quick")
    place = ("cache-id-wrong", str((other / "cache-id").relative_to(demo.root)))
    assert rows.keys() - intact.keys() == {place}
    assert (rows[place]["expected"], rows[place]["actual"]) == (own, (one / "cache-id").read_text())


def test_two_layers_of_one_directory_are_found_both(demo: Demo) -> None:
    """Where nothing tells whose a directory is, both layers that name it are named, each with the other.

    They have the same layers below them, none above, and no tar-split data.
    """
    own = placed_layers(demo.root, "lab/types:1")[-1].record
    layers = [own, own.with_name("0" * 64)]
    shutil.copytree(layers[0], layers[1])
    diff_id = f"sha256:{'1' * 64}"
    parent = (layers[0] / "parent").read_text()
    chain = hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()
    layers[1] = layers[1].rename(layers[1].with_name(chain))
    (layers[1] / "diff").write_text(diff_id)
    for layer in layers:
        (layer / "tar-split.json.gz").unlink()
    rows = found(demo.root, "--quick")
    for layer, partner in (layers, layers[::-1]):
        row = rows["cache-id-shared", str((layer / "cache-id").relative_to(demo.root))]
        assert (row["subject"], partner.name in row["actual"]) == (f"layer sha256:{layer.name}", True)


def test_absolute_short_link_is_a_warning(demo: Demo, intact: Findings) -> None:
    """A short link that names its layer by the place the root once had is found, and not called wrong."""
    link = demo.root / "overlay2/l" / (demo.directory(4) / "link").read_text()
    target = os.readlink(link).removeprefix("../")
    link.unlink()
    link.symlink_to(f"/var/lib/docker/overlay2/{target}")
    place = ("short-link-absolute", str(link.relative_to(demo.root)))
    new = found(demo.root, "--quick")
    assert new.keys() - intact.keys() == {place}
    assert new[place]["severity"] == "warning"


def test_wrong_size_and_changed_files_are_told_apart(demo: Demo, intact: Findings) -> None:
    """A wrong number is a wrong `size`; a file too many is a changed layer with a right `size`."""
    size, tree = demo.layer(4) / "size", demo.directory(1) / "diff"
    (demo.layer(4) / "size").write_text("12345")
    (tree / "added").write_bytes(b"x" * 10)
    base = int((demo.layer(1) / "size").read_text())
    new = {place: row for place, row in found(demo.root).items() if place not in intact}
    wrong = new.pop(("size-wrong", str(size.relative_to(demo.root))))
    changed = new.pop(("layer-altered", str(tree.relative_to(demo.root))))
    assert (wrong["severity"], wrong["actual"]) == ("warning", "12345")
    assert (changed["expected"], changed["actual"]) == (str(base), str(base + 10))
    assert new == {}


# -- names, containers, the build cache ------------------------------------------------------------


def test_names_are_looked_through(demo: Demo, intact: Findings) -> None:
    """Names of absent images are warnings, rows that are no names notes, a damaged file an error."""
    path = demo.root / "image/overlay2/repositories.json"
    names = json.loads(path.read_bytes())
    names["Repositories"]["ghost"] = {"ghost:1": "sha256:" + "0" * 64}
    names["Repositories"]["UPPER"] = {"UPPER:1": f"sha256:{demo.image_hex}"}
    path.write_text(json.dumps(names))
    new = {place: row for place, row in found(demo.root, "--quick").items() if place not in intact}
    assert {code: row["severity"] for (code, _), row in new.items()} == {
        "name-dangling": "warning",
        "name-invalid": "note",
    }
    path.write_bytes(b'{"Repositories": {"demo')
    new = {place: row for place, row in found(demo.root, "--quick").items() if place not in intact}
    assert [(code, row["severity"]) for (code, _), row in new.items()] == [("names-malformed", "error")]


def _clean(demo: Demo) -> str:
    return container_id(demo.root, "clean")


CONTAINERS: dict[str, tuple[str, bytes | None, str]] = {
    "mount-id missing": ("image/overlay2/layerdb/mounts/{}/mount-id", None, "mount-id-missing"),
    "mount-id malformed": ("image/overlay2/layerdb/mounts/{}/mount-id", b"../..", "mount-id-malformed"),
    "init-id missing": ("image/overlay2/layerdb/mounts/{}/init-id", None, "init-id-missing"),
    "init-id malformed": ("image/overlay2/layerdb/mounts/{}/init-id", b"/etc", "init-id-malformed"),
    "parent malformed": ("image/overlay2/layerdb/mounts/{}/parent", b"x", "mount-parent-malformed"),
    "config missing": ("containers/{}/config.v2.json", None, "container-config-missing"),
    "config truncated": ("containers/{}/config.v2.json", b'{"ID": "', "container-config-malformed"),
}


@pytest.mark.parametrize(("path", "content", "code"), CONTAINERS.values(), ids=CONTAINERS)
def test_damaged_container_is_found(
    demo: Demo, intact: Findings, path: str, content: bytes | None, code: str
) -> None:
    """A damaged record of a container is found and names it; what only it could claim is no orphan."""
    container = _clean(demo)
    name = path.format(container)
    (demo.root / name).unlink() if content is None else (demo.root / name).write_bytes(content)
    new = {place: row for place, row in found(demo.root, "--quick").items() if place not in intact}
    row = new.pop((code, name))
    severity = "warning" if code == "init-id-missing" else "error"
    assert (row["severity"], row["subject"]) == (severity, f"container {container}")
    assert {code for code, _ in new} <= {"directory-unclaimed", "layer-unclaimed"}


def test_container_without_layers_and_layers_without_container(demo: Demo, intact: Findings) -> None:
    """Of a container only its config is left, of another only its layers: each is named as what it is."""
    one, other = _clean(demo), container_id(demo.root, "links")
    shutil.rmtree(demo.root / f"image/overlay2/layerdb/mounts/{one}")
    shutil.rmtree(demo.root / f"containers/{other}")
    rows = found(demo.root, "--quick")
    new = {place: row for place, row in rows.items() if place not in intact}
    assert new["mount-missing", f"image/overlay2/layerdb/mounts/{one}"]["severity"] == "error"
    assert new["mount-orphaned", f"image/overlay2/layerdb/mounts/{other}"]["severity"] == "warning"
    held = (demo.root / f"image/overlay2/layerdb/mounts/{other}/mount-id").read_text()
    assert not any(held in path for code, path in new if code.startswith("directory"))


def test_stale_states_are_found(demo: Demo, intact: Findings) -> None:
    """A container that is dead, one of another driver, one noted as running: each is said of it."""
    path = demo.root / f"containers/{_clean(demo)}/config.v2.json"
    config = json.loads(path.read_bytes())
    config["Driver"] = "vfs"
    config["State"] |= {"Dead": True, "Running": True}
    config["Image"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(config))
    new = found(demo.root, "--quick").keys() - intact.keys()
    codes = {"container-dead", "container-driver", "container-stale", "container-image-missing"}
    assert new == {(code, str(path.relative_to(demo.root))) for code in codes}


def test_damaged_build_cache_leaves_orphans_uncertain(demo: Demo, intact: Findings) -> None:
    """Without BuildKit's database nothing is called an orphan, as its snapshots could be anything's."""
    database = demo.root / "buildkit/snapshots.db"
    database.write_bytes(b"\0" * 100)
    new = {place: row for place, row in found(demo.root, "--quick").items() if place not in intact}
    assert new.pop(("buildkit-malformed", "buildkit/snapshots.db"))["severity"] == "error"
    assert new, "the cache had layers of its own"
    assert {code for code, _ in new} <= {"layer-unclaimed", "directory-unclaimed"}


# -- leftovers -------------------------------------------------------------------------------------

STORE = "image/overlay2"
LEFTOVERS = {
    f"{STORE}/layerdb/sha256/{'a' * 64}-{'b' * 64}-removing": "removing-left",
    f"{STORE}/layerdb/tmp/write-set-123": "transaction-left",
    f"{STORE}/layerdb/sha256/junk": "entry-unknown",
    f"{STORE}/layerdb/mounts/junk": "entry-unknown",
    f"{STORE}/.tmp-repositories.json12": "temporary-left",
    f"{STORE}/imagedb/content/sha256/.tmp-{'a' * 64}12": "temporary-left",
    f"{STORE}/imagedb/content/sha256/README": "entry-unknown",
    f"{STORE}/imagedb/metadata/sha256/{'a' * 64}": "metadata-orphaned",
    f"{STORE}/distribution/diffid-by-digest/sha256/.tmp-1": "temporary-left",
    f"{STORE}/distribution/v2metadata-by-diffid/sha256/{'a' * 64}": "distribution-orphaned",
    "containers/junk": "entry-unknown",
    "overlay2/check-overlayfs-support123": "probe-left",
    "overlay2/opaque-bug-check1": "probe-left",
    "overlay2/metacopy-check1": "probe-left",
    "overlay2/.hidden": "entry-unknown",
    f"overlay2/{'c' * 64}": "directory-unfinished",
    f"overlay2/l/{'A' * 26}": "short-link-orphaned",
    "overlay2/l/lower-case": "entry-unknown",
    "tmp/GetImageBlob123": "download-left",
}
"""A directory of each name, and what it must be called."""


def test_every_leftover_is_named(demo: Demo, intact: Findings) -> None:
    """Whatever an interrupted engine or a stranger leaves is named by its kind, and nothing else is."""
    for path in LEFTOVERS:
        (demo.root / path).mkdir(parents=True)
        (demo.root / path / "content").write_bytes(b"x" * 5000)
    (demo.root / "overlay2/backingFsBlockDev").touch()
    new = {place: row for place, row in found(demo.root).items() if place not in intact}
    assert new.keys() == {(code, path) for path, code in LEFTOVERS.items()}
    assert all(row["bytes"] >= 5000 for row in new.values())


def test_what_mounts_leave_is_named(demo: Demo, intact: Findings) -> None:
    """An empty `merged/`, one that a copy filled, and the kernel's scratch files are told apart."""
    mounts = demo.root / STORE / "layerdb/mounts"
    for name, content in (("clean", ()), ("changed", ("file", "other"))):
        directory = demo.root / "overlay2" / (mounts / container_id(demo.root, name) / "mount-id").read_text()
        (directory / "merged").mkdir()
        for item in content:
            (directory / "merged" / item).write_bytes(b"x" * 5000)
        if content:
            (directory / "work/work/#1").touch()
    new = {place: row for place, row in found(demo.root).items() if place not in intact}
    assert sorted((code, row["severity"]) for (code, _), row in new.items()) == [
        ("merged-copied", "warning"),
        ("merged-left", "note"),
        ("work-left", "note"),
    ]
    (copied,) = (row for (code, _), row in new.items() if code == "merged-copied")
    assert (copied["actual"], copied["subject"]) == (
        "2 entries",
        f"container {container_id(demo.root, 'changed')}",
    )


def test_dangling_distribution_notes_are_found(demo: Demo, intact: Findings) -> None:
    """A registry's digest of a layer that is gone is a note; of a layer that is here it is nothing."""
    directory = demo.root / STORE / "distribution/diffid-by-digest/sha256"
    assert list(directory.iterdir()), "the recorded root has some"
    (directory / ("e" * 64)).write_text("sha256:" + "f" * 64)
    new = found(demo.root, "--quick").keys() - intact.keys()
    assert new == {("distribution-orphaned", str((directory / ("e" * 64)).relative_to(demo.root)))}


# -- hostile ---------------------------------------------------------------------------------------


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    os.mknod(path, 0o020666, os.makedev(1, 5))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{os.open(path.parent, os.O_PATH)}/{path.name}")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [_fifo, _device, _socket, _loop])
def test_other_types_never_hold_it_up(demo: Demo, make: Callable[[Path], None]) -> None:
    """FIFOs, devices, sockets and looping links in the places of records are named, never waited for."""
    mounts = f"{STORE}/layerdb/mounts"
    one, other, third = (container_id(demo.root, name) for name in ("clean", "links", "odd"))
    named = [
        f"{STORE}/repositories.json",
        f"{STORE}/layerdb/tmp",
        f"{STORE}/distribution/diffid-by-digest/sha256",
        "overlay2/l",
        "buildkit/snapshots.db",
        f"containers/{one}/config.v2.json",
        f"{mounts}/{other}/mount-id",
        f"{mounts}/{third}",
    ]
    work = f"overlay2/{(demo.root / mounts / one / 'mount-id').read_text()}/work"
    for place in (*named, work):
        path = demo.root / place
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)
    paths = {path for _, path in found(demo.root)}
    assert {place for place in named if not any(path.startswith(place) for path in paths)} == set()


def test_names_have_no_power_over_the_terminal(demo: Demo) -> None:
    """Names with control bytes, or of no encoding, are escaped in the report and kept in JSON."""
    name = b"\x1b[31mred\xff\n"
    place = os.fsencode(demo.root / STORE / "layerdb/tmp") + b"/" + name
    os.makedirs(place)
    report = layerfs(demo.root, "doctor", "--quick")
    assert report.code == 1
    assert "\x1b" not in report.stdout
    assert "\\x1b[31mred\\xff\\n" in report.stdout
    rows = doctor(demo.root, "--quick")
    assert any(os.fsencode(row["path"]) == place for row in rows)


def test_what_may_not_be_read_is_named_and_the_rest_goes_on(demo: Demo) -> None:
    """Without the right to read some records each is named as unreadable, and nothing is called an orphan."""
    container = _clean(demo)
    places = {
        str((demo.layer(4) / "diff").relative_to(demo.root)): "diff-unreadable",
        str(demo.config.relative_to(demo.root)): "config-unreadable",
        f"{STORE}/layerdb/mounts/{container}/mount-id": "mount-id-unreadable",
        f"containers/{container}/config.v2.json": "container-config-unreadable",
        str((demo.directory(3) / "link").relative_to(demo.root)): "link-unreadable",
        f"{STORE}/repositories.json": "names-unreadable",
    }
    for place in places:
        (demo.root / place).chmod(0)
    # root without these capabilities is the owner and nothing more
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-c"]
    command += ["from layerfs_cli.main import main; main()", "--root", str(demo.root)]
    command += ["doctor", "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    rows = {(row["code"], row["path"].removeprefix(f"{demo.root}/")): row for row in json.loads(done.stdout)}
    assert rows.keys() >= {(code, place) for place, code in places.items()}
    assert all(rows[code, place]["group"] == "unreadable" for place, code in places.items())
    # an image of the recorded root has a tree that is another owner's alone
    worse = {code for (code, _), row in rows.items() if row["severity"] != "note"} - {"directory-unreadable"}
    assert worse == set(places.values())


# -- what other engines left -----------------------------------------------------------------------

FOREIGN: dict[str, tuple[str, str]] = {
    "aufs/diff/layer/file": ("driver-left", "aufs"),
    "btrfs/subvolumes/x/file": ("driver-left", "btrfs"),
    "devicemapper/devicemapper/data": ("driver-left", "devicemapper"),
    "fuse-overlayfs/x/diff/file": ("driver-left", "fuse-overlayfs"),
    "overlay/x/root/file": ("driver-left", "overlay"),
    "vfs/dir/x/file": ("driver-left", "vfs"),
    "zfs/graph/file": ("driver-left", "zfs"),
    "overlay2.temp/x/diff/file": ("driver-left", "overlay2.temp"),
    "aufs-old/file": ("driver-left", "aufs-old"),
    "image/aufs/imagedb/content/sha256/x": ("driver-left", "image/aufs"),
    "image/devicemapper/repositories.json": ("driver-left", "image/devicemapper"),
    "graph/x/json": ("version-left", "graph"),
    "repositories-aufs": ("version-left", "repositories-aufs"),
    "linkgraph.db": ("version-left", "linkgraph.db"),
    "overlay2/overlay2.temp/file": ("entry-unknown", "overlay2/overlay2.temp"),
    "backup/file": ("entry-unknown", "backup"),
    "tmp/docker-import-1/file": ("download-left", "tmp/docker-import-1"),
    "tmp/GetImageBlob1": ("download-left", "tmp/GetImageBlob1"),
}


def test_what_other_engines_left_is_told_with_its_bytes(demo: Demo, intact: Findings) -> None:
    """Each leftover beside a good store is found by its top, with what du(1) says that it takes."""
    for path in FOREIGN:
        (demo.root / path).parent.mkdir(parents=True, exist_ok=True)
        (demo.root / path).write_bytes(b"x" * 5000)
    new = {place: row for place, row in found(demo.root).items() if place not in intact}
    assert new.keys() == set(FOREIGN.values())
    for (code, named), row in new.items():
        assert row["bytes"] == allocated([demo.root / named])
        assert row["severity"] == ("note" if code in ("entry-unknown", "download-left") else "warning")


CONTAINERD: tuple[tuple[str, bytes, bool], ...] = (
    ("content.v1.content/blobs/sha256/{}", b"\x1f\x8b layer", True),
    ("content.v1.content/blobs/sha256/{}", b'{"schemaVersion": 2}', False),
    ("snapshotter.v1.overlayfs/snapshots/1/fs/file", b"x", True),
    ("snapshotter.v1.native/snapshots/1/file", b"x", True),
    ("runtime.v2.task/moby/file", b"x", False),
)


def test_containerds_images_are_told_from_what_every_engine_keeps(demo: Demo, intact: Findings) -> None:
    """Layers and snapshots are another store's; manifests are an engine's own, with any store."""
    daemon = demo.root / "containerd/daemon"
    for path, content, is_store in CONTAINERD:
        file = daemon / f"io.containerd.{path.format('a' * 64)}"
        made = next(path for path in reversed((file, *file.parents)) if not path.exists())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        new = {place: row for place, row in found(demo.root).items() if place not in intact}
        assert new.keys() == ({("containerd-left", "containerd/daemon")} if is_store else set())
        stores = [
            part for name in ("content", "snapshotter", "metadata") for part in daemon.glob(f"*.{name}.v1.*")
        ]
        assert [row["bytes"] for row in new.values()] == [allocated(stores)] * is_store
        shutil.rmtree(made) if made.is_dir() else made.unlink()


def test_container_of_another_driver_is_no_lost_one(demo: Demo, intact: Findings) -> None:
    """A container that another driver has is told as that, with its bytes, and no record of it is missed."""
    container = _clean(demo)
    config = demo.root / "containers" / container / "config.v2.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"Driver": "aufs"}))
    mounts = demo.root / "image/overlay2/layerdb/mounts" / container
    for name in ("mount-id", "init-id"):
        directory = demo.root / "overlay2" / (mounts / name).read_text()
        (demo.root / "overlay2/l" / (directory / "link").read_text()).unlink()
        shutil.rmtree(directory)
    shutil.rmtree(mounts)
    new = {place: row for place, row in found(demo.root).items() if place not in intact}
    ((code, path),) = new
    assert (code, path) == ("container-driver", str(config.relative_to(demo.root)))
    assert new[code, path]["bytes"] == allocated([config.parent])


def test_records_to_remove_are_those_of_the_layer_and_all_above(demo: Demo) -> None:
    """Of a layer that is dropped, `remove` lists the records that stand in the way of loading it again."""
    layers = [demo.layer(number) for number in range(1, 7)]
    (layers[3] / "size").unlink()
    row = found(demo.root, "--quick")["size-missing", str((layers[3] / "size").relative_to(demo.root))]
    above = {str(path) for path in layers[3:]}
    assert set(row["remove"]) >= above
    assert all(path.startswith(f"{demo.root}/image/overlay2/layerdb/sha256/") for path in row["remove"])
    others = set(row["remove"]) - above
    assert all((demo.root / path / "parent").read_text() for path in others)
    report = layerfs(demo.root, "doctor", "--quick").stdout
    assert f"to remove: {layers[3].relative_to(demo.root)}" in report
    shutil.rmtree(layers[3])
    row = found(demo.root, "--quick")["layer-missing", str(layers[3].relative_to(demo.root))]
    assert set(row["remove"]) >= {str(path) for path in layers[4:]}
    assert str(layers[3]) not in row["remove"]
