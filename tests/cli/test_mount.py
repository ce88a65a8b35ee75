"""`layerfs mount` and `umount` as far as no mount is needed; tests/fuse has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["mount", "demo:latest"], 2),
        (["mount", "--up-to", "1"], 2),
        (["mount", "--format", "json", "demo:latest", "m"], 2),
        (["mount", "--format", "none"], 2),
        (["mount", "--allow-other", "--ignore-permissions", "demo:latest", "m"], 2),
        (["mount", "--driver", "none", "demo:latest", "m"], 2),
        (["mount", "--up-to", "1", "--layer", "1", "demo:latest", "m"], 2),
        (["mount", "--up-to", "1", "changed", "m"], 2),
        (["mount", "--up-to", "0", "demo:latest", "m"], 2),
        (["mount", "--up-to", "99", "demo:latest", "m"], 3),
        (["mount", "no-such:image", "m"], 3),
        (["mount", "--type", "container", "demo:latest", "m"], 3),
        (["mount", "demo:latest", "none"], 7),
        (["umount"], 2),
        (["umount", "m"], 7),
    ],
)
def test_refusals_come_before_any_mount(
    dataroot_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """What cannot be done is said in words, with the documented exit code, and leaves no trace."""
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path)
    done = layerfs(dataroot_path, *arguments)
    assert done.code == code
    assert done.stdout == ""
    assert done.stderr
    assert not (tmp_path / "m").is_mount()


def test_lost_root_is_told(tmp_path: Path) -> None:
    """Where there is no data root, nothing is mounted, with its own exit code."""
    (tmp_path / "m").mkdir()
    assert layerfs(tmp_path / "none", "mount", "demo:latest", str(tmp_path / "m")).code == 4
