"""The steps of a walk through blobs: from a manifest to a config, to diff IDs, and to a layer's tar."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.formats.compression import UNPACKING, Compression
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object
from layerfs.steps import Step
from layerfs.stores.blobs.packedlayer import PackedLayer, looked_through
from layerfs.stores.walker import computed_chain, said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.ids import ChainID
    from layerfs.stores.blobs.outer import Blob
    from layerfs.stores.walker import Walker

__all__ = ["BlobSteps", "Written"]

_PLAIN = re.compile(rb"[A-Za-z0-9!#$%&'()*+,./:;<=>?@^_`{|}~ \"-]+")
"""Names that tar prints as they are."""

_MOST_NAMES = 24

_HASH = "| sha256sum | cut -c-64"


class Written:
    """How a script writes the bytes of a document.

    Attributes:
        command: `cat`, or tar's call that takes a member's name.
        needs: variables that it needs.
        folder: the folder of blobs by digest, variable B of the script.
        is_there: tells whether a document can be had so, under its own name.
    """

    def __init__(
        self,
        command: str,
        needs: Mapping[str, str],
        is_there: Callable[[str], bool],
        folder: str = "blobs/sha256",
    ) -> None:
        """Write by `command`."""
        self.command = command
        self.needs = needs
        self.is_there = is_there
        self.folder = folder

    def blob(self, variable: str) -> str:
        """The command that writes the blob whose digest is in a variable."""
        return f"{self.command} $B/${{{variable}#*:}}"

    def path(self, digest: str) -> str | None:
        """The path of a blob; None where it cannot be written: of other algorithms, or spelled oddly."""
        algorithm, _, digits = digest.partition(":")
        path = f"{self.folder}/{digits}"
        return path if algorithm == "sha256" and self.is_there(path) else None


class BlobSteps:
    """Adds the steps of blobs to a walk.

    Attributes:
        walker: the walk.
        written: how the script gets at documents.
    """

    def __init__(self, walker: Walker, written: Written) -> None:
        """Add to `walker`."""
        self.walker = walker
        self.written = written

    def hashed(self, step: Step, content: bytes, expected: str, needs: Mapping[str, str]) -> None:
        """A step whose command hashes a document; `expected` is the hexadecimal digits."""
        found = hashlib.sha256(content).hexdigest()
        wrong = None if found == expected else "the content does not hash to its name"
        self.add(
            step._replace(
                values=(found,), ok=not wrong, problem=wrong, expected=(expected,) if wrong else None
            ),
            needs,
        )

    def add(self, step: Step, needs: Mapping[str, str], sets: Mapping[str, str] | None = None) -> None:
        """A step, with what documents need."""
        folder = {"B": self.written.folder} if any("$B" in line for line in step.command) else {}
        self.walker.add(step, {**self.written.needs, **folder, **needs}, sets)

    def index(self, digest: str, content: bytes, platform: str | None, path: str | None) -> None:
        """From the digest of an index to the manifests that it lists."""
        rows = _object(content).get("manifests")
        found = (
            tuple(str(row.get("digest")) for row in rows if isinstance(row, dict))
            if isinstance(rows, list)
            else ()
        )
        meant = platform or "the platform that is meant"
        why = f"It is of an index: a manifest for each platform. Taken is that for {meant}."
        command = (f"{self.written.blob('T')} | jq -r '.manifests[].digest'",) if path else ()
        self.add(Step("DIGEST", "MANIFESTS", why, path, command, found), {"T": digest})

    def manifest(self, digest: str, content: bytes, *, called: str = "MANIFEST") -> None:
        """From a manifest's digest to what it names.

        Args:
            digest: of the manifest.
            content: the manifest.
            called: how the digest was come by, in capitals.
        """
        path = self.written.path(digest)
        why = "The digest is the SHA-256 of the manifest, which lists one config and the layers' blobs."
        blob = self.written.blob("MF")
        command = (f"{blob} {_HASH}",) if path else ()
        self.hashed(
            Step(called, "MANIFEST", why, path, command), content, digest.partition(":")[2], {"MF": digest}
        )
        document = _object(content)
        config = document.get("config")
        layers = document.get("layers")
        if not path or not isinstance(config, dict) or not isinstance(layers, list):
            return
        named = str(config.get("digest"))
        step = Step("MANIFEST", "CONFIG", "It names the config by its digest.", path)
        command = (f"G=$({blob} | jq -r .config.digest); echo $G",)
        self.add(step._replace(command=command, values=(named,)), {"MF": digest}, {"G": named})
        values = tuple(str(item.get("digest")) for item in layers)
        why = "The layers as they are stored and sent, base first: digests of packed bytes, and no diff IDs."
        step = step._replace(end="BLOBS", why=why, values=values)
        self.add(step._replace(command=(f"{blob} | jq -r '.layers[].digest'",)), {"MF": digest})

    def config(
        self,
        writes: str | None,
        needs: Mapping[str, str],
        place: str | None,
        content: bytes,
        config: ImageConfig,
        chain: Sequence[ChainID],
    ) -> None:
        """From a config to diff IDs and chain IDs.

        Args:
            writes: the command that writes the config; None where there is none.
            needs: variables of it.
            place: where it lies.
            content: the config.
            config: the same, parsed.
            chain: of the layers that are meant, base first.
        """
        depth = len(chain)
        every = depth == len(config.diff_ids)
        query = f"jq -r '.rootfs.diff_ids{'' if every else f'[:{depth}]'}[]?'"
        rootfs = _object(content).get("rootfs")
        noted = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if list(noted or ()) != list(config.diff_ids):
            writes = None  # its keys are spelled otherwise than jq wants them
        step = Step(
            "CONFIG", "DIFF IDS", "Each is the SHA-256 of a layer's tar, unpacked; base first.", place,
            (f"{writes} | {query}",) if writes else (), tuple(config.diff_ids[:depth]),
        )  # fmt: skip
        self.add(step, needs)
        if not chain:
            return
        why = (
            "The name of a layer with all below it: the base's is its diff ID, and each other one is the "
            'SHA-256 of the text "CHAIN-ID-BELOW DIFF-ID".'
        )
        lines = computed_chain(f"{writes} |", f"  {query}") if writes else ()
        step = Step("DIFF IDS", "CHAIN IDS", why, None, tuple(lines), tuple(chain))
        self.add(step, needs, {"C": chain[-1]})

    # -- layers --------------------------------------------------------------------------------

    def layer(
        self, writes: str | None, needs: Mapping[str, str], step: Step, blob: Blob, digest: str | None,
        diff_id: str, *, listing: bool = True,
    ) -> None:  # fmt: skip
        """From a layer's blob to its tar.

        Args:
            writes: the command that writes the blob; None where there is none.
            needs: variables of it.
            step: where it lies, and its number.
            blob: the blob.
            digest: that it is stored under; None in forms without digests.
            diff_id: as the config has it.
            listing: whether there is a step that lists the tar.

        Raises:
            CorruptStore: it cannot be read at all; there is a step that says so.
        """
        try:
            found = looked_through(blob)
        except CorruptStore as error:
            self.walker.add(step._replace(ok=False, problem=said(error), expected=(diff_id,)))
            raise
        if digest and digest.startswith("sha256:"):
            why = "A blob is called by the SHA-256 of its bytes as they are stored, mostly packed."
            self._compared(
                step._replace(start="BLOB", end="DIGEST", why=why), writes, needs, found.digest, digest
            )
        plain = _unpacked(writes, found.compression)
        why = f"The SHA-256 of the layer's tar{_packing(found.compression)}."
        problem = said(found.problem) if found.problem else None
        self._compared(
            step._replace(start="BLOB", end="DIFF ID", why=why, problem=problem), plain, needs, found.diff,
            diff_id,
        )  # fmt: skip
        if found.names is not None and listing:
            self._names(step, plain, needs, found)

    def _compared(
        self, step: Step, writes: str | None, needs: Mapping[str, str], found: str | None, wanted: str
    ) -> None:
        """A step whose command hashes; where the hash was not computed here it is the wanted one."""
        digits = wanted.partition(":")[2]
        wrong = step.problem or ("not what it is called by" if found and found != digits else None)
        self.add(
            step._replace(
                command=(f"{writes} {_HASH}",) if writes and not step.problem else (),
                values=() if step.problem else (found or digits,),
                ok=False if wrong else None if found is None else True,
                problem=wrong, expected=(digits,) if wrong else None,
            ),
            needs,
        )  # fmt: skip

    def _names(self, step: Step, writes: str | None, needs: Mapping[str, str], found: PackedLayer) -> None:
        names = found.names or ()
        why = "What the layer changed. In a tar a whiteout is a name: .wh.NAME, and .wh..wh..opq for opaque."
        command = f"{writes} | tar -tf -"
        values = tuple(name.decode("ascii", "replace") for name in names)
        if len(names) > _MOST_NAMES or not all(map(_PLAIN.fullmatch, names)):
            command, values = f"{command} | grep -c ''", (str(len(names)),)
        if names:
            self.add(
                step._replace(
                    start="BLOB", end="FILES", why=why, command=(command,) if writes else (), values=values
                ),
                needs,
            )


def _packing(compression: Compression) -> str:
    """What is to be said of how a tar is packed."""
    if compression is Compression.NONE:
        return ""
    return ", so it is unpacked first"


def _unpacked(writes: str | None, compression: Compression) -> str | None:
    """The command that writes a layer's tar; None where nothing writes the blob."""
    unpacks = UNPACKING[compression]
    return f"{writes} | {unpacks}" if writes and unpacks else writes


def _object(content: bytes) -> Mapping[str, object]:
    try:
        return load_object(content)
    except FormatError:
        return {}
