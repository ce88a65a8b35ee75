"""The identities of the field, each its own type: a digest is text that was checked once.

Every class here is a `str` that cannot hold anything but a valid value, so an identity read from
a hostile data root is safe to use as a path component from the moment it exists, and mypy refuses
to take a diff ID where a chain ID is meant. Imports no other module.

Sources: OCI image-spec `descriptor.md` (digests) and `config.md` (chain ID);
moby `layer/layer.go` (CreateChainID), `daemon/graphdriver/overlay2/overlay.go` (cache ID, link).
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BlobDigest",
    "CacheID",
    "ChainID",
    "ContainerID",
    "DiffID",
    "Digest",
    "Identity",
    "ImageID",
    "InvalidID",
    "LinkID",
    "ManifestDigest",
    "chain_id",
    "chain_ids",
]

_LINKS = 1 << 14  # chain IDs that are kept: images share most of their layers
SHORT_HEX = 12
"""Characters of a truncated ID in Docker's tables (moby `pkg/stringid`)."""


class InvalidID(ValueError):
    """A text is not what it should identify; the message quotes the text and names the kind."""


class Identity(str):
    """A `str` that matches `pattern` in full, or `InvalidID` is raised on construction."""

    __slots__ = ()
    pattern: ClassVar[re.Pattern[str]] = re.compile(r".+", re.DOTALL)
    noun: ClassVar[str] = "identity"

    def __new__(cls, text: str) -> Self:
        """Check `text`; raise `InvalidID` when it is not a valid value of this kind."""
        if not cls.pattern.fullmatch(text):
            shown = ascii(text if len(text) <= 100 else text[:100] + "…")
            raise InvalidID(f"not a {cls.noun}: {shown}")
        return super().__new__(cls, text)


class Digest(Identity):
    """`sha256:<64 lower-case hex digits>`."""

    __slots__ = ()
    pattern = re.compile(r"sha256:[0-9a-f]{64}")
    noun = "sha256 digest"

    @classmethod
    def from_hex(cls, hex_digits: str) -> Self:
        """The digest whose hexadecimal part is `hex_digits`; raises `InvalidID`."""
        return cls("sha256:" + hex_digits)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The sha256 digest of `content`."""
        return cls("sha256:" + hashlib.sha256(content).hexdigest())

    @property
    def hex(self) -> str:
        """The hexadecimal part: the name of files and directories in the data root."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first 12 hexadecimal digits, as Docker's tables show them."""
        return self.hex[:SHORT_HEX]


class ImageID(Digest):
    """sha256 of an image's config JSON, byte for byte."""

    __slots__ = ()
    noun = "image ID"


class DiffID(Digest):
    """sha256 of a layer's uncompressed tar."""

    __slots__ = ()
    noun = "diff ID"


class ChainID(Digest):
    """Identity of a layer on top of all layers below it."""

    __slots__ = ()
    noun = "chain ID"


class BlobDigest(Digest):
    """Digest of a layer as a registry has it, mostly compressed; `docker pull` shows its beginning."""

    __slots__ = ()
    noun = "blob digest"


class ManifestDigest(Digest):
    """Digest of a registry manifest: what stands behind `@` in a reference, never an image ID."""

    __slots__ = ()
    pattern = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
    noun = "manifest digest"


class CacheID(Identity):
    """Name of a layer's directory in `overlay2/`: 64 hex, or 25 characters from BuildKit.

    The engine checks nothing here; we take any single harmless path component and nothing else
    (`l` is the directory of short links).
    """

    __slots__ = ()
    pattern = re.compile(r"(?!l$)[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
    noun = "cache ID"

    @property
    def short(self) -> str:
        """The first 12 characters."""
        return self[:SHORT_HEX]


class ContainerID(Identity):
    """64 lower-case hex digits."""

    __slots__ = ()
    pattern = re.compile(r"[0-9a-f]{64}")
    noun = "container ID"

    @property
    def short(self) -> str:
        """The first 12 hexadecimal digits, as Docker's tables show them."""
        return self[:SHORT_HEX]


class LinkID(Identity):
    """Short name of a layer in `overlay2/l/`: 26 characters of base32 (shorter on request)."""

    __slots__ = ()
    pattern = re.compile(r"[A-Z2-7]{1,26}")
    noun = "link name"


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """The chain ID of the layer `diff_id` on top of `parent` (None for the base layer).

    `chain(1) = diff(1)`; `chain(n) = sha256("<chain(n-1)> <diff(n)>")`, ASCII, one space, no newline.
    """
    return ChainID(diff_id) if parent is None else _linked(parent, diff_id)


@functools.lru_cache(maxsize=_LINKS)
def _linked(parent: ChainID, diff_id: DiffID) -> ChainID:
    return ChainID.of(f"{parent} {diff_id}".encode("ascii"))


def chain_ids(diff_ids: Iterable[DiffID]) -> tuple[ChainID, ...]:
    """The chain ID of each layer, base first, as the diff IDs are given."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)
