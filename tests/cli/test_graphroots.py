"""Graph roots on the command line: names, several stores read as one, NAMEs that carry theirs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.graphrootbuilder import GraphRootBuilder
from tests.support.graphroots import GraphRootFiles
from tests.support.samples import linked, unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

IMAGES = "overlay-images/images.json"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded root of Podman 4.3; never written to."""
    return unpack_sample("podman-4.3-rootful", tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`graphroot` with `imagestore`, and `graphroot-additional` with the same as an additional store."""
    return unpack_sample("podman-5.8-imagestore", tmp_path_factory.mktemp("several"))


# -- names -----------------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Images of the same short names in several registries; each has a file that is called as it is."""
    builder = GraphRootBuilder(tmp_path / "named")
    for number, name in enumerate(
        [
            "localhost/both:latest",
            "docker.io/library/both:latest",
            "docker.io/library/hub:1",
            "quay.io/team/hub:1",
            "quay.io/team/alone:1",
            "quay.io/other/alone-not:1",
        ]
    ):
        builder.image([name], builder.layer(None, bytes([number]) * 1024), author=name)
    return builder.finish()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("both", "localhost/both:latest"),
        ("localhost/both", "localhost/both:latest"),
        ("docker.io/both", "docker.io/library/both:latest"),
        ("docker.io/library/both:latest", "docker.io/library/both:latest"),
        ("alone:1", "quay.io/team/alone:1"),
        ("team/alone:1", "quay.io/team/alone:1"),
        ("team/hub:1", "quay.io/team/hub:1"),
        ("library/hub:1", "docker.io/library/hub:1"),
        ("quay.io/team/hub:1", "quay.io/team/hub:1"),
    ],
)
def test_a_name_means(named: Path, name: str, meant: str) -> None:
    """In full what is called so; a short one that of localhost, then the only one of all registries."""
    done = layerfs(named, "inspect", name)
    assert [item["RepoTags"] for item in done.json] == [[meant]]


@pytest.mark.parametrize(
    "name", ["hub", "alone", "lone:1", "quay.io/alone:1", "localhost/hub:1", "eam/alone:1"]
)
def test_a_name_means_nothing(named: Path, name: str) -> None:
    """No other tag, no part of a word, no other registry."""
    assert layerfs(named, "inspect", name).code == 3


def test_an_ambiguous_name(named: Path) -> None:
    """All that have it are listed, and none is taken."""
    done = layerfs(named, "inspect", "hub:1")
    assert done.code == 3
    ids = {record["names"][0]: record["id"] for record in GraphRootFiles(named).records(named / IMAGES)}
    for name in ("docker.io/library/hub:1", "quay.io/team/hub:1"):
        assert ids[name] in done.stderr


def test_names_are_shown_in_full(recorded: Path) -> None:
    """As Podman has them in images.json, of images and beside containers."""
    names = {
        name
        for record in GraphRootFiles(recorded).records(recorded / IMAGES)
        for name in record.get("names", ())
    }
    rows = layerfs(recorded, "images", "-a", "--format", "json").json
    assert {f"{row['repository']}:{row['tag']}" for row in rows if row["repository"]} == names
    table = layerfs(recorded, "containers").stdout
    assert "docker.io/library/multi:1" in table


# -- several stores --------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["graphroot", "graphroot-additional"])
def test_a_layer_of_another_store(several: Path, root: str) -> None:
    """It is named with what to do; with its store the container has the tree of its image."""
    own, images = several / root, several / "imagestore"
    (container,) = layerfs(own, "containers", "-q", "--no-trunc").stdout.split()
    done = layerfs(own, "ls", container)
    assert done.code == 5
    assert "--additional-store" in done.stderr
    done = layerfs(own, "--additional-store", str(images), "find", container, "-type", "f")
    assert (done.code, done.stderr) == (0, "")
    wanted = layerfs(images, "find", "multi:1", "-type", "f").stdout.splitlines()
    assert set(wanted) <= set(done.stdout.splitlines())
    assert wanted


def test_tars_of_another_store(several: Path, tmp_path: Path) -> None:
    """Where the images are in a store of their own, the headers of the tars are in the graph root."""
    tar = tmp_path / "x.tar"
    graph, images = several / "graphroot", several / "imagestore"
    assert layerfs(images, "export", "multi:1", "-o", str(tar)).code == 5
    assert layerfs(images, "--additional-store", str(graph), "export", "multi:1", "-o", str(tar)).code == 0
    assert layerfs(tar, "verify", "--all").code == 0


def test_an_additional_store_that_is_none(recorded: Path, tmp_path: Path) -> None:
    """It is refused."""
    assert layerfs(recorded, "--additional-store", str(tmp_path), "images").code == 4


# -- NAMEs that carry their store --------------------------------------------------------------------


def test_transport(recorded: Path) -> None:
    """Skopeo's form and the short one mean the same; another driver is not there."""
    wanted = layerfs(recorded, "hashes", "multi:1")
    for name in (f"[overlay@{recorded}+/nowhere]", f"[overlay@{recorded}]", f"[{recorded}]", f"{recorded}:"):
        done = layerfs("/nowhere", "hashes", f"containers-storage:{name}multi:1")
        if "+" in name:  # the run root must be there, as what it has would be passed over
            assert done.code == 4
        else:
            assert (done.code, done.stdout) == (0, wanted.stdout)
    assert layerfs("/nowhere", "ls", f"containers-storage:[vfs@{recorded}]multi:1").code == 4


@pytest.mark.parametrize("name", ["[", "[]x", "[overlay@]x", "[overlay@x]y", "[overlay@/x+y]z", "[/x"])
def test_malformed_brackets(name: str) -> None:
    """They are refused as what they are."""
    done = layerfs("/nowhere", "ls", f"containers-storage:{name}")
    assert done.code == 3
    assert "brackets" in done.stderr


def test_records_of_the_run_root(tmp_path: Path) -> None:
    """Containers that do not last have theirs there: without it their layers have no name."""
    builder = GraphRootBuilder(tmp_path / "root")
    base = builder.layer(None, bytes(1024), lambda tree: (tree / "base").touch())
    image = builder.image(["localhost/x:latest"], base)
    own = builder.container("brief", image, base)
    (own.tree / "own").touch()
    root = builder.finish()
    run = tmp_path / "run"
    for kind, records in (("layers", builder.layers[1:]), ("containers", builder.containers)):
        place = run / f"overlay-{kind}"
        place.mkdir(parents=True)
        (place / f"volatile-{kind}.json").write_text(json.dumps(records))
        lasting = builder.layers[:1] if kind == "layers" else []
        (root / f"overlay-{kind}/{kind}.json").write_text(json.dumps(lasting))
    done = layerfs("/nowhere", "ls", f"containers-storage:[overlay@{root}+{run}]brief")
    assert done.stdout.split() == ["base", "own"]
    assert layerfs(root, "ls", "brief").code == 3
    left = layerfs(root, "ls", own.id)
    assert left.stdout.split() == ["own"]


# -- the top of a system ---------------------------------------------------------------------------


def test_the_top_of_a_system(recorded: Path, several: Path, tmp_path: Path) -> None:
    """The root in its usual place is read; every store that storage.conf names is found."""
    linked(recorded, tmp_path / "var/lib/containers/storage")
    linked(several / "graphroot", tmp_path / "srv/graph")
    linked(several / "imagestore", tmp_path / "srv/images")
    (tmp_path / "etc/containers").mkdir(parents=True)
    (tmp_path / "etc/containers/storage.conf").write_text(
        '[storage]\ngraphroot = "/srv/graph"\nimagestore = "/srv/images"\n'
        '[storage.options]\nadditionalimagestores = ["/srv/gone", 7, "relative"]\n'
    )
    assert layerfs(tmp_path, "images", "-q").stdout == layerfs(recorded, "images", "-q").stdout
    rows = {
        row["path"].removeprefix(f"{tmp_path}/"): row
        for row in layerfs(tmp_path, "stores", "--format", "json").json
    }
    assert rows.keys() == {"var/lib/containers/storage", "srv/graph", "srv/images", "srv/gone"}
    assert {row["kind"] for row in rows.values()} == {"containers-storage"}
    assert (rows["srv/images"]["images"], rows["srv/graph"]["containers"]) == (1, 1)
    assert "not there" in rows["srv/gone"]["problem"]


def test_stores_of_several_users(recorded: Path, several: Path, tmp_path: Path) -> None:
    """A system has the store of root, and one of each user: at home, by the user's file, by the system's.

    A home that is a link leads to what is there in the copy, and a store is listed once.
    """
    system = tmp_path / "system"
    home = ".local/share/containers/storage"
    for place in ("var/lib/containers/storage", f"home/ann/{home}", "home/bob/pods", "srv/eve/st", "srv/Own"):
        linked(recorded, system / place)
    linked(several / "graphroot", tmp_path / f"home/mallory/{home}")  # outside of the copy
    (system / "home/mallory").symlink_to("/home/mallory")
    (system / "home/zoe").symlink_to("ann")
    (system / "home/bob/.config/containers").mkdir(parents=True)
    (system / "home/bob/.config/containers/storage.conf").write_text(
        '[storage]\ngraphroot = "${HOME}/pods"\nimagestore = "/srv/$OTHER/$HOMES"\n'
    )
    (system / "etc/containers").mkdir(parents=True)
    (system / "etc/containers/storage.conf").write_text(
        '[storage]\ngraphroot = "/srv/Own"\nrootless_storage_path = "/srv/$USER/st"\n'
    )
    users = ("ann", "bob", "eve", "mallory", "zoe")
    lines = [f"{user}:x:{number}:{number}::/home/{user}:/bin/sh" for number, user in enumerate(users, 1000)]
    (system / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n" + "\n".join(lines) + "\n")
    rows = layerfs(system, "stores", "--format", "json").json
    found = {row["path"].removeprefix(f"{system}/"): row["user"] for row in rows if row["images"]}
    assert found == {
        "var/lib/containers/storage": None,
        "srv/Own": None,
        f"home/ann/{home}": "ann",
        "home/bob/pods": "bob",
        "srv/eve/st": "eve",
    }
    others = [(row["path"].removeprefix(f"{system}/"), row["problem"]) for row in rows if not row["images"]]
    assert [path for path, _ in others] == ["srv/$OTHER/$HOMES"]


@pytest.mark.parametrize("half", ["images", "layers"])
def test_a_half_is_lost(recorded: Path, tmp_path: Path, half: str) -> None:
    """A root is known by either directory, and what the other half tells is told."""
    root = linked(recorded, tmp_path / "root")
    shutil.rmtree(root / f"overlay-{half}")
    assert layerfs(root, "ls", "changed", "/srv").stdout == "new\n"
    done = layerfs(root, half, "-q") if half == "images" else layerfs(root, half)
    assert done.code == 1
    assert f"overlay-{half}" in done.stderr


@pytest.mark.parametrize("driver", ["btrfs", "zfs"])
def test_drivers_whose_subvolumes_are_not_mounted(tmp_path: Path, driver: str) -> None:
    """They are named."""
    for half in ("images", "layers"):
        (tmp_path / f"{driver}-{half}").mkdir()
    done = layerfs(tmp_path, "images")
    assert done.code == 4
    assert driver in done.stderr


@pytest.mark.parametrize("name", ["built:1", "localhost/built:1"])
def test_an_export_keeps_the_name(recorded: Path, tmp_path: Path, name: str) -> None:
    """The tag that a short name means here goes into the archive: Podman loads it under the same name."""
    archive = tmp_path / "built.tar"
    assert layerfs(recorded, "export", name, "-o", str(archive)).code == 0
    (row,) = layerfs(archive, "images", "--format", "json").json
    assert (row["repository"], row["tag"]) == ("localhost/built", "1")
