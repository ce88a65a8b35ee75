"""`layerfs verify` of an archive of `docker save`: each fault is named, with the sha256 that is right."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs.stores.archive.store import ArchiveStore
from tests.support.command import layerfs
from tests.support.layouts import as_tar, layer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[dict[str, bytes]], Path]

CLEAN, FOUND, USAGE, NOT_FOUND, NOT_IN_THIS_KIND = 0, 1, 2, 3, 4

BASE = layer_of({"etc/motd": b"hello\n", "bin/tool": b"#!" * 2000})
UPPER = {"old:1": layer_of({"etc/old": b"1"}), "new:2": layer_of({"etc/new": b"2" * 1500})}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _place(layer: bytes) -> str:
    return f"{_sha256(layer)}/layer.tar"


class Saved(NamedTuple):
    """The members of an archive with two images, and where the config of each is."""

    members: dict[str, bytes]
    configs: dict[str, str]

    def without(self, name: str) -> dict[str, bytes]:
        """The members but for one."""
        return {place: content for place, content in self.members.items() if place != name}


@pytest.fixture
def saved() -> Saved:
    """Two images on one base, as an Engine before 25 saves them: configs by digest, layers by directory."""
    members, configs, rows = {_place(BASE): BASE}, {}, []
    for name, upper in UPPER.items():
        diff_ids = [f"sha256:{_sha256(layer)}" for layer in (BASE, upper)]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        config = json.dumps(document).encode()
        configs[name] = f"{_sha256(config)}.json"
        members |= {configs[name]: config, _place(upper): upper}
        layers = [_place(BASE), _place(upper)]
        rows.append({"Config": configs[name], "RepoTags": [name], "Layers": layers})
    return Saved(members | {"manifest.json": json.dumps(rows).encode()}, configs)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Write members as an archive."""

    def written(members: dict[str, bytes]) -> Path:
        path = tmp_path / "saved.tar"
        path.write_bytes(as_tar(members))
        return path

    return written


def _findings(archive: Path, *arguments: str) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """Expected and actual of each finding by code and member; each is an error, and so is the exit code."""
    done = layerfs(archive, "verify", "--format", "json", *(arguments or ("--all",)))
    rows = done.json
    assert done.code == (FOUND if rows else CLEAN)
    assert {row["severity"] for row in rows} <= {"error"}
    found = {
        (row["code"], row["path"].removeprefix(f"{archive}:")): (row["expected"], row["actual"])
        for row in rows
    }
    assert len(found) == len(rows)  # nothing is told twice
    return found


def _flipped(content: bytes) -> bytes:
    """The layer with one byte of a file's content changed: headers stay as they are."""
    at = content.index(b"#!" * 2000) + 77
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_an_intact_archive_has_no_faults(saved: Saved, write: Write) -> None:
    """The base is counted once; names narrow the count, and IMAGE@N and a layer's ID are understood."""
    archive = write(saved.members)
    for names, counted in {
        ("--all",): "2 images, 3 layers",
        ("old:1",): "1 image, 2 layers",
        ("old:1", "new:2@1"): "2 images, 2 layers",
        (f"sha256:{_sha256(BASE)}",): "1 layer",
    }.items():
        done = layerfs(archive, "verify", "--strict", *names)
        assert (done.code, done.stdout) == (CLEAN, f"{counted}: 0 errors, 0 warnings, 0 notes\n")
        assert done.stderr == ""


def test_a_changed_byte_of_a_layer(saved: Saved, write: Write) -> None:
    """Both images have the base, and it is named once, with both digests."""
    changed = _flipped(BASE)
    archive = write(saved.members | {_place(BASE): changed})
    wanted = {("diff-id-wrong", _place(BASE)): (f"sha256:{_sha256(BASE)}", f"sha256:{_sha256(changed)}")}
    assert _findings(archive) == _findings(archive, "old:1") == wanted


def test_names_narrow_it_to_their_layers(saved: Saved, write: Write) -> None:
    """A fault in the upper layer of one image is not one of the other, nor of the layers below it."""
    changed = UPPER["new:2"].replace(b"2" * 1500, b"2" * 1499 + b"3")
    archive = write(saved.members | {_place(UPPER["new:2"]): changed})
    assert list(_findings(archive, "new:2")) == [("diff-id-wrong", _place(UPPER["new:2"]))]
    assert _findings(archive, "old:1") == _findings(archive, "new:2@1") == {}


def test_a_changed_config(saved: Saved, write: Write) -> None:
    """Docker looks at no config's digest; its file's name tells what it was."""
    place = saved.configs["old:1"]
    changed = saved.members[place].replace(b"amd64", b"arm64")
    archive = write(saved.members | {place: changed})
    wanted = {("config-altered", place): (place.removesuffix(".json"), _sha256(changed))}
    assert _findings(archive) == _findings(archive, "old:1") == wanted
    assert _findings(archive, "new:2") == {}


def test_a_cut_layer(saved: Saved, write: Write) -> None:
    """It hashes to something else, and its tar ends too early."""
    cut = BASE[: BASE.index(b"#!" * 2000) + 1000]
    archive = write(saved.members | {_place(BASE): cut})
    found = _findings(archive)
    assert found["diff-id-wrong", _place(BASE)] == (f"sha256:{_sha256(BASE)}", f"sha256:{_sha256(cut)}")
    assert set(found) == {(code, _place(BASE)) for code in ("diff-id-wrong", "tar-malformed")}


def test_a_missing_layer(saved: Saved, write: Write) -> None:
    """It is named, and the other image is intact."""
    place = _place(UPPER["old:1"])
    archive = write(saved.without(place))
    assert list(_findings(archive)) == [("layer-missing", place)]
    assert _findings(archive, "new:2") == {}


def test_findings_as_lines(saved: Saved, write: Write) -> None:
    """As of a data root: a line for each, and the sum."""
    changed = _flipped(BASE)
    archive = write(saved.members | {_place(BASE): changed})
    line, total = layerfs(archive, "verify", "--no-trunc", "--all").stdout.splitlines()
    assert line == (
        f"error: {archive}:{_place(BASE)}: the layer is not the one in the config "
        f"(expected sha256:{_sha256(BASE)}, found sha256:{_sha256(changed)}) [diff-id-wrong]"
    )
    assert total == "2 images, 3 layers: 1 error, 0 warnings, 0 notes"


def test_warnings_count_with_strict_only(saved: Saved, write: Write) -> None:
    """A member that comes twice is odd, and no error."""
    archive = write(saved.members)
    with tarfile.open(archive, "a") as tar:
        again = tarfile.TarInfo(_place(BASE))
        again.size = len(BASE)
        tar.addfile(again, io.BytesIO(BASE))
    done = layerfs(archive, "verify", "--all", "--format", "json")
    assert [(row["code"], row["severity"]) for row in done.json] == [("member-repeated", "warning")]
    assert done.code == CLEAN
    assert layerfs(archive, "verify", "--all", "--strict").code == FOUND


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify",), USAGE),
        (("verify", "--all", "old:1"), USAGE),
        (("verify", "--all", "--quick"), USAGE),
        (("verify", "--all", "--ignore", "mode"), USAGE),
        (("verify", "--all", "--no-attributes"), USAGE),
        (("verify", "other:3"), NOT_FOUND),
        (("verify", "old:1@3"), NOT_FOUND),
        (("doctor",), NOT_IN_THIS_KIND),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_refusals(saved: Saved, write: Write, arguments: tuple[str, ...], code: int) -> None:
    """What does not apply to an archive is refused, and never passed over."""
    done = layerfs(write(saved.members), *arguments)
    assert (done.code, done.stdout) == (code, "")


def test_progress_is_told_in_bytes_of_all_layers(saved: Saved, write: Write) -> None:
    """Who watches hears of every stored byte of the layers once, and of no more than there are."""
    told: list[tuple[str, int, int]] = []
    store = ArchiveStore.open(write(saved.members))
    assert list(store.faults(on_progress=lambda *words: told.append(words))) == []
    total = sum(map(len, (BASE, *UPPER.values())))
    assert {(part, in_all) for part, _, in_all in told} == {("layers", total)}
    assert sum(amount for _, amount, _ in told) == total
