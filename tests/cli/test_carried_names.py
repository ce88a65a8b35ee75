"""NAMEs that carry their store mean to every command what the store's own names mean with `--root`.

With `--root` an archive answers as the data root that its image came from: `test_archives` proves that.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerfs.errors import AmbiguousName, InvalidReference, NotAnArchive
from layerfs.stores import registry, transports
from layerfs.stores.transports import Carried, Located, carried, located
from layerfs_cli.main import run
from tests.cli.test_names import USES
from tests.support.command import Result, add_image, forget_image, layerfs
from tests.support.fixture import private_copy
from tests.support.rootbuilder import RootBuilder
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.toystore import ToyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.store import Store
    from layerfs.stores.registry import Options

IMAGE, OTHER = "demo:1.0", "base:1"
NOWHERE = "/nowhere/at/all"
"""A chosen root that cannot be opened: who carries a store needs none."""

pytestmark = pytest.mark.root


class Form(NamedTuple):
    """A way to write a NAME; `one` and `ref` are the word without and with a reference."""

    path: str
    one: str
    ref: str
    name: str = IMAGE


FORMS = {
    "docker-archive": Form("old.tar", "docker-archive:old.tar", f"docker-archive:old.tar:{IMAGE}"),
    "docker-archive of 25": Form("one.tar", "docker-archive:{}/one.tar", f"docker-archive:./one.tar:{IMAGE}"),
    "oci": Form("layout", "oci:layout", f"oci:{{}}/layout:{IMAGE}"),
    "oci-archive": Form("one.tar", "oci-archive:one.tar", "oci-archive:one.tar:1.0"),
    "dir": Form("dir", "dir:dir", "dir:dir", ""),
    "path": Form("one.tar", "./one.tar", f"./one.tar:{IMAGE}"),
    "absolute path": Form("one.tar", "{}/one.tar", f"{{}}/one.tar:{IMAGE}"),
    "path upwards": Form("layout", "../carried/layout", f"../carried/layout:{IMAGE}"),
    "compressed": Form("one.tar.gz", "./one.tar.gz", f"./one.tar.gz:{IMAGE}"),
    "tree": Form("tree.tar", "./tree.tar", "./tree.tar", ""),
    "data root": Form("dataroot", f"./dataroot:{IMAGE}", f"{{}}/dataroot:{IMAGE}"),
}
WITHOUT_RECORDS = {"du"}
"""What archives cannot be asked."""


def _run(*words: str, root: str | None = NOWHERE) -> Result:
    """`layerfs WORDS…` with a root that is not there, or without any."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape", newline="") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*([] if root is None else ["--root", root]), *words])
    texts = []
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
        texts.append(stream.read())
    return Result(code, *texts)


@pytest.fixture(scope="module")
def stores(shallow_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One image in every form, in the working directory; `two.tar` has another one as well."""
    place = tmp_path_factory.mktemp("stores") / "carried"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERFS_CACHE_DIR", str(place.parent / "cache"))
        patch.delenv("LAYERFS_ROOT", raising=False)
        patch.chdir(place)
        for words in (
            ("-o", "one.tar", IMAGE),
            ("-o", "two.tar", IMAGE, OTHER),
            ("--format", "oci", "-o", "layout/", IMAGE),
            ("--format", "rootfs", "-o", "tree.tar", IMAGE),
        ):
            assert layerfs(shallow_path, "export", *words).code == 0
        (place / "dataroot").symlink_to(shallow_path)
        subprocess.run(["gzip", "--keep", "one.tar"], check=True)
        _write_old_archive(place / "layout", place / "old.tar")
        _write_directory(place / "layout", place / "dir")
        before = snapshot(place)
        yield place
        assert diff_snapshots(before, snapshot(place)) == [], "what is read is never written"


def _manifest(layout: Path) -> tuple[bytes, list[Path]]:
    """The manifest of the image of a layout, and its blobs: the config, then the layers."""
    index = json.loads((layout / "index.json").read_bytes())
    content = _blob(layout, index["manifests"][0]["digest"]).read_bytes()
    manifest = json.loads(content)
    digests = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
    return content, [_blob(layout, digest) for digest in digests]


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _write_old_archive(layout: Path, path: Path) -> None:
    """As `docker save` wrote it before 25: no layout, but `manifest.json`."""
    config, *layers = _manifest(layout)[1]
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    row = {"Config": f"{config.name}.json", "RepoTags": [IMAGE], "Layers": names}
    with tarfile.open(path, "w") as tar:
        for blob, name in zip((config, *layers), (row["Config"], *names), strict=True):
            tar.add(blob, str(name))
        member = tarfile.TarInfo("manifest.json")
        content = json.dumps([row]).encode()
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def _write_directory(layout: Path, path: Path) -> None:
    """As `skopeo copy … dir:` does."""
    path.mkdir()
    content, blobs = _manifest(layout)
    (path / "manifest.json").write_bytes(content)
    (path / "version").write_text("Directory Transport Version: 1.1\n")
    for blob in blobs:
        shutil.copyfile(blob, path / blob.name)


def _asked(command: str, name: str, out: Path) -> list[str]:
    return [word.replace("{out}", str(out)).replace("{}", name) for word in USES[command][0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", sorted(set(USES) - WITHOUT_RECORDS))
def test_every_form_with_every_command(stores: Path, tmp_path: Path, command: str, form: str) -> None:
    """The output and the exit code are those of `--root FILE`; no root is needed, and none is read."""
    path, one, ref, name = FORMS[form]
    expected = layerfs(stores / path, command, *_asked(command, name or _only_id(path), tmp_path))
    for word in (one, ref):
        found = _run(command, *_asked(command, word.format(stores), tmp_path))
        assert found.code == expected.code
        assert _anonymous(found.stdout, path) == _anonymous(expected.stdout, path)
        assert "bug" not in found.stderr


def _only_id(path: str) -> str:
    (row,) = layerfs(path, "images", "--no-trunc", "--format", "json").json
    return str(row["id"])


def _anonymous(text: str, path: str) -> str:
    """An answer without what tells how the store was called, or the thing in it."""
    for spelled in (f"{Path.cwd()}/{path}", f"../carried/{path}", f"./{path}"):
        text = text.replace(spelled, path)
    return re.sub(r'"(thing|meaning)": .*', "", text)


@pytest.mark.skopeo
@pytest.mark.parametrize("form", ["docker-archive", "docker-archive of 25", "oci", "oci-archive", "dir"])
def test_the_words_are_skopeos(stores: Path, form: str) -> None:
    """What skopeo is given by the same word is the image that it means here."""
    for word in (FORMS[form].one, FORMS[form].ref):
        command = ["skopeo", "inspect", "--config", "--raw", word.format(stores)]
        config = subprocess.run(command, check=True, capture_output=True).stdout
        digest = hashlib.sha256(config).hexdigest()
        assert _run("inspect", "-f", "{{.Id}}", word.format(stores)).stdout == f"sha256:{digest}\n"


@pytest.mark.parametrize("form", FORMS)
def test_layers_and_paths_behind_a_carried_name(stores: Path, form: str) -> None:
    """`@N`, `:/PATH` and both are understood behind each form, with a reference and without."""
    path, one, ref, name = FORMS[form]
    number = "1" if form == "tree" else "2"
    expected = layerfs(stores / path, "ls", "-l", f"{name or _only_id(path)}@{number}", "/etc")
    assert expected.stdout
    for word in (one, ref):
        text = f"{word.format(stores)}@{number}"
        assert _run("ls", "-l", text, "/etc") == _run("ls", "-l", f"{text}:/etc") == expected


@pytest.mark.parametrize("form", FORMS)
def test_two_stores_in_one_command(dataroot_path: Path, stores: Path, form: str) -> None:
    """A data root against each form: the same image has no differences but what archives do not keep."""
    word = FORMS[form].ref.format(stores)
    done = layerfs(dataroot_path, "diff", "--format", "json", "--ignore", "mtime", IMAGE, word)
    assert [row["path"] for row in done.json if row["path"] != "/"] == []
    assert done.code in (0, 1)
    assert done.stderr == ""
    other = layerfs(dataroot_path, "diff", "--name-only", "--ignore", "mtime", OTHER, word)
    assert "/etc/motd" in other.stdout.split()


def test_several_names_of_several_stores(dataroot_path: Path, stores: Path, tmp_path: Path) -> None:
    """`inspect`, `verify`, `timeline`, `cp` and `export` take NAMEs of different stores together."""
    words = [f"{stores}/one.tar", f"./two.tar:{OTHER}", IMAGE]
    expected = [layerfs(dataroot_path, "inspect", "-f", "{{.Id}}", name).stdout for name in (IMAGE, OTHER)]
    shown = layerfs(dataroot_path, "inspect", "-f", "{{.Id}}", *words)
    assert shown.stdout == expected[0] + expected[1] + expected[0]
    verified = layerfs(dataroot_path, "verify", "--quick", IMAGE)
    both = layerfs(dataroot_path, "verify", *words[:2])
    assert (verified.code, both.code) == (0, 0)
    assert both.stdout.count(" 0 errors") == 2
    events = _run("timeline", "--format", "json", *words[:2]).json
    assert len(events) == sum(len(_run("timeline", "--format", "json", word).json) for word in words[:2])
    exported = tmp_path / "both.tar"
    assert layerfs(dataroot_path, "export", "-o", str(exported), f"./two.tar:{OTHER}", IMAGE).code == 0
    names = {
        f"{row['repository']}:{row['tag']}" for row in layerfs(exported, "images", "--format", "json").json
    }
    assert names == {IMAGE, OTHER}
    assert _run("cp", "./one.tar:/etc/motd", f"oci:layout:{IMAGE}:/etc/issue", str(tmp_path)).code == 0
    assert {"motd", "issue"} <= set(os.listdir(tmp_path))


@pytest.mark.usefixtures("stores")
def test_an_export_of_the_only_image_keeps_its_names(tmp_path: Path) -> None:
    """Without a reference all tags are kept; with an ID none, as of every root."""
    for word, tags in (("./one.tar", ["1.0"]), (f"./one.tar:{_only_id('one.tar')}", [None])):
        target = tmp_path / f"{len(word)}.tar"
        assert _run("export", "-o", str(target), word).code == 0
        assert [row["tag"] for row in layerfs(target, "images", "--format", "json").json] == tags


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("command", sorted(set(USES) - WITHOUT_RECORDS))
def test_several_images_and_no_reference(tmp_path: Path, command: str) -> None:
    """Exit code 3, and the list of them, spelled as they can be given."""
    done = _run(command, *_asked(command, "./two.tar", tmp_path))
    assert (done.code, done.stdout) in ((3, ""), (3, "[]\n"))
    assert "'./two.tar' is ambiguous: it could be base:1, demo:1.0" in done.stderr
    assert "./two.tar:base:1" in done.stderr


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("command", sorted(set(USES) - WITHOUT_RECORDS))
@pytest.mark.parametrize("word", ["./gone.tar", "oci:gone", "docker-archive:/gone/x.tar:a:1", "../gone"])
def test_a_store_that_is_not_there(tmp_path: Path, command: str, word: str) -> None:
    """Exit code 4, and the file is named, not the root that nobody asked for."""
    done = _run(command, *_asked(command, word, tmp_path))
    assert (done.code, done.stdout) == (4, "")
    path = carried(word)
    assert path
    assert f"{_path_of(path)}: no such file or directory" in done.stderr
    assert NOWHERE not in done.stderr


def _path_of(name: Carried) -> str:
    """The path of a NAME, which ends at its first colon."""
    return name.text.partition(":")[0]


@pytest.mark.parametrize(
    "name", ["no-such", "no/such:1", "sha256:abc", "@", "a b", "\x1b[31m", "x\ny", ":/etc"]
)
@pytest.mark.usefixtures("stores")
def test_a_name_that_the_store_has_not(name: str) -> None:
    """Exit code 3; the store is named, and nothing gets power over the terminal."""
    done = _run("ls", f"./one.tar:{name}", "/")
    assert (done.code, done.stdout) in ((3, ""), (2, ""))
    assert "one.tar" in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("oci:one.tar", "oci-archive:one.tar"),
        ("dir:layout", "oci:layout"),
        ("oci-archive:layout", "oci:layout"),
        ("docker-archive:layout", "oci:layout"),
        ("oci-archive:old.tar", "docker-archive:old.tar"),
        ("oci:dir", "dir:dir"),
        ("docker-archive:tree.tar", "./tree.tar"),
    ],
)
def test_a_transport_is_for_its_own_form(word: str, right: str) -> None:
    """Nothing else is read by its name; the right word is told, and works."""
    refused = _run("ls", word)
    assert (refused.code, refused.stdout) == (4, "")
    assert f"hint: write {right}\n" in refused.stderr
    assert _run("ls", right).code == 0


@pytest.fixture(scope="module")
def namesakes(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with images that are called as transports are, and a container whose name a path may be."""
    copy = private_copy(dataroot_path, tmp_path_factory.mktemp("namesakes") / "root")
    path = copy / "image/overlay2/repositories.json"
    document = json.loads(path.read_bytes())
    image = document["Repositories"]["demo"][IMAGE]
    for name in transports.TRANSPORTS:
        document["Repositories"][name] = {f"{name}:1": image, f"{name}:latest": image}
    path.write_text(json.dumps(document))
    return copy


@pytest.mark.parametrize("transport", transports.TRANSPORTS)
@pytest.mark.parametrize("rest", ["1", "/etc", "1:/etc", "1@2"])
@pytest.mark.usefixtures("stores")
def test_an_image_called_as_a_transport(namesakes: Path, transport: str, rest: str) -> None:
    """Exit code 3; both spellings are named; the one for the image, and the bare name, are the image."""
    done = layerfs(namesakes, "ls", f"{transport}:{rest}")
    assert (done.code, done.stdout) == (3, "")
    tag = "latest" if rest == "/etc" else "1@2" if "@" in rest else "1"
    image = f"docker.io/library/{transport}:{tag}"
    path = rest.removesuffix(":/etc")
    assert image in done.stderr
    assert (path if path.startswith("/") else f"./{path}") in done.stderr
    assert layerfs(namesakes, "ls", image).code == 0
    assert layerfs(namesakes, "ls", transport, "/etc").code == 0


def test_a_container_called_as_a_path(namesakes: Path) -> None:
    """`/changed` is the container where the host has no such path; else both spellings are told."""
    assert layerfs(namesakes, "ls", "/changed", "/etc").code == 0
    (config,) = (
        path
        for path in (namesakes / "containers").glob("*/config.v2.json")
        if json.loads(path.read_bytes())["Name"] == "/changed"
    )
    config.write_text(config.read_text().replace('"/changed"', '"/tmp"'))
    done = layerfs(namesakes, "ls", "/tmp", "/etc")
    other = config.parent.name[:12]
    assert (done.code, done.stdout) == (3, "")
    assert f"it could be /./tmp, {other}\n" in done.stderr
    for name in (other, "tmp"):
        assert layerfs(namesakes, "ls", name, "/etc").code == 0


# -- the word alone --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("docker-archive:x", ("docker-archive", "x")),
        ("oci:/x:y", ("oci", "/x:y")),
        ("dir:", ("dir", "")),
        ("./x", ("", "./x")),
        ("../x:y", ("", "../x:y")),
        ("/x", ("", "/x")),
        (".", ("", ".")),
        ("-", ("", "-")),
        ("-:x", ("", "-:x")),
    ],
)
def test_words_that_carry_a_store(word: str, parts: tuple[str, str]) -> None:
    """A transport and its colon, or the beginning of a path."""
    assert carried(word) == Carried(word, *parts)


@pytest.mark.parametrize("word", ["oci", "docker:x", "x/y", ".x", "a:1", "..x", "x:./y", "OCI:x", "", "./\0"])
def test_bare_words(word: str) -> None:
    """All else is a name in the store that was chosen."""
    assert carried(word) is None


def test_the_path_ends_where_the_host_has_something(tmp_path: Path) -> None:
    """The host tells which colon, or `@N`, belongs to a path; where it has several the NAME is refused."""
    for name in ("a", "b:c", "d@2", "e", "e:1", "f", "f@3"):
        (tmp_path / name).touch()
    top = f"{tmp_path}/"

    def read(text: str) -> Located:
        name = carried(top + text)
        assert name
        return located(name)._replace(path="")

    assert read("a") == Located("", "", None)
    assert read("a:x:1@2") == Located("", "", "x:1@2")
    assert read("a@7") == Located("", "", None, "@7")
    assert read("b:c:x") == Located("", "", "x")
    assert read("d@2") == Located("", "", None)
    for text in ("e:1", "e:1:x", "f@3"):
        with pytest.raises(AmbiguousName):
            read(text)
    with pytest.raises(InvalidReference):
        read("a:")
    with pytest.raises(NotAnArchive, match="no such file"):
        read("none:1")


def test_long_words_take_no_square_of_time() -> None:
    """Only as many colons are tried as a path can have characters."""
    with pytest.raises(NotAnArchive):
        located(Carried("", "", "/nowhere" + ":" * 2_000_000))


def test_a_new_transport_takes_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the table; where its path may be left out, a REF without a slash is in the default store."""
    module = type(sys)("toytransport")
    opened = []

    def open_transport(transport: str, path: str, options: Options) -> Store:
        opened.append((transport, path))
        del options
        return ToyStore(path)

    module.open_transport = open_transport  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toytransport", module)
    monkeypatch.setitem(
        transports.TRANSPORTS, "toy", transports.Transport("toytransport", default=str(tmp_path))
    )
    monkeypatch.setitem(registry.KINDS, "toy", "tests.support.toystore")
    (tmp_path / "base/etc").mkdir(parents=True)
    (tmp_path / "toy.json").write_text(json.dumps({"app:1": ["base"]}))
    for word in ("toy:app:1", f"toy:{tmp_path}:app:1", "toy:", f"{tmp_path}:app:1"):
        assert _run("ls", word).stdout == "etc\n"
    assert opened == [("toy", str(tmp_path))] * 3


# -- a store with one image ------------------------------------------------------------------------


NEEDLESS = {
    "blame": ["/etc/motd"],
    "cat": ["/etc/motd"],
    "changes": [],
    "chain-id": [],
    "deleted": [],
    "diff": [],
    "dockerfile": [],
    "export": ["--format", "rootfs"],
    "find": ["/etc", "-name", "motd"],
    "hashes": ["/etc"],
    "history": [],
    "inspect": [],
    "ls": ["-l", "/etc"],
    "stat": ["/etc/motd", "/"],
    "timeline": [],
    "tree": ["/etc"],
    "verify": [],
    "waste": [],
}
"""What follows the NAME that may be left out."""


@pytest.mark.parametrize("command", NEEDLESS)
@pytest.mark.parametrize("path", ["one.tar", "layout", "dir"])
def test_the_only_image_needs_no_name(stores: Path, path: str, command: str) -> None:
    """With `--root` the answer without a NAME is the one with it; of several images one must be named."""
    rest = NEEDLESS[command]
    name = IMAGE if path != "dir" else _only_id(path)
    named = [command, *rest, name] if command == "export" else [command, name, *rest]
    assert layerfs(stores / path, command, *rest) == layerfs(stores / path, *named)
    refused = layerfs(stores / "two.tar", command, *rest)
    assert (refused.code in (2, 3, 4), refused.stdout) == (True, "")
    assert _run(command, *rest, root=str(stores)).code in (2, 4)


def test_cp_from_the_only_image(stores: Path, tmp_path: Path) -> None:
    """A PATH alone is in it; several are, too."""
    assert layerfs(stores / "one.tar", "cp", "/etc/motd", "/etc/issue", str(tmp_path)).code == 0
    assert sorted(os.listdir(tmp_path)) == ["issue", "motd"]


def test_a_data_root_with_one_image(tmp_path: Path) -> None:
    """It needs no NAME, until there is a container too: then a word with a slash may be that one's."""
    builder = RootBuilder(tmp_path / "root")
    layer = builder.layer(fill=lambda path: (path / "file").write_text("text"))
    image = builder.image(layer, "app:1")
    root = builder.finish()
    assert layerfs(root, "cat", "/file").stdout == "text"
    assert layerfs(root, "ls").stdout == "file\n"
    assert _run("ls", str(root)).stdout == "file\n"
    bad = add_image(root, {"rootfs": {"type": "layers", "diff_ids": ["bad"]}})
    done = _run("ls", str(root))
    assert (done.code, bad in done.stderr.splitlines()[-2]) == (3, True)
    forget_image(root, bad)
    builder.container("web", image, layer)
    builder.finish()
    assert layerfs(root, "ls").code == 2
    done = _run("ls", str(root))
    assert (done.code, "it could be app:1, web" in done.stderr) == (3, True)
    assert _run("ls", f"{root}:web").code == 0
    assert layerfs(root, "ls", "/web", "/file").stdout == "/file\n"


@pytest.mark.usefixtures("stores")
def test_a_layout_with_tags_alone(tmp_path: Path) -> None:
    """A tag is a reference in it; a tag of two images is ambiguous, and each has its ID."""
    layout = tmp_path / "layout"
    shutil.copytree("layout", layout)
    index = json.loads((layout / "index.json").read_bytes())
    annotations = {"org.opencontainers.image.ref.name": "1.25"}
    index["manifests"][0]["annotations"] = annotations
    (layout / "index.json").write_text(json.dumps(index))
    for word in (f"oci:{layout}:1.25", f"oci:{layout}", f"{layout}:1.25@6"):
        assert "motd" in _run("ls", word, "/etc").stdout.split()
    content, blobs = _manifest(layout)
    config = json.loads(blobs[0].read_bytes()) | {"author": "another"}
    manifest = json.loads(content)
    manifest["config"] |= _store(layout, json.dumps(config).encode())
    another = _store(layout, json.dumps(manifest).encode())
    index["manifests"].append(index["manifests"][0] | another)
    (layout / "index.json").write_text(json.dumps(index))
    done = _run("ls", f"oci:{layout}:1.25")
    assert (done.code, done.stdout) == (3, "")
    for row in layerfs(layout, "images", "--no-trunc", "--format", "json").json:
        assert row["id"] in done.stderr
        assert _run("ls", f"oci:{layout}:{row['id']}").code == 0


def test_a_pattern_is_no_name(stores: Path) -> None:
    """`find '*x'` searches the only image."""
    assert layerfs(stores / "one.tar", "find", "*motd").stdout == "/etc/motd\n"


@pytest.mark.fuse
def test_mount_without_a_name(stores: Path, tmp_path: Path) -> None:
    """One word is the place, where the store has one image; a NAME that carries its store is mounted too."""
    for root, words in ((str(stores / "one.tar"), ()), (NOWHERE, ("oci:layout",))):
        assert _run("mount", *words, str(tmp_path), root=root).code == 0
        try:
            assert (tmp_path / "etc/motd").is_file()
        finally:
            assert _run("umount", str(tmp_path)).code == 0


# -- standard input --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["ls - /etc", "--root - ls /etc", "diff - docker-archive:-"])
@pytest.mark.parametrize("source", ["pipe", "file"])
def test_standard_input(stores: Path, words: str, source: str) -> None:
    """A pipe, or a file; read once, though two NAMEs may mean it."""
    script = [sys.executable, "-c", "import sys; from layerfs_cli.main import main; main()", *words.split()]
    with (stores / "one.tar").open("rb") as file:
        if source == "pipe":
            done = subprocess.run(script, input=file.read(), capture_output=True, check=False)
        else:
            done = subprocess.run(script, stdin=file, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stderr == b""
    expected = b"" if "diff" in words else layerfs(stores / "one.tar", "ls", IMAGE, "/etc").stdout.encode()
    assert done.stdout == expected


# -- the place of an image in its archive -------------------------------------------------------------


def _id(word: str) -> str:
    return _run("inspect", "-f", "{{.Id}}", word).stdout.strip().removeprefix("sha256:")


@pytest.mark.skopeo
@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("index", ["0", "1", "01", "2", "x", "-1", ""])
def test_an_index_is_skopeos(index: str) -> None:
    """`:@INDEX` is the image that skopeo takes, and refused where skopeo refuses it."""
    word = f"docker-archive:two.tar:@{index}"
    theirs = subprocess.run(
        ["skopeo", "inspect", "--config", "--raw", word], check=False, capture_output=True
    )
    ours = _run("inspect", "-f", "{{.Id}}", word)
    if theirs.returncode:
        assert (ours.code, ours.stdout) == (3, "")
    else:
        assert (ours.code, _id(word)) == (0, hashlib.sha256(theirs.stdout).hexdigest())


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_an_index_of_a_layout_is_that_of_its_list(stores: Path, tmp_path: Path, transport: str) -> None:
    """There it counts the manifests of index.json, as containers-transports(5) says."""
    path = stores / "two.tar"
    if transport == "oci":
        path = tmp_path / "two"
        shutil.unpack_archive(stores / "two.tar", path, filter="data")
    with tarfile.open(stores / "two.tar") as tar:
        listed = json.load(tar.extractfile("index.json") or io.BytesIO())["manifests"]
        manifests = [json.load(tar.extractfile(_member(item)) or io.BytesIO()) for item in listed]
    expected = [manifest["config"]["digest"].removeprefix("sha256:") for manifest in manifests]
    assert len(set(expected)) == 2
    assert [_id(f"{transport}:{path}:@{number}") for number in range(2)] == expected
    assert _run("inspect", f"{transport}:{path}:@2").code == 3


def _member(descriptor: dict[str, str]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


@pytest.mark.usefixtures("stores")
def test_an_index_is_no_layer() -> None:
    """The colon tells them apart, also where both stand; what cannot be meant is told, with the other."""
    whole, first = _run("ls", "-R", f"./two.tar:{IMAGE}", "/etc"), _run("ls", f"./two.tar:{IMAGE}@2", "/etc")
    assert _run("ls", "-R", "docker-archive:two.tar:@0:/etc") == whole
    assert _run("ls", "docker-archive:two.tar:@0@2:/etc") == first
    assert first.stdout
    assert first.stdout != whole.stdout
    assert _run("ls", "docker-archive:two.tar@1").code == 3  # of which image?
    for word in ("docker-archive:one.tar:@1", "./one.tar:@1", "dir:dir:@1"):
        done = _run("ls", word)
        assert (done.code, done.stdout) == (3, "")
        assert f"layer 1 of the only image is {word.replace(':@', '@')}\n" in done.stderr
    rows = _run("images", "--format", "json", "docker-archive:two.tar:@1").json
    assert [(row["repository"], row["tag"]) for row in rows] == [("base", "1")]


# -- images, completion, directories above ---------------------------------------------------------


@pytest.mark.usefixtures("stores")
def test_images_of_a_carried_store() -> None:
    """Its images, and those of a name; a pattern works behind the colon too."""
    listed = [row["tag"] for row in _run("images", "--format", "json", "./two.tar").json]
    assert sorted(listed) == ["1", "1.0"]
    assert [row["tag"] for row in _run("images", "--format", "json", "./two.tar:de*").json] == ["1.0"]
    assert [row["tag"] for row in _run("images", "--format", "json", "oci:layout").json] == ["1.0"]


def test_every_platform_on_request(stores: Path, tmp_path: Path) -> None:
    """`--all-platforms` lists each image of an index with its platform; without it the one that is meant."""
    layout = tmp_path / "layout"
    shutil.copytree(stores / "layout", layout)
    platforms = [("linux", "amd64", None), ("linux", "arm", "v7"), ("linux", "arm64", None)]
    _make_index(layout, platforms)
    words = ["--platform", "linux/amd64", "images", "--format", "json"]
    listed = layerfs_with(layout, *words, "--all-platforms").json
    expected = {"/".join(filter(None, platform)) for platform in platforms}
    assert {row["platform"] for row in listed} == expected
    assert len({row["id"] for row in listed}) == 3
    (meant,) = layerfs_with(layout, *words).json
    assert "platform" not in meant
    assert meant["id"] in {row["id"] for row in listed if row["platform"] == "linux/amd64"}
    table = layerfs(layout, "images", "--all-platforms").stdout
    assert table.splitlines()[0].split()[2] == "PLATFORM"
    assert "linux/arm/v7" in table


def layerfs_with(root: Path, *words: str) -> Result:
    """With options before the command."""
    return _run(*words, root=str(root))


def _make_index(layout: Path, platforms: list[tuple[str, str, str | None]]) -> None:
    """Give a layout an index with the image for several platforms under its one name."""
    content, blobs = _manifest(layout)
    config = json.loads(blobs[0].read_bytes())
    descriptors = []
    for system, architecture, variant in platforms:
        own = config | {"os": system, "architecture": architecture, "variant": variant}
        manifest = json.loads(content)
        manifest["config"] |= _store(layout, json.dumps(own).encode())
        platform = {"os": system, "architecture": architecture} | ({"variant": variant} if variant else {})
        descriptors.append(
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "platform": platform,
                **_store(layout, json.dumps(manifest).encode()),
            }
        )
    top = json.loads((layout / "index.json").read_bytes())
    media_type = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors})
    top["manifests"] = [
        {"mediaType": media_type, "annotations": top["manifests"][0]["annotations"]}
        | _store(layout, index.encode())
    ]
    (layout / "index.json").write_text(json.dumps(top))


def _store(layout: Path, content: bytes) -> dict[str, object]:
    """Write a blob; what a descriptor says of it."""
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


@pytest.mark.parametrize("inside", ["layout", "one.tar", "one.tar.gz", "dir", "dataroot"])
def test_a_directory_above_a_store(stores: Path, tmp_path: Path, inside: str) -> None:
    """It is no store; what was found in it is named, and can be given; a link in it is not followed."""
    copy = shutil.copytree if (stores / inside).is_dir() else shutil.copyfile
    if inside == "dataroot":
        (tmp_path / inside / "image/overlay2").mkdir(parents=True)
    else:
        copy(stores / inside, tmp_path / inside)
    (tmp_path / "link").symlink_to(stores / "layout")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("text")
    for words in (["images"], ["ls", "x"]):
        done = layerfs(tmp_path, *words)
        assert (done.code, done.stdout) == (4, "")
        assert f"in it there is {inside} (" in done.stderr
        assert f"hint: choose one: {tmp_path}/{inside}\n" in done.stderr
        assert "link" not in done.stderr


def test_what_is_read_is_never_replaced(stores: Path, tmp_path: Path) -> None:
    """An archive that a NAME carries is kept, whatever may be replaced beside it."""
    shutil.copyfile(stores / "one.tar", tmp_path / "x.tar")
    before = (tmp_path / "x.tar").read_bytes()
    word = f"{tmp_path}/x.tar"
    for words in (
        ["export", "--force", "-o", word, word],
        ["cp", "--force", f"{word}:/etc/motd", word],
        ["cp", "--force", f"{word}:/etc/motd", "./one.tar:/etc/issue", word],
    ):
        assert _run(*words).code in (1, 2)
        assert (tmp_path / "x.tar").read_bytes() == before
    assert _run("export", "--format", "oci", "-o", f"{stores}/layout/", f"oci:{stores}/layout").code == 2
