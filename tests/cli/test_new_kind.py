"""A new kind of store takes one package and one line of the registry: then the commands work on it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from layerfs.capabilities import DoctorReport, Unclaimed, Volume
from layerfs.model import Diagnosis, Finding, Remedy
from layerfs.stores import registry
from tests.support import toystore
from tests.support.command import layerfs, run_bytes
from tests.support.storekinds import each_kind
from tests.support.toystore import ToyStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from layerfs.capabilities import DoctorOptions, Progress, VerifyOptions
    from tests.support.storekinds import StoreKind

OLD, NEW = "app:1", "app:2"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images that share their base; the upper layer of one changes a file, and adds another."""
    monkeypatch.setitem(registry.KINDS, "toy", "tests.support.toystore")
    path = tmp_path / "toy"
    for name, content in {"base/etc/motd": "old\n", "top/etc/motd": "new!\n", "top/bin/tool": "#!"}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    (path / "toy.json").write_text(json.dumps({OLD: ["base"], NEW: ["base", "top"]}))
    return path


def test_images_are_listed(toy: Path) -> None:
    """With names, IDs and sizes, as of any store."""
    done = layerfs(toy, "images", "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    assert {(row["tag"], row["size"], row["containers"]) for row in done.json} == {("1", 4, 0), ("2", 11, 0)}


def test_a_tree_is_read(toy: Path) -> None:
    """`ls` with the layer that supplied each entry, `cat`, and paths behind a colon."""
    assert layerfs(toy, "ls", "--layers", f"{NEW}:/etc").stdout.split() == ["2", "motd"]
    assert layerfs(toy, "cat", f"{NEW}:/etc/motd").stdout == "new!\n"
    assert layerfs(toy, "cat", f"{NEW}@1:/etc/motd").stdout == "old\n"


def test_trees_are_compared(toy: Path) -> None:
    """`diff` tells what differs, and exits with 1."""
    done = layerfs(toy, "diff", "--ignore", "mtime", "--name-only", OLD, NEW)
    assert (done.code, done.stdout.split()) == (1, ["/bin", "/bin/tool", "/etc/motd"])
    assert layerfs(toy, "diff", "--ignore", "mtime", "--name-only", NEW, NEW).code == 0


@pytest.mark.fuse
def test_it_is_mounted(toy: Path, tmp_path: Path) -> None:
    """The mount has the union, and is the same as the layer's file."""
    place = tmp_path / "mnt"
    place.mkdir()
    assert layerfs(toy, "mount", NEW, str(place)).code == 0
    try:
        assert sorted(os.listdir(place)) == ["bin", "etc"]
        assert (place / "etc" / "motd").read_text() == "new!\n"
        assert os.getxattr(place / "bin" / "tool", "user.layerfs.created_by") == b"COPY top /"
    finally:
        assert layerfs(toy, "umount", str(place)).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", NEW),
        ("layers", NEW),
        ("layers",),
        ("inspect", NEW),
        ("chain-id", NEW),
        ("containers",),
        ("tree", NEW),
        ("stat", NEW, "/etc/motd"),
        ("find", NEW, "--name", "motd"),
        ("find", "--all", "--name", "motd"),
        ("changes", NEW),
        ("blame", NEW, "/etc/motd"),
        ("blame", "--all", "/etc/motd"),
        ("deleted", NEW),
        ("waste", NEW),
        ("waste", "--duplicates", "--all"),
        ("hashes", NEW),
        ("timeline", NEW),
        ("whois", NEW),
        ("export", "--format", "rootfs", NEW),
        ("export", "--format", "rootfs", f"{NEW}@1"),
    ],
    ids=" ".join,
)
def test_every_reading_command_answers(toy: Path, arguments: tuple[str, ...]) -> None:
    """What asks for images, layers and trees asks nothing that only some kinds of store have."""
    done = run_bytes(toy, *arguments)
    assert done.stderr == ""
    assert done.code == 0
    assert done.stdout or arguments == ("containers",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("du", "layerfs du does not support it"),
        ("doctor", "layerfs doctor does not support it"),
        ("verify --all", "layerfs verify does not support it"),
        (f"verify {NEW}", "layerfs verify does not support it"),
        ("system df", "layerfs system df does not support it"),
        ("images --usage", "layerfs images --usage does not support it"),
        (f"export {NEW}", "it has no tars of layers: only trees can be exported"),
        (f"export --salvage --layer 1 {NEW}", "layerfs export --salvage does not support it"),
    ],
)
def test_what_a_kind_has_not_is_said(toy: Path, line: str, why: str) -> None:
    """In one sentence that names the store and its kind, with exit code 4."""
    done = layerfs(toy, *line.split())
    assert (done.code, done.stdout) == (4, "")
    assert done.stderr == f"layerfs: error: {toy}: a store of kind 'toy': {why}\n"


class _Check:
    images, layers, proven, proven_size, seconds = 2, 2, 1, 11, 0.0

    def findings(self, on_progress: Progress) -> Iterator[Finding]:
        """One layer is proven, of the other a file is wrong."""
        on_progress("layers", 11, 11)
        yield Finding("content-altered", "error", "layer x", "top/bin/tool", message="not what it was")


class _CapableStore(ToyStore):
    """The same kind with everything that a kind can be able to do."""

    places_path = "places"

    def unclaimed(self, needed: Collection[str]) -> Iterator[Unclaimed]:
        """One place of a layer that is in no image, and one of nothing."""
        assert not needed
        yield Unclaimed("lost", "places/lost", 7)
        yield Unclaimed(None, "places/strange", None)

    def volumes(self) -> list[Volume]:
        """One."""
        return [Volume("data", 5)]

    def build_cache(self) -> None:
        """Damaged."""

    def verification(self, names: Sequence[tuple[str, int | None]], options: VerifyOptions) -> _Check:
        """Of everything, or of two layers of an image."""
        assert (list(names), options.quick) in (([], False), ([(NEW, 1)], True))
        return _Check()

    def diagnose(self, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
        """One finding, counted if that was asked for."""
        on_progress("sizes", 1, 1)
        finding = Finding("toy-broken", "warning", "image y", "toy.json", message="it does not wind up")
        found = Diagnosis(finding, Remedy("damaged", "", "", "turn the key"), bytes=4096)
        return DoctorReport(
            [found],
            4096 if options.sizes else None,
            complete=True,
            names={"image y": "the toy"},
            part_gone=False,
        )


def test_a_kind_that_can_more_is_asked_for_more(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of a capability are all that its commands need."""
    monkeypatch.setattr(toystore, "ToyStore", _CapableStore)
    done = layerfs(toy, "du")
    assert (done.code, done.stderr) == (0, "")
    assert "places/lost" in done.stdout
    assert "places/strange" in done.stdout
    assert layerfs(toy, "images", "--usage").code == 0
    summary = layerfs(toy, "system", "df").stdout.splitlines()
    assert [line.split()[-4:] for line in summary[3:]] == [["1", "0", "5B", "5B", "(100%)"][-4:], ["N/A"] * 4]
    done = layerfs(toy, "verify", "--all")
    assert (done.code, done.stdout.splitlines()[0]) == (
        1,
        "error: top/bin/tool: not what it was [content-altered]",
    )
    assert "content of 1 of 2 layers proven" in done.stdout
    assert layerfs(toy, "verify", "--quick", f"{NEW}@1").code == 1
    done = layerfs(toy, "doctor")
    assert done.code == 1
    assert "concerns image the toy" in done.stdout
    assert done.stdout.endswith("1 warning; 4.1kB on disk\n")


def test_nothing_is_copied_into_the_store(toy: Path) -> None:
    """What a store names as evidence is never written to."""
    done = layerfs(toy, "cp", f"{NEW}:/etc", str(toy / "base"))
    assert done.code == 2
    assert "nothing is written" in done.stderr
    assert sorted(os.listdir(toy / "base")) == ["etc"]


def test_other_kinds_are_still_opened(toy: Path, dataroot_path: Path) -> None:
    """One line more in the registry changes nothing for the others."""
    assert isinstance(registry.open_store(toy), ToyStore)
    assert registry.open_store(dataroot_path).kind == "docker"


LINES = (
    ["verify", "--all"], ["doctor"], ["du"], ["system", "df"], ["images", "--usage"], ["explain", "{image}"],
    ["report", "--all", "--verify", "-o", "-"], ["export", "--salvage", "{tagged}", "-o", "-"],
)  # fmt: skip
"""What some kinds of store do not answer."""


@each_kind
def test_a_kind_answers_all_but_what_it_is_said_to_lack(kind: StoreKind, tmp_path: Path) -> None:
    """What is left out of suites for a kind is refused by it, with exit code 4, and nothing else is."""
    root = kind.make(tmp_path)
    lines = [[word.format(**kind.names) for word in line] for line in LINES]
    refused = [line for line in lines if layerfs(root, *line).code == 4]
    assert refused == [line for line in lines if not kind.can(line)]
    assert kind.lacks <= set().union(*LINES)
