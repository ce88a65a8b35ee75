"""Containers of a graph root: two records of each, either of which may be lost, wrong, or hostile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.hostdir import HostDir
from layerfs.ids import ChainID, ContainerID
from layerfs.stores.containers_storage.containers import Containers
from tests.support.libpod import (
    EXITED,
    RUNNING,
    TIME,
    config,
    identity,
    podman_metadata,
    state,
    stored,
    write_bolt,
    write_sqlite,
    write_storage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from layerfs.model import Container

    Write = Callable[..., None]

TOP = ChainID.of(b"top")
WRITERS = {"db.sql": write_sqlite, "bolt_state.db": write_bolt}


class _Layers:
    """Layers that are all there but for some, and stand on one image."""

    def __init__(self, missing: tuple[str, ...] = (), names: Mapping[str, str] | None = None) -> None:
        self.missing = missing
        self.names = names or {}
        self.asked: list[tuple[str, str]] = []

    def has_layer(self, layer_id: str) -> bool:
        return layer_id not in self.missing

    def layer_called(self, name: str) -> str | None:
        return self.names.get(name)

    def top_below(self, layer_id: str, image_id: str) -> ChainID | None:
        self.asked.append((layer_id, image_id))
        return TOP


def _open(
    root: Path, told: list[str] | None = None, layers: _Layers | None = None, run: Path | None = None
) -> Containers:
    """The containers of a root; what is damaged goes to `told`, and there may be nothing without it."""

    def report(problem: Exception) -> None:
        assert told is not None, problem
        told.append(str(problem).removeprefix(f"{root}/"))

    other = HostDir.open(run) if run else None
    return Containers(HostDir.open(root), "overlay", layers or _Layers(), report, other)


def _load(root: Path, number: int, told: list[str] | None = None, layers: _Layers | None = None) -> Container:
    return _open(root, told, layers).load(ContainerID(identity(number)))


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Write:
    """Writes a database of libpod, of each form."""
    found: Write = WRITERS[request.param]
    return found


# -- both records ------------------------------------------------------------------------------------


def test_a_container_of_podman(tmp_path: Path, write: Write) -> None:
    """Everything that both records tell."""
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/b", "type": "bind", "source": "/srv/b", "options": ["rbind", "ro"]},
        {"destination": "/etc/x", "type": "bind", "source": "/run/x", "options": ["rbind"]},
    ]
    own = config(1, "web", userVolumes=["/b", "/v"], logPath="/var/log/web", pod=identity(50))
    own["spec"]["mounts"] = mounts
    own["namedVolumes"] = [{"volumeName": "data", "dest": "/v", "options": ["rw"]}]
    its = state(EXITED, startedTime=TIME, finishedTime=TIME, exitCode=3)
    pod = {"id": identity(50), "name": "shop", "labels": {"tier": "web"}, "created": TIME}
    volume = {"name": "data", "mountPoint": "/elsewhere/data"}
    write(tmp_path, [(own, its)], [(pod, {"InfraContainerID": ""})], [volume])
    write_storage(tmp_path, [stored(1, "web", podman_metadata("web"))])

    found = _load(tmp_path, 1)
    assert found.config
    assert found.config.name == "web"
    assert found.config.image_id == f"sha256:{identity(7)}"
    assert found.config.image_ref == "localhost/image:1"
    assert found.config.command == ("/bin/true", "web")
    assert found.config.created_ns == found.config.state.started_ns == 1_767_323_045_678_000_000
    assert (found.config.state.word, found.config.state.exit_code) == ("exited", 3)
    assert found.labels == {"of": "web", "tier": "web"}
    assert [tuple(mount) for mount in found.config.mount_points] == [
        ("volume", "data", "/elsewhere/data", "/v", True),
        ("bind", "", "/srv/b", "/b", False),
    ]
    assert found.config.log_path == "/var/log/web"
    assert found.pod
    assert (found.pod.name, found.pod.id) == ("shop", identity(50))
    assert [(layer.cache_id, layer.kind) for layer in found.own] == [(identity(1001), "read-write layer")]
    assert (found.top, found.kind) == (TOP, "container")
    containers = _open(tmp_path)
    assert containers.aliases() == {"shop/web": [found.id]}
    assert not containers.has_sandboxes
    assert containers.libpod.graph_root == "/var/lib/g"


@pytest.mark.parametrize(
    ("number", "word", "running"),
    [
        (0, "unknown", False),
        (1, "created", False),
        (2, "initialized", False),
        (3, "running", True),
        (4, "stopped", False),
        (5, "paused", True),
        (6, "exited", False),
        (7, "removing", False),
        (8, "stopping", True),
        (9, "unknown", False),
        (-1, "unknown", False),
        (2**70, "unknown", False),
    ],
)
def test_states_are_those_of_the_document(
    tmp_path: Path, write: Write, number: int, word: str, *, running: bool
) -> None:
    """The column says 1 in each, as after a start of the host."""
    write(tmp_path, [(config(1, "c"), state(number))])
    write_storage(tmp_path, [stored(1, "c", podman_metadata("c"))])
    found = _load(tmp_path, 1).config
    assert found
    assert (found.state.word, found.state.running, found.state.known) == (word, running, True)


def test_what_holds_a_pod_of_podman_together(tmp_path: Path, write: Write) -> None:
    """It is a container too, and listed as such; its kind says what it is for."""
    pod = {"id": identity(50), "name": "shop"}
    write(tmp_path, [(config(1, "shop-infra", pause=True, pod=identity(50)), state(RUNNING))], [(pod, {})])
    write_storage(tmp_path, [stored(1, "shop-infra", podman_metadata("shop-infra"))])
    found = _load(tmp_path, 1)
    assert (found.kind, found.pod and found.pod.name) == ("infra", "shop")


def test_a_container_without_a_state(tmp_path: Path, write: Write) -> None:
    """Its state is not known; all else is."""
    write(tmp_path, [(config(1, "c"), None)])
    write_storage(tmp_path, [stored(1, "c", podman_metadata("c"))])
    found = _load(tmp_path, 1).config
    assert found
    assert not found.state.known
    assert found.command == ("/bin/true", "c")


def test_of_both_databases_the_later_word_counts(tmp_path: Path) -> None:
    """After a change from one to the other the older one stays where it was, whichever that is."""
    for older, newer, root in ((write_bolt, write_sqlite, "a"), (write_sqlite, write_bolt, "b")):
        write_storage(tmp_path / root, [stored(1, "c", podman_metadata("c"))])
        older(tmp_path / root, [(config(1, "c"), state(1)), (config(2, "gone"), state(1))])
        newer(tmp_path / root, [(config(1, "c"), state(EXITED, finishedTime="2026-03-01T00:00:00Z"))])
        found = _load(tmp_path / root, 1).config
        assert found
        assert found.state.word == "exited"


def test_a_run_root_has_containers_of_its_own(tmp_path: Path) -> None:
    """Those that are lost when the host starts anew."""
    write_storage(tmp_path / "g", [stored(1, "lasting", podman_metadata("lasting"))])
    write_storage(
        tmp_path / "g", [stored(2, "volatile", podman_metadata("volatile"))], "volatile-containers.json"
    )
    write_storage(
        tmp_path / "r", [stored(3, "transient", podman_metadata("transient"))], "volatile-containers.json"
    )
    write_sqlite(tmp_path / "g", [(config(1, "lasting"), state(1)), (config(2, "volatile"), state(1))])
    write_sqlite(tmp_path / "r", [(config(3, "transient"), state(RUNNING))])
    containers = _open(tmp_path / "g", run=tmp_path / "r")
    assert sorted(map(str, containers.names().values())) == ["lasting", "transient", "volatile"]
    assert {containers.load(own).name for own in containers.ids} == {"lasting", "transient", "volatile"}


# -- one record --------------------------------------------------------------------------------------


def test_one_that_only_libpod_has(tmp_path: Path, write: Write) -> None:
    """Shown, with its layer by the name that this has; and told."""
    write(tmp_path, [(config(1, "c"), state(1))])
    write_storage(tmp_path, [])
    lost = f"overlay-containers/containers.json: container {identity(1)} is missing: only libpod has it"
    told: list[str] = []
    layers = _Layers(names={"c-layer": identity(9)})
    found = _load(tmp_path, 1, told, layers)
    assert found.name == "c"
    assert [layer.cache_id for layer in found.own] == [identity(9)]
    assert layers.asked == [(identity(9), identity(7))]
    assert told == [lost]

    told.clear()
    found = _load(tmp_path, 1, told)
    assert found.own == ()
    assert found.top == TOP
    assert told == [lost, f"container {identity(1)}: which layer is its own is not known"]


def test_one_that_libpod_does_not_have(tmp_path: Path, write: Write) -> None:
    """Shown by what containers/storage has; and told."""
    write(tmp_path, [])
    write_storage(tmp_path, [stored(1, "c", podman_metadata("c"))])
    told: list[str] = []
    found = _load(tmp_path, 1, told)
    assert found.config
    assert (found.config.name, found.config.image_ref) == ("c", "localhost/image:1")
    assert found.config.command == ()
    assert not found.config.state.known
    assert told == [
        f"container {identity(1)}: libpod has no record of it: its command and state are not known"
    ]


def test_without_a_database_that_is_told_once(tmp_path: Path) -> None:
    """Not of each container, and nothing is called lost."""
    write_storage(tmp_path, [stored(1, "a", podman_metadata("a")), stored(2, "b", podman_metadata("b"))])
    told: list[str] = []
    containers = _open(tmp_path, told)
    assert [containers.load(own).name for own in containers.ids] == ["a", "b"]
    assert set(told) == {"db.sql: neither this nor libpod/bolt_state.db: states of containers are not known"}


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 4096])
@pytest.mark.parametrize("path", ["db.sql", "libpod/bolt_state.db"])
def test_a_database_that_cannot_be_read_is_named(tmp_path: Path, path: str, content: bytes) -> None:
    """Containers are shown without it, and none is said to be unknown to libpod."""
    write_storage(tmp_path, [stored(1, "a", podman_metadata("a"))])
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(content)
    told: list[str] = []
    assert _load(tmp_path, 1, told).name == "a"
    assert told
    assert all(text.startswith(f"{path}: ") for text in told)


def test_a_missing_layer_is_told(tmp_path: Path, write: Write) -> None:
    """The container is shown nevertheless."""
    write(tmp_path, [(config(1, "c"), state(1))])
    write_storage(tmp_path, [stored(1, "c", podman_metadata("c"))])
    told: list[str] = []
    found = _load(tmp_path, 1, told, _Layers(missing=(identity(1001),)))
    assert (found.own, found.top) == ((), TOP)
    assert told == [f"container {identity(1)}: its layer {identity(1001)} is missing, or what this stands on"]


# -- Buildah and CRI-O -------------------------------------------------------------------------------


def test_a_working_container_of_buildah(tmp_path: Path) -> None:
    """It has notes of its own beside it, and libpod knows nothing of it, which is right."""
    write_sqlite(tmp_path, [])
    write_storage(tmp_path, [stored(1, "image-working-container")], "volatile-containers.json")
    _user_data(tmp_path, 1, "buildah.json", {"type": "buildah 0.0.1", "image": "localhost/image:1"})
    found = _load(tmp_path, 1)
    assert found.config
    assert (found.kind, found.name) == ("working container", "image-working-container")
    assert (found.config.image_ref, found.config.image_id) == ("localhost/image:1", f"sha256:{identity(7)}")
    assert not found.config.state.known


def _user_data(root: Path, number: int, name: str, document: Any) -> None:
    place = root / "overlay-containers" / identity(number) / "userdata"
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(document if isinstance(document, str) else json.dumps(document))


POD = "k8s_web-0_shop_6ba7b810-9dad-11d1_2"


def _crio(root: Path, *, sandbox: bool = True) -> None:
    """A pod of CRI-O with one container that ended, from CRI-O's sources."""
    common: dict[str, Any] = {
        "pod-name": POD,
        "pod-id": identity(1),
        "image-id": identity(7),
        "created-at": 1_767_323_045,
    }
    pause: dict[str, Any] = {
        **common,
        "image-name": "registry.k8s.io/pause:3.9",
        "name": f"k8s_POD_{POD[4:]}",
    }
    pause |= {
        "metadata-name": "web-0",
        "uid": "6ba7b810-9dad-11d1",
        "namespace": "shop",
        "attempt": 2,
        "pod": True,
    }
    app = {**common, "image-name": "localhost/image:1", "name": f"k8s_app_{POD[4:]}", "metadata-name": "app"}
    app["attempt"] = 3
    records = [stored(2, app["name"], app)]
    if sandbox:
        records.insert(0, stored(1, pause["name"], pause, names=[pause["name"], POD]))
    write_storage(root, records, "volatile-containers.json")
    labels = {"io.kubernetes.pod.name": "web-0", "app": "shop"}
    for number, noted in ((1, labels), (2, {"io.kubernetes.container.name": "app"})):
        annotations = {"io.kubernetes.cri-o.Labels": json.dumps(noted), "io.kubernetes.cri-o.LogPath": "/l"}
        spec = {"process": {"args": ["/app", "-v"]}, "annotations": annotations, "linux": {}}
        spec["mounts"] = [{"destination": "/d", "type": "bind", "source": "/s", "options": ["rbind", "ro"]}]
        _user_data(root, number, "config.json", spec)
    its = {"id": identity(2), "status": "stopped", "created": TIME, "started": TIME, "finished": TIME}
    _user_data(root, 2, "state.json", its | {"exitCode": 7})


def test_a_pod_of_crio(tmp_path: Path) -> None:
    """A sandbox, and a container in it, without libpod; by all their names."""
    _crio(tmp_path)
    containers = _open(tmp_path)
    assert containers.has_sandboxes
    pause, app = map(containers.load, containers.ids)
    assert (pause.kind, pause.name, pause.attempt) == ("sandbox", "web-0", 2)
    assert pause.pod == app.pod == containers.pods[identity(1)]
    assert pause.pod
    assert pause.pod[:5] == ("web-0", "shop", "6ba7b810-9dad-11d1", identity(1), 2)
    assert pause.pod.labels == {"io.kubernetes.pod.name": "web-0", "app": "shop"}
    assert app.config
    assert (app.kind, app.name, app.attempt) == ("container", "app", 3)
    assert app.config.command == ("/app", "-v")
    assert (app.config.state.exit_code, app.config.state.running, app.config.state.known) == (7, False, True)
    assert app.labels == {**pause.pod.labels, "io.kubernetes.container.name": "app"}
    assert [tuple(mount) for mount in app.config.mount_points] == [("bind", "", "/s", "/d", False)]
    assert app.config.log_path == "/l"
    assert containers.aliases() == {
        f"k8s_POD_{POD[4:]}": [pause.id],
        POD: [pause.id],
        f"k8s_app_{POD[4:]}": [app.id],
        "web-0/app": [app.id],
        "shop/web-0/app": [app.id],
    }


def test_a_container_of_crio_without_its_sandbox(tmp_path: Path) -> None:
    """Its pod by the name that it notes."""
    _crio(tmp_path, sandbox=False)
    found = _load(tmp_path, 2)
    assert found.pod == ("web-0", "shop", "6ba7b810-9dad-11d1", identity(1), 2, {})


# -- hostile records ---------------------------------------------------------------------------------

WRONG: tuple[Any, ...] = (
    None,
    1,
    1.5,
    True,
    [],
    {},
    [1],
    {"a": 1},
    "x\ud800",
    "\x1b[2J\n",
    "../../etc",
    "0" * 10**4,
)


def _changed(document: Any, key: str, value: Any) -> Any:
    return {**document, key: value}


def test_fields_of_any_type_cost_their_own_record_at_most(tmp_path: Path) -> None:
    """Of containers.json, of what is noted in it, and of libpod's documents: every field, every type."""
    kept_storage, kept_libpod = stored(2, "kept", podman_metadata("kept")), (config(2, "kept"), state(1))
    record, metadata, own, its = (
        stored(1, "c", podman_metadata("c")), podman_metadata("c"), config(1, "c"), state(EXITED),
    )  # fmt: skip
    own |= {"namedVolumes": [], "userVolumes": [], "pod": "", "mounts": [], "pause": False, "logPath": ""}
    its |= {"exitCode": 0, "error": ""}
    for name, document in (("record", record), ("metadata", metadata), ("own", own), ("its", its)):
        for key in document:
            for value in WRONG:
                given = {"record": record, "metadata": metadata, "own": own, "its": its}
                given[name] = _changed(document, key, value)
                if name == "metadata":
                    given["record"] = stored(1, "c", given["metadata"])
                root = tmp_path / "root"
                root.mkdir(exist_ok=True)
                write_storage(root, [given["record"], kept_storage])
                write_bolt(root, [(given["own"], given["its"]), kept_libpod])
                containers = _open(root, [])
                names = {containers.load(found).name for found in containers.ids}
                assert "kept" in names, (name, key, value)
                json.dumps([containers.records(found) for found in containers.ids])
                containers.aliases()
                (root / "libpod/bolt_state.db").unlink()


@pytest.mark.parametrize(
    "content", ["", "{}", "null", "[1]", "[[]]", "[{}]", "[" * 10**5, "\x00", '[{"id":1}]']
)
def test_files_of_any_form(tmp_path: Path, content: str) -> None:
    """No container, and the file is named."""
    write_sqlite(tmp_path, [(config(2, "other"), state(1))])
    (tmp_path / "overlay-containers").mkdir()
    (tmp_path / "overlay-containers/containers.json").write_text(content)
    told: list[str] = []
    containers = _open(tmp_path, told)
    assert [containers.load(found).name for found in containers.ids] == ["other"]
    assert any(text.startswith("overlay-containers/containers.json") for text in told)


def test_of_two_records_of_one_id_the_first_counts(tmp_path: Path) -> None:
    """As in the engine, which looks into the lasting file first."""
    first, second = stored(1, "first"), stored(1, "second")
    for records, others in (([first, second], []), ([first], [second])):
        write_storage(tmp_path, records)
        write_storage(tmp_path, others, "volatile-containers.json")
        told: list[str] = []
        assert _load(tmp_path, 1, told).name == "first"
        assert len(told) == (not others)


def test_pods_in_circles_and_without_records(tmp_path: Path, write: Write) -> None:
    """A container in a pod that is not there, and one that is its own sandbox's container."""
    write(tmp_path, [(config(1, "c", pod=identity(60)), state(1))])
    loop = {"pod-name": "x", "pod-id": identity(3), "name": "n", "metadata-name": "m"}
    write_storage(tmp_path, [
        stored(1, "c", podman_metadata("c")),
        stored(2, "s", {**loop, "pod": True, "pod-id": identity(2)}),
        stored(3, "t", loop),
    ])  # fmt: skip
    told: list[str] = []
    containers = _open(tmp_path, told)
    assert [item.pod and item.pod.id for item in map(containers.load, containers.ids)] == [
        identity(60),
        identity(2),
        identity(3),
    ]
    assert set(told) == {f"container {identity(1)}: its pod {identity(60)} has no record"}


def test_links_in_the_place_of_records_are_not_followed(tmp_path: Path) -> None:
    """Of none of the files."""
    outside = tmp_path / "outside"
    write_storage(outside, [stored(1, "outside")])
    write_sqlite(outside, [(config(1, "outside"), state(1))])
    root = tmp_path / "root"
    (root / "overlay-containers").mkdir(parents=True)
    (root / "overlay-containers/containers.json").symlink_to(outside / "overlay-containers/containers.json")
    (root / "db.sql").symlink_to(outside / "db.sql")
    (root / "libpod").symlink_to(outside)
    told: list[str] = []
    assert _open(root, told).ids == []
    assert len(told) >= 2
