"""`layerfs explain NAME` in archives and layouts: every form, and names and paths that hold anything."""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.command import layerfs
from tests.support.layouts import PACKERS, Layout, as_directory, as_tar, digest, layer_of
from tests.support.pasting import explained, pasted, proofs_of

STORES = Path(__file__).parents[2] / "fixtures/stores"
EVIL = ("$(touch x)", "a b'c\"d`touch x`", "two\nlines\n", "-n", "%s\\n*\\", "ünï", "\x1b[31mred", "e\u202ev")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded archives, unpacked; those that were unpacked already are packed beside it."""
    top = tmp_path_factory.mktemp("archives")
    for name in (
        "docker20-save-legacy",
        "docker29-save-two-images",
        "oci-layout-plain",
        "podman-save-formats",
    ):
        (top / name).mkdir()
        subprocess.run(["tar", "-xJf", STORES / f"{name}.tar.xz", "-C", top / name], check=True)
    for name in ("docker20-save-legacy", "docker29-save-two-images"):
        subprocess.run(["tar", "-cf", top / f"{name}.tar", "-C", top / name, "."], check=True)
    packed = gzip.compress((top / "docker29-save-two-images.tar").read_bytes(), mtime=0)
    (top / "docker29-save-two-images.tar.gz").write_bytes(packed)
    return top


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("docker20-save-legacy", "multi:1"),
        ("docker20-save-legacy.tar", "other/name:2"),
        ("docker20-save-legacy.tar", "twice:1"),
        ("docker29-save-two-images", "buildkit:1"),
        ("docker29-save-two-images.tar", "multi:1"),
        ("docker29-save-two-images.tar.gz", "multi:1@2"),
        ("oci-layout-plain", "multi:1"),
        ("podman-save-formats/podman-save/p43-docker-archive", None),
        ("podman-save-formats/podman-save/p43-docker-dir", None),
        ("podman-save-formats/podman-save/p43-export.tar", None),
        ("podman-save-formats/podman-save/p58-oci-archive", None),
        ("podman-save-formats/podman-save/p58-oci-dir", None),
    ],
)
def test_script_prints_the_values(samples: Path, path: str, name: str | None) -> None:
    """Of every form, packed or not, the lines are one script for sh, which prints the values."""
    words = [name] if name else []
    found = explained(samples / path, "-v", *words)
    assert (found.code, found.problems) == (0, {})
    assert pasted(found) == found.values
    assert found.document["mount"] is None
    assert "There is no mount line" in found.text
    assert found.document["image"] in layerfs(samples / path, "images", "--no-trunc", "-aq").stdout


def _layout(names: tuple[str, ...]) -> Layout:
    layout = Layout()
    for number, name in enumerate(names):
        layers = [layer_of({"etc/base": b"x"}), layer_of({f"file-{number}": b"y"}, whiteouts=["etc/base"])]
        layout.name(layout.image(layers), name)
    return layout


@pytest.mark.parametrize("is_tar", [True, False], ids=["tar", "directory"])
def test_names_have_no_power(tmp_path: Path, *, is_tar: bool) -> None:
    """An image of a layout may be called anything: its name is one word of the script, and runs nothing."""
    members = _layout(EVIL).done()
    path = tmp_path / "layout"
    if is_tar:
        path.write_bytes(as_tar(members))
    else:
        as_directory(members, path)
    for name in EVIL if is_tar else EVIL[:2]:
        found = explained(path, "--", name)
        assert (found.code, found.problems) == (0, {})
        assert pasted(found) == found.values
        assert found.values[0] == next(
            item["digest"] for item in json.loads(members["index.json"])["manifests"]
            if name in item["annotations"].values()
        )  # fmt: skip
    assert not list(tmp_path.rglob("x"))


@pytest.mark.parametrize("name", ["$(touch x).tar", "host:archive.tar", "-rf 'a\" b.tar", "line\nend\n"])
def test_paths_have_no_power(tmp_path: Path, name: str) -> None:
    """The file may be called anything, also what tar would take for a host or an option."""
    path = tmp_path / name
    path.write_bytes(as_tar(_layout(("plain:1",)).done()))
    found = explained(path, "plain:1")
    assert pasted(found) == found.values
    assert found.values
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "member",
    ["--checkpoint-action=exec=touch x", "$(touch x).json", "a'b c.json", "back\\slash", "new\nline"],
)
def test_members_have_no_power(tmp_path: Path, member: str) -> None:
    """What manifest.json calls config and layers is no option and no command, whatever it is."""
    layer = layer_of({"f": b"x"})
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    rows = [{"Config": member, "RepoTags": ["evil:1"], "Layers": [f"{member}.tar"]}]
    members = {"manifest.json": json.dumps(rows).encode(), member: config, f"{member}.tar": layer}
    path = tmp_path / "archive.tar"
    path.write_bytes(as_tar(members))
    found = explained(path, "evil:1")
    assert (found.code, found.problems) == (0, {})
    assert pasted(found) == found.values
    assert sorted(tmp_path.iterdir()) == [path]


def test_member_that_is_there_twice_has_no_command(tmp_path: Path) -> None:
    """Tar would print both, and readers take the last: so nothing is printed that would be another's."""
    members = _layout(("plain:1",)).done()
    once = as_tar(members)
    config = next(name for name in members if name.startswith("blobs/") and b"diff_ids" in members[name])
    twice = as_tar({config: b"{}"})[:1024] + once
    path = tmp_path / "twice.tar"
    path.write_bytes(twice)
    found = explained(path, "plain:1")
    assert pasted(found) == found.values
    assert [step["command"] for step in found.document["steps"] if step["to"] == "DIFF IDS"] == [None]


def test_altered_layer_is_told(tmp_path: Path) -> None:
    """A blob that does not hash to its name: what was expected and what was found, and the walk goes on."""
    members = _layout(("plain:1",)).done()
    manifest = json.loads(members["index.json"])["manifests"][0]["digest"].removeprefix("sha256:")
    top = json.loads(members[f"blobs/sha256/{manifest}"])["layers"][-1]["digest"]
    path = as_directory(members, tmp_path / "layout")
    other = gzip.compress(layer_of({"other": b"z"}))
    (path / "blobs" / top.replace(":", "/")).write_bytes(other)
    found = explained(path, "plain:1")
    wrong = {step["to"]: step for step in found.document["steps"] if step["ok"] is False}
    assert wrong["DIGEST"]["expected"] == [top.removeprefix("sha256:")]
    assert wrong["DIGEST"]["values"] == [digest(other).removeprefix("sha256:")]
    assert wrong.keys() == {"DIGEST", "DIFF ID"}
    assert found.code == 1
    assert pasted(found) == found.values


def test_standard_input_cannot_be_explained() -> None:
    """Nobody could read it once more."""
    found = layerfs("-", "explain", "x")
    assert found.code != 0
    assert found.stdout == ""


def test_links_among_members_are_not_read_by_tar(tmp_path: Path) -> None:
    """A config or layer that is a link: tar prints nothing of one, so it has no command, or the target's."""
    layer = layer_of({"f": b"x"})
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    rows = [{"Config": "config.json", "RepoTags": ["linked:1"], "Layers": ["layer.tar"]}]
    members = {"manifest.json": json.dumps(rows).encode(), "real.json": config, "real.tar": layer}
    path = tmp_path / "archive.tar"
    path.write_bytes(as_tar(members))
    with tarfile.open(path, "a") as tar:
        for name, target in (("config.json", "real.json"), ("layer.tar", "real.tar")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    found = explained(path, "linked:1")
    assert (found.code, found.problems) == (0, {})
    assert pasted(found) == found.values
    assert "real.tar" in found.script


# -- one path ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("is_tar", [True, False], ids=["tar", "directory"])
def test_proofs_of_a_path_are_everyday_commands(tmp_path: Path, pack: str, *, is_tar: bool) -> None:
    """However layers are packed: contents by tar and sha256sum, marks by the members that they are."""
    layout = Layout()
    layers = [
        layer_of({"etc/base": b"x\0", "etc/old": b"a secret\n", "d/in": b"1"}),
        layer_of({"etc/base": b"y\0"}, whiteouts=["etc/old", "d/.wh..opq"]),
    ]
    layout.name(layout.image(layers, pack=pack), "plain:1")
    members, path = layout.done(), tmp_path / "store"
    if is_tar:
        path.write_bytes(as_tar(members, prefix="./"))
    else:
        as_directory(members, path)
    found = {place: proofs_of(path, "plain:1", place) for place in ("/etc/base", "/etc/old", "/d/in")}
    assert [proof.value for proofs in found.values() for proof in proofs] == [
        *(digest(content).removeprefix("sha256:") for content in (b"y\0", b"x\0")),
        *("etc/.wh.old", "a secret"),
        *("d/.wh..wh..opq", "1"),
    ]
    for proof in (proof for proofs in found.values() for proof in proofs):
        assert "layerfs --root" not in proof.command
        assert proof.printed.startswith(proof.value)


HOSTILE = (
    "$(touch x)",
    "a b'c\"d",
    "two\nlines",
    "-n",
    "--to-command=touch x",
    "%s\\n",
    "ünï",
    "\x1b[31mred",
    "*",
)


def test_names_in_layers_have_no_power(tmp_path: Path) -> None:
    """Whatever a member is called, its commands print what they should, and nothing else happens."""
    layout = Layout()
    files = {name: name.encode() + b"\0old" for name in HOSTILE}
    newer = {name: name.encode() + b"\0new" for name in HOSTILE[::2]}
    layers = [layer_of(files), layer_of(newer, whiteouts=HOSTILE[1::2])]
    layout.name(layout.image(layers), "evil:1")
    path = tmp_path / "store.tar"
    path.write_bytes(as_tar(layout.done()))
    for name in HOSTILE:
        proofs = proofs_of(path, "evil:1", f"/{name}")
        assert len(proofs) == 2
        for proof in proofs:
            assert proof.printed.startswith(proof.value), proof
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_member_that_is_twice_in_a_layer_is_not_asked_of_tar(tmp_path: Path) -> None:
    """Tar would print both; the command is one that gives what is shown."""
    twice = layer_of({"f": b"first\0"})[:1024] + layer_of({"f": b"second\0"})
    layout = Layout()
    layout.name(layout.image([twice]), "twice:1")
    path = as_directory(layout.done(), tmp_path / "store")
    (proof,) = proofs_of(path, "twice:1", "/f")
    assert proof.value == digest(b"second\0").removeprefix("sha256:")
    assert proof.printed.startswith(proof.value)


@pytest.mark.parametrize("packer", ["gzip", "zstd", "xz", "bzip2"])
def test_a_packed_tar_of_a_file_system_is_read_by_tar(tmp_path: Path, packer: str) -> None:
    """The tar is its own layer, and tar finds out by itself how it is packed."""
    path = tmp_path / "a:b.tar"
    path.write_bytes(PACKERS[packer](layer_of({"bin/x": b"x\0", "etc/y": b"y\0"})))
    (proof,) = proofs_of(path, "", "/etc/y")
    assert "layerfs --root" not in proof.command
    assert proof.printed.startswith(proof.value)
