"""`layerfs dockerfile` on the recorded root, and on images whose history is of every kind."""

from __future__ import annotations

import json
import os
import re
import tarfile
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import configs, layerfs
from tests.support.dockerfileparser import parse
from tests.support.layouts import Layout, as_directory, layer_of

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILDKIT = "buildkit.dockerfile.v0"
NOP = "/bin/sh -c #(nop)"
DIGEST = "7a379d0ef3d363574f9a38cf03a78aa104889c30582434cdb486f5c62436edb0"


def _image(place: Path, layers: list[bytes], rows: list[tuple[str, str, bool]], **config: Any) -> Path:
    """A layout with an image `app:1` of layers and of rows: text, comment, and whether it made no layer."""
    history = [
        {"created_by": text, "comment": comment, "empty_layer": empty} for text, comment, empty in rows
    ]
    layout = Layout()
    image = layout.image(layers, pack="plain", history=history, config=config)
    layout.name(image, "docker.io/library/app:1")
    return as_directory(layout.done(), place / "layout")


def _lines(root: Path, *arguments: str) -> list[str]:
    """The instructions of a Dockerfile, each in one line."""
    done = layerfs(root, "dockerfile", *arguments)
    assert done.code == 0, done.stderr
    parse(done.stdout)
    return [line for line in done.stdout.splitlines() if line and not line.startswith("#")]


# -- the recorded root -------------------------------------------------------------------------------


def test_demo(dataroot_path: Path) -> None:
    """Its Dockerfile again, but for the names that the history has not."""
    rows = [row["created_by"] for row in layerfs(dataroot_path, "history", "--format", "json", "demo").json]
    add, copy = (
        next(row for row in rows if f"{word} file:" in row).split("file:")[1] for word in ("ADD", "COPY")
    )
    assert _lines(dataroot_path, "demo") == [
        "FROM base:1",
        "LABEL org.example.role=demo org.example.version=1.0",
        f"ADD UNKNOWN-{add[:12]} /",
        f"COPY UNKNOWN-{copy[:12]} /root/password.txt",
        r"RUN fx write /etc/motd Welcome.\sThis\sfile\swas\sreplaced\sby\sa\slater\slayer.",
        "RUN fx rm /root/password.txt",
        (
            "RUN fx mkdir /var/log && fx write /var/log/build.log built offline"
            " && fx chmod 640 /var/log/build.log"
        ),
        "ENV LANG=C.UTF-8",
        'CMD ["/bin/fx", "cat", "/etc/motd"]',
    ]
    text = layerfs(dataroot_path, "dockerfile", "demo").stdout
    assert "# UNKNOWN: the name of the source: an archive that was unpacked (24 entries)\n" in text


def test_full_begins_at_the_first_layer(dataroot_path: Path) -> None:
    """--full tells the steps of the base, and begins with nothing."""
    short, full = _lines(dataroot_path, "buildkit"), _lines(dataroot_path, "--full", "buildkit")
    assert (short[0], full[0]) == ("FROM demo:1.0", "FROM scratch")
    assert full[-len(short) + 1 :] == short[1:]
    assert full[1].startswith("ADD UNKNOWN-")


def test_every_image(dataroot_path: Path) -> None:
    """Each gives a Dockerfile that a parser reads, with each of its layers in one comment."""
    for image, config in configs(dataroot_path).items():
        done = layerfs(dataroot_path, "dockerfile", "--full", image)
        assert done.code == 0, done.stderr
        parse(done.stdout)
        for number, diff_id in enumerate(config["rootfs"].get("diff_ids") or [], 1):
            assert done.stdout.count(f"# layer {number}, ") == 1
            assert diff_id in done.stdout


def test_container(dataroot_path: Path) -> None:
    """Of a container: the steps of its image, and what was changed in it, what was deleted too."""
    text = layerfs(dataroot_path, "dockerfile", "changed").stdout
    assert "# UNKNOWN: what was changed in the container changed\nADD UNKNOWN-" in text
    told = re.search("it deletes (.) names, which ADD cannot: (.*)", text)
    assert told
    names = told[2].split(", ")
    assert len(names) == int(told[1])
    diff = layerfs(dataroot_path, "diff", "changed").stdout.splitlines()
    deleted = [line[2:] for line in diff if line.startswith("D ")]
    assert {name for name in names if not name.endswith("/*")} <= set(deleted)
    assert all(any(fnmatchcase(path, name) for name in names) for path in deleted)


def test_rows(dataroot_path: Path) -> None:
    """JSON has a row for each instruction, with its layer as `layers` has it."""
    rows = layerfs(dataroot_path, "dockerfile", "--full", "--format", "json", "demo").json
    layers = layerfs(dataroot_path, "layers", "--format", "json", "demo").json
    found = [(row["layer"], row["diff_id"], row["size"]) for row in rows if row["layer"]]
    assert found == [(row["index"], row["diff_id"], row["size"]) for row in layers]
    assert [row["step"] for row in rows] == [None, *range(1, 10)]
    assert rows[0]["instruction"] == "FROM scratch"


def test_output(dataroot_path: Path, tmp_path: Path) -> None:
    """-o writes the same text to a new file; never below the root."""
    target = tmp_path / "Dockerfile"
    text = layerfs(dataroot_path, "dockerfile", "demo").stdout
    assert layerfs(dataroot_path, "dockerfile", "-o", str(target), "demo").code == 0
    assert target.read_text() == text
    assert layerfs(dataroot_path, "dockerfile", "-o", str(target), "demo").code == 2
    assert layerfs(dataroot_path, "dockerfile", "-f", "-o", str(target), "demo").code == 0
    below = dataroot_path / "image/Dockerfile"
    assert layerfs(dataroot_path, "dockerfile", "-o", str(below), "demo").code == 2
    assert not below.exists()


# -- histories of every kind -------------------------------------------------------------------------


def test_too_few_and_too_many_rows(tmp_path: Path) -> None:
    """A layer without a row, and a row without its layer, are unknown, and nothing is given another's."""
    layers = [layer_of({"a": b"a"}), layer_of({"b": b"b"}, whiteouts=["a"])]
    few = _image(tmp_path / "few", layers, [("RUN x", "", False)])
    text = layerfs(few, "dockerfile").stdout
    assert "# UNKNOWN: how this layer was made: the history has no row for it\nADD UNKNOWN-" in text
    assert "# it deletes a name, which ADD cannot: /a\n" in text
    many = _image(tmp_path / "many", layers[:1], [("RUN x", "", False), ("RUN y", "", False)])
    assert _lines(many) == ["FROM scratch", "RUN x", "RUN y"]
    assert (
        "the history has more rows with one than the image has layers" in layerfs(many, "dockerfile").stdout
    )


def test_config_that_no_step_tells(tmp_path: Path) -> None:
    """What the config has besides stands at the end; what no Dockerfile can say is named."""
    health = {"Test": ["CMD-SHELL", "curl x"], "Interval": 90_000_000_000, "Retries": 3}
    config = {
        "Env": [f"PATH={DEFAULT_PATH}", "A=$b", "LINES=a\nUSER root"],
        "Cmd": ["x"],
        "Entrypoint": ["e"],
        "User": "1:2",
        "WorkingDir": "/w",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "Labels": {"l": "m n"},
        "StopSignal": "SIGINT",
        "OnBuild": ["RUN y"],
        "Healthcheck": health,
        "Shell": ["/bin/ash", "-c"],
    }
    root = _image(tmp_path, [layer_of({"app": b"x"})], [("RUN apk add git", "", False)], **config)
    assert _lines(root)[2:] == [
        r'ENV A="\$b"',
        'LABEL l="m n"',
        'SHELL ["/bin/ash", "-c"]',
        "USER 1:2",
        "WORKDIR /w",
        "EXPOSE 80/tcp",
        "VOLUME /v",
        "STOPSIGNAL SIGINT",
        "HEALTHCHECK --interval=90s --retries=3 CMD curl x",
        "ONBUILD RUN y",
        'ENTRYPOINT ["e"]',
        'CMD ["x"]',
    ]
    assert "# UNKNOWN: ENV LINES has what no Dockerfile can say" in layerfs(root, "dockerfile").stdout


def test_one_layer_of_several_steps(tmp_path: Path) -> None:
    """Where a builder made one layer of all steps, that is told, and their files are found in it."""
    rows = [
        (f"/bin/sh -c #(nop) COPY file:{DIGEST} in /x ", "", True),
        ('/bin/sh -c #(nop) CMD ["fx", "ls"]', "FROM localhost/base:1", False),
    ]
    root = _image(tmp_path, [layer_of({"x": b"y"})], rows, Labels={"io.buildah.version": "1.28.2"})
    text = layerfs(root, "dockerfile").stdout
    assert "# UNKNOWN: what each step has changed: buildah made this one layer of all steps" in text
    assert "# buildah began here, FROM localhost/base:1\n" in text
    assert layerfs(root, "dockerfile", "--context", str(tmp_path / "c")).code == 0
    assert (tmp_path / "c" / f"UNKNOWN-{DIGEST[:12]}").read_bytes() == b"y"


def test_no_file_of_another_step(tmp_path: Path) -> None:
    """What a copy of the classic builder left as it was is in no layer, and is not taken from a later one."""
    rows = [
        (f"/bin/sh -c #(nop) COPY file:{DIGEST} in /x ", "", True),
        ("/bin/sh -c echo > /x", "", False),
        ('/bin/sh -c #(nop)  CMD ["x"]', "", False),
    ]
    root = _image(tmp_path, [layer_of({"x": b"y"}), layer_of({"z": b"z"})], rows)
    assert layerfs(root, "dockerfile", "--context", str(tmp_path / "c")).code == 0
    assert os.listdir(tmp_path / "c") == ["Dockerfile"]
    assert "# UNKNOWN: what made this layer: CMD changes no file\n" in layerfs(root, "dockerfile").stdout


# -- rows as their builders' users publish them ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{NOP} COPY dir:{DIGEST} in ./files |inheritLabels=false", ["COPY UNKNOWN-7a379d0ef3d3 ./files"]),
        (f"{NOP} ADD file:{DIGEST} in readme |inheritLabels=false", ["ADD UNKNOWN-7a379d0ef3d3 readme"]),
        (f"{NOP} HEALTHCHECK NONE|unsetLabel=true|inheritLabels=false|force-mtime=10", ["HEALTHCHECK NONE"]),
        (f'{NOP} ENTRYPOINT ["/bin/sh"]|inheritLabels=false', ['ENTRYPOINT ["/bin/sh"]']),
        ("/bin/sh -c make|inheritLabels=false", ["RUN make"]),
        ("/bin/sh -c echo a|tee b=c", ["RUN echo a|tee b=c"]),
    ],
)  # fmt: skip
def test_options_that_buildah_notes(tmp_path: Path, text: str, lines: list[str]) -> None:
    """What buildah writes behind a row for its cache is no part of the instruction.

    The first four are of trivy's tests (`history/dockerfile_test.go`), from podman 5.5.
    """
    root = _image(tmp_path, [layer_of({"f": b"x"})], [(text, "", False)])
    assert _lines(root) == ["FROM scratch", *lines]


def test_rows_of_kaniko(tmp_path: Path) -> None:
    """Its rows are lines of a Dockerfile; what was made with --reproducible has no text, and is no import.

    Rows from go-containerregistry's pull request 978, kaniko's issues 1137 and 1620.
    """
    rows = [("RUN apk add --update     libc6-compat", "", False), ("WORKDIR /app", "", True),
            ("COPY --from=builder-dev /app/dist /app/dist", "", False), ("", "", False)]  # fmt: skip
    layers = [layer_of({"lib/c": b"c"}), layer_of({"app/dist/x": b"x"}), layer_of({"y": b"y"})]
    root = _image(tmp_path, layers, rows)
    assert _lines(root)[1:4] == [
        "RUN apk add --update     libc6-compat", "WORKDIR /app", "COPY /app/dist /app/dist"
    ]  # fmt: skip
    text = layerfs(root, "dockerfile").stdout
    assert "# UNKNOWN: the build stage or image builder-dev that it was copied from\n" in text
    assert "# UNKNOWN: how this was made\n" in text
    assert "import" not in text


@pytest.mark.parametrize(
    ("text", "comment", "told"),
    [
        ("jib-maven-plugin:2.5.2", "dependencies", "jib made this layer, not a Dockerfile"),
        ("ko publish github.com/google/ko/cmd/ko", "kodata contents, at $KO_DATA_PATH", "ko made this layer"),
        ("ko build ko://example.org/x", "go build output, at /ko-app/x", "ko made this layer"),
        ("bazel build ...", "", "Bazel made this layer"),
        ("apko", "", "apko made this layer"),
        ("", "Imported from -", "an archive was imported"),
        ("", "store paths: ['/nix/store/a-bash', '/nix/store/b-glibc']", "nix made this layer"),
    ],
)  # fmt: skip
def test_layers_that_no_dockerfile_made(tmp_path: Path, text: str, comment: str, told: str) -> None:
    """The tool is named, with what it says of the layer, and all of the layer is added at once."""
    root = _image(tmp_path, [layer_of({"app/x": b"x"})], [(text, comment, False)])
    shown = layerfs(root, "dockerfile").stdout
    (unknown,) = [line for line in shown.splitlines() if line.startswith("# UNKNOWN")]
    assert told in unknown
    assert comment in unknown or comment.startswith("store")
    assert re.search(r"^ADD UNKNOWN-[0-9a-f]{12}\.tar /$", shown, re.MULTILINE)


# -- heredocs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"a\n", b"a $b \\\n\tc\n\n", b"# escape=x\nFROM evil\n", "ünï\n".encode(), b"EOFX\n EOF\n"],
)
@pytest.mark.parametrize("dest", ["/etc/x", "/etc/"])
def test_copied_texts_stand_in_the_dockerfile(tmp_path: Path, content: bytes, dest: str) -> None:
    """What BuildKit copied from the Dockerfile itself is there again, byte for byte, and needs no context."""
    place = "etc/x" if dest == "/etc/x" else "etc/EOF"
    rows = [(f"COPY --chmod=755 <<EOF {dest} # buildkit", BUILDKIT, False)]
    root = _image(tmp_path, [layer_of({place: content})], rows)
    directives, found = parse(layerfs(root, "dockerfile").stdout)
    assert directives == {"syntax": "docker/dockerfile:1"}
    assert [item.keyword for item in found] == ["FROM", "COPY"]
    assert found[1].heredocs == [("EOF", content.decode())]
    assert found[1].flags == ["--chmod=755"]
    assert layerfs(root, "dockerfile", "--context", str(tmp_path / "c")).code == 0
    assert os.listdir(tmp_path / "c") == ["Dockerfile"]


@pytest.mark.parametrize("content", [b"no end", b"EOF\n", b"\xff\n", b"a\r\n", b"\0\n", b"x\n" * 10_000])
def test_texts_that_a_heredoc_would_change(tmp_path: Path, content: bytes) -> None:
    """They are a file of the context, as they are, and the Dockerfile says what it was."""
    rows = [("COPY <<EOF /etc/x # buildkit", BUILDKIT, False)]
    root = _image(tmp_path, [layer_of({"etc/x": content})], rows)
    assert _lines(root)[1:] == ["COPY EOF /etc/x"]
    assert "UNKNOWN: the texts in the Dockerfile itself (<<EOF)" in layerfs(root, "dockerfile").stdout
    assert layerfs(root, "dockerfile", "--context", str(tmp_path / "c")).code == 0
    assert (tmp_path / "c/EOF").read_bytes() == content


# -- hostile histories -------------------------------------------------------------------------------


EVIL = "x\nFROM evil\n# escape=`\nEOF\nUSER root \\"


@pytest.mark.parametrize("comment", ["", BUILDKIT, EVIL])
def test_nothing_becomes_an_instruction(tmp_path: Path, comment: str) -> None:
    """No text of a history or config becomes a line of its own; the first line is no directive."""
    texts = [
        EVIL,
        f"RUN /bin/sh -c {EVIL}",
        f"COPY {EVIL}",
        f"LABEL a={EVIL}",
        f"/bin/sh -c #(nop)  ENV a={EVIL}",
    ]
    rows = [(text, comment, number > 0) for number, text in enumerate(texts)]
    root = _image(
        tmp_path, [layer_of({"f": b"x"})], rows,
        User=EVIL, Labels={EVIL: EVIL}, Env=[f"{EVIL}={EVIL}"], Cmd=[EVIL], OnBuild=[EVIL], StopSignal=EVIL,
    )  # fmt: skip
    done = layerfs(root, "dockerfile")
    directives, found = parse(done.stdout)
    assert set(directives) <= {"syntax"}
    assert directives.get("syntax", "docker/dockerfile:1") == "docker/dockerfile:1"
    assert [item.value for item in found if item.keyword == "FROM"] == [["scratch"]]
    assert "USER" not in {item.keyword for item in found}


def test_megabytes(tmp_path: Path) -> None:
    """A step of a megabyte is an instruction still, in lines that a parser takes."""
    text = "echo " + "x" * 1_000_000
    root = _image(tmp_path, [layer_of({"f": b"x"})], [(f"RUN /bin/sh -c {text}", BUILDKIT, False)])
    _, found = parse(layerfs(root, "dockerfile").stdout)
    assert found[1].value == text


# -- contexts ----------------------------------------------------------------------------------------


def test_context(tmp_path: Path) -> None:
    """The sources lie under the names that the history has, and what it has not under the Dockerfile's."""
    layers = [
        layer_of({"app/src/a.c": b"a", "app/b": b"b"}),
        layer_of({"etc/one": b"1", "etc/two": b"2"}),
        layer_of({"opt/x": b"x"}),
        layer_of({"a place/f": b"f"}),
    ]
    rows = [
        ("WORKDIR /app", BUILDKIT, True),
        ("COPY . . # buildkit", BUILDKIT, False),
        ("COPY conf/one two /etc/ # buildkit", BUILDKIT, False),
        (f"/bin/sh -c #(nop) ADD file:{DIGEST} in /opt ", "", False),
        ("COPY f /a place/f # buildkit", BUILDKIT, False),
    ]
    root = _image(tmp_path, layers, rows)
    target = tmp_path / "context"
    done = layerfs(root, "dockerfile", "--context", str(target))
    assert (done.code, done.stdout) == (0, "")
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found.pop("Dockerfile").decode() == layerfs(root, "dockerfile").stdout
    assert found == {"src/a.c": b"a", "b": b"b", "conf/one": b"1", "two": b"2", "x": b"x", "f": b"f"}
    assert _lines(root)[1:] == [
        "WORKDIR /app", "COPY . .", "COPY conf/one two /etc/", "ADD x /opt/", 'COPY ["f", "/a place/f"]',
    ]  # fmt: skip


def test_archive_keeps_owners(dataroot_path: Path, tmp_path: Path) -> None:
    """What ADD unpacked lies in the context as an archive with the files of the layer."""
    assert layerfs(dataroot_path, "dockerfile", "--context", str(tmp_path / "c"), "demo").code == 0
    name = next(path for path in (tmp_path / "c").iterdir() if tarfile.is_tarfile(path))
    with tarfile.open(name) as archive:
        names = {member.name for member in archive}
    assert {"etc/motd", "opt/app/run", "srv/www/copy"} <= names
    assert len(names) == 24


@pytest.mark.parametrize(
    "source",
    ["../../up", "/etc/up", "a/../../up", "..", "link/up", ".", "x" * 300, "a/" * 2000, "\x1b[2J", "b/."],
)
def test_sources_that_lead_out(tmp_path: Path, source: str) -> None:
    """No name of a source leads out of the directory, nor through a link in it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    layers = [layer_of({"d/link": b"x"}), layer_of({"up": b"evil"}), layer_of({"e/in/up": b"evil"})]
    rows = [("COPY . /d # buildkit", BUILDKIT, False), (f"COPY {source} /up # buildkit", BUILDKIT, False)]
    rows.append((f"COPY {source} /e # buildkit", BUILDKIT, False))
    root = _image(tmp_path, layers, rows)
    target = outside / "context"
    done = layerfs(root, "dockerfile", "--context", str(target), "--format", "json")
    assert done.code in (0, 1), done.stderr
    assert sorted(os.listdir(outside)) == ["context"]
    assert (target / "Dockerfile").exists()


def test_two_contents_of_one_name(tmp_path: Path) -> None:
    """What an earlier step has put there stays, and the other is named; the same content is no conflict."""
    layers = [layer_of({"a": b"one"}), layer_of({"b": b"one"}), layer_of({"c": b"two"})]
    rows = [(f"COPY f /{name} # buildkit", BUILDKIT, False) for name in "abc"]
    root = _image(tmp_path, layers, rows)
    done = layerfs(root, "dockerfile", "--context", str(tmp_path / "c"))
    assert done.code == 1
    assert done.stderr.count("error") == 1
    assert "that of layer 3 is not in the context" in done.stderr
    assert (tmp_path / "c/f").read_bytes() == b"one"


def test_source_called_dockerfile(tmp_path: Path) -> None:
    """The image's own Dockerfile keeps its name, and ours gets another, which is said."""
    root = _image(
        tmp_path, [layer_of({"Dockerfile": b"x"})], [("COPY Dockerfile / # buildkit", BUILDKIT, False)]
    )
    done = layerfs(root, "dockerfile", "--context", str(tmp_path / "c"))
    assert done.code == 0
    assert (tmp_path / "c/Dockerfile").read_bytes() == b"x"
    assert (tmp_path / "c/Dockerfile.layerfs").exists()
    assert f"docker build -f {tmp_path}/c/Dockerfile.layerfs {tmp_path}/c" in done.stderr


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore", "sub/.dockerignore"])
def test_source_that_hides_others_from_a_build(tmp_path: Path, name: str) -> None:
    """A source by which a build leaves others out is told of; below the top it is a file like any other."""
    root = _image(tmp_path, [layer_of({name: b"*"})], [(f"COPY {name} /{name} # buildkit", BUILDKIT, False)])
    done = layerfs(root, "dockerfile", "--context", str(tmp_path / "c"))
    assert (tmp_path / "c" / name).read_bytes() == b"*"
    assert ("a build leaves out what it names" in done.stderr) == ("/" not in name)


def test_directories_that_are_refused(dataroot_path: Path, tmp_path: Path) -> None:
    """One that is not empty, a link, and one below the root."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for target in (tmp_path / "full", tmp_path / "link", dataroot_path / "image/new"):
        assert layerfs(dataroot_path, "dockerfile", "--context", str(target), "demo").code == 2
    refused = layerfs(dataroot_path, "dockerfile", "--context", str(tmp_path / "full"), "demo").stderr
    assert refused.endswith("full: is not empty: give a new directory, or an empty one\n")
    assert os.listdir(tmp_path / "empty") == []
    assert layerfs(dataroot_path, "dockerfile", "--context", str(tmp_path / "empty"), "demo").code == 0


def test_json_is_lossless(tmp_path: Path) -> None:
    """JSON has the text of the history as it is."""
    root = _image(tmp_path, [layer_of({"f": b"x"})], [(f"RUN /bin/sh -c {EVIL}", BUILDKIT, False)])
    rows = json.loads(layerfs(root, "dockerfile", "--format", "json").stdout)
    assert rows[1]["created_by"] == f"RUN /bin/sh -c {EVIL}"


@pytest.mark.parametrize(
    "source", ["a\0b", "\0", "\ud800", "a\ud800b", "\x7f\x1b[2J", "a/" * 300 + "a", "x" * 300]
)
@pytest.mark.parametrize(
    ("form", "comment"),
    [
        ("COPY {} /app/ # buildkit", BUILDKIT),
        ("COPY a {} # buildkit", BUILDKIT),
        ("ADD --chown=1 {} /app # buildkit", BUILDKIT),
        ("COPY --from={} a /app/ # buildkit", BUILDKIT),
        ("/bin/sh -c #(nop) COPY file:" + DIGEST + " in {} ", ""),
        ("/bin/sh -c #(nop) ADD dir:" + DIGEST + " in {} ", ""),
    ],
)
def test_texts_that_are_no_paths(tmp_path: Path, form: str, comment: str, source: str) -> None:
    """What no file can be called is told as unknown, and the rest is written; or the store is refused."""
    layer = layer_of({"app/a": b"content"})
    root = _image(tmp_path, [layer], [(form.format(source), comment, False)])
    done = layerfs(root, "dockerfile", "--context", str(tmp_path / "c"))
    assert done.code in (0, 1, 5), done.stderr
    assert (tmp_path / "c/Dockerfile").exists() == (done.code != 5)
    if "\0" in source and done.code != 5:
        assert "UNKNOWN" in (tmp_path / "c/Dockerfile").read_text()
