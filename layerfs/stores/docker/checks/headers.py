"""Checks that a layer's `tar-split.json.gz` can be read to its end, for `docker save` and lossy copies.

`structure` checks whether it exists and begins like gzip. Here every line is read, but headers are not
parsed: those, and whether the tar is the layer's, are checked by `verification`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding, from_damage, layer_subject
from layerfs.errors import CorruptStore
from layerfs.stores.layerarchive import LayerArchive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.ids import ChainID
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["header_findings"]


def header_findings(root: DataRoot, chain: ChainID) -> Iterator[Finding]:
    """The faults of a layer's tar-split data, without those that `structure` finds."""
    directory = root.records.directories.of(chain)
    if directory is None or root.layerdb.tar_split_state(chain):
        return
    try:
        diff = root.overlay2.diff(directory.cache_id)
    except CorruptStore:  # found by `structure`
        return
    subject = layer_subject(chain)
    with diff:
        archive = LayerArchive(chain, root.layerdb, diff)
        try:
            archive.read_through()
        except CorruptStore as error:
            yield from_damage(error, "tar-split", subject)
            return
    if archive.unclosed:
        message = "the gzip stream has no end: it was cut off, or never closed, as engines of 1.10 left it"
        hint = "`layerfs verify` tells which"
        yield Finding("tar-split-unclosed", "warning", subject, archive.name, message=message, hint=hint)
