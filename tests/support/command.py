"""Running `layerfs` as its user does, in this process; and the data root read without layerfs."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs_cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Output", "Result", "add_image", "configs", "forget_image", "layer_files", "layerfs", "run_bytes"]


class Result(NamedTuple):
    """What a command line did."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.stdout)


def layerfs(root: Path | str, *arguments: str) -> Result:
    """Run `layerfs --root ROOT ARGUMENTS…`."""
    out, err = _stream(), _stream()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["--root", str(root), *arguments])
    return Result(code, _written(out), _written(err))


class Output(NamedTuple):
    """What a command line did that writes bytes."""

    code: int
    stdout: bytes
    stderr: str


def run_bytes(root: Path | str, *arguments: str) -> Output:
    """Run `layerfs --root ROOT ARGUMENTS…` for its output as bytes."""
    out, err = _stream(), _stream()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["--root", str(root), *arguments])
    out.flush()
    written = out.buffer
    assert isinstance(written, io.BytesIO)
    return Output(code, written.getvalue(), _written(err))


def _stream() -> io.TextIOWrapper:
    """A stream like a process's own: text, with bytes below."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", newline="")


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def configs(root: Path) -> dict[str, dict[str, Any]]:
    """Every image config of a data root by image ID, as the JSON it is."""
    directory = root / "image/overlay2/imagedb/content/sha256"
    return {f"sha256:{path.name}": json.loads(path.read_bytes()) for path in directory.iterdir()}


def layer_files(root: Path) -> dict[str, dict[str, str]]:
    """The one-line files of every layer by chain ID, as they are on disk."""
    return {
        f"sha256:{directory.name}": {
            name: (directory / name).read_text()
            for name in ("diff", "size", "cache-id", "parent")
            if (directory / name).exists()
        }
        for directory in (root / "image/overlay2/layerdb/sha256").iterdir()
    }


def add_image(root: Path, config: dict[str, Any]) -> str:
    """Write an image config into a data root of the test's own; its image ID."""
    import hashlib

    content = json.dumps(config).encode()
    name = hashlib.sha256(content).hexdigest()
    (root / "image/overlay2/imagedb/content/sha256" / name).write_bytes(content)
    return f"sha256:{name}"


def forget_image(root: Path, image: str) -> None:
    """Remove an image's config and names from a data root of the test's own; its layers stay."""
    store = root / "image/overlay2"
    (store / "imagedb/content/sha256" / image.removeprefix("sha256:")).unlink()
    path = store / "repositories.json"
    rows = json.loads(path.read_bytes())["Repositories"]
    kept = {name: {key: of for key, of in ids.items() if of != image} for name, ids in rows.items()}
    path.write_text(json.dumps({"Repositories": {name: ids for name, ids in kept.items() if ids}}))
