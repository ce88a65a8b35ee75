"""The recorded data root for tests: unpacked once a session, and private copies to damage."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fixtures.unpack import unpack

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["fixture_root", "private_copy"]


def fixture_root(factory: pytest.TempPathFactory) -> Path:
    """Unpack the recording; return its data root, which many tests read and none may change."""
    return unpack(factory.mktemp("recorded"))


def private_copy(source: Path, target: Path) -> Path:
    """Copy a data root as exactly as privilege allows, holes and links included; return `target`."""
    subprocess.run(["cp", "-a", "--reflink=auto", "--no-target-directory", source, target], check=True)
    return target
