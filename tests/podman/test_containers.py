"""Containers of a real Podman and Buildah, told as `podman ps`, `inspect` and `diff` tell them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.archives import Archive, Image, Layer
from layerfs.stores.containers_storage.hiddenpaths import HIDDEN_PATHS
from layerfs.stores.registry import Options, open_store
from tests.support.command import layerfs
from tests.support.podman import FORMS, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerfs.store import Store
    from tests.support.podman import Podman

pytestmark = [pytest.mark.podman, pytest.mark.root]

IMAGE = "docker.io/library/base:1"


MANY = (
    "rmtree", "/srv", ",", "mkdir", "/srv", ",", "mkdir", "/srv/www", ",", "write", "/srv/www/index", "2",
    ",",
    "chmod", "700", "/opt", ",", "append", "/opt/x", "y", ",", "mkdir", "/n", ",", "mkdir", "/n/m", ",",
    "write", "/n/m/f", "f", ",", "rm", "/a/b/c", ",", "mkdir", "/a/b/d", ",", "mv", "/a/b/d", "/a/b/e", ",",
    "rm", "/a/link", ",", "write", "/a/kept/f", "g", ",", "rmtree", "/over", ",", "write", "/over", "file",
    ",",
    "write", "/run/mine", "r", ",", "write", "/etc/fresh", "e", ",", "chmod", "600", "/etc/motd",
)  # fmt: skip
"""What a container does in which everything happens that a list of changes can tell."""


@pytest.fixture(scope="module")
def engine(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Containers of every sort that differ in what is told of them."""
    program = next(dataroot_path.glob("overlay2/*/diff/bin/fx")).read_bytes()
    layer = Layer().dir("bin").file("bin/fx", program, 0o755).dir("etc").file("etc/motd", b"m").dir("srv")
    layer.dir("srv/www").file("srv/www/index", b"i").file("srv/old", b"o").dir("opt").file("opt/x", b"x")
    layer.dir("a").dir("a/b").file("a/b/c", b"c").dir("a/kept").file("a/kept/f", b"f").symlink(
        "a/link", "kept"
    )
    upper = Layer().dir("opt").whiteout("opt/never").dir("a").dir("a/b").file("a/b/upper", b"u").dir("over")
    upper.opaque("a/kept").file("a/kept/new", b"n")
    path = tmp_path_factory.mktemp("podman-containers")
    with running(path, FORMS["rootful"]) as found:
        (path / "bound").mkdir()
        archive = Archive(
            [Image([IMAGE], [layer.done(), upper.done()], "2026-01-01T00:00:00Z", {"Cmd": ["/bin/fx"]})]
        )
        (path / "images.tar").write_bytes(archive.done())
        found("load", "--quiet", "--input=images.tar")
        found("pod", "create", "--name=shop", "--label=tier=web", "--infra=false")
        found("volume", "create", "data")
        options = ["--pull=never", "--network=none", "--ulimit=nofile=512:512", "--ulimit=nproc=512:512"]
        found("create", *options, "--pod=shop", "--name=inpod", IMAGE, "/bin/fx", "ls", "/")
        mounts = ["-v=data:/data", "-v=/mnt/work/bound:/b:ro", "--tmpfs=/t", "-v=/unnamed"]
        more = ["--label=a=b", "--entrypoint=/bin/fx", "-e=X=1", "-u=5:6", "-w=/srv", "--hostname=hh"]
        found("create", *options, *mounts, *more, "--name=mounted", IMAGE, "ls", "/")
        found.start("ended", IMAGE, "/bin/fx", "write", "/etc/motd", "w", ",", "write", "/srv/x", "y")
        found.start("many", IMAGE, "/bin/fx", *MANY)
        found.create("fails", IMAGE, "/bin/fx", "ls", "/absent")
        found("start", "fails")
        found("wait", "fails")
        found.buildah("from", "--name=working", "--pull-never", IMAGE)
        yield found


@pytest.fixture
def store(engine: Podman) -> Iterator[Store]:
    """The same root, read by layerfs without a complaint."""
    found = open_store(engine.root, Options())
    yield found
    assert found.damage == []


def _listed(engine: Podman) -> dict[str, Any]:
    """What layerfs lists, by name."""
    done = layerfs(engine.root, "containers", "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    return {row["name"]: row for row in done.json}


def test_ps(engine: Podman) -> None:
    """Every container, Buildah's too, with its ID, image, state, exit code and times."""
    told = {row["Names"][0]: row for row in engine.json("ps", "--all", "--external")}
    ours = _listed(engine)
    assert ours.keys() == told.keys() == {"inpod", "mounted", "ended", "many", "fails", "working"}
    for name, row in told.items():
        found = ours[name]
        assert found["id"] == row["Id"]
        assert (found["image"], found["image_id"]) == (row["Image"], f"sha256:{row['ImageID']}")
        assert found["labels"] == (row["Labels"] or {})
        assert (found["pod_id"] or "") == row["Pod"]
        if name == "working":
            assert (row["State"], found["recorded_state"], found["kind"]) == (
                "storage",
                None,
                "working container",
            )
            continue
        assert found["state"] == row["State"]
        assert (found["exit_code"] or 0) == row["ExitCode"]
        assert {mount["destination"] for mount in found["mounts"]} == set(row["Mounts"]) - {"/t"}
        assert found["kind"] == "container"
    assert ours["fails"]["exit_code"] > 0
    assert ours["inpod"]["pod"] == "shop"
    assert ours["inpod"]["pod_labels"] == {"tier": "web"}


def test_inspect(engine: Podman) -> None:
    """The fields that both have, of every container of Podman."""
    for name in ("inpod", "mounted", "ended", "fails"):
        (told,) = json.loads(engine("container", "inspect", name))
        (found,) = layerfs(engine.root, "inspect", name).json
        same = ("Id", "Name", "Created", "Path", "Args", "Driver")
        assert {key: found[key] for key in same} == {key: told[key] for key in same}
        assert found["Image"] == f"sha256:{told['Image']}"
        its = {key: _time(value) for key, value in told["State"].items()}
        assert {key: its[key] for key in found["State"]} == found["State"]
        mounts = [{key: mount[key] for key in mount if key in _MOUNT} for mount in told["Mounts"]]
        assert found["Mounts"] == mounts
        config = told["Config"]
        for key in ("Tty", "WorkingDir", "Image"):
            assert found["Config"][key] == config[key]
        assert found["Config"]["Labels"] == (config["Labels"] or {})
        assert found["Libpod"]["Config"]["CreateCommand"] == config["CreateCommand"]
        assert set(found["Config"]["Env"]) <= set(config["Env"])


_MOUNT = ("Type", "Name", "Source", "Destination", "RW")


def _time(value: Any) -> Any:
    """A time as we tell it: none for never."""
    return None if value == "0001-01-01T00:00:00Z" else value


def test_pods(engine: Podman, store: Store) -> None:
    """The pod of a container, and what can be asked by it."""
    (told,) = engine.json("pod", "ps")
    pod = store.container("inpod").pod
    assert pod
    assert (pod.name, pod.id, pod.labels) == (told["Name"], told["Id"], told["Labels"])
    for word in ("shop", told["Id"][:12]):
        rows = layerfs(engine.root, "containers", "-f", f"pod={word}", "--format", "{{.Names}}").stdout
        assert rows == "inpod\n"
    assert store.container("shop/inpod").name == "inpod"
    assert not store.has_pods


def test_the_hidden_paths_are_what_podman_hides(engine: Podman) -> None:
    """What we tell of a container that ran, and Podman does not, is hidden; nothing that it tells is."""
    done = layerfs(engine.root, "diff", "ended", "--docker")
    assert (done.code, done.stderr) == (1, "")
    ours, told = set(done.stdout.splitlines()), set(engine("diff", "ended").splitlines())
    hidden = {path.decode() for path in HIDDEN_PATHS}
    assert told == {line for line in ours if line[2:] not in hidden}
    assert {"A /srv/x", "C /etc/motd"} <= told < ours
    assert set(layerfs(engine.root, "diff", "ended").stdout.splitlines()) == told


def test_changes_are_those_of_the_layer(engine: Podman) -> None:
    """Directories made again, whole new ones, changed ones, and files in the place of directories.

    A file that an opaque directory of the image hides was not there: Podman, which looks into each layer by
    itself, finds it all the same.
    """
    told = ["A /a/kept/f" if line == "C /a/kept/f" else line for line in engine("diff", "many").splitlines()]
    done = layerfs(engine.root, "diff", "many")
    assert done.stdout.splitlines() == sorted(told, key=lambda line: line[2:].encode())
    assert {"D /srv", "A /n/m/f", "D /a/link", "C /over", "A /run/mine"} <= set(told)


@pytest.mark.parametrize("name", ["inpod", "mounted", "ended", "working"])
def test_whois(engine: Podman, store: Store, name: str) -> None:
    """A container by its name, its ID, and the ID of its layer."""
    container = store.container(name)
    for word in (name, container.id, container.id[:12], container.own[0].cache_id):
        done = layerfs(engine.root, "whois", word)
        assert done.code == 0, done.stderr
        assert name in done.stdout
