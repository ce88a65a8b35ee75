"""Containers of Kubernetes, nerdctl and ctr, as their own tools tell of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bolt import Nested, bolt_tree
from tests.support.command import layerfs
from tests.support.samples import linked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytestmark = pytest.mark.root

CRI, CTR = "containerd-2.1-cri", "containerd-1.6-store"
META = "io.containerd.metadata.v1.bolt/meta.db"
STATES = "io.containerd.grpc.v1.cri/containers"
DAMAGED, NOT_FOUND = 1, 3

APP = "c728e739e33c2da31639d83e2700cd18494c0a107afadcbaa338f69fc549610f"
SANDBOX = "0eac944e44370644bb491bd2c63e65581b6a24a6e0cfdf92f762f643b58f66f1"
UID = "11111111-2222-3333-4444-555555555555"
FULL = f"app_web-0_shop_{UID}_2"

CONTAINERS: Mapping[str, Mapping[str, Any]] = {
    # what was asked for through the socket of Kubernetes, and what it wrote down of it
    APP: {
        "name": "app",
        "image": "docker.io/library/multi:1",
        "image_id": "sha256:8d9dce102e45f4eaae397ec80ebc1887fc203c27ec6be32292cf985d520bddf7",
        "state": "exited",
        "recorded_state": "exited",
        "recorded_running": False,
        "exit_code": 0,
        "created": "2026-11-28T23:08:38.207079886Z",
        "started": "2026-11-28T23:08:38.243318718Z",
        "finished": "2026-11-28T23:08:38.244255232Z",
        "pod": "web-0",
        "pod_namespace": "shop",
        "pod_id": SANDBOX,
        "attempt": 2,
        "kind": "container",
        "labels": {"io.cri-containerd.kind": "container", "io.kubernetes.container.name": "app"},
    },
    SANDBOX: {
        "name": "web-0",
        "image": "registry.k8s.io/pause:3.10",
        "image_id": "sha256:e489792a9867578bde28f268456f141c2c4c8f13b025f6f36ccc7c013fb9324b",
        "state": None,
        "recorded_state": None,
        "recorded_running": None,
        "exit_code": None,
        "created": "2026-11-28T23:08:38.131169877Z",
        "started": None,
        "finished": None,
        "pod": "web-0",
        "pod_namespace": "shop",
        "pod_id": SANDBOX,
        "attempt": 1,
        "kind": "sandbox",
        "labels": {
            "app": "web",
            "io.cri-containerd.kind": "sandbox",
            "io.kubernetes.pod.name": "web-0",
            "io.kubernetes.pod.namespace": "shop",
        },
    },
}

IMAGES = {
    # the config digest, as crictl has it, of each name
    "docker.io/library/base:1": "41d674bc72858a29918e9ba1583fbcc088b215f38f1d9c45597b44e51eb75ce1",
    "docker.io/library/contentonly:1": "080f19c30085bf82911c109c0af163d15816e0a28aaebec954cfa76616bbd996",
    "docker.io/library/dockertypes:1": "8053fd68586745eca49347460604de14cb1e89960ec20a07a8262b9c5729fcb8",
    "docker.io/library/multi:1": "8d9dce102e45f4eaae397ec80ebc1887fc203c27ec6be32292cf985d520bddf7",
    "docker.io/library/twice:1": "fd77b2c66978324adb98fbf4b1ffb3efcb5a6ef195b48abf7b7de132c80bad5f",
    "docker.io/library/zstd:1": "3f3253ddbc39c73516b1fe0742da335604c95629d15f2dfe4ae1e95ccb7e621d",
    "registry.example.com:5000/team/arch:1": (
        "f62745c847d696e0b803c3f4ddc8cced912200ea99b825366ad842e81b53b8c3"
    ),
    "registry.k8s.io/pause:3.10": "e489792a9867578bde28f268456f141c2c4c8f13b025f6f36ccc7c013fb9324b",
}


def _rows(root: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    done = layerfs(root, "containers", "--format", "json", *arguments)
    assert (done.code, done.stderr) == (0, "")
    return {row["id"]: row for row in done.json}


def _changed(sample: Path, dest: Path, change: Callable[[dict[bytes, Any]], None]) -> Path:
    """A copy of a store, whose namespace of Kubernetes was changed."""
    return _rewritten(sample, dest, lambda tree: change(tree[b"v1"][b"k8s.io"]))


def _rewritten(sample: Path, dest: Path, change: Callable[[dict[bytes, Any]], None]) -> Path:
    """A copy of a store, whose database was changed."""
    from layerfs.formats.bolt import Bucket, buffer_reader, open_bolt

    def plain(bucket: Bucket) -> dict[bytes, Any]:
        return {key: value if isinstance(value, bytes) else plain(value) for key, value in bucket.items()}

    root = linked(sample, dest)
    tree = plain(open_bolt(*buffer_reader((root / META).read_bytes())))
    change(tree)
    (root / META).unlink()
    found: Nested = tree
    (root / META).write_bytes(bolt_tree(found))
    return root


def _any(type_url: str, value: bytes) -> bytes:
    """A protobuf `Any`."""
    fields = ((0x0A, type_url.encode()), (0x12, value))
    return b"".join(bytes([tag]) + _varint(len(content)) + content for tag, content in fields)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


# -- what there is ---------------------------------------------------------------------------------


def test_containers_are_as_kubernetes_noted_them(sample: Callable[[str], Path]) -> None:
    """Each container with its pod, attempt and state; sandboxes only with `-a`."""
    found = _rows(sample(CRI), "-a")
    told = {key: {name: found[key][name] for name in wanted} for key, wanted in CONTAINERS.items()}
    assert told == CONTAINERS
    assert found.keys() == CONTAINERS.keys()
    assert _rows(sample(CRI)).keys() == {APP}


def test_the_table_is_that_of_pods(sample: Callable[[str], Path]) -> None:
    """The columns are those that `crictl ps` has."""
    lines = layerfs(sample(CRI), "containers", "-a").stdout.splitlines()
    assert lines[0].split("  ")[0] == "CONTAINER ID"
    for header in ("IMAGE", "CREATED", "STATUS", "NAMES", "ATTEMPT", "POD ID", "POD", "NAMESPACE"):
        assert f"{header} " in lines[0] + " "
    app = lines[1].split()
    assert (app[0], app[1], app[-5:]) == (APP[:12], "multi:1", ["app", "2", SANDBOX[:12], "web-0", "shop"])
    assert "Exited (0)" in lines[1]
    assert "Unknown" in lines[2]


def test_images_are_called_by_their_configs(sample: Callable[[str], Path]) -> None:
    """A row for each name, and none for the names that are only digests of configs."""
    rows = layerfs(sample(CRI), "images", "--format", "json").json
    names = {f"{row['repository']}:{row['tag']}": row["id"] for row in rows}
    short = {name.removeprefix("docker.io/library/"): f"sha256:{digest}" for name, digest in IMAGES.items()}
    assert (names, len(rows)) == (short, len(IMAGES))


def test_a_pulled_image_has_its_digest_as_a_name(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Of the three names of a pull the tag and the repository's digest are told, of one image."""

    def pulled(space: dict[bytes, Any]) -> None:
        image = space[b"images"][b"docker.io/library/multi:1"]
        target = image[b"target"][b"digest"]
        space[b"images"][b"docker.io/library/multi@" + target] = image

    root = _changed(sample(CRI), tmp_path / "root", pulled)
    rows = [row for row in layerfs(root, "images", "--format", "json").json if row["repository"] == "multi"]
    (row,) = rows
    target = "sha256:efe4fbf7d6a2b69a1c4e7d1f532b0c979ee8ab1c06e9eb22e5f270a6ceac97e8"
    assert (row["tag"], row["digest"]) == ("1", target)
    by_digest = layerfs(root, "inspect", f"multi@{target}", "-f", "{{.Id}} {{.RepoTags}} {{.RepoDigests}}")
    assert by_digest.stdout == f"sha256:{IMAGES['docker.io/library/multi:1']} [multi:1] [multi@{target}]\n"


# -- filters and names -----------------------------------------------------------------------------

FILTERS = {
    "label=io.kubernetes.pod.name=web-0": [APP, SANDBOX],
    "label=io.kubernetes.pod.namespace=shop": [APP, SANDBOX],
    "label=app=web": [APP, SANDBOX],
    "label=io.kubernetes.container.name": [APP],
    "label=io.kubernetes.pod.name=web": [],
    "pod=web-0": [APP, SANDBOX],
    "pod=shop/web-0": [APP, SANDBOX],
    "pod=0eac944e44": [APP, SANDBOX],
    "pod=web": [],
    "pod=": [],
    "status=exited": [APP],
    "status=unknown": [SANDBOX],
    "exited=0": [APP],
    "name=^app$": [APP],
    "ancestor=multi:1": [APP],
}


@pytest.mark.parametrize("filter_", FILTERS)
def test_filters(sample: Callable[[str], Path], filter_: str) -> None:
    """Labels are those of a container and of its pod, which only the sandbox has."""
    assert sorted(_rows(sample(CRI), "-a", "-f", filter_)) == sorted(FILTERS[filter_])


@pytest.mark.parametrize("name", ["app", APP, APP[:8], FULL, "web-0/app", "shop/web-0/app"])
def test_names_of_a_container(sample: Callable[[str], Path], name: str) -> None:
    """By its own name, in full as Kubernetes has it, behind its pod, by its ID and the beginning of that."""
    done = layerfs(sample(CRI), "inspect", "-f", "{{.Id}}", name)
    assert (done.code, done.stdout) == (0, f"{APP}\n")
    assert layerfs(sample(CRI), "cat", f"{name}:/etc/motd").stdout.splitlines()[-1] == "from-the-pod"


def test_a_name_that_two_pods_have_is_refused(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """A container that was made again has the name of the one before it; in full they differ."""
    other = "f" * 64

    def again(space: dict[bytes, Any]) -> None:
        container = dict(space[b"containers"][APP.encode()])
        key = b"io.cri-containerd.container.metadata"
        value = container[b"extensions"][key]
        document = value[value.index(b"{") :].replace(APP.encode(), other.encode())
        document = document.replace(b'"attempt":2', b'"attempt":3').replace(b'555_2"', b'555_3"')
        container[b"extensions"] = {
            key: _any("github.com/containerd/cri/pkg/store/container/Metadata", document)
        }
        space[b"containers"][other.encode()] = container

    root = _changed(sample(CRI), tmp_path / "root", again)
    (root / STATES / other).mkdir()
    running = {"Version": "v1", "CreatedAt": 5, "StartedAt": 6, "FinishedAt": 0, "ExitCode": 0}
    (root / STATES / other / "status").write_text(json.dumps(running))
    done = layerfs(root, "inspect", "app")
    assert done.code == NOT_FOUND
    assert APP in done.stderr
    assert other in done.stderr
    assert layerfs(root, "inspect", "-f", "{{.Attempt}}", FULL).stdout == "2\n"
    row = _rows(root)[other]
    assert (row["attempt"], row["state"], row["recorded_state"], row["recorded_running"]) == (
        *(3, None, "running", True),
    )
    assert "Last seen running" in layerfs(root, "containers", "--format", "{{.Status}}").stdout


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("web-0/ap", "web-0/app"), ("shop/wbe-0/app", "shop/web-0/app"), ("bas", "base:1")],
)
def test_a_name_behind_a_pod_is_guessed(sample: Callable[[str], Path], typed: str, meant: str) -> None:
    """What is misspelt is answered with the likeliest name, in the form in which it was asked for."""
    done = layerfs(sample(CRI), "ls", typed)
    assert (done.code, done.stdout) == (NOT_FOUND, "")
    assert f"did you mean {meant}" in done.stderr


# -- inspect, trees --------------------------------------------------------------------------------


def test_inspect_tells_all_that_is_noted(sample: Callable[[str], Path]) -> None:
    """The specification, what Kubernetes noted, and the state, as they were written."""
    (found,) = layerfs(sample(CRI), "inspect", "app").json
    assert found["Status"] == json.loads((sample(CRI) / STATES / APP / "status").read_bytes())
    assert found["Metadata"]["Name"] == FULL
    assert found["Spec"]["process"]["args"] == [found["Path"], *found["Args"]]
    assert found["Spec"]["annotations"]["io.kubernetes.cri.sandbox-id"] == found["SandboxID"] == SANDBOX
    assert (found["Pod"]["Uid"], found["Pod"]["Attempt"], found["State"]["Status"]) == (UID, 1, "exited")
    assert [layer["CacheID"] for layer in found["Layers"]] == ["1", "2", "3", "10"]


def test_of_ctrs_containers_no_state_is_claimed(sample: Callable[[str], Path]) -> None:
    """Nothing on disk tells whether they ever ran: not in a table, not in data, not to a filter."""
    root = sample(CTR)
    asked = ("--namespace", "default")
    rows = layerfs(root, *asked, "containers", "--format", "json").json
    assert {row["id"] for row in rows} == {"idle", "web"}
    for row in rows:
        for key in ("state", "recorded_state", "recorded_running", "exit_code", "pod", "attempt"):
            assert row[key] is None
    words = layerfs(root, *asked, "containers", "--format", "{{.State}} {{.Status}}").stdout
    assert words == "unknown Unknown\n" * 2
    assert layerfs(root, *asked, "containers", "-q", "-f", "status=created").stdout == ""
    (found,) = layerfs(root, *asked, "inspect", "web").json
    assert (found["State"]["Status"], found["Pod"], found["Spec"]["root"]) == (None, None, {"path": "rootfs"})


def test_nerdctls_names_are_known(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Nerdctl calls containers by a label."""

    def named(space: dict[bytes, Any]) -> None:
        container = dict(space[b"containers"][APP.encode()])
        del container[b"extensions"]
        container[b"labels"] = {b"nerdctl/name": b"shop-front", b"nerdctl/platform": b"linux/amd64"}
        space[b"containers"] = {APP.encode(): container}

    root = _changed(sample(CRI), tmp_path / "root", named)
    assert layerfs(root, "containers", "--format", "{{.Names}} {{.Status}}").stdout == "shop-front Unknown\n"
    assert layerfs(root, "ls", "shop-front:/new").stdout == "/new\n"
    assert layerfs(root, "containers", "-q", "-f", "label=nerdctl/platform").stdout == f"{APP[:12]}\n"


def test_usage_has_both_sizes(sample: Callable[[str], Path]) -> None:
    """SIZE is crictl's with `--usage` too; DISK USAGE is the sum of what is shared and what is not."""
    plain = {row["id"]: row for row in layerfs(sample(CRI), "images", "--format", "json").json}
    for row in layerfs(sample(CRI), "images", "--usage", "--format", "json").json:
        assert row["size"] == plain[row["id"]]["size"]
        assert row["disk_usage"] == row["shared_size"] + row["unique_size"] != row["size"]
    assert "DISK USAGE" in layerfs(sample(CRI), "images", "--usage").stdout
    assert "DISK USAGE" not in layerfs(sample(CRI), "images").stdout


# -- what is lost ----------------------------------------------------------------------------------


def test_a_pod_without_its_sandbox_is_told_by_others(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """By containerd's own record of the sandbox, or else by what the container repeats of it."""

    def without_container(space: dict[bytes, Any]) -> None:
        del space[b"containers"][SANDBOX.encode()]

    def without_any(space: dict[bytes, Any]) -> None:
        without_container(space)
        del space[b"sandboxes"]

    for number, change in enumerate((without_container, without_any)):
        root = _changed(sample(CRI), tmp_path / str(number), change)
        row = _rows(root)[APP]
        assert (row["pod"], row["pod_namespace"], row["pod_id"]) == ("web-0", "shop", SANDBOX)


def test_sandboxes_of_containerd_before_2_are_read(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """They lie outside of the namespace, in the outermost bucket; nothing else tells the pod's labels."""

    def older(tree: dict[bytes, Any]) -> None:
        space = tree[b"v1"][b"k8s.io"]
        del space[b"containers"][SANDBOX.encode()]
        tree[b"k8s.io"] = {b"sandboxes": space.pop(b"sandboxes")}

    root = _rewritten(sample(CRI), tmp_path / "root", older)
    assert _rows(root)[APP]["pod_labels"] == _rows(sample(CRI))[APP]["pod_labels"] != {}


@pytest.mark.parametrize("content", [None, b"{", b'{"CreatedAt": "late"}'], ids=["gone", "cut", "odd"])
def test_a_lost_state_is_told(sample: Callable[[str], Path], tmp_path: Path, content: bytes | None) -> None:
    """The file is named, and no state is claimed; all else of the container is shown."""
    root = linked(sample(CRI), tmp_path / "root")
    path = root / STATES / APP / "status"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = layerfs(root, "containers", "--format", "json")
    assert done.code == DAMAGED
    assert str(path) in done.stderr
    (row,) = done.json
    assert (row["name"], row["pod"], row["state"], row["exit_code"]) == ("app", "web-0", None, None)


def test_lost_states_are_told_once(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Where the directory of all states is gone, that is one line."""
    root = linked(sample(CRI), tmp_path / "root")
    (root / "io.containerd.grpc.v1.cri").rename(tmp_path / "elsewhere")
    done = layerfs(root, "containers", "-q", "--no-trunc")
    assert (done.code, done.stdout, len(done.stderr.splitlines())) == (DAMAGED, f"{APP}\n", 1)


@pytest.mark.parametrize("value", [b"{", b'{"Metadata": []}', b"\xff"], ids=["cut", "odd", "no JSON"])
def test_damaged_notes_leave_the_container(
    sample: Callable[[str], Path], tmp_path: Path, value: bytes
) -> None:
    """It is shown by its ID, and its tree is read; what is damaged is named."""

    def damaged(space: dict[bytes, Any]) -> None:
        extensions = space[b"containers"][APP.encode()][b"extensions"]
        extensions[b"io.cri-containerd.container.metadata"] = _any("some/Metadata", value)

    root = _changed(sample(CRI), tmp_path / "root", damaged)
    done = layerfs(root, "containers", "--format", "json")
    assert done.code == DAMAGED
    assert "io.cri-containerd.container.metadata" in done.stderr
    assert [row["name"] for row in done.json] == [APP]
    assert layerfs(root, "cat", APP, "/new").stdout == layerfs(sample(CRI), "cat", "app", "/new").stdout
