"""Disk usage: a real Engine's account against `layerfs du`, and real removals against what it foretells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import add_image, configs, forget_image, layer_files, layerfs
from tests.support.engine import Engine, copy_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.dockerd


def _du(root: Path, *arguments: str) -> dict[str, Any]:
    found = layerfs(root, "du", *arguments, "--format", "json")
    assert (found.code, found.stderr) == (0, "")
    return dict(found.json)


def test_sizes_are_the_engines(engine: Engine) -> None:
    """Size, shared and unique size, containers and the total are those of the API's /system/df."""
    theirs, ours = engine.disk_usage(), _du(engine.root)
    expected = {
        image["Id"]: (
            image["Size"],
            image["SharedSize"],
            image["Size"] - image["SharedSize"],
            image["Containers"],
        )
        for image in theirs["Images"]
    }
    found = {
        image["id"]: (image["size"], image["shared_size"], image["unique_size"], image["containers"])
        for image in ours["images"]
    }
    assert found == expected
    assert ours["total_size"] == theirs["LayersSize"]


def test_cells_are_those_of_system_df(engine: Engine) -> None:
    """Repository, tag, ID, SIZE, SHARED SIZE, UNIQUE SIZE and CONTAINERS are the client's words."""
    verbose = engine.cli("system", "df", "--verbose").splitlines()
    start = next(number for number, line in enumerate(verbose) if line.startswith("REPOSITORY"))
    theirs = _cells(verbose[start : verbose.index("", start)])
    ours = _cells(layerfs(engine.root, "du").stdout.splitlines()[:-1])
    for row in theirs:
        del row["CREATED"]
    for row in ours:
        del row["FREED SIZE"]
    assert sorted(ours, key=str) == sorted(theirs, key=str)


def _cells(table: list[str]) -> list[dict[str, str]]:
    """The cells of a table by header; columns begin where the headers do."""
    starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", table[0])]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    headers = [table[0][start:end].strip() for start, end in spans]
    return [
        {header: line[start:end].strip() for header, (start, end) in zip(headers, spans, strict=True)}
        for line in table[1:]
    ]


def test_totals_are_those_of_system_df(engine: Engine) -> None:
    """The total and the reclaimable size, in the client's units, are those of `docker system df`."""
    size, reclaimable = engine.cli(
        "system", "df", "--format", '{{if eq .Type "Images"}}{{.Size}} {{.Reclaimable}}{{end}}'
    ).split()[:2]
    ours = _du(engine.root)
    total = layerfs(engine.root, "du").stdout.splitlines()[-1].split()
    assert total[1] == size
    assert reclaimable == _human(ours["reclaimable_size"])


def _human(size: int) -> str:
    from layerfs_cli.units import human_size

    return human_size(size, 4)


# -- removal, for real ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def doomed(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine on a copy that the tests below take apart; each foretells and removes what is left."""
    root = copy_root(dataroot_path, tmp_path_factory.mktemp("doomed") / "root")
    _leave_a_layer_without_image(root)
    with Engine(root) as running:
        yield running


def _leave_a_layer_without_image(root: Path) -> None:
    """Replace lab/nodes by an image of its first two layers: its third stays, in no image."""
    (image, config), *_ = [
        (image, config)
        for image, config in configs(root).items()
        if config.get("config", {}).get("Labels") == {"org.example.lab": "nodes"}
    ]
    diff_ids = config["rootfs"]["diff_ids"][:-1]
    add_image(root, config | {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": []})
    forget_image(root, image)


def _remove(engine: Engine, *names: str) -> None:
    """Remove containers, then images by all their names, or by ID where they have none."""
    containers = {item["Names"][0].lstrip("/") for item in engine.containers()} & set(names)
    for name in containers:
        engine.cli("rm", name)
    for name in (name for name in names if name not in containers):
        document = engine.image(name)
        names_of_it = document["RepoTags"] or document["RepoDigests"] or [document["Id"]]
        engine.cli("rmi", "--force", *names_of_it)


def _removal(engine: Engine, *names: str) -> dict[str, Any]:
    """Foretell a removal, remove for real, compare what went; returns what was foretold."""
    foretold = _du(engine.root, "--what-if", *names)
    before = layer_files(engine.root)
    _remove(engine, *names)
    after = layer_files(engine.root)
    gone = {chain: int(files["size"]) for chain, files in before.items() if chain not in after}
    own = sum(item["size"] for item in foretold["directories"])
    assert {layer["chain_id"]: layer["size"] for layer in foretold["layers"]} == gone
    assert foretold["freed_size"] == sum(gone.values()) + own
    assert all(layer["chain_id"] in after for layer in foretold["kept"])
    for layer in [*foretold["layers"], *foretold["directories"]]:
        assert not (engine.root / "overlay2" / layer["cache_id"]).exists()
    assert not set(foretold["images"]) & {image["Id"] for image in engine.images()}
    return foretold


def test_freed_is_what_removal_of_one_image_frees(doomed: Engine) -> None:
    """FREED of each image that nothing else builds on is what `docker rmi` really frees, one by one."""
    names = [
        "committed:1",
        "rebuilt:latest",
        "lab/attributes:1",
        "lab/opaque:1",
        "lab/twice:1",
        "zero/null:1",
    ]
    for name in names:
        freed = {image["id"]: image["freed_size"] for image in _du(doomed.root)["images"]}
        foretold = _removal(doomed, name)
        assert freed[foretold["images"][0]] == foretold["freed_size"]


def test_dangling_image_goes_with_its_unneeded_parents(doomed: Engine) -> None:
    """An untagged build goes with the intermediate images that only it needs."""
    dangling = [image["id"] for image in _du(doomed.root)["images"] if not image["references"]]
    parents = {image["Id"]: image["ParentId"] for image in doomed.images()}
    image = next(image for image in dangling if parents[image])
    foretold = _removal(doomed, image)
    assert len(foretold["images"]) > 1
    assert foretold["freed_size"] > 0


def test_set_of_images_frees_what_only_they_share(doomed: Engine) -> None:
    """A set frees more than the sum of its members where a layer is shared within the set alone."""
    names = [
        image["references"][0]
        for image in _du(doomed.root)["images"]
        if (image["repository"] or "").startswith("config/")
    ]
    alone = [_du(doomed.root, "--what-if", name)["freed_size"] for name in names]
    assert _removal(doomed, *names)["freed_size"] > sum(alone)


def test_pair_of_images(doomed: Engine) -> None:
    """Two images that share only what others use too free what they free alone."""
    alone = [_du(doomed.root, "--what-if", name)["freed_size"] for name in ("lab/types:1", "lab/names:1")]
    assert _removal(doomed, "lab/types:1", "lab/names:1")["freed_size"] == sum(alone) > 0


def test_containers_keep_the_layers_of_a_removed_image(doomed: Engine) -> None:
    """Images with stopped containers free nothing that the containers stand on."""
    for name, container in (("lab/links:1", "links"), ("lab/hundred:latest", "deep")):
        foretold = _removal(doomed, name)
        holder = doomed.container(container)["Id"]
        assert foretold["freed_size"] == 0
        assert all(holder in layer["containers"] for layer in foretold["kept"])


def test_containers_and_then_their_images(doomed: Engine) -> None:
    """What is kept for a container goes with it: alone where its image is gone, else together with that."""
    sizes = {name: doomed.container(name)["SizeRw"] for name in ("orphan", "links", "clean")}
    kept = _removal(doomed, "links")  # its image went in the test above
    assert kept["layers"]
    assert _removal(doomed, "orphan")["layers"]
    foretold = [_removal(doomed, "clean")]
    for name, outcome in zip(("links", "clean"), (kept, *foretold), strict=True):
        assert outcome["directories"][-1]["size"] == sizes[name]


def test_build_cache_alone_keeps_layers(doomed: Engine) -> None:
    """With its container gone, a BuildKit image still frees nothing of what BuildKit's cache holds."""
    doomed.cli("rm", "created")
    foretold = _removal(doomed, "buildkit:latest")
    assert foretold["freed_size"] == 0
    kept = [layer for layer in foretold["kept"] if not layer["images"] and not layer["containers"]]
    assert kept
    assert all(layer["buildkit"] for layer in kept)


def test_layer_that_no_image_has_keeps_those_below(doomed: Engine) -> None:
    """Nothing is freed below a layer that the Engine has lost sight of, and ours says so."""
    half = next(
        image["id"] for image in _du(doomed.root)["images"] if not image["references"] and image["size"] > 0
    )
    foretold = _removal(doomed, half)
    assert foretold["freed_size"] == 0
    assert foretold["kept"]


def test_image_with_a_child_frees_nothing(doomed: Engine) -> None:
    """An image others are built on frees nothing, whatever `docker rmi` makes of it."""
    foretold = _du(doomed.root, "--what-if", "base:1")
    assert (foretold["freed_size"], foretold["layers"]) == (0, [])
