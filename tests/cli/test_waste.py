"""`layerfs waste`: images made for it, limits and their exit codes; bytes are judged in tests/kernel."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from layerfs_cli.units import human_size
from tests.support.command import layer_files, layerfs
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta, materialise
from tests.support.rootbuilder import BuiltLayer, RootBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.layerspec import Node

OPAQUE = Meta(xattrs={b"trusted.overlay.opaque": b"y"})


def _root(path: Path, *layers: Mapping[bytes, Node] | LayerSpec) -> Path:
    """A data root with the image `app:1` of these layers, base first, each made by `step N`."""
    builder = RootBuilder(path)
    top: BuiltLayer | None = None
    for layer in layers:
        spec = layer if isinstance(layer, LayerSpec) else LayerSpec(Dir(layer))
        top = builder.layer(top, lambda directory, spec=spec: materialise(spec, directory))  # type: ignore[misc]
    history = [{"created_by": f"step {number}"} for number in range(1, len(layers) + 1)]
    builder.image(top, "app:1", config={"history": history})
    return builder.finish()


def _waste(root: Path, *arguments: str) -> dict[str, Any]:
    found = layerfs(root, "waste", "--format", "json", *arguments)
    assert found.code == 0
    assert "error" not in found.stderr  # a root without containers may be warned of: it shows no marks
    return dict(found.json)


def _by_layer(found: dict[str, Any], key: str) -> list[int]:
    return [layer[key] for layer in found["layers"]]


# -- what counts ---------------------------------------------------------------------------------


@pytest.mark.root
def test_file_replaced_three_times_wastes_each_hidden_version_once(tmp_path: Path) -> None:
    """Of four versions three are wasted, whatever their sizes; the one in the tree is not."""
    sizes = (1000, 10, 5000, 300)
    root = _root(tmp_path, *({b"f": File(b"x" * size)} for size in sizes))
    found = _waste(root, "app:1")
    assert (found["stored"], found["wasted"]) == (sum(sizes), sum(sizes[:3]))
    assert found["efficiency"] == 300 / sum(sizes)
    assert _by_layer(found, "wasted") == [1000, 10, 5000, 0]
    assert _by_layer(found, "hides") == [0, 1000, 10, 5000]
    (path,) = found["paths"]
    assert [(item["layer"], item["size"], item["hidden"]["by"]) for item in path["versions"]] == [
        (1, 1000, 2), (2, 10, 3), (3, 5000, 4),
    ]  # fmt: skip


@pytest.mark.root
def test_hard_links_count_once_and_only_when_the_last_name_is_gone(tmp_path: Path) -> None:
    """An inode with a visible name is not wasted; with none it is once, by the layer that hid the last."""
    base = LayerSpec(
        Dir({b"a": Link(0), b"b": Link(0), b"c": Link(1), b"d": Link(1)}),
        (File(b"x" * 100), File(b"y" * 7)),
    )
    found = _waste(_root(tmp_path, base, {b"c": WHITEOUT, b"b": File(b"z")}, {b"d": WHITEOUT}), "app:1")
    assert (found["stored"], found["wasted"]) == (108, 7)
    assert _by_layer(found, "hides") == [0, 0, 7]
    (path,) = found["paths"]
    assert path["path"] == "/d"
    assert path["versions"] == [
        {"layer": 1, "size": 7, "names": 2, "hidden": {"by": 3, "how": "whiteout", "at": "/d"}}
    ]


@pytest.mark.root
def test_opaque_directory_wastes_what_is_below_it(tmp_path: Path) -> None:
    """What an opaque directory hides is wasted, without a whiteout of each, and the directory named."""
    root = _root(
        tmp_path,
        {b"d": Dir({b"a": File(b"x" * 40), b"e": Dir({b"b": File(b"x" * 2)})})},
        {b"d": Dir({b"a": File(b"new")}, OPAQUE)},
    )
    found = _waste(root, "app:1")
    assert (found["stored"], found["wasted"]) == (45, 42)
    assert {item["path"]: item["versions"][0]["hidden"] for item in found["paths"]} == {
        "/d/a": {"by": 2, "how": "opaque", "at": "/d"},
        "/d/e/b": {"by": 2, "how": "opaque", "at": "/d"},
    }


@pytest.mark.root
def test_deleted_directory_is_counted_once(tmp_path: Path) -> None:
    """The files of a deleted directory are wasted once: neither again for the directory, nor for its mark."""
    root = _root(tmp_path, {b"keep": File(b"x" * 50), b"d": Dir({b"a": File(b"x" * 50)})}, {b"d": WHITEOUT})
    found = _waste(root, "app:1")
    assert (found["stored"], found["wasted"], found["efficiency"]) == (100, 50, 0.5)


@pytest.mark.root
def test_symlinks_count_as_docker_counts_them_and_directories_do_not(dataroot_path: Path) -> None:
    """What a layer stores is the size that the Engine recorded, but for BuildKit's way of counting."""
    sizes = {chain: int(files["size"]) for chain, files in layer_files(dataroot_path).items()}
    compared = 0
    for image in DataRoot.open(dataroot_path).images():
        if str(image.name).startswith(("buildkit", "zero/")):
            continue
        for layer in _waste(dataroot_path, image.id)["layers"]:
            assert layer["stored"] == sizes[layer["chain_id"]]
            compared += 1
    assert compared > 100


@pytest.mark.root
def test_allocated_counts_blocks(tmp_path: Path) -> None:
    """With --allocated a hole takes nothing, and what has content takes whole blocks."""
    root = _root(
        tmp_path, {b"hole": File(hole=1 << 20), b"f": File(b"x")}, {b"hole": WHITEOUT, b"f": WHITEOUT}
    )
    by_length, by_blocks = _waste(root, "app:1"), _waste(root, "--allocated", "app:1")
    assert by_length["wasted"] == (1 << 20) + 1
    blocks = sum(path.lstat().st_blocks * 512 for path in root.glob("overlay2/*/diff/*"))
    assert by_blocks["wasted"] == by_blocks["stored"] == blocks < 1 << 20
    assert blocks > 1


def test_empty_image_wastes_nothing(tmp_path: Path) -> None:
    """No layers, or none with content: nothing stored, nothing wasted, and all of it well spent."""
    found = _waste(_root(tmp_path / "a"), "app:1")
    assert (found["stored"], found["wasted"], found["efficiency"]) == (0, 0, 1)
    assert (found["layers"], found["paths"]) == ([], [])
    found = _waste(_root(tmp_path / "b", {}, {}), "app:1")
    assert (found["stored"], found["wasted"], found["efficiency"]) == (0, 0, 1)


# -- the shapes of the answer --------------------------------------------------------------------


def test_layers_have_their_commands(dataroot_path: Path) -> None:
    """Each layer's row has its IDs and the command that the history names for it."""
    found = _waste(dataroot_path, "demo")
    rows = layerfs(dataroot_path, "layers", "--format", "json", "demo").json
    assert [
        (item["number"], item["diff_id"], item["chain_id"], item["created_by"]) for item in found["layers"]
    ] == [(item["index"], item["diff_id"], item["chain_id"], item["created_by"]) for item in rows]
    assert found["name"] == "demo:latest"


def test_rows_add_up(dataroot_path: Path) -> None:
    """Layers add up to the image, paths to what is wasted, however many are shown."""
    found = _waste(dataroot_path, "--top", "0", "lab/hundred")
    assert sum(_by_layer(found, "stored")) == found["stored"]
    assert sum(_by_layer(found, "wasted")) == found["wasted"] == sum(_by_layer(found, "hides"))
    assert sum(item["wasted"] for item in found["paths"]) == found["wasted"]
    assert len(found["paths"]) == found["wasted_paths"] > 10
    assert _waste(dataroot_path, "lab/hundred")["paths"] == found["paths"][:10]
    assert _waste(dataroot_path, "--top", "3", "lab/hundred")["paths"] == found["paths"][:3]
    rows = layerfs(dataroot_path, "waste", "--paths", "--top", "0", "--format", "json", "lab/hundred").json
    assert rows == found["paths"]
    rows = layerfs(dataroot_path, "waste", "--layers", "--format", "json", "lab/hundred").json
    assert rows == found["layers"]


def test_table_says_what_it_leaves_out(dataroot_path: Path) -> None:
    """The table ends with how many paths it does not show, and their bytes."""
    found = _waste(dataroot_path, "--top", "0", "lab/hundred")
    rest = found["paths"][4:]
    size = human_size(sum(item["wasted"] for item in rest), 4)
    last = layerfs(dataroot_path, "waste", "--top", "4", "lab/hundred").stdout.splitlines()[-1]
    assert last.startswith(f"and {len(rest)} more with {size}; ")
    assert "more" not in layerfs(dataroot_path, "waste", "--top", "0", "lab/hundred").stdout.splitlines()[-1]


def test_one_object_a_line_and_templates(dataroot_path: Path) -> None:
    """With ndjson there is a line of JSON for each row, with a template a line of text."""
    import json

    found = _waste(dataroot_path, "demo")
    (line,) = layerfs(dataroot_path, "waste", "--format", "ndjson", "demo").stdout.splitlines()
    assert json.loads(line) == {key: found[key] for key in json.loads(line)}
    lines = layerfs(dataroot_path, "waste", "--paths", "--format", "ndjson", "demo").stdout.splitlines()
    assert [json.loads(line) for line in lines] == found["paths"]
    shown = layerfs(dataroot_path, "waste", "--format", "{{.Efficiency}}", "demo").stdout
    assert 0 <= found["efficiency"] - float(shown) < 0.0001


def test_all_has_every_image_once_most_wasteful_first(dataroot_path: Path) -> None:
    """--all has a row for each image that `images` lists, with -a each there is, as it has by itself."""
    every = layerfs(dataroot_path, "waste", "--all", "-a", "--format", "json").json
    assert {row["id"] for row in every} == {image.id for image in DataRoot.open(dataroot_path).images()}
    rows = layerfs(dataroot_path, "waste", "--all", "--format", "json").json
    listed = layerfs(dataroot_path, "images", "-q", "--no-trunc").stdout.split()
    assert {row["id"] for row in rows} == set(listed)
    assert [row for row in every if row["id"] in listed] == rows
    assert len(every) > len(rows)
    assert [row["wasted"] for row in rows] == sorted((row["wasted"] for row in rows), reverse=True)
    for row in rows[:6]:
        single = _waste(dataroot_path, row["id"])
        assert {key: single[key] for key in row if key != "name"} == {
            key: value for key, value in row.items() if key != "name"
        }


def test_image_as_of_a_layer(dataroot_path: Path) -> None:
    """`IMAGE@N` is accounted as if the layers above N were not there."""
    whole, part = _waste(dataroot_path, "demo"), _waste(dataroot_path, "demo@4")
    assert _by_layer(part, "stored") == _by_layer(whole, "stored")[:4]
    assert _by_layer(part, "hides") == _by_layer(whole, "hides")[:4]
    assert part["wasted"] == sum(_by_layer(part, "hides")) < whole["wasted"]


def test_container_wastes_what_it_hides_of_its_image(dataroot_path: Path) -> None:
    """A container's account is its image's, and two layers more, without diff IDs and commands."""
    image, container = _waste(dataroot_path, "demo"), _waste(dataroot_path, "--top", "0", "changed")
    assert _by_layer(container, "stored")[:6] == _by_layer(image, "stored")
    assert _by_layer(container, "hides")[:6] == _by_layer(image, "hides")
    assert container["wasted"] > image["wasted"]
    assert [(layer["diff_id"], layer["created_by"]) for layer in container["layers"][6:]] == [
        (None, None)
    ] * 2
    assert layerfs(dataroot_path, "waste", "changed").code == 0


# -- limits --------------------------------------------------------------------------------------

LIMITS = [
    (["--max-wasted", "95"], 0),
    (["--max-wasted", "94"], 1),
    (["--max-wasted", "0.094kB"], 1),
    (["--max-wasted", "1KiB"], 0),
    (["--max-wasted", "2%"], 0),
    (["--max-wasted", "1.99%"], 1),
    (["--min-efficiency", "0.98"], 0),
    (["--min-efficiency", "0.981"], 1),
    (["--max-wasted", "1GB", "--min-efficiency", "1"], 1),
    (["--max-wasted", "1GB", "--min-efficiency", "0.5"], 0),
]


@pytest.mark.parametrize(
    ("limits", "code"), LIMITS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_limits_decide_the_exit_code(dataroot_path: Path, limits: list[str], code: int) -> None:
    """Beyond a limit the exit code is 1 and stderr names the limit; the answer is printed all the same."""
    plain = layerfs(dataroot_path, "waste", "demo")
    assert "95B of 4.769kB wasted" in plain.stdout
    found = layerfs(dataroot_path, "waste", *limits, "demo")
    assert found.code == code
    assert found.stdout == plain.stdout
    assert found.stderr.startswith("layerfs: failed: demo:latest ") if code else found.stderr == ""
    if code:
        assert limits[-2] in found.stderr


@pytest.mark.root
def test_limit_that_is_just_met_is_kept(tmp_path: Path) -> None:
    """Half of the bytes wasted is within --min-efficiency 0.5 and --max-wasted 50%."""
    root = _root(tmp_path, {b"f": File(b"x" * 50)}, {b"f": File(b"y" * 50)})
    assert _waste(root, "--min-efficiency", "0.5", "--max-wasted", "50%", "app:1")["efficiency"] == 0.5


def test_both_limits_are_named(dataroot_path: Path) -> None:
    """An image beyond both limits gets a line for each."""
    found = layerfs(dataroot_path, "waste", "--max-wasted", "1", "--min-efficiency", "1", "demo")
    assert (found.code, found.stderr.count("layerfs: failed: ")) == (1, 2)


def test_limits_hold_for_every_image_of_all(dataroot_path: Path) -> None:
    """With --all each image beyond the limit gets a line of its own."""
    rows = layerfs(dataroot_path, "waste", "--all", "--format", "json").json
    beyond = [row["name"] for row in rows if row["wasted"] > 50]
    found = layerfs(dataroot_path, "waste", "--all", "--max-wasted", "50B")
    assert found.code == 1
    assert [line.split()[2] for line in found.stderr.splitlines()] == beyond
    assert layerfs(dataroot_path, "waste", "--all", "--max-wasted", "1GB").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all", "demo"],
        ["--layers", "--paths", "demo"],
        ["--all", "--layers"],
        ["-a", "demo"],
        ["--min-size", "1", "demo"],
        ["--duplicates", "--max-wasted", "1", "demo"],
        ["--duplicates", "--min-efficiency", "0", "demo"],
        ["--max-wasted", "many", "demo"],
        ["--max-wasted", "-1", "demo"],
        ["--max-wasted", "5 %%", "demo"],
        ["--min-efficiency", "1.5", "demo"],
        ["--duplicates", "--min-size", "1XB", "demo"],
        ["--top", "-1", "demo"],
    ],
    ids=" ".join,
)
def test_misuse(dataroot_path: Path, arguments: list[str]) -> None:
    """Options that do not go together, and amounts that are none, are usage errors."""
    assert layerfs(dataroot_path, "waste", *arguments).code == 2


# -- damage --------------------------------------------------------------------------------------


@pytest.mark.root
def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    """Control bytes and bytes that are no UTF-8 reach no table, and JSON keeps them all."""
    name = b"\x1b[2J\n\xff"
    root = _root(tmp_path, {name: File(b"12345")}, {name: WHITEOUT})
    assert "\x1b" not in layerfs(root, "waste", "app:1").stdout
    assert "\\033[2J\\n\\377" in layerfs(root, "waste", "app:1").stdout
    assert _waste(root, "app:1")["paths"][0]["path"] == "/\x1b[2J\n\udcff"


def test_image_without_a_layer_is_left_out_of_all(copy: Path) -> None:
    """With --all a damaged image is reported, exit code 1, and the others counted; alone it is an error."""
    root = DataRoot.open(copy)
    broken = root.image("lab/types:1")
    shutil.rmtree(copy / "overlay2" / root.chain(broken)[-1].cache_id)
    found = layerfs(copy, "waste", "--all", "-a", "--format", "json")
    assert found.code == 1
    assert root.chain(broken)[-1].cache_id in found.stderr
    assert {row["id"] for row in found.json} == {image.id for image in root.images()} - {broken.id}
    assert layerfs(copy, "waste", "lab/types:1").code == 5


@pytest.mark.root
def test_entry_that_cannot_be_read_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    """A metacopy whose data are nowhere is named, exit code 1, and limits are still judged."""
    marks = {b"trusted.overlay.metacopy": b"", b"trusted.overlay.redirect": b"/nowhere"}
    upper: dict[bytes, Node] = {b"lost": File(hole=7, meta=Meta(xattrs=marks)), b"f": WHITEOUT}
    root = _root(tmp_path, {b"f": File(b"7 bytes")}, upper)
    found = layerfs(root, "waste", "--format", "json", "--max-wasted", "1B", "app:1")
    assert (found.code, found.json["wasted"]) == (1, 7)
    assert "error: /lost: " in found.stderr
    assert "--max-wasted 1B" in found.stderr
