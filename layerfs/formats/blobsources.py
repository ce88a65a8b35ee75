"""`v2metadata-by-diffid/`: under which digests registries have a layer, and in which repositories.

Source: moby `distribution/metadata/v2_metadata_service.go` (V2Metadata).
"""

from __future__ import annotations

from typing import NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_objects, text
from layerfs.ids import BlobDigest, InvalidID

__all__ = ["BlobSource", "parse_blob_sources"]


class BlobSource(NamedTuple):
    """A blob of a registry, and a repository it was pulled from or pushed to.

    Attributes:
        digest: of the blob's bytes.
        repository: in full, as `docker.io/library/nginx`; empty where the engine did not note it.
    """

    digest: BlobDigest
    repository: str


def parse_blob_sources(content: bytes) -> tuple[BlobSource, ...]:
    """The blobs of one layer, oldest first, each pair once; raises `FormatError`.

    The file has a pair once for each account that pulled or pushed it.
    """
    found: dict[BlobSource, None] = {}
    for item in load_objects(content):
        try:
            digest = BlobDigest(text(item, "Digest"))
        except InvalidID as error:
            raise FormatError("malformed", expected="a sha256 digest", found=str(error)) from error
        found[BlobSource(digest, text(item, "SourceRepository"))] = None
    return tuple(found)
