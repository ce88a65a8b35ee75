"""Every fault of an archive is named, with what should be there and what is; nothing else is."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.archives import Layer
from tests.support.layouts import Layout, as_tar, digest, layer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.stores.archive.store import ArchiveStore

    Open = Callable[..., ArchiveStore]

LAYERS = [layer_of({"a": b"a" * 3000}), layer_of({"b": b"b"})]
BLOBS = [f"blobs/sha256/{digest(gzip.compress(layer, mtime=0))[7:]}" for layer in LAYERS]


def _whole() -> tuple[dict[str, bytes], str, str]:
    """The members of a sound layout; the places of its manifest and its config."""
    layout = Layout()
    described = layout.image(LAYERS)
    layout.name(described, "docker.io/library/app:1")
    manifest = f"blobs/sha256/{described['digest'][7:]}"
    config = f"blobs/sha256/{json.loads(layout.members[manifest])['config']['digest'][7:]}"
    return layout.done(), manifest, config


def _flipped(content: bytes, at: int = -20) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def _rewritten(members: dict[str, bytes], manifest: str, change: Callable[[Any], object]) -> dict[str, bytes]:
    """The layout with its manifest changed, and named anew."""
    document = json.loads(members[manifest])
    change(document)
    layout = Layout(
        members={name: content for name, content in members.items() if name not in (manifest, "index.json")}
    )
    layout.name(layout.document(document, document["mediaType"]), "docker.io/library/app:1")
    return layout.done()


DAMAGE: dict[str, tuple[Callable[[dict[str, bytes], str, str], dict[str, bytes]], set[str]]] = {
    "manifest missing": (lambda m, man, _: {k: v for k, v in m.items() if k != man}, {"image-missing"}),
    "manifest altered": (
        lambda m, man, _: m | {man: m[man] + b" "},
        {"image-altered", "size-differs", "blob-altered"},
    ),
    "config missing": (lambda m, _, con: {k: v for k, v in m.items() if k != con}, {"image-missing"}),
    "config altered": (
        lambda m, _, con: m | {con: m[con] + b" "},
        {"image-altered", "size-differs", "blob-altered"},
    ),
    "index damaged": (lambda m, *_: m | {"index.json": m["index.json"][:-5]}, {"image-malformed"}),
    "layer missing": (lambda m, *_: {k: v for k, v in m.items() if k != BLOBS[1]}, {"layer-missing"}),
    "layer cut off": (lambda m, *_: m | {BLOBS[0]: m[BLOBS[0]][:-9]}, {"size-differs", "layer-malformed"}),
    "layer altered": (lambda m, *_: m | {BLOBS[0]: _flipped(m[BLOBS[0]], 4)}, {"layer-altered"}),
    "layer is another": (
        lambda m, *_: m | {BLOBS[0]: m[BLOBS[1]]},
        {"size-differs", "layer-altered", "diff-id-wrong"},
    ),
    "layer is no tar": (
        lambda m, *_: m | {BLOBS[0]: gzip.compress(b"x" * 700)},
        {"size-differs", "layer-altered", "diff-id-wrong", "tar-malformed"},
    ),
    "size lies": (
        lambda m, man, _: _rewritten(m, man, lambda d: d["layers"][0].update(size=1)),
        {"size-differs"},
    ),
    "media type lies": (
        lambda m, man, _: _rewritten(
            m, man, lambda d: d["layers"][0].update(mediaType="application/vnd.oci.image.layer.v1.tar+zstd")
        ),
        {"media-type-wrong"},
    ),
    "a layer too few": (
        lambda m, man, _: _rewritten(m, man, lambda d: d["layers"].pop()),
        {"image-malformed"},
    ),
    "layers changed over": (
        lambda m, man, _: _rewritten(m, man, lambda d: d["layers"].reverse()),
        {"diff-id-wrong"},
    ),
    "a blob that nobody uses": (lambda m, *_: m | {f"blobs/sha256/{'a' * 64}": b"x"}, {"blob-altered"}),
    "other names": (
        lambda m, _, con: (
            m
            | {
                "manifest.json": json.dumps(
                    [{"Config": con, "RepoTags": ["other:2"], "Layers": BLOBS}]
                ).encode()
            }
        ),
        {"names-differ"},
    ),
    "other layers": (
        lambda m, _, con: (
            m
            | {
                "manifest.json": json.dumps(
                    [{"Config": con, "RepoTags": ["app:1"], "Layers": BLOBS[::-1]}]
                ).encode()
            }
        ),
        {"layers-differ"},
    ),
}


def test_a_sound_layout_has_no_fault(opened: Open) -> None:
    """Nothing is said of what is as it must be, with `manifest.json` and without."""
    members, _, config = _whole()
    assert list(opened(members).faults()) == []
    rows = [{"Config": config, "RepoTags": ["app:1"], "Layers": BLOBS}]
    assert list(opened(members | {"manifest.json": json.dumps(rows).encode()}).faults()) == []


@pytest.mark.parametrize("what", DAMAGE)
def test_every_damage_is_named(what: str, opened: Open) -> None:
    """Each kind of damage has its codes, names its member, and says what was found."""
    change, codes = DAMAGE[what]
    members, manifest, config = _whole()
    store = opened(change(dict(members), manifest, config))
    found = list(store.faults())
    assert {fault.code for fault in found} == codes
    for fault in found:
        assert fault.path.startswith(store.path)
        assert fault.message
        assert fault.subject.split()[0] in ("archive", "image", "layer")


def test_the_cache_is_no_witness(opened: Open) -> None:
    """What was read and noted before is read again: a blob whose change the times do not show is found."""
    members, *_ = _whole()
    store = opened(members)
    assert list(store.faults()) == []
    assert [layer.size for layer in store.chain(store.image())] == [3000, 1]
    store = opened(members | {BLOBS[0]: _flipped(members[BLOBS[0]], 4)})
    assert {fault.code for fault in store.faults()} == {"layer-altered"}


def test_docker_archives(opened: Open) -> None:
    """A config that does not hash to its name, a member that is there twice, a tar that ends early."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(LAYERS[0])]}}).encode()
    rows = [{"Config": f"{'0' * 64}.json", "RepoTags": ["app:1"], "Layers": ["l/layer.tar"]}]
    tar = Layer().file(f"{'0' * 64}.json", config).file("l/layer.tar", b"old").file("l/layer.tar", LAYERS[0])
    whole = tar.file("manifest.json", json.dumps(rows).encode()).file("more", bytes(5000)).done()
    store = opened(whole)
    assert sorted(fault.code for fault in store.faults()) == ["config-altered", "member-repeated"]
    assert store.tree(store.image("app:1")).resolve(b"/a").path == b"/a"
    cut = opened(whole[:-5000])
    assert "archive-malformed" in {fault.code for fault in cut.faults()}
    assert cut.tree(cut.image("app:1")).resolve(b"/a").path == b"/a", "what came before the end is intact"


def test_names_that_only_manifest_json_has(opened: Open) -> None:
    """An image that `index.json` lacks is shown, and told."""
    members, _, config = _whole()
    index = {"schemaVersion": 2, "manifests": []}
    rows = [{"Config": config, "RepoTags": ["app:1"], "Layers": BLOBS}]
    layout = Layout(members={name: content for name, content in members.items() if name != "index.json"})
    layout.name(layout.image([LAYERS[1]]), "other:1")
    store = opened({**layout.done(), "manifest.json": json.dumps(rows).encode()})
    assert {str(name) for image in store.images() for name in image.references} == {"app:1", "other:1"}
    assert [fault.code for fault in store.faults()] == ["index-lacks"]
    empty = opened(
        as_tar(
            {**members, "index.json": json.dumps(index).encode(), "manifest.json": json.dumps(rows).encode()}
        )
    )
    assert [str(image.references[0]) for image in empty.images()] == ["app:1"]
