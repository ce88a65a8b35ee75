"""`layerfs chain-id`, judged by sha256sum(1)."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import configs, layer_files, layerfs

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "/nonexistent"


def _diff_ids(count: int) -> list[str]:
    return [f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(count)]


def _sha256sum(text: str) -> str:
    done = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True)
    return f"sha256:{done.stdout.split()[0].decode()}"


def _chain(diff_ids: list[str]) -> list[str]:
    """The chain IDs as sha256sum computes them."""
    chain = diff_ids[:1]
    for diff_id in diff_ids[1:]:
        chain.append(_sha256sum(f"{chain[-1]} {diff_id}"))
    return chain


@pytest.mark.parametrize("depth", [1, 2, 3, 125])
def test_chain_of_diff_ids_is_what_sha256sum_says(depth: int) -> None:
    """The chain ID of diff IDs is right at every depth Docker allows, without any data root."""
    diff_ids = _diff_ids(depth)
    chain = _chain(diff_ids)
    assert layerfs(NOWHERE, "chain-id", *diff_ids) == (0, chain[-1] + "\n", "")
    rows = layerfs(NOWHERE, "chain-id", *diff_ids, "--format", "json").json
    assert [row["chain_id"] for row in rows] == chain
    assert [row["diff_id"] for row in rows] == diff_ids
    assert [row["parent"] for row in rows] == [None, *chain[:-1]]
    assert [row["index"] for row in rows] == list(range(1, depth + 1))


def test_same_layer_twice_is_two_places_in_the_chain() -> None:
    """A diff ID on top of itself has a chain ID of its own."""
    diff_id = _diff_ids(1)[0]
    assert layerfs(NOWHERE, "chain-id", diff_id, diff_id).stdout.strip() == _chain([diff_id] * 2)[-1]


@pytest.mark.parametrize("depth", [2, 3, 125])
def test_steps_can_be_pasted(depth: int) -> None:
    """A shell that runs the lines of --steps prints exactly the chain IDs they claim."""
    diff_ids = _diff_ids(depth)
    steps = layerfs(NOWHERE, "chain-id", "--steps", *diff_ids).stdout
    assert len(steps.splitlines()) == depth
    pasted = subprocess.run(["sh"], input=steps, capture_output=True, text=True, check=True)
    computed = [f"sha256:{line.split()[0]}" for line in pasted.stdout.splitlines()]
    claimed = [line.rpartition(": ")[2] for line in steps.splitlines()[1:]]
    assert computed == claimed == _chain(diff_ids)[1:]
    assert pasted.stderr == ""


def test_every_image_of_the_root(dataroot_path: Path) -> None:
    """The chain ID of each image with layers is the name of its top layer's directory."""
    stored = layer_files(dataroot_path)
    for image, config in configs(dataroot_path).items():
        diff_ids = config["rootfs"].get("diff_ids") or []
        found = layerfs(dataroot_path, "chain-id", image)
        assert found.code == 0
        if diff_ids:
            assert found.stdout.strip() in stored
            assert stored[found.stdout.strip()]["diff"] == diff_ids[-1]
        else:
            assert (found.stdout, layerfs(dataroot_path, "chain-id", image, "--format", "json").json) == (
                "",
                [],
            )
            assert "has no layers" in found.stderr


def test_one_digest_that_is_no_image_is_a_diff_id(dataroot_path: Path) -> None:
    """A single digest that the root does not know as an image is a base layer's diff ID."""
    diff_id = _diff_ids(1)[0]
    for name in (diff_id, diff_id.removeprefix("sha256:")):
        assert layerfs(dataroot_path, "chain-id", name) == (0, diff_id + "\n", "")


@pytest.mark.parametrize(
    ("names", "code"),
    [(["base:1", "demo:latest"], 2), ([_diff_ids(1)[0], "base:1"], 2), (["absent:1"], 3), ([], 2)],
)
def test_what_is_neither_is_refused(dataroot_path: Path, names: list[str], code: int) -> None:
    """Several images, a mixture, nothing, or an unknown image: an error, and no chain ID."""
    found = layerfs(dataroot_path, "chain-id", *names)
    assert (found.code, found.stdout) == (code, "")
    assert found.stderr
