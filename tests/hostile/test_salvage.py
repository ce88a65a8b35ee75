"""`layerfs export --salvage`, member by member: one damage, and all else as it was."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.archives import members
from tests.support.command import run_bytes

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

pytestmark = pytest.mark.root


def _layers(root: Path, image: str) -> list[dict[str, Any]]:
    return list(json.loads(run_bytes(root, "layers", "--format", "json", image).stdout))


@pytest.mark.parametrize("what", ["removed", "longer", "shorter", "altered"])
@pytest.mark.parametrize(
    "image", ["demo", "lab/links:1", "lab/names:1", "lab/tar-forms:1", "lab/attributes:1"]
)
def test_all_else_survives(dataroot_path: Path, copy: Path, image: str, what: str) -> None:
    """One damaged file at a time: every other member of the salvaged tar is what the original had."""
    root = copy
    tried = 0
    for layer in _layers(root, image)[:3]:
        original = {member.name: (member, content) for member, content in _whole(dataroot_path, layer)}
        diff = root / "overlay2" / layer["cache_id"] / "diff"
        for name in _single_files(original)[:4]:
            place = os.path.normpath(b"/" + os.fsencode(name)).lstrip(b"/")
            path = os.fsencode(diff) + b"/" + place
            if not os.path.isfile(path) or os.path.islink(path):
                continue
            kept = Path(os.fsdecode(path)).read_bytes()
            changed = {
                "longer": kept + b"x" * 600,
                "shorter": kept[:-1],
                "altered": kept.swapcase()[:-1] + b"\0",
            }
            _put(path, changed.get(what))
            found = run_bytes(root, "export", "--salvage", layer["chain_id"])
            assert found.code == 1
            salvaged = {member.name: (member, content) for member, content in members(found.stdout)}
            expected = dict(original)
            member, _ = expected.pop(name)
            if what in changed:
                assert salvaged[name][1] == changed[what]
                assert salvaged[name][0].mode & 0o7777 == member.mode & 0o7777
                salvaged.pop(name)
            assert {key: _said(*value) for key, value in salvaged.items()} == {
                key: _said(*value) for key, value in expected.items()
            }
            _put(path, kept)
            tried += 1
    assert tried


def _whole(root: Path, layer: dict[str, Any]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    return members(run_bytes(root, "export", "--format", "layer", layer["chain_id"]).stdout)


def _single_files(found: dict[str, tuple[tarfile.TarInfo, bytes]]) -> list[str]:
    """Files with content that no hard link leads to."""
    linked = {member.linkname for member, _ in found.values() if member.islnk()}
    return [
        name for name, (member, content) in found.items() if member.isreg() and content and name not in linked
    ]


def _put(path: bytes, content: bytes | None) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)


def _said(member: tarfile.TarInfo, content: bytes) -> tuple[object, ...]:
    return (
        *(member.type, member.mode, member.uid, member.gid, member.mtime, member.linkname),
        *(tuple(sorted(member.pax_headers.items())), content),
    )


def test_a_hard_link_outlives_its_first_name(dataroot_path: Path, copy: Path) -> None:
    """Where a file's first name is gone, its other names still bring its content."""
    root = copy
    layer, original, link = next(
        (layer, original, member)
        for layer in _layers(root, "lab/links:1")
        for original in [list(_whole(dataroot_path, layer))]
        for member, _ in original
        if member.islnk() and not next(item for item, _ in original if item.name == member.linkname).issym()
    )
    (root / "overlay2" / layer["cache_id"] / "diff" / link.linkname).unlink()
    found = run_bytes(root, "export", "--salvage", layer["chain_id"])
    salvaged = {member.name: (member, content) for member, content in members(found.stdout)}
    content = next(content for member, content in original if member.name == link.linkname)
    assert link.linkname not in salvaged
    assert salvaged[link.name][0].isreg()
    assert salvaged[link.name][1] == content
    assert io.BytesIO(found.stdout).getbuffer().nbytes % 512 == 0
