"""What leaves an archive is what is in it: every byte of configs, manifests and blobs, with every digest."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest

from layerfs.errors import DigestMismatch
from layerfs.ids import ImageID
from layerfs.stores.blobs.export import StoredBlob
from tests.support.layouts import PACKERS, Layout, as_directory, digest, layer_of
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layerfs.stores.archive.store import ArchiveStore

    Open = Callable[..., ArchiveStore]

LAYERS = [layer_of({"a": b"a" * 5000}), layer_of({"b": b"b"}, whiteouts=["a"])]


def _written(what: object) -> bytes:
    pieces: list[bytes] = []
    what.write(pieces.append)  # type: ignore[attr-defined]
    return b"".join(pieces)


@pytest.mark.parametrize("pack", PACKERS)
def test_blobs_and_tars(pack: str, opened: Open) -> None:
    """A blob as it is stored, a tar as its diff ID is of, whatever the compression."""
    layout = Layout()
    described = layout.image(LAYERS, pack=pack)
    layout.name(described, "app:1")
    store = opened(layout.done())
    image = store.image("app:1")
    assert ImageID.of(store.config_bytes(image)) == image.id
    assert digest(store.manifest_bytes(image) or b"") == described["digest"]
    for layer, tar in zip(store.chain(image), LAYERS, strict=True):
        plain, stored = store.layer_tar(layer), StoredBlob(layer, str(layer.digest))
        assert (plain.diff_id, plain.size, _written(plain)) == (digest(tar), len(tar), tar)
        packed = PACKERS[pack](tar)
        if not pack.startswith("xz"):  # two runs of which give the same bytes, too, but need not
            assert _written(stored) == packed
        assert stored.digest == f"sha256:{hashlib.sha256(_written(stored)).hexdigest()}" == layer.digest
        assert stored.size == len(_written(stored))


def test_a_recorded_archive_written_anew(opened: Open, recorded: dict[str, Path], tmp_path: Path) -> None:
    """From what a store gives a layout can be written in which nothing but the file's form is new."""
    store = opened(recorded["docker29-save-two-images"])
    layout = Layout()
    for image in store.images(all_platforms=True):
        for layer in store.chain(image):
            layout.blob(_written(StoredBlob(layer, str(layer.digest))), layer.media_type)
        layout.blob(store.config_bytes(image), "")
        manifest = layout.blob(
            store.manifest_bytes(image) or b"", "application/vnd.oci.image.manifest.v1+json"
        )
        layout.name(manifest, *image.names)
    again = opened(as_directory(layout.done(), tmp_path / "again"))
    assert list(again.faults()) == []
    for image in store.images(all_platforms=True):
        same = again.image(image.id)
        assert (same.references, same.digests[0]) == (image.references, image.digests[0])
        assert [layer.digest for layer in again.chain(same)] == [layer.digest for layer in store.chain(image)]
        assert tree_snapshot(again.tree(same)) == tree_snapshot(store.tree(image))


def test_what_is_not_what_it_should_be_is_not_given(opened: Open) -> None:
    """A blob with another digest, a tar with another diff ID: an error at the end, never silence."""
    layout = Layout()
    layout.name(layout.image(LAYERS), "app:1")
    members = layout.done()
    place = f"blobs/sha256/{digest(gzip.compress(LAYERS[0], mtime=0))[7:]}"
    store = opened(members | {place: gzip.compress(LAYERS[1])})
    layer = store.chain(store.image("app:1"))[0]
    for what in (store.layer_tar(layer), StoredBlob(layer, str(layer.digest))):
        with pytest.raises(DigestMismatch):
            _written(what)
