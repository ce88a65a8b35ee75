"""What `layerfs doctor` finds, as the tests compare it: by code and path below the data root."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["allocated", "container_id", "doctor", "found"]

Finding = dict[str, Any]


def doctor(root: Path, *options: str) -> list[Finding]:
    """Every finding; the exit code must say whether there is more than notes, standard error nothing."""
    result = layerfs(root, "doctor", *options, "--format", "json")
    rows: list[Finding] = result.json
    assert (result.code, result.stderr) == (int(any(row["severity"] != "note" for row in rows)), "")
    return rows


def found(root: Path, *options: str) -> dict[tuple[str, str], Finding]:
    """Every finding by its code and its path below the root."""
    rows = doctor(root, *options)
    assert len({str(row) for row in rows}) == len(rows), "something is found twice"
    return {(row["code"], row["path"].removeprefix(f"{root}/")): row for row in rows}


def allocated(paths: Iterable[Path]) -> int:
    """Bytes on disk below paths by du(1): every inode once, other file systems left out."""
    command = ["du", "--summarize", "--total", "--block-size=1", "--one-file-system", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=True)
    return int(done.stdout.splitlines()[-1].split()[0])


def container_id(root: Path, name: str) -> str:
    """The ID of a container by the configs on disk."""
    import json

    for config in (root / "containers").glob("*/config.v2.json"):
        if json.loads(config.read_bytes())["Name"] == f"/{name}":
            return config.parent.name
    raise LookupError(name)
