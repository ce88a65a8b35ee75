"""`layerfs tree`: what is drawn is what is there."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    MountedByKernel = Callable[[str], AbstractContextManager[Path]]

LINE = re.compile(r"(?P<bars>(?:│   |    )*)(?:├── |└── )(?P<name>[^ ]*(?:\\ [^ ]*)*)(?: -> .*)?")


def _drawn(text: str) -> list[str]:
    """The paths that a drawing shows, from its bars and indents alone."""
    parents: list[str] = []
    found = []
    for line in text.partition("\n\n")[0].splitlines()[1:]:
        match = LINE.fullmatch(line)
        assert match, line
        del parents[len(match["bars"]) // 4 :]
        parents.append(match["name"])
        found.append("/" + "/".join(parents))
    return found


def _nested(found: dict[str, Any]) -> Iterator[str]:
    for child in found["contents"] or ():
        yield child["path"]
        yield from _nested(child)


def _walked(top: Path, *, directories_only: bool = False, depth: int = 99) -> list[str]:
    """What is below a directory; the kernel lists some names that it then does not find."""
    found = []
    for place, below, files in os.walk(top):
        for name in below if directories_only else [*below, *files]:
            path = os.path.join(place, name).removeprefix(str(top))
            if path.count("/") <= depth and os.path.lexists(f"{top}{path}"):
                found.append(path)
    if directories_only:
        found = [path for path in found if not os.path.islink(f"{top}{path}")]
    return sorted(found)


@pytest.mark.kernel
@pytest.mark.parametrize("image", ["demo:latest", "lab/whiteouts:1", "lab/opaque:1", "lab/types:1"])
def test_every_entry_is_drawn(dataroot_path: Path, mounted_by_kernel: MountedByKernel, image: str) -> None:
    """Drawing and JSON have every path of the kernel's mount once, and -d and -L cut as they say."""
    with mounted_by_kernel(image) as mounted:
        drawn = layerfs(dataroot_path, "tree", "-a", image)
        assert sorted(_drawn(drawn.stdout)) == _walked(mounted) != []
        nested = layerfs(dataroot_path, "tree", "-a", "--format", "json", image).json
        assert sorted(_nested(nested)) == _walked(mounted)
        folders = layerfs(dataroot_path, "tree", "-a", "-d", "-L", "2", image).stdout
        assert sorted(_drawn(folders)) == _walked(mounted, directories_only=True, depth=2)
        everything = layerfs(dataroot_path, "tree", "-a", "--format", "jsonl", image).stdout
        assert len(everything.splitlines()) == len(_walked(mounted)) + 1
        directories = len(_walked(mounted, directories_only=True)) + 1
        files = len(_walked(mounted)) - directories + 1
    assert f"\n{directories} director" in drawn.stdout
    assert f", {files} file" in drawn.stdout


def test_hidden_names_show_on_request(dataroot_path: Path) -> None:
    """Names that begin with a dot are left out without -a."""
    names = {
        os.path.basename(path) for path in _drawn(layerfs(dataroot_path, "tree", "-a", "changed").stdout)
    }
    shown = {os.path.basename(path) for path in _drawn(layerfs(dataroot_path, "tree", "changed").stdout)}
    assert {name for name in names - shown if not name.startswith(".")} == set()
    assert any(name.startswith(".") for name in names)


def test_depth_is_no_limit(copy: Path) -> None:
    """A tree of five hundred levels is drawn, and written as JSON, to its end."""
    root = copy
    data = DataRoot.open(root)
    fd = os.open(root / "overlay2" / data.chain(data.image("base:1"))[-1].cache_id / "diff", os.O_RDONLY)
    for _ in range(500):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    drawn = layerfs(root, "tree", "base:1", "/d")
    assert drawn.code == 0
    assert len(drawn.stdout.splitlines()) == 502
    found = layerfs(root, "tree", "--format", "json", "base:1", "/d").stdout
    assert found.count('"contents":[') == 500
    assert found.count("{") == found.count("}") == 500


@pytest.mark.root
def test_unreadable_directory_is_told(copy: Path) -> None:
    """A directory that cannot be shown is marked, told, and makes the exit code 1; the rest is drawn."""
    root = copy
    data = DataRoot.open(root)
    top = root / "overlay2" / data.chain(data.image("lab/redirect:1"))[-1].cache_id / "diff"
    os.setxattr(top / "moved", "trusted.overlay.redirect", b"/../escape")
    done = layerfs(root, "tree", "lab/redirect:1")
    assert done.code == 1
    assert "moved  [error opening dir]" in done.stdout
    assert "── here" in done.stdout
    assert "redirect" in done.stderr
    nested = layerfs(root, "tree", "--format", "json", "lab/redirect:1").json
    assert {child["name"]: child["contents"] is None for child in nested["contents"]}["moved"]


def test_file_is_no_tree(dataroot_path: Path) -> None:
    """A path that is no directory is refused."""
    done = layerfs(dataroot_path, "tree", "demo:latest", "/etc/motd")
    assert done.code == 6
    assert "/etc/motd: Not a directory" in done.stderr
