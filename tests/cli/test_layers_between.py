"""Images of which more is stacked than their layers: each layer has its number, command and changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

WRITES, REMOVES = "/bin/fx write /built b", "/bin/fx rm /etc/motd"
"""What the two steps of the image `classic:1` ran, as Docker 29's builder noted it."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the containers of a classic build left init layers between those of an image."""
    return unpack_sample("docker29-containerd", tmp_path_factory.mktemp("between"))


def test_each_layer_has_its_own_command(root: Path) -> None:
    """Who made a file and who hid it are the steps that did, in every command that tells."""
    (built,) = layerfs(root, "blame", "--format", "json", "classic:1", "/built").json
    assert (built["layer"], built["created_by"]) == (2, WRITES)
    (motd,) = layerfs(root, "deleted", "--format", "json", "classic:1", "/etc/motd").json
    assert (motd["layer"], motd["hidden_by"], motd["hidden_by_command"]) == (1, 3, REMOVES)
    assert layerfs(root, "stat", "--format", "json", "classic:1", "/built").json[0]["layer"] == 2


def test_each_layer_has_its_own_changes(root: Path) -> None:
    """What the containers of the build were given is no change of a layer."""
    rows = layerfs(root, "changes", "--format", "json", "classic:1").json
    assert [(row["layer"], row["created_by"]) for row in rows[1:]] == [(2, WRITES), (3, REMOVES)]
    assert layerfs(root, "changes", "--layer", "2", "classic:1").stdout.split()[-1] == "/built"
    for command in (["waste"], ["blame", "-R", "--hidden"], ["history"], ["hashes", "--all-versions"]):
        for name in ("classic:1", "classic:1@2", "vol")[: 1 if command[0] == "history" else 3]:
            assert layerfs(root, *command, name).code in (0, 1), (command, name)


@pytest.mark.parametrize("name", ["classic:1", "vol"])
def test_the_tree_has_all_that_is_stacked(root: Path, name: str) -> None:
    """What is shown is what the kernel mounts: what lies between the layers too."""
    assert layerfs(root, "stat", name, "/.dockerenv").code == 0
