"""Whether the documents of an image (config, manifests, signatures) are those that its record names.

Sources: containers/storage `images.go` (SetBigData), `check.go` (checks of big data).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding, from_damage, image_subject
from layerfs.errors import CorruptStore, DataRootUnreadable, OneStateLost
from layerfs.ids import BlobDigest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.formats.graphroot import BigData
    from layerfs.ids import ImageID
    from layerfs.stores.containers_storage.images import Images

__all__ = ["documents", "severity_of"]

_SHA256 = "sha256:"


def severity_of(problem: CorruptStore) -> Severity:
    """How bad damage is: what a reader without privilege cannot look at is no sign of a change."""
    return "warning" if isinstance(problem, (DataRootUnreadable, OneStateLost)) else "error"


def documents(images: Images, image: ImageID) -> Iterator[Finding]:
    """The faults of an image's documents, each once; its config is one of them."""
    record, part = images.noted(image)
    own = f"{_SHA256}{record.id}"
    if own not in record.big_data and not any(key.startswith(_SHA256) for key in record.big_data):
        name, message = images.file_name(image), "no config is noted in the record of the image"
        yield Finding("config-missing", "error", image_subject(image), name, own, None, message)
    for key, noted in record.big_data.items():
        noun = "config" if key.startswith(_SHA256) else "document"
        try:
            content = part.document(record.id, key, noted)
            name = part.directory.name_of(part.document_path(record.id, key))
        except CorruptStore as error:
            yield from_damage(error, noun, image_subject(image), severity_of(error))
            continue
        yield from _beside_record(image_subject(image), noun, name, content, noted)


def _beside_record(subject: str, noun: str, name: str, content: bytes, noted: BigData) -> Iterator[Finding]:
    """The differences between a document, whose own digest is right, and what is noted of it."""
    found = BlobDigest.of(content)
    if noted.digest and noted.digest.startswith(_SHA256) and noted.digest != found:
        message = "the document is the one it is called by, but its record notes another digest"
        yield Finding(f"{noun}-digest-wrong", "error", subject, name, noted.digest, found, message)
    elif noted.size is not None and noted.size != len(content):
        if noted.digest:
            message = "the document has the right digest, but its record notes another size"
            code = f"{noun}-size-wrong"
        else:
            message, code = "not as long as its record says", f"{noun}-altered"
        said = f"{noted.size} bytes", f"{len(content)} bytes"
        yield Finding(code, "error", subject, name, *said, message)
