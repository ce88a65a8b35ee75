"""`RootBuilder`: writes a data root that a real Engine would start on; `many_images` writes a big one.

Layers are directories filled by the caller, images are configs that really hash to their IDs. The
one thing made up is a layer's diff ID, as no tar is made of it: nothing but an export could tell.

Sources: moby `layer/filestore.go`, `image/fs.go`, `reference/store.go`,
`daemon/graphdriver/overlay2/overlay.go` (v20.10.24).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerfs.ids import BlobDigest, CacheID, ChainID, ContainerID, DiffID, ImageID, LinkID, chain_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["BuiltLayer", "RootBuilder", "many_images"]


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer on disk, and the one it stands on."""

    below: BuiltLayer | None
    diff_id: DiffID
    chain_id: ChainID
    cache_id: CacheID
    link: LinkID
    diff: Path

    def stack(self) -> Iterator[BuiltLayer]:
        """This layer and all below it, uppermost first."""
        layer: BuiltLayer | None = self
        while layer:
            yield layer
            layer = layer.below


class RootBuilder:
    """Writes one data root; complete after `finish`."""

    def __init__(self, path: Path) -> None:
        """Start a data root in `path`, which must not exist or be empty."""
        self.path = path
        self._count = itertools.count()
        self._names: dict[str, dict[str, ImageID]] = {}
        self._driver_dir = path / "image/overlay2"
        for name in ("imagedb/content", "imagedb/metadata", "layerdb"):
            (self._driver_dir / name / "sha256").mkdir(parents=True)
        for name in ("overlay2/l", "containers"):
            (path / name).mkdir(parents=True)

    def layer(
        self,
        below: BuiltLayer | None = None,
        fill: Callable[[Path], object] | None = None,
        diff_id: DiffID | None = None,
        cache_id: CacheID | None = None,
        size: int | None = None,
    ) -> BuiltLayer:
        """Add a layer on top of `below`; `fill` puts into its `diff/` what it contains.

        Its diff ID is made up, unless that of its real tar is given; so is its cache ID. What is noted as
        its size is looked for, unless it is given.
        """
        made = self.directory(below, fill, diff_id, cache_id)
        self._write_record(made, _content_size(os.fspath(made.diff)) if size is None else size)
        return made

    def record(self, layer: BuiltLayer) -> Path:
        """The directory of a layer's record."""
        return self._driver_dir / "layerdb/sha256" / layer.chain_id.hex

    def directory(
        self,
        below: BuiltLayer | None = None,
        fill: Callable[[Path], object] | None = None,
        diff_id: DiffID | None = None,
        cache_id: CacheID | None = None,
    ) -> BuiltLayer:
        """Add a layer's directory without a record, as containers and failed removals have them."""
        seed = str(next(self._count)).encode()
        diff_id = diff_id or DiffID.of(b"diff " + seed)
        cache_id = cache_id or CacheID(hashlib.sha256(b"cache " + seed).hexdigest())
        link = LinkID(base64.b32encode(hashlib.sha256(b"link " + seed).digest())[:26].decode())
        chain = chain_id(below.chain_id if below else None, diff_id)
        made = BuiltLayer(below, diff_id, chain, cache_id, link, self.path / "overlay2" / cache_id / "diff")
        self._write_directory(made, fill)
        return made

    def container(
        self, name: str, image: ImageID, top: BuiltLayer | None, container_id: ContainerID | None = None
    ) -> tuple[ContainerID, BuiltLayer, BuiltLayer]:
        """Add a container of an image whose uppermost layer is `top`: its ID, -init and read-write layer."""
        seed = str(next(self._count)).encode()
        container_id = container_id or ContainerID(hashlib.sha256(b"container " + seed).hexdigest())
        mount_id = CacheID(hashlib.sha256(b"mount " + seed).hexdigest())
        init = self.directory(top, cache_id=CacheID(f"{mount_id}-init"))
        own = self.directory(init, cache_id=mount_id)
        place = self.path / "containers" / container_id
        place.mkdir()
        document = {"ID": container_id, "Name": f"/{name}", "Image": image, "Config": {"Image": image}}
        (place / "config.v2.json").write_text(json.dumps(document))
        record = self._driver_dir / "layerdb/mounts" / container_id
        record.mkdir(parents=True)
        (record / "mount-id").write_text(mount_id)
        (record / "init-id").write_text(init.cache_id)
        if top:
            (record / "parent").write_text(top.chain_id)
        return container_id, init, own

    def blob(self, layer: BuiltLayer, digest: BlobDigest, *repositories: str) -> None:
        """Note, as a pull does, what a layer was in these repositories."""
        for name, key, text in (
            ("diffid-by-digest", digest, layer.diff_id),
            (
                "v2metadata-by-diffid",
                layer.diff_id,
                json.dumps(
                    [{"Digest": digest, "SourceRepository": name, "HMAC": ""} for name in repositories]
                ),
            ),
        ):
            place = self._driver_dir / "distribution" / name / "sha256"
            place.mkdir(parents=True, exist_ok=True)
            (place / key.hex).write_text(text)

    def _write_directory(self, layer: BuiltLayer, fill: Callable[[Path], object] | None) -> None:
        """`overlay2/<cache ID>/` and its short link."""
        layer.diff.mkdir(parents=True, mode=0o755)
        directory = layer.diff.parent
        (directory / "link").write_text(layer.link)
        (self.path / "overlay2/l" / layer.link).symlink_to(f"../{layer.cache_id}/diff")
        if layer.below:
            (directory / "lower").write_text(":".join(f"l/{item.link}" for item in layer.below.stack()))
            (directory / "work").mkdir(mode=0o700)
            (layer.below.diff.parent / "committed").touch(mode=0o600)
        if fill:
            fill(layer.diff)

    def _write_record(self, layer: BuiltLayer, size: int) -> None:
        """`layerdb/sha256/<chain ID>/`."""
        directory = self.record(layer)
        directory.mkdir()
        (directory / "diff").write_text(layer.diff_id)
        (directory / "cache-id").write_text(layer.cache_id)
        (directory / "size").write_text(str(size))
        if layer.below:
            (directory / "parent").write_text(layer.below.chain_id)

    def image(
        self,
        top: BuiltLayer | None,
        *names: str,
        config: Mapping[str, Any] | None = None,
        parent: ImageID | None = None,
    ) -> ImageID:
        """Add an image.

        Args:
            top: its uppermost layer; None for an image without layers.
            names: familiar references, as `app:1` or `app@sha256:…`.
            config: what its config has beside the operating system and the layers.
            parent: the image the classic builder would note as its parent.
        """
        diff_ids = [layer.diff_id for layer in top.stack()][::-1] if top else []
        whole = {"architecture": "amd64", "os": "linux", **(config or {})}
        whole["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
        content = json.dumps(whole, separators=(",", ":")).encode()
        image = ImageID.of(content)
        (self._driver_dir / "imagedb/content/sha256" / image.hex).write_bytes(content)
        if parent:
            metadata = self._driver_dir / "imagedb/metadata/sha256" / image.hex
            metadata.mkdir()
            (metadata / "parent").write_text(parent)
        for name in names:
            self._names.setdefault(_repository(name), {})[name] = image
        return image

    def finish(self) -> Path:
        """Write the names down; the data root."""
        names = self._driver_dir / "repositories.json"
        names.write_text(json.dumps({"Repositories": self._names}, separators=(",", ":")))
        names.chmod(0o600)
        return self.path


def _repository(name: str) -> str:
    """The name in front of the tag or digest; a colon may also belong to a host's port."""
    name, _, digest = name.partition("@")
    return name if digest else name.rpartition(":")[0]


def _content_size(directory: str) -> int:
    """What the engine records as `size`: every inode once, directories not at all."""
    sizes: dict[int, int] = {}
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    pending.append(entry.path)
                else:
                    sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


# -- a root with many images ---------------------------------------------------------------------

SHARING = (100, 20, 4, 1, 1)
"""Of how many images each layer of `many_images` is, base first."""
"""How many images share a layer, from the base upwards."""


def many_images(path: Path, count: int) -> Path:
    """A data root with `count` images of five layers each, most of which share their lower ones.

    Every image has a tag but each tenth, which a later build took it from; each fifth has a second
    tag, each third a digest. Configs are as long as those of common images.
    """
    builder = RootBuilder(path)
    layers: dict[tuple[int, int], BuiltLayer] = {}
    for number in range(count):
        top: BuiltLayer | None = None
        for depth, shared_by in enumerate(SHARING):
            place = (depth, number // shared_by)
            if place not in layers:
                layers[place] = builder.layer(top, _one_file(depth, number))
            top = layers[place]
        builder.image(top, *_names(number), config=_config(number))
    return builder.finish()


def _one_file(depth: int, number: int) -> Callable[[Path], object]:
    def fill(directory: Path) -> None:
        (directory / f"file-{depth}").write_bytes(b"x" * (1000 * (5 - depth) + number))

    return fill


def _names(number: int) -> Iterator[str]:
    repository = f"registry.example:5000/team-{number // 100}/app-{number // 5}"
    if number % 10 != 9:
        yield f"{repository}:1.{number % 5}"
    if number % 5 == 4 and number % 10 != 9:
        yield f"{repository}:latest"
    if number % 3 == 0 and number % 10 != 9:
        yield f"{repository}@{ImageID.of(str(number).encode())}"


def _config(number: int) -> dict[str, Any]:
    created = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}T12:{number % 60:02}:00.123456789Z"
    environment = [f"VARIABLE_{index}=value {index} of image {number}" for index in range(10)]
    made = ("ADD rootfs.tar /", "RUN install runtime", "RUN install dependencies", "COPY app /app", "RUN x")
    empty = ("CMD [sh]", "ENV VARIABLE=1", "LABEL a=b", "EXPOSE 80/tcp", "ENTRYPOINT [/app]")
    steps = [("/bin/sh -c " + step + f" # {number} " + "y" * 100, False) for step in made]
    steps += [("/bin/sh -c #(nop)  " + step, True) for step in empty]
    run = {
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *environment],
        "Cmd": ["/bin/sh"],
        "WorkingDir": "/app",
        "Labels": {f"org.example.label-{index}": f"value {index}" for index in range(8)},
    }
    return {
        "created": created,
        "docker_version": "20.10.24",
        "config": run,
        "container_config": run,
        "history": [
            {"created": created, "created_by": step, **({"empty_layer": True} if is_empty else {})}
            for step, is_empty in steps
        ],
    }
