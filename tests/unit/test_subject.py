from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from layerfs import DataRoot, open_subject
from layerfs.errors import LookupFailed
from layerfs.subject import LayerChoiceError
from tests.support.source import REPOSITORY

_IMAGE = "demo:1.0"


@pytest.fixture
def root(dataroot_path: Path) -> DataRoot:
    """The recorded data root."""
    return DataRoot.open(dataroot_path)


def test_layers_are_numbered_from_the_base(root: DataRoot) -> None:
    """A subject's layers are those of the image's config, uppermost first, and say so by their numbers."""
    for image in root.images():
        subject = open_subject(root, image.id)
        numbers = [layer.number for layer in subject.layers]
        assert numbers == list(range(len(image.config.diff_ids), 0, -1))
        assert [subject.layer(number).diff_id for number in range(1, len(numbers) + 1)] == [
            *image.config.diff_ids
        ]


def test_maker_is_the_history_entry_of_the_layer(root: DataRoot) -> None:
    """What made a layer is what the config's history says of it, with empty steps passed over."""
    asked = 0
    for image in root.images():
        made = [entry.created_by for entry in image.config.history if not entry.empty_layer]
        subject = open_subject(root, image.id)
        for number, created_by in enumerate(made[: len(image.chain)], 1):
            assert subject.created_by(number) == created_by
            asked += 1
    assert asked


def test_containers_own_layers_have_numbers_and_no_maker(root: DataRoot) -> None:
    """A container's own layers stand on those of its image; nothing tells what made them."""
    container = root.container("changed")
    subject = open_subject(root, "changed")
    below = len(root.layers_below(container))
    assert [layer.number for layer in subject.layers[: len(container.own)]] == [below + 2, below + 1]
    assert {subject.created_by(below + 1), subject.created_by(below + 2)} == {None}
    assert container.config is not None
    image = open_subject(root, container.config.image_id)
    for number in range(1, below + 1):
        assert subject.created_by(number) == image.created_by(number)


def test_entry_tells_its_layer(root: DataRoot) -> None:
    """The layer of an entry is the one whose directory has the file."""
    subject = open_subject(root, "changed")
    node = next(node for node in subject.tree.children(subject.tree.root).values() if not node.is_dir)
    layer = subject.layer_of(node)
    assert layer is not None
    assert layer.number is not None
    directory = Path(subject.source(layer.number).label)
    assert os.lstat(directory / os.fsdecode(node.part.path)).st_size == node.stat.size


@pytest.mark.parametrize(("up_to", "layer"), [(1, None), (None, 1), (1, 1)])
def test_layer_is_chosen_once(root: DataRoot, up_to: int | None, layer: int | None) -> None:
    """A number behind the name, `up_to` and `layer` exclude each other."""
    with pytest.raises(LayerChoiceError, match="more than once"):
        open_subject(root, f"{_IMAGE}@1", up_to=up_to, layer=layer)


def test_layers_of_containers_have_no_choice(root: DataRoot) -> None:
    """What is no image is refused where a layer is chosen, and said to be none."""
    with pytest.raises((LayerChoiceError, LookupFailed), match="changed"):
        open_subject(root, "changed", up_to=1)
    with pytest.raises(LayerChoiceError, match="no image"):
        open_subject(root, "changed", layer=1, kinds=("container",))


def test_layer_alone_keeps_its_number(root: DataRoot) -> None:
    """A layer by itself is its own tree, under the number it has in the image."""
    subject = open_subject(root, _IMAGE, layer=2)
    assert [layer.number for layer in subject.layers] == [2]
    assert subject.alone is not None


def test_readme_example_runs(dataroot_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python example of the README does what it says, on a root that has such an image."""
    found = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert found
    example = found[1].replace("/var/lib/docker", str(dataroot_path)).replace("nginx:latest", _IMAGE)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own page
    assert "b'motd' 0o100644 50 layer 4 /bin/sh -c" in capsys.readouterr().out
