"""CREATED BY of what a container changed: tables say whose own layer it is, in every kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.containerdbuilder import ContainerdBuilder
from tests.support.storekinds import each_kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root


@each_kind
@pytest.mark.parametrize("command", ["blame", "waste", "deleted", "changes", "history"])
def test_a_containers_own_layer_has_a_maker(kind: StoreKind, tmp_path: Path, command: str) -> None:
    """No cell is empty where the layer is the container's; in JSON no step of a build made it: null."""
    root = kind.make(tmp_path)
    path = ["/etc/motd"] if command == "blame" else []
    done = layerfs(root, command, kind.container, *path)
    wanted = f"(read-write layer of {kind.container})"
    if command == "deleted":
        words = layerfs(root, command, "--format", "{{.HiddenByCommand}}", kind.container)
        assert wanted in words.stdout
    else:
        assert wanted in done.stdout
    if command == "blame":
        last = layerfs(root, "blame", "--format", "json", kind.container, *path).json[-1]
        assert (last["diff_id"], last["created_by"]) == (None, None)


def test_a_namespace_of_kubernetes_has_its_table_without_containers(tmp_path: Path) -> None:
    """The columns are those that a container would have; of ctr and Docker they are Docker's."""
    heads = {}
    for name in ("k8s.io", "default", "moby"):
        builder = ContainerdBuilder(tmp_path / name, name)
        builder.image(["docker.io/library/app:1"], [builder.layer(None, b"one")])
        heads[name] = layerfs(builder.finish(), "containers").stdout
    assert heads["k8s.io"].split()[-4:] == ["POD", "ID", "POD", "NAMESPACE"]
    assert heads["moby"] == heads["default"]
    assert heads["moby"].split()[-2:] == ["PORTS", "NAMES"]
