"""`layerfs doctor` on containerd's stores: what it finds, what that costs; nothing sound is called wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.stores.containerd.checks.remedies import REMEDIES
from tests.hostile.test_containerd_damage import DAMAGES
from tests.support.command import layerfs
from tests.support.containerdroots import ContainerdRoot
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from tests.support.boltfiles import Tree

pytestmark = pytest.mark.root

NAME = "docker.io/library/multi:1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("doctor"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


def doctor(root: ContainerdRoot, *options: str) -> list[dict[str, Any]]:
    """Every finding but that leases have expired, as they do; the exit code is checked."""
    result = layerfs(root.top, "doctor", "--format", "json", *options)
    rows: list[dict[str, Any]] = result.json
    worst = {row["severity"] for row in rows}
    wanted = (0,) if worst <= {"note"} else (1, 4)
    assert result.code in wanted, result
    assert "bug in layerfs" not in result.stderr
    return [row for row in rows if row["code"] != "lease-expired"]


def test_sound_roots_have_only_what_waits_to_be_collected(tmp_path: Path) -> None:
    """Of real stores nothing is called damaged; what an interrupted engine left is a note."""
    wanted = {
        "docker29-containerd": {"lease-expired"},
        "containerd-1.6-store": {"ingest-left", "snapshot-orphaned"},
        "containerd-2.1-cri": set(),
        "containerd-2.1-erofs": {"snapshot-unnamed"},
    }
    for sample, codes in wanted.items():
        top = unpack_sample(sample, tmp_path / sample)
        result = layerfs(top, "--namespace", "all", "doctor", "--verify", "--format", "json")
        assert ({row["code"] for row in result.json}, result.code) == (codes, 0), sample


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "leftovers"])
def test_every_damage_is_found(root: ContainerdRoot, name: str) -> None:
    """Whatever takes an answer from another command is an error here, and has a remedy of its own."""
    with root.mended():
        DAMAGES[name].do(root)
        rows = doctor(root, "--verify") if "blob" in name else doctor(root)
        checked = layerfs(
            root.top, "verify", "--all", "--jobs", "1", *(() if "blob" in name else ("--quick",))
        )
    errors = [row for row in rows if row["severity"] == "error"]
    assert errors or name.endswith("unnamed"), rows
    of_contents = {"layer-malformed", "layer-altered", "diff-id-wrong", "not-compared"}
    assert {row["code"] for row in rows} <= {*REMEDIES, *of_contents}
    assert rows
    assert "bug in layerfs" not in checked.stderr
    assert checked.code == (0 if name.endswith(("unnamed", "discarded")) and not errors else 1), checked


def test_leftovers_are_notes_with_their_bytes(root: ContainerdRoot) -> None:
    """What was half done, and what nothing is recorded of, costs what du(1) counts."""
    with root.mended():
        DAMAGES["leftovers"].do(root)
        rows = doctor(root)
    found = {row["code"]: Path(row["path"]) for row in rows}
    content = root.path / "io.containerd.content.v1.content"
    assert found == {
        "temporary-left": root.snapshotter / "snapshots/new-123",
        "directory-orphaned": root.snapshotter / "snapshots/999",
        "ingest-left": content / "ingest/abc",
        "blob-unclaimed": root.blob("sha256:" + "0" * 64),
    }
    assert {row["severity"] for row in rows} == {"note"}
    assert all(row["bytes"] > 0 for row in rows)


def test_a_snapshot_nobody_needs_is_an_orphan(root: ContainerdRoot) -> None:
    """Without its image a snapshot is needed by nobody; a lease, a container or a build cache is enough."""

    def forget(space: Tree) -> None:
        del space[b"images"][b"docker.io/library/dockertypes:1"]

    def keep(space: Tree) -> None:
        del space[b"images"][b"docker.io/library/twice:1"]
        key = root.layers("docker.io/library/twice:1")[-1].encode()
        space[b"leases"][b"mine"] = {b"snapshots": {b"overlayfs": {key: b""}}}

    own = {str(root.directory(key)) for key in root.layers("docker.io/library/dockertypes:1")[1:]}
    with root.mended():
        root.edit_meta(forget)
        rows = doctor(root)
        assert {row["path"] for row in rows if row["code"] == "snapshot-orphaned"} == own
        assert len(rows) == len(own)
    with root.mended():
        root.edit_meta(keep)
        assert doctor(root) == []


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_what_a_damaged_image_may_need_is_no_orphan(root: ContainerdRoot, which: str) -> None:
    """Nobody can tell what an image needs whose documents are gone: its snapshots are not called orphans."""
    name = "docker.io/library/dockertypes:1"
    own = {str(root.directory(key)) for key in root.layers(name)[1:]}
    with root.mended():
        root.remove(root.blob(root.digest_of(name, which)))
        rows = doctor(root)
    found = {row["path"]: row["code"] for row in rows if row["code"].startswith("snapshot-")}
    assert found == dict.fromkeys(own, "snapshot-unclaimed")


def test_an_unreadable_database_is_told_with_its_state(root: ContainerdRoot) -> None:
    """A newest state that is damaged is a warning, and the one that is read is named."""
    content = bytearray(root.meta.read_bytes())
    newest = max((0, 1), key=lambda page: content[page * 4096 + 64 : page * 4096 + 72][::-1])
    content[newest * 4096 + 40] ^= 1
    with root.mended():
        root.write(root.meta, bytes(content))
        result = layerfs(root.top, "doctor", "--quick", "--format", "json")
    rows = [row for row in result.json if row["code"] != "lease-expired"]
    assert (result.code, [(row["code"], row["severity"]) for row in rows]) == (
        1,
        [("database-state-lost", "warning")],
    )
    assert "transaction" in rows[0]["message"]


def test_page_lists_every_code() -> None:
    """docs/doctor-containerd.md has a row for every code, with what it means, and no other."""
    page = Path(__file__).parents[2].joinpath("docs/doctor-containerd.md").read_text()
    lines = (line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `"))
    rows = {cells[0].strip("`"): [cell.strip() for cell in cells[1:]] for cells in lines}
    assert rows == {
        code: [remedy.group, remedy.at_start or "-", remedy.later or "-", remedy.suggestion or "-"]
        for code, remedy in REMEDIES.items()
    }


@pytest.mark.parametrize("content", [None, b"{"])
def test_what_is_wrong_with_a_container_is_told_as_its_own(
    root: ContainerdRoot, content: bytes | None
) -> None:
    """Docker's notes of it have a code of their own, and name the container."""
    container = root.container("changed")
    notes = root.top / f"containers/{container}/config.v2.json"
    with root.mended():
        root.remove(notes) if content is None else root.write(notes, content)
        rows = doctor(root)
    kind = "missing" if content is None else "malformed"
    found = {(row["code"], row["subject"]) for row in rows if row["severity"] == "error"}
    assert found == {(f"container-notes-{kind}", f"container {container}")}
