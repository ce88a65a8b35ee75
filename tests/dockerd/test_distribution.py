"""What `docker pull` prints, from a registry through a real Engine, as names of layers and images."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.command import layerfs
from tests.support.engine import Engine
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.dockerd, pytest.mark.registry]

PULLED = re.compile(r"^([0-9a-f]{12}): Pull complete$", re.MULTILINE)
DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


class Pulled(NamedTuple):
    """An image that an Engine pulled.

    Attributes:
        root: the Engine's data root.
        name: what was pulled.
        repositories: the repositories that have its layers.
        said: what the client printed.
        image: how the Engine inspects it.
        blobs: the layers' blobs as the registry has them, base first: digest and bytes.
    """

    root: Path
    name: str
    repositories: tuple[str, str]
    said: str
    image: dict[str, Any]
    blobs: list[tuple[str, bytes]]


def _tar(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    """An image of three layers, built, pushed to two repositories, removed, and pulled again from one."""
    place = tmp_path_factory.mktemp("pull")
    (place / "context").mkdir()
    (place / "context/two").write_bytes(b"2" * 3000)
    (place / "context/three").write_bytes(b"3" * 3000)
    (place / "context/Dockerfile").write_text("FROM base\nCOPY two /two\nCOPY three /three\n")
    with Registry(place) as registry, Engine(place / "root") as engine:
        repositories = (f"{registry.address}/team/app", f"{registry.address}/other")
        names = [f"{repository}:1" for repository in repositories]
        engine.import_tar(_tar("one", b"1" * 3000), "base")
        engine.build(place / "context", "--tag", names[0])
        engine.cli("tag", *names)
        for name in names:
            engine.cli("push", name)
        engine.cli("rmi", *names, "base")
        said = engine.cli("pull", names[0])
        digests = [layer["digest"] for layer in registry.manifest("team/app", "1")["layers"]]
        blobs = [(digest, registry.blob("team/app", digest)) for digest in digests]
        yield Pulled(engine.root, names[0], repositories, said, engine.image(names[0]), blobs)


def _ids(found: str) -> list[str]:
    return [found, found.removeprefix("sha256:"), found.removeprefix("sha256:")[:12], found[:20]]


def test_printed_digits_are_names_of_layers(pulled: Pulled) -> None:
    """The 12 digits of each line, longer beginnings and the digest in full mean the layer of that content."""
    printed = PULLED.findall(pulled.said)
    assert sorted(printed) == sorted(digest[7:19] for digest, _ in pulled.blobs)
    for number, (digest, content) in enumerate(pulled.blobs):
        assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        unpacked = gzip.decompress(content)
        diff_id = f"sha256:{hashlib.sha256(unpacked).hexdigest()}"
        assert pulled.image["RootFS"]["Layers"][number] == diff_id
        for name in _ids(digest):
            (whose,) = layerfs(pulled.root, "whois", name, "--format", "json").json
            (layer,) = layerfs(pulled.root, "inspect", name).json
            assert (whose["diff_id"], layer["DiffID"], layer["type"]) == (diff_id, diff_id, "layer")
            with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
                members = sorted(archive.getnames())
            assert layerfs(pulled.root, "ls", name).stdout.split() == members
            assert layerfs(pulled.root, "verify", name).code == 0


def test_printed_digest_is_a_name_of_the_image(pulled: Pulled) -> None:
    """The manifest's digest in full, and its beginnings, mean the image that the Engine has by it."""
    (digest,) = DIGEST.findall(pulled.said)
    for name in _ids(digest):
        (document,) = layerfs(pulled.root, "inspect", name).json
        assert (document["Id"], document["type"]) == (pulled.image["Id"], "image")
        (whose,) = layerfs(pulled.root, "whois", name, "--format", "json").json
        assert [image["id"] for image in whose["images"]] == [pulled.image["Id"]]
        assert layerfs(pulled.root, "history", name).code == 0


def test_layers_tell_their_digests_and_repositories(pulled: Pulled) -> None:
    """Each layer's digest is the registry's, its repositories those pushed to and pulled from."""
    digests = [digest for digest, _ in pulled.blobs]
    rows = layerfs(pulled.root, "layers", pulled.name, "--format", "json").json
    (document,) = layerfs(pulled.root, "inspect", pulled.name).json
    for row, layer, digest in zip(rows, document["Layers"], digests, strict=True):
        (blob,) = row["distribution"]
        assert blob["digest"] == digest
        assert blob["repositories"][-1] in pulled.repositories
        assert set(blob["repositories"]) <= set(pulled.repositories)
        (other,) = layer["Distribution"]
        assert (other["Digest"], other["Repositories"]) == (digest, blob["repositories"])
    told = {name for row in rows for blob in row["distribution"] for name in blob["repositories"]}
    assert pulled.repositories[0] in told
    lines = layerfs(pulled.root, "layers", "--digests", pulled.name).stdout.splitlines()
    assert [digest[7:19] in line for digest, line in zip(digests, lines[1:], strict=True)] == [True] * 3
