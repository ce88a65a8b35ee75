"""`layerfs stores`: each store that lies below a directory, once, wherever engines keep them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bolt import bolt_tree
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

K3S = "var/lib/rancher/k3s/agent/containerd"
PODMAN = "home/ann/.local/share/containers/storage"
BUILDKIT = "home/ann/.local/share/buildkit"
DATABASE = "io.containerd.metadata.v1.bolt/meta.db"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The top of a system without stores, with a user and one whose home lies elsewhere."""
    top = tmp_path / "system"
    (top / "etc").mkdir(parents=True)
    (top / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"
        "out:x:1001:1001::/../../outside:/bin/sh\nno line\n"
    )
    return top


def _containerd(path: Path) -> None:
    (path / DATABASE).parent.mkdir(parents=True)
    (path / DATABASE).write_bytes(bolt_tree({b"v1": {}}))


def _podman(path: Path) -> None:
    for name in ("overlay-images", "overlay-layers"):
        (path / name).mkdir(parents=True)


def _buildkit(path: Path) -> None:
    (path / "runc-overlayfs").mkdir(parents=True)


def _found(top: Path) -> dict[str, dict[str, Any]]:
    """The rows by their paths below the directory."""
    done = layerfs(top, "stores", "--format", "json")
    assert done.code == 0
    rows = {str(row.pop("path")).removeprefix(f"{top}").lstrip("/"): row for row in done.json}
    assert len(rows) == len(done.json)
    return rows


def test_a_system_without_stores(system: Path) -> None:
    """Nothing is found where nothing is."""
    assert _found(system) == {}


def test_usual_places_and_homes(system: Path) -> None:
    """Each is found with its owner and user, and said not to be read yet where it is not."""
    _containerd(system / K3S)
    _podman(system / PODMAN)
    _podman(system.parent / "outside/.local/share/containers/storage")
    _buildkit(system / BUILDKIT)
    rows = _found(system)
    assert rows.keys() == {K3S, PODMAN, BUILDKIT}
    assert (rows[K3S]["kind"], rows[K3S]["owner"], rows[K3S]["user"]) == ("containerd", "k3s", None)
    assert (rows[PODMAN]["kind"], rows[PODMAN]["owner"], rows[PODMAN]["user"]) == (
        "containers-storage",
        "podman",
        "ann",
    )
    assert (rows[PODMAN]["problem"], rows[PODMAN]["images"], rows[PODMAN]["containers"]) == (None, 0, 0)
    assert (rows[BUILDKIT]["problem"], rows[BUILDKIT]["images"]) == ("not read yet", None)


def test_homes_without_their_system(system: Path) -> None:
    """A home, or a directory of homes, is searched too; who its user is nobody says there."""
    _podman(system / PODMAN)
    path = PODMAN.removeprefix("home/")
    assert {path: row["user"] for path, row in _found(system / "home").items()} == {path: None}
    assert _found(system / "home/ann").keys() == {path.removeprefix("ann/")}
    assert _found(system)[PODMAN]["user"] == "ann"


def test_a_store_that_is_read_is_counted(dataroot_path: Path) -> None:
    """Its images, containers and bytes are those that the other commands tell."""
    row = _found(dataroot_path)[""]
    assert (row["kind"], row["owner"], row["problem"]) == ("docker", "docker", None)
    listed = layerfs(dataroot_path, "images", "-a", "-q", "--no-trunc").stdout.split()
    assert row["images"] == len(set(listed))
    assert row["containers"] == len(layerfs(dataroot_path, "containers", "-q").stdout.split())
    layers = layerfs(dataroot_path, "layers", "--format", "json").json
    assert row["size"] == sum(layer["size"] or 0 for layer in layers if layer["chain_id"])


def test_stores_in_volumes_of_stores(system: Path) -> None:
    """An engine in a container keeps its store in a volume, mounted as the store or as /var."""
    outer = system / "var/lib/docker"
    for name in ("containers", "engine-id"):
        (outer / name).mkdir(parents=True)
    _podman(outer / "volumes/storage/_data")
    _containerd(outer / "volumes/node/_data/lib/containerd")
    rows = _found(system)
    assert rows.keys() == {
        "var/lib/docker",
        "var/lib/docker/volumes/storage/_data",
        "var/lib/docker/volumes/node/_data/lib/containerd",
    }
    assert {row["inside"] for row in rows.values()} == {None, str(outer)}


def test_links_are_resolved_beneath(system: Path) -> None:
    """What a link in a usual place names is looked for in the evidence, and never on the host."""
    outside = system.parent / "outside"
    _containerd(outside)
    _podman(system / "data/podman")
    (system / "var/lib/containers").mkdir(parents=True)
    (system / "var/lib/containers/storage").symlink_to("/data/podman")
    (system / "var/lib/containerd").symlink_to(f"../../../{outside.name}")
    (system / "var/lib/docker").symlink_to(outside)
    (system / "var/lib/buildkit").symlink_to("buildkit")
    assert _found(system).keys() == {"data/podman"}


def test_copies_of_systems_side_by_side(system: Path) -> None:
    """A directory of evidence: what lies below each of its directories."""
    _containerd(system / "var/lib/containerd")
    _podman(system.parent / "copied")
    os.mkfifo(system.parent / "fifo")
    assert _found(system.parent).keys() == {"copied", "system/var/lib/containerd"}


def _lose(name: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / name)


def _spoil(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(b"{")


@pytest.mark.parametrize(
    ("damage", "unknown", "named"),
    [
        (_lose("image"), {"images", "size"}, "image: the directory is missing"),
        (_lose("overlay2"), set(), "overlay2: the directory is missing"),
        (_spoil("image/overlay2/repositories.json"), set(), "repositories.json: truncated or invalid JSON"),
    ],
    ids=["records lost", "files lost", "names spoiled"],
)
def test_what_is_known_of_a_damaged_store(
    copy: Path, damage: Callable[[Path], object], unknown: set[str], named: str
) -> None:
    """Its kind and place, and each number that the intact root has, or none where what told it is gone."""
    intact = _row(copy)
    damage(copy)
    done = layerfs(copy, "stores", "--format", "json")
    assert (done.code, f"{copy}/{named}" in done.stderr or named in done.stderr) == (1, True)
    row = next(row for row in done.json if row["path"] == str(copy))
    known = intact.keys() - unknown - {"problem"}
    assert {key: row[key] for key in known} == {key: intact[key] for key in known}
    assert {key for key in ("images", "containers", "size") if row[key] is None} == unknown


def _row(root: Path) -> dict[str, Any]:
    """The row of a root itself."""
    done = layerfs(root, "stores", "--format", "json")
    row: dict[str, Any] = next(row for row in done.json if row["path"] == str(root))
    return row


def test_a_store_that_cannot_be_read_at_all_says_so(system: Path) -> None:
    """One of another storage driver is known, with a problem, and no numbers."""
    for name in ("image/btrfs", "containers"):
        (system / "var/lib/docker" / name).mkdir(parents=True)
    row = _found(system)["var/lib/docker"]
    assert row["kind"] == "docker"
    assert row["problem"]
    assert {row[key] for key in ("images", "containers", "size")} == {None}


# -- stores that were moved --------------------------------------------------------------------------

CONFIGS = {
    "etc/docker/daemon.json": ('{"data-root": "%s"}', "docker"),
    "etc/containerd/config.toml": ('version = 2\nroot = "%s"\n[grpc]\nroot = "/not/this"\n', "containerd"),
    "etc/rancher/k3s/config.yaml": ("server: x\ndata-dir: '%s' # a disk\n", "k3s"),
    "etc/rancher/rke2/config.yaml": ("data-dir: %s\n", "rke2"),
    "etc/containers/storage.conf": ('[storage]\ngraphroot = "%s"\n', "podman"),
    "etc/buildkit/buildkitd.toml": ('root = "%s"\n', "buildkit"),
    "home/ann/.config/docker/daemon.json": ('\ufeff{"graph": "%s"}', "docker"),
    "home/ann/.config/containerd/config.toml": ("root = '%s'\n", "containerd"),
    "home/ann/.config/containers/storage.conf": ('[storage]\ngraphroot = "%s"\n', "podman"),
    "home/ann/.config/buildkit/buildkitd.toml": ('root = "%s"\n', "buildkit"),
}
BELOW = {"k3s": "/agent/containerd", "rke2": "/agent/containerd"}


def _configure(system: Path, name: str, text: str | bytes) -> None:
    (system / name).parent.mkdir(parents=True, exist_ok=True)
    (system / name).write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("path", ["/srv/moved", "/../../srv//./moved/", "/disk/moved"])
def test_a_moved_store_is_found(system: Path, name: str, path: str) -> None:
    """Where the engine's own file says, beneath the evidence, also by a link there; with owner and user."""
    text, owner = CONFIGS[name]
    _configure(system, name, text % path)
    _podman(system / f"srv/moved{BELOW.get(owner, '')}")
    (system / "disk").symlink_to("/srv")
    rows = _found(system)
    assert list(rows) == [f"srv/moved{BELOW.get(owner, '')}"]
    row = next(iter(rows.values()))
    assert (row["owner"], row["user"]) == (owner, "ann" if name.startswith("home") else None)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("why", ["not there", "no store"])
def test_a_moved_store_that_is_not_there_is_told(system: Path, name: str, why: str) -> None:
    """Its disk was not copied, or not mounted: a row says where it should be, and which file says so."""
    text, owner = CONFIGS[name]
    _configure(system, name, text % "/srv/moved")
    if why == "no store":
        (system / "srv/moved/agent/containerd").mkdir(parents=True)
    rows = _found(system)
    assert list(rows) == [f"srv/moved{BELOW.get(owner, '')}"]
    row = next(iter(rows.values()))
    assert row["owner"] == owner
    assert row["problem"] == f"{why}; named by {system}/{name}"


@pytest.mark.parametrize("name", CONFIGS)
def test_a_moved_store_is_never_outside(system: Path, name: str) -> None:
    """A path that goes up, and a link that does, are beneath the evidence, where nothing is."""
    outside = system.parent / "outside"
    _podman(outside)
    _podman(outside / "agent/containerd")
    (system / "link").symlink_to("../outside")
    for path in ("/../outside", "/link", str(outside), "outside", "../outside"):
        _configure(system, name, CONFIGS[name][0] % path)
        done = layerfs(system, "stores", "--format", "json")
        problems = [row["problem"] for row in done.json]
        assert problems == ([f"not there; named by {system}/{name}"] if path.startswith("/") else [])
        assert all(row["path"].startswith(f"{system}/") for row in done.json)


HOSTILE = {
    "cut": b'{"a": [',
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 60_000,
    "deep in TOML": b"a=" + b"[" * 60_000,
    "a long key": b".".join([b"a"] * 30_000) + b"=1",
    "large": b" " * (1 << 17),
}


@pytest.mark.parametrize("name", ["etc/docker/daemon.json", "etc/containerd/config.toml"])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_configuration_hides_nothing(system: Path, name: str, content: bytes) -> None:
    """It is named, with exit code 1, and all other stores are listed."""
    _configure(system, name, content)
    _podman(system / PODMAN)
    done = layerfs(system, "stores", "--format", "json")
    assert [row["path"] for row in done.json] == [f"{system}/{PODMAN}"]
    assert done.code == 1
    assert f"{system}/{name}" in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b'{"data-root": 5}', b'{"data-root": "rel"}', b'{"data-root": "/\\u0000"}'),
        *(b'{"data-root": "/"}', b'{"data-root": "/var/lib/docker"}'),
    ],
)
def test_a_configuration_that_moves_nothing(system: Path, content: bytes) -> None:
    """Nothing is added, and nothing said."""
    _configure(system, "etc/docker/daemon.json", content)
    assert _found(system) == {}


def test_a_configuration_that_is_no_file(system: Path) -> None:
    """A FIFO is not opened, a link leads to a file beneath the evidence."""
    (system / "etc/docker").mkdir()
    os.mkfifo(system / "etc/docker/daemon.json")
    done = layerfs(system, "stores", "--format", "json")
    assert (done.code, done.json) == (1, [])
    (system / "etc/docker/daemon.json").unlink()
    (system / "etc/docker/daemon.json").symlink_to("/etc/static.json")
    _configure(system, "etc/static.json", '{"data-root": "/srv/moved"}')
    _podman(system / "srv/moved")
    assert list(_found(system)) == ["srv/moved"]


# -- what is shown -------------------------------------------------------------------------------------


def test_a_table_keeps_problems_below(system: Path) -> None:
    """No cell is wider for a problem; each is told once, with its store."""
    _buildkit(system / BUILDKIT)
    lines = layerfs(system, "stores").stdout.splitlines()
    assert lines[0].split() == ["OWNER", "IMAGES", "CONTAINERS", "SIZE", "PATH"]
    assert lines[1].split() == ["buildkit", "of", "ann", "N/A", "N/A", "N/A", f"{system}/{BUILDKIT}"]
    assert lines[2:] == ["", f"{system}/{BUILDKIT}: not read yet"]
    assert layerfs(system, "stores", "--format", "{{.Path}} {{.Problem}}").stdout == f"{lines[3]}\n".replace(
        ": ", " "
    )


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "tsv", "github", "{{.Path}}"])
def test_what_fails_prints_nothing(system: Path, form: str) -> None:
    """No header is left of a list that cannot be had."""
    done = layerfs(system / "etc/passwd", "stores", "--format", form)
    assert (done.code, done.stdout) == (4, "")
    assert "Not a directory" in done.stderr


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """It is said, with the exit code of a root that cannot be read."""
    done = layerfs("/", "stores", str(tmp_path / "none"))
    assert (done.code, done.stdout) == (4, "")
    assert "No such file or directory" in done.stderr
