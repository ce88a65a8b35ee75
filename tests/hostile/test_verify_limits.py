"""verify on what is large, hostile or interrupted: it stays within bounds, and it always ends."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.archived import archived_layer, content_line, segment_line, write_tar_split
from tests.support.command import layerfs
from tests.support.planting import image_only, placed_layers
from tests.support.processes import Running
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.root

CLEAN, FOUND, INTERRUPTED = 0, 1, 130
LAYERFS = [sys.executable, "-c", "from layerfs_cli.main import main; main()"]
MEMORY = 256 << 20
"""Bytes of address space in which verify must do: the interpreter itself takes a quarter of it."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with an image of two layers: each a file of a gibibyte, most of it a hole. It is only read."""
    place = tmp_path_factory.mktemp("large")
    builder, layer = RootBuilder(place / "root"), None
    for name in ("first", "second"):
        tree = place / name
        tree.mkdir(mode=0o755)
        with (tree / name).open("wb") as file:
            file.truncate(1 << 30)
            file.write(name.encode())
        layer = archived_layer(builder, layer, tree)
    builder.image(layer, "large:1")
    return builder.finish()


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _verify_limited(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run verify with little memory, in its own process."""
    command = [*LAYERFS, "--root", str(root), "verify", "--format", "jsonl", *arguments]
    return subprocess.run(command, capture_output=True, check=False, preexec_fn=_limited, timeout=250)


def _codes(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return [json.loads(line)["code"] for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "name"), [("1", "large:1"), ("2", "large:1"), ("2", "large:1@1")])
def test_memory_does_not_grow_with_the_layer(large: Path, jobs: str, name: str) -> None:
    """Layers of a gibibyte are proven in a quarter of that, also by two threads."""
    done = _verify_limited(large, "--jobs", jobs, name)
    assert (done.returncode, done.stdout, done.stderr) == (CLEAN, b"", b"")


def _header(name: str, **fields: Any) -> bytes:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _endless_segments() -> Iterator[bytes]:
    line = segment_line(bytes(1 << 20))
    yield from (line for _ in range(300))


def _long_line() -> Iterator[bytes]:
    yield b'{"type":2,"payload":"'
    yield from (b"A" * (1 << 20) for _ in range(300))


def _long_names() -> Iterator[bytes]:
    for number in range(40_000):
        name = f"{number:06}/" + "n/" * 2000 + "x"
        yield segment_line(_header(name))
        yield content_line(name.encode())


def _many_members() -> Iterator[bytes]:
    for number in range(100_000):
        yield segment_line(_header(f"f{number}"))
        yield content_line(b"f%d" % number)


def _huge_sizes() -> Iterator[bytes]:
    yield segment_line(_header("x", size=1 << 60))
    yield content_line(b"x", 1 << 60)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [_endless_segments, _long_line, _long_names, _many_members, _huge_sizes])
def test_hostile_archives_take_no_memory(tmp_path: Path, lines: Callable[[], Iterator[bytes]]) -> None:
    """tar-split data made to exhaust memory are a finding."""
    builder = RootBuilder(tmp_path / "root")
    layer = builder.layer()
    write_tar_split(builder.path, layer, lines())
    builder.image(layer, "hostile:1")
    done = _verify_limited(builder.finish(), "hostile:1")
    assert (done.returncode, done.stderr) == (FOUND, b"")
    assert set(_codes(done)) <= {
        "tar-split-malformed",
        "tar-split-altered",
        "entry-missing",
        "size-wrong",
        "more",
    }


FLIPS = 40


def test_damaged_archives_never_crash(shallow_path: Path, tmp_path: Path) -> None:
    """Whatever happens to tar-split data, packed or unpacked, is a finding and no crash."""
    root = image_only(shallow_path, tmp_path / "root", "demo:1.0")
    layer = placed_layers(root, "demo:1.0")[1]
    path = layer.record / "tar-split.json.gz"
    packed, generator = path.read_bytes(), random.Random(7)  # noqa: S311 - a test
    text = gzip.decompress(packed)
    damaged: list[bytes] = [packed[: generator.randrange(len(packed))] for _ in range(FLIPS)]
    for _ in range(FLIPS):
        damaged.append(_flipped(packed, generator, start=10))
        damaged.append(gzip.compress(_flipped(text, generator), compresslevel=1))
        start, end = sorted(generator.randrange(len(text)) for _ in range(2))
        damaged.append(gzip.compress(text[:start] + text[end:], compresslevel=1))
    for content in damaged:
        path.write_bytes(content)
        result = layerfs(root, "verify", "--format", "json", "--jobs", "1", layer.chain_id)
        assert result.stderr == ""
        if _meaning(_unpacked(content)) != _meaning(text):
            assert result.code == FOUND, content


def _flipped(content: bytes, generator: random.Random, start: int = 0) -> bytes:
    """One bit turned."""
    changed = bytearray(content)
    changed[generator.randrange(start, len(content))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _unpacked(content: bytes) -> bytes | None:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, ValueError, zlib.error):
        return None


def _meaning(text: bytes | None) -> list[list[object]] | None:
    """What matters of tar-split lines; None for what are none."""
    try:
        lines = [json.loads(line) for line in (text or b"{").splitlines()]
        return [[line.get(key) for key in ("type", "name", "name_raw", "size", "payload")] for line in lines]
    except (ValueError, AttributeError):
        return None


# -- processes ---------------------------------------------------------------------------------------


def _start(root: Path) -> Running:
    """Verify by two processes, in a session of its own."""
    command = [*LAYERFS, "--root", str(root), "verify", "--all", "--jobs", "2", "--format", "jsonl"]
    return Running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def _workers(pid: int) -> list[int]:
    """The processes of a process, once there are two."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) == 2:
            return [int(child) for child in children]
        time.sleep(0.01)
    raise AssertionError("no two workers")


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def _all_end(pids: list[int]) -> bool:
    end = time.monotonic() + 20
    while not all(map(_ended, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("to_group", [True, False], ids=["terminal", "kill"])
def test_interrupted(large: Path, *, to_group: bool) -> None:
    """Ctrl-C ends the command with 130, says nothing of Python, and leaves no process."""
    with _start(large) as running:
        workers = _workers(running.pid)
        (os.killpg if to_group else os.kill)(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert (running.returncode, b"Traceback" in errors) == (INTERRUPTED, False)
    assert _all_end(workers)


@pytest.mark.slow
def test_killed(large: Path) -> None:
    """The processes end also when the command is killed."""
    with _start(large) as running:
        workers = _workers(running.pid)
        running.kill()
        running.communicate(timeout=60)
    assert _all_end(workers)


@pytest.mark.slow
def test_a_process_that_dies_is_reported(large: Path) -> None:
    """A process that dies costs the verdict of its layer, which is said; the other layer is proven."""
    with _start(large) as running:
        os.kill(_workers(running.pid)[0], signal.SIGKILL)
        output, errors = running.communicate(timeout=120)
    found = [json.loads(line) for line in output.splitlines()]
    assert [(item["code"], item["actual"]) for item in found] == [("not-compared", "signal 9")]
    assert (running.returncode, errors) == (FOUND, b"")
