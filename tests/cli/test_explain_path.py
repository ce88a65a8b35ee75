"""`layerfs explain NAME PATH`: its values are those of the files on disk, and its commands print them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.stores.registry import open_store
from layerfs.subject import open_subject
from layerfs.tree.walk import walk
from tests.support.command import layerfs
from tests.support.copies import COPIES
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Symlink, materialise
from tests.support.layouts import unpack_sample
from tests.support.rootbuilder import RootBuilder
from tests.support.storekinds import each_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.rootbuilder import BuiltLayer
    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

STORES = Path(__file__).parents[2] / "fixtures/stores"

_BIN = Path(sys.executable).parent


def _pasted(commands: Iterable[str]) -> list[str]:
    """What each command prints in a shell, as it was printed."""
    script = "".join(f"{command}\nprintf '\\n--\\n'\n" for command in commands)
    environment = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True, env=environment)
    return done.stdout.decode("utf-8", "surrogateescape").split("\n--\n")[:-1]


def _explained(root: Path, name: str, path: str) -> dict[str, Any]:
    """The JSON of a path; text for people is made too, and harmless."""
    shown = layerfs(root, "explain", name, path)
    found = layerfs(root, "explain", "--format", "json", name, path)
    assert shown.code == found.code
    assert shown.stdout.replace("\n", "").isprintable()
    told: dict[str, Any] = found.json
    assert (told["verdict"] == "shown") == (found.code == 0)
    for part in ("check", "old"):
        if told[part]:
            assert told[part]["command"] in shown.stdout or "*" in shown.stdout
    return told


# -- the recorded root ---------------------------------------------------------------------------


def test_the_words_of_a_replaced_file(dataroot_path: Path) -> None:
    """Verdict, rows, history and commands of a file that was replaced, as one reads them."""
    lines = layerfs(dataroot_path, "explain", "demo", "/etc/motd").stdout.splitlines()
    assert lines[:9] == [
        "/etc/motd: shown, a file of 50 bytes from layer 4. One older version is hidden.",
        "COMPONENT   LAYER    HOLDS            RULE  SO",
        "/etc        6-5      nothing          1     look further down",
        "            4        directory 0755   3,4   kept; mode, owner, times are its own",
        "            3        nothing          1     look further down",
        "            2        directory 0755   3     kept: made of 4 and 2",
        "            1        nothing          1     no more layers to ask",
        "/etc/motd   4      * file 0644, 50 B  2     shown; the search ends here",
        "            2        file 0644, 66 B  -     not asked: hidden by layer 4",
    ]
    text = " ".join(lines[9:])
    assert "History: added by layer 2 (ADD file:231e9b9664f0" in text
    assert "The 66 bytes of layer 2 are still in overlay2/105abd6344e0…/diff." in text
    assert "fc4ee9fb861c…" in text
    assert "5763c5c7363b…" in text
    assert [line[:2] for line in lines if line[:1] == " " and line[1:2].isdigit()] == [" 1", " 2", " 3", " 4"]


VERDICTS = {
    ("demo", "/etc/motd"): "shown",
    ("demo", "/root/password.txt"): "deleted",
    ("demo@4", "/root/password.txt"): "shown",
    ("buildkit", "/srv/www/copy"): "cut-off",
    ("demo", "/root"): "shown",
    ("demo", "/"): "shown",
    ("lab/whiteouts:1", "/fresh/ghost"): "never",
    ("lab/types:1", "/dir-link/in"): "shown",
    ("lab/types:1", "/dir-link/low"): "never",
    ("changed", "/etc/motd"): "shown",
    ("demo", "/etc/motd/x"): "not-a-directory",
    ("demo", "/etc/motd/"): "not-a-directory",
    ("demo", "/no/such"): "never",
    ("demo", "/" + "n" * 300): "never",
    ("lab/metacopy:1", "/no-data"): "unknown",
    ("lab/metacopy:1", "/renamed"): "shown",
    ("lab/redirect:1", "/moved/a"): "shown",
    ("lab/xattr-whiteouts:1", "/"): "shown",
    ("zero/scratch:1", "/"): "shown",
    ("zero/scratch:1", "/x"): "never",
}


@pytest.mark.parametrize(("name", "path"), VERDICTS, ids=map("".join, VERDICTS))
def test_verdicts(dataroot_path: Path, name: str, path: str) -> None:
    """Each way of being there or not, in the recorded root; each row's command gives the value beside it."""
    found = _explained(dataroot_path, name, path)
    assert found["verdict"] == VERDICTS[name, path]
    rows = [row for part in found["components"] for row in part["rows"] if row["command"]]
    printed = _pasted(row["command"] for row in rows)
    assert [text.strip() for text in printed] == [row["value"] for row in rows]


def test_proofs_give_their_values(dataroot_path: Path) -> None:
    """The check and the old version of every verdict, pasted into a shell, begin with what was shown."""
    proofs = [
        proof
        for name, path in VERDICTS
        for proof in map(_explained(dataroot_path, name, path).get, ("check", "old"))
        if proof
    ]
    assert len(proofs) > 12
    for proof, printed in zip(proofs, _pasted(proof["command"] for proof in proofs), strict=True):
        assert printed.startswith(proof["value"]), proof


def test_a_layer_listed_as_hidden_has_the_old_bytes(dataroot_path: Path) -> None:
    """The history tells each layer, its step, and the name that shows its version."""
    found = _explained(dataroot_path, "demo", "/root/password.txt")
    assert [(item["layer"], item["action"], item["detail"]) for item in found["history"]] == [
        (3, "added", None),
        (5, "hidden", "whiteout"),
    ]
    assert found["history"][0]["reachable"] == "demo@3"
    assert found["old"]["value"] == "correct horse battery staple"
    assert found["components"][-1]["asked"] == [5]


def test_names_of_a_directory(dataroot_path: Path) -> None:
    """A directory has a row for each name that is hidden, or that several layers have."""
    part = _explained(dataroot_path, "demo", "/root")["components"][-1]
    assert part["made_of"] == [5, 3, 2]
    (name,) = part["names"]
    assert (name["name"], name["shown"]) == ("password.txt", False)
    assert [(row["layer"], row["effect"]) for row in name["rows"]] == [(5, "absent"), (3, "hidden")]
    text = layerfs(dataroot_path, "explain", "demo", "/root").stdout
    assert "password.txt  5 whiteout; 3 file 0644, 29 B  no: rule 2, layer 5" in text


def test_a_deep_stack_is_short(dataroot_path: Path) -> None:
    """Of a hundred layers only those are listed that hold something; -v lists all."""
    short = layerfs(dataroot_path, "explain", "lab/hundred", "/").stdout.splitlines()
    every = layerfs(dataroot_path, "explain", "-v", "lab/hundred", "/").stdout.splitlines()
    assert len(short) < 40
    assert len(every) > 100


def test_the_page_shows_what_is_printed(dataroot_path: Path) -> None:
    """docs/explain.md shows whole answers; only the root has another path there."""
    page = " ".join((STORES.parents[1] / "docs/explain.md").read_text().split())
    for path in ("/etc/motd", "/root/password.txt"):
        text = layerfs(dataroot_path, "explain", "demo", path).stdout.partition("Rules:")[0]
        told = text.replace(f"--root {dataroot_path} ", "").replace(str(dataroot_path), ".demo/dataroot")
        assert " ".join(told.split()) in page


# -- every name ----------------------------------------------------------------------------------


def test_every_odd_name_can_be_pasted(dataroot_path: Path) -> None:
    """Whatever bytes a name holds, its command is plain text, and a shell takes it as this name."""
    tree = open_subject(open_store(str(dataroot_path)), "lab/names:1").tree
    paths = [os.fsdecode(visit.node.path) for visit in walk(tree, tree.root)]
    assert any(not path.isprintable() for path in paths)
    checks = [_explained(dataroot_path, "lab/names:1", path)["check"] for path in paths]
    commands = [check["command"] for check in checks if check]
    assert len(commands) > len(paths) - 5
    assert all(command.isprintable() for command in commands)
    values = [check["value"] for check in checks if check]
    assert [text[: len(value)] for text, value in zip(_pasted(commands), values, strict=True)] == values


HOSTILE = (
    b"$(touch x)",
    b"`touch x`",
    b"a\nb",
    b"end\n",
    b"-rf",
    b"a'b",
    b'a"b',
    b"*",
    b"\\",
    b"\xff",
    b"%s%n",
    b"~",
)


def test_a_name_runs_nothing(tmp_path: Path) -> None:
    """A name that would be a command, an option or a pattern is only a name, also in what is printed."""
    root = tmp_path / "root"
    old, new = ({name: File(text + name) for name in HOSTILE} for text in (b"old ", b"new "))
    _stack(root, LayerSpec(Dir(new)), LayerSpec(Dir(old)))
    found = [_explained(root, "made:1", "/" + os.fsdecode(name)) for name in HOSTILE]
    proofs = [item[kind] for item in found for kind in ("check", "old")]
    assert None not in proofs
    assert all(proof["command"].isprintable() for proof in proofs)
    before = sorted(os.listdir())
    printed = _pasted(proof["command"] for proof in proofs)
    assert [text[: len(proof["value"])] for text, proof in zip(printed, proofs, strict=True)] == [
        proof["value"] for proof in proofs
    ]
    assert sorted(os.listdir()) == before


def test_a_pattern_means_one_directory(tmp_path: Path) -> None:
    """The name of a directory is cut only if nothing beside it begins so, a link to the host least of all."""
    root = tmp_path / "root"
    place = _stack(root, LayerSpec(Dir({b"f": File(b"mine")})))[0].parent
    assert "*/diff/f" in _explained(root, "made:1", "/f")["check"]["command"]
    (place.parent / f"{place.name[:12]}face").symlink_to("/etc")
    command = _explained(root, "made:1", "/f")["check"]["command"]
    assert f"{place}/diff/f" in command
    assert "*" not in command


def _stack(root: Path, *layers: LayerSpec) -> list[Path]:
    """A root with one image `made:1` of these layers, uppermost first; the directories of the layers."""
    builder = RootBuilder(root)
    made: list[BuiltLayer] = []
    for spec in reversed(layers):
        fill = functools.partial(materialise, spec)
        made.append(builder.layer(made[-1] if made else None, fill))
    builder.image(made[-1], "made:1")
    builder.finish()
    return [layer.diff for layer in reversed(made)]


def test_commands_read_the_same_store(sample: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The options that chose a store are in the printed commands; what the environment says is not."""
    root = sample("containerd-1.6-store")
    found = layerfs(root, "--namespace", "default", "explain", "--format", "json", "multi:1", "/etc/issue")
    old = found.json["old"]
    assert f"layerfs --root {root} --namespace default cat multi:1@1" in old["command"]
    assert [text.strip() for text in _pasted([old["command"]])] == [old["value"]]
    monkeypatch.setenv("LAYERFS_ROOT", str(root))
    monkeypatch.setenv("LAYERFS_NAMESPACE", "default")
    again = layerfs(root, "explain", "--format", "json", "multi:1", "/etc/issue").json["old"]
    assert again["command"] == "layerfs cat multi:1@1 /etc/issue"
    assert _pasted([again["command"]])[0].strip() == again["value"]


# -- links ---------------------------------------------------------------------------------------


def test_links(tmp_path: Path) -> None:
    """Links are followed inside the tree; one that leads nowhere, in a circle or out of it is told."""
    root = tmp_path / "root"
    _stack(
        root,
        LayerSpec(Dir({b"gone": WHITEOUT, b"new": Symlink(b"gone")})),
        LayerSpec(
            Dir(
                {
                    b"gone": File(b"was here"),
                    b"loop": Symlink(b"loop"),
                    b"out": Symlink(b"../../../etc/passwd"),
                    b"deep": Symlink(b"d/e"),
                    b"d": Dir({b"e": Symlink(b"../f")}),
                    b"f": File(b"end"),
                }
            )
        ),
    )
    found = {
        name: _explained(root, "made:1", f"/{name}") for name in ("new", "loop", "out", "deep", "d/../f")
    }
    assert {name: item["verdict"] for name, item in found.items()} == {
        "new": "broken-link",
        "loop": "loop",
        "out": "broken-link",
        "deep": "shown",
        "d/../f": "shown",
    }
    assert found["deep"]["target_path"] == "/f"
    assert [part["path"] for part in found["deep"]["components"]] == ["/deep", "/d", "/d/e", "/f"]
    text = layerfs(root, "explain", "made:1", "/new").stdout.replace("\n", " ")
    assert "leads to /gone, which is not there. Deleted by layer 2; its 8 bytes are in layer 1." in text


# -- kinds of store ------------------------------------------------------------------------------


@each_kind
def test_every_kind_of_store(kind: StoreKind, tmp_path: Path) -> None:
    """What `find` lists is shown, and what `deleted` lists is not, with the layer that `deleted` names."""
    root = kind.make(tmp_path)
    for name in (kind.image, kind.container):
        rows = layerfs(root, "find", name, "--format", "json").json
        shown = [row["path"] for row in rows if row["type"] != "symlink"][:40]
        assert {layerfs(root, "explain", name, path).code for path in shown} == {0}
        gone = layerfs(root, "deleted", name, "--format", "json").json
        for row in gone:
            found = _explained(root, name, row["path"])
            if row["path"] not in shown and found["verdict"] == "deleted":
                assert found["history"][-1]["layer"] == row["hidden_by"]


def test_marks_of_an_archive_have_their_names(tmp_path: Path) -> None:
    """In an archive a whiteout is a name, and so is the mark of an opaque directory."""
    root = unpack_sample(STORES / "docker20-save-legacy.tar.xz", tmp_path)
    text = layerfs(root, "explain", "multi:1", "/etc/issue").stdout
    assert "2        .wh.issue        -     not asked: hidden by layer 3" in text
    assert ".wh..wh..opq" in layerfs(root, "explain", "multi:1", "/opt/app").stdout
    checks = [
        _explained(root, name, path)["check"]
        for name, path in (
            ("multi:1", "/etc/issue"),
            ("multi:1@2", "/etc/issue"),
            ("multi:1", "/opt/app/one"),
        )
    ]
    assert [check["value"] for check in checks[1:]] == ["etc/.wh.issue", "opt/app/.wh..wh..opq"]
    assert "layerfs --root" not in "".join(check["command"] for check in checks)
    for check, printed in zip(checks, _pasted(check["command"] for check in checks), strict=True):
        assert printed.startswith(check["value"])


def test_a_lossy_copy_says_who_tells_of_marks(dataroot_path: Path, tmp_path: Path) -> None:
    """What the disk lost is told from tar-split, and no command claims that the disk has it."""
    copy = tmp_path / "copy"
    COPIES["an object store"].make(dataroot_path, copy)
    done = layerfs(copy, "explain", "demo", "/root/password.txt")
    assert "Deleted by layer 5" in done.stdout
    assert "told by tar-split.json.gz" in done.stdout.replace("\n", " ")
    assert "stat -c" not in done.stdout
    check = _explained(copy, "demo", "/root/password.txt")["check"]
    assert [text.strip() for text in _pasted([check["command"]])] == [check["value"]] == ["whiteout"]


# -- damage --------------------------------------------------------------------------------------


def test_a_missing_layer_is_a_row(copy: Path) -> None:
    """Nothing is called sure, and what the other layers tell is told; every command gives its value."""
    (layer,) = (copy / "overlay2").glob("2a1dc5135962*")
    shutil.rmtree(layer)
    wanted = {
        "/etc/motd": ("shown", 2),
        "/var/log/build.log": ("shown", 6),
        "/root/password.txt": ("deleted", None),
        "/no/such": ("never", None),
    }
    found = {path: layerfs(copy, "explain", "--format", "json", "demo", path) for path in wanted}
    assert {(item.code, item.json["verdict"], item.json["complete"]) for item in found.values()} == {
        (5, "unknown", False)
    }
    assert {path: (item.json["likely"], item.json["layer"]) for path, item in found.items()} == wanted
    rows = found["/etc/motd"].json["components"][0]["rows"]
    assert [row["effect"] for row in rows] == [
        *("passed", "passed", "unreadable", "passed", "kept-top", "passed"),
    ]
    proofs = [item.json[key] for item in found.values() for key in ("check", "old") if item.json[key]]
    assert len(proofs) > 3
    for proof, printed in zip(proofs, _pasted(proof["command"] for proof in proofs), strict=True):
        assert printed.startswith(proof["value"]), proof
    text = layerfs(copy, "explain", "changed", "/etc/motd")
    assert "layer 4 cannot be read. As far as the others tell: shown" in " ".join(text.stdout.split())
    assert "bug" not in text.stderr


@pytest.mark.parametrize(
    "words", [["demo", "/etc", "/x"], ["--topic", "whiteout", "demo"], ["demo", "/etc", "--format", "csv"]]
)
def test_misuse(dataroot_path: Path, words: list[str]) -> None:
    """Two paths, a name beside a topic, and a format that has rows are refused."""
    assert layerfs(dataroot_path, "explain", *words).code == 2
