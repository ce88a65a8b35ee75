"""`logs` beside `docker logs` of a real Engine: every log driver that keeps something, whole and rotated."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fixtures.archives import Layer
from tests.support.capabilities import docker_command
from tests.support.command import layerfs, run_bytes
from tests.support.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.dockerd, pytest.mark.root]

SAYS = (
    "print", "one", ",", "print", "two", ",", "append", "/dev/stderr", "wrong\\n", ",",
    "print", "\\e[31mred", ",", "print", "y" * 40_000, ",", "append", "/dev/stdout", "no\\send",
)  # fmt: skip
MANY = [word for number in range(60) for word in ("print", f"{number}", "y" * 100, ",")][:-1]
SMALL = ("--log-opt", "max-size=2k", "--log-opt", "max-file=4")
CONTAINERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "json": ((), SAYS),
    "local": (("--log-driver", "local"), SAYS),
    "cached": (("--log-driver", "gelf", "--log-opt", "gelf-address=udp://127.0.0.1:12201"), SAYS),
    "tty": (("--tty",), SAYS),
    "attrs": (
        ("--log-opt=labels=b,a", "--log-opt=env=E", "-l=a=x y,=&~", "--label=b=\\", "--env=E=é%"),
        SAYS,
    ),
    "rotated": (SMALL, tuple(MANY)),
    "packed": ((*SMALL, "--log-opt", "compress=true"), tuple(MANY)),
    "rotated-local": (("--log-driver", "local", *SMALL), tuple(MANY)),
    "none": (("--log-driver", "none"), SAYS),
}
OPTIONS = (
    "", "-t --details", "--tail 0", "-n 25", "--tail -1 -t",
    "--until {1}", "--since {1} --until {2} -t", "-n 3 --since {1}", "--since 24h",
)  # fmt: skip


class Ended(NamedTuple):
    """An Engine's data root, once it has ended, and what its client had said."""

    root: Path
    said: Mapping[tuple[str, str], tuple[bytes, bytes]]
    times: Mapping[str, tuple[str, str]]


def _docker(engine: Engine, *words: str) -> tuple[bytes, bytes]:
    environment = os.environ | {"DOCKER_HOST": f"unix://{engine.socket}", "TZ": "UTC"}
    done = subprocess.run(
        [docker_command() or "docker", *words], capture_output=True, env=environment, check=False
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def ended(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Containers of every driver, and all that `docker logs` says of them."""
    program = next(dataroot_path.glob("overlay2/*/diff/bin/fx")).read_bytes()
    image = Layer().dir("bin").file("bin/fx", program, 0o755).dir("dev").done()
    with Engine(tmp_path_factory.mktemp("logs") / "root") as engine:
        engine.import_tar(image, "fx:1")
        for name, (options, words) in CONTAINERS.items():
            _docker(engine, "run", "--network=none", "--name", name, *options, "fx:1", "/bin/fx", *words)
        engine.cli("create", "--network=none", "--name", "created", "fx:1", "/bin/fx", "print", "x")
        said, times = {}, {}
        for name in (*CONTAINERS, "created"):
            lines = layerfs(engine.root, "logs", "-t", name).stdout.splitlines() or ["0"]
            first, last = (line.split(" ")[0] for line in (lines[len(lines) // 4], lines[-1]))
            times[name] = first, last
            for option in OPTIONS:
                asked = option.format("", first, last).split()
                said[name, option] = _docker(engine, "logs", *asked, name)
    return Ended(engine.root, said, times)


@pytest.mark.parametrize("options", OPTIONS)
def test_logs_are_those_of_the_engine(ended: Ended, options: str) -> None:
    """Both streams, byte for byte, of every container that the Engine answers for."""
    for name in (*CONTAINERS, "created"):
        if name != "none":
            found = run_bytes(ended.root, "logs", *options.format("", *ended.times[name]).split(), name)
            expected = ended.said[name, options]
            if name == "packed" and "--since" in options:
                # The Engine sometimes leaves out packed parts; perhaps by a time in their headers.
                assert found.stdout.endswith(expected[0])
                continue
            assert (found.stdout, found.stderr.encode("utf-8", "surrogateescape")) == expected, name
            assert found.code == 0


def test_files_are_rotated_and_packed(ended: Ended) -> None:
    """The containers have what they are for; or the test above would show little."""
    names = {path.name.partition(".log")[2] for path in ended.root.glob("containers/*/**/*.log*")}
    assert {"", ".1", ".2", ".3", ".1.gz", ".2.gz", ".3.gz"} <= names
    assert list(ended.root.glob("containers/*/container-cached.log"))


def test_log_that_is_not_kept_is_refused(ended: Ended) -> None:
    """As the Engine refuses it; among all it is named, and nothing is damaged."""
    assert b"does not support reading" in ended.said["none", ""][1]
    refused = layerfs(ended.root, "logs", "none")
    assert (refused.code, refused.stdout) == (4, "")
    assert "its log driver is none" in refused.stderr
    everything = layerfs(ended.root, "logs", "--all")
    assert everything.code == 0
    assert everything.stderr.count("layerfs: note: container none: its log driver is none") == 1


def test_all_logs_by_time(ended: Ended) -> None:
    """Each container's lines in their order, and all in the order of time; in JSON every part of a line."""
    rows = layerfs(ended.root, "logs", "--all", "--format", "json").json
    latest: dict[str, tuple[str, str]] = {}
    order = []
    for row in rows:  # what one container wrote to its two streams may be noted out of turn
        time = row["time"][:19], row["time"][20:-1].ljust(9, "0")
        latest[row["container"]] = max(time, latest.get(row["container"], time))
        order.append(latest[row["container"]])
    assert order == sorted(order)
    for name in (*CONTAINERS, "created"):
        if name == "none":
            continue
        of_one = [row for row in rows if row["container"] == name]
        assert of_one == layerfs(ended.root, "logs", "--format", "json", name).json
        expected = ended.said[name, ""]
        for stream, written in zip(("stdout", "stderr"), expected, strict=True):
            texts = (row["text"] for row in of_one if row["stream"] == stream)
            assert "".join(texts).encode() == written.replace(b"\n", b"")
    attributes = next(row for row in rows if row["container"] == "attrs")["attributes"]
    assert attributes == {"a": "x y,=&~", "b": "\\", "E": "é%"}


def test_lines_of_all_logs_name_their_container(ended: Ended) -> None:
    """As `docker compose logs` writes them: each line whole, behind a name."""
    done = layerfs(ended.root, "logs", "--all")
    width = max(len(name) for name in (*CONTAINERS, "created") if name != "none")
    lines = [line for line in done.stdout.split("\n") if line]
    assert {line[:width].rstrip() for line in lines} == {*CONTAINERS} - {"none"}
    assert all(line[width : width + 3] == " | " for line in lines)
    assert sum("y" * 40_000 in line for line in lines) >= 4  # of what the Engine caches, it loses some parts
