"""`explain` in an archive or layout: from the name of an image to the tar of a layer.

Sources: OCI image-spec `image-layout.md`; moby `daemon/internal/image/tarexport`.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, MissingFile, NotInThisKind
from layerfs.formats import descriptors
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, load_objects
from layerfs.formats.reference import parse_reference
from layerfs.formats.tarsplit import clean_name
from layerfs.hostdir import HostDir
from layerfs.ids import ImageID
from layerfs.steps import Step, Walk
from layerfs.stores.archive.archived import Form
from layerfs.stores.archive.opening import STDIN
from layerfs.stores.blobs.explaining import BlobSteps, Written
from layerfs.stores.blobs.outer import TarOuter
from layerfs.stores.walker import Walker, said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.ids import ChainID
    from layerfs.layernames import ID
    from layerfs.stores.archive.archived import ArchivedImage
    from layerfs.stores.archive.images import ArchiveImage
    from layerfs.stores.archive.store import ArchiveStore
    from layerfs.stores.blobs.outer import Outer

__all__ = ["explained"]

_NOTE = (
    "There is no mount line: this tree exists only when a reader lays the layers over each other; "
    "`layerfs mount` does."
)
_INDEX, _MANIFEST = "index.json", "manifest.json"
_KEYS = (descriptors.NAME, descriptors.REF_NAME)
_LAYER = Step("BLOB", "FILES", "")


def explained(store: ArchiveStore, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
    """The walk from a name to tars; as `Explaining` has it.

    Raises:
        NotInThisKind: it is standard input, which nobody can read once more.
    """
    if store.path == STDIN:
        raise NotInThisKind(
            store.path, "standard input", "layerfs explain needs a file that can be read again"
        )
    image = store.read_image(found) if isinstance(found, ImageID) else None
    is_tar = isinstance(store.outer, TarOuter)
    path = posixpath.abspath(store.path)
    directory = HostDir.open(posixpath.dirname(path) if is_tar else path)
    walker = Walker(directory)
    written = _of_tar(store.outer, path) if is_tar else _of_directory(directory)
    steps = _Archived(store, BlobSteps(walker, written), every=every)
    failure = None
    try:
        if image is None:
            steps.layer_alone(found)
        else:
            if up_to is not None:
                store.layer_number(image, up_to)
            steps.image(name, image, up_to)
    except CorruptStore as error:
        failure = error
    depth = 1 if image is None else len(image.chain[:up_to])
    named = None if image is None else next((item for item in image.every_name if _means(name, item)), None)
    return Walk(
        "layer" if image is None else "image", named, image.id if image else None, depth, directory.display,
        tuple(walker.steps), None, _NOTE, 0 if every or image is None else max(0, depth - 1), failure,
    )  # fmt: skip


def _means(name: str, reference: str) -> bool:
    return reference in (name, f"{name}:latest")


# -- how a script reads members --------------------------------------------------------------------


def _of_tar(outer: Outer, path: str) -> Written:
    """Members by tar, for those whose name in the archive is as it should be, and which are there once."""
    assert isinstance(outer, TarOuter)  # noqa: S101 - asked of tars alone
    files = outer.files()

    def is_there(name: str) -> bool:
        raw = name.encode("utf-8", "surrogateescape")
        is_plain = name.isprintable() and not raw.startswith(b"-") and b"\\" not in raw
        return is_plain and files.get(clean_name(raw)) == raw

    return Written('tar -xOf "$A"', {"A": f"./{posixpath.basename(path)}"}, is_there)


def _of_directory(directory: HostDir) -> Written:
    def is_there(name: str) -> bool:
        try:
            with directory.file(name):
                return name.isprintable() and not name.startswith("-")
        except OSError:
            return False

    return Written("cat", {}, is_there)


# -- the forms -------------------------------------------------------------------------------------


class _Archived:
    def __init__(self, store: ArchiveStore, steps: BlobSteps, *, every: bool) -> None:
        self._store = store
        self._steps = steps
        self._written = steps.written
        self._every = every

    def image(self, name: str, image: ArchiveImage, up_to: int | None) -> None:
        """The steps of an image; raises `CorruptStore` where they cannot go on."""
        archived = image.archived
        chain = image.chain[:up_to]
        if self._store.form is Form.DIR:
            self._written.folder = "."
            self._document(_MANIFEST, archived)
            self._config_of_manifest(image, archived, chain)
        elif archived.manifest:
            self._layout(name, archived)
            self._config_of_manifest(image, archived, chain)
        elif self._store.form in (Form.LEGACY, Form.ROOTFS):
            self._made_up(image, chain)
        else:
            self._docker(name, image, chain)
        self._layers(archived, chain)

    def _read(self, name: str) -> bytes:
        blob = self._store.outer.find(name.encode("utf-8", "surrogateescape"))
        if blob is None:
            raise MissingFile(f"{self._store.outer.label}:{name}", "the file is missing")
        return blob.small()

    # -- layouts

    def _layout(self, name: str, archived: ArchivedImage) -> None:
        assert archived.top  # noqa: S101 - a layout's image has both
        assert archived.manifest  # noqa: S101 - see above
        assert archived.manifest_bytes is not None  # noqa: S101 - see above
        self._named(name, archived.top)
        if archived.top != archived.manifest:
            index = self._read(f"blobs/{archived.top.replace(':', '/', 1)}")
            self._steps.index(archived.top, index, str(archived.platform), self._written.path(archived.top))
        self._steps.manifest(archived.manifest, archived.manifest_bytes, called="DIGEST")

    def _named(self, name: str, top: str) -> None:
        """From a name to the digest in `index.json`."""
        rows = _rows(load_object(self._read(_INDEX)).get("manifests"))
        why = "index.json has a digest for each name; the name itself is a note of it (an annotation)."
        step = Step("NAME", "DIGEST", why, _INDEX, values=(top,))
        reads = f"{self._written.command} {_INDEX}"
        key, text = _annotation(rows, name, top)
        if key and self._written.is_there(_INDEX):
            command: tuple[str, ...] = (
                "Q='.manifests[] | select(.annotations[$k] == $n) | .digest'",
                f'T=$({reads} | jq -r --arg k $K --arg n "$N" "$Q")', "echo $T",
            )  # fmt: skip
            self._steps.add(step._replace(command=command), {"K": key, "N": text}, {"T": top})
            return
        why = "index.json lists manifests by their digests, here without the name that was given."
        digests = [str(row.get("digest")) for row in rows]
        command = (f"{reads} | jq -r '.manifests[].digest'",) if self._written.is_there(_INDEX) else ()
        self._steps.add(step._replace(why=why, command=command, values=tuple(digests)), {})

    def _document(self, name: str, archived: ArchivedImage) -> None:
        """The manifest of a form in which it has a name."""
        reads = f"{self._written.command} {name}"
        command: tuple[str, ...] = (f"{reads} | jq -r '.config.digest, .layers[].digest'",)
        content = archived.manifest_bytes or b"{}"
        named = descriptors.parse_manifest(content).named
        found = load_object(content)
        spelled = [found.get("config"), *_rows(found.get("layers"))]
        why = "The manifest lists one config and the layers' blobs; each file is called by its digits."
        if not self._written.is_there(name) or len(spelled) != len(named) or not spelled[0]:
            command = ()
        self._steps.add(Step("NAME", "BLOBS", why, name, command, tuple(item.digest for item in named)), {})

    def _config_of_manifest(
        self, image: ArchiveImage, archived: ArchivedImage, chain: Sequence[ChainID]
    ) -> None:
        digest = str(image.id)
        path = self._written.path(digest)
        writes = self._written.blob("G") if path else None
        why = "The image ID is the SHA-256 of the config, which says how to run it and what it is made of."
        step = Step("CONFIG", "IMAGE ID", why, path, _hashing(writes))
        self._steps.hashed(step, archived.config_bytes, image.id.hex, {"G": digest})
        self._steps.config(writes, {"G": digest}, path, archived.config_bytes, image.config, chain)

    # -- docker archives

    def _docker(self, name: str, image: ArchiveImage, chain: Sequence[ChainID]) -> None:
        archived = image.archived
        config = archived.place or ""
        rows = load_objects(self._read(_MANIFEST))
        reads = f"{self._written.command} {_MANIFEST}"
        can_read = self._written.is_there(_MANIFEST)
        step = Step(
            "NAME", "CONFIG", "manifest.json lists the images: names, config, and layers, base first.",
            _MANIFEST, values=(config,),
        )  # fmt: skip
        tag = next(
            (tag for tag in archived.names if _means(name, tag) and _configs(rows, tag) == [config]), None
        )
        is_plain = self._written.is_there(config)
        if tag and can_read and is_plain:
            command: tuple[str, ...] = (
                "Q='.[] | select(.RepoTags | index($n)) | .Config'",
                f'M=$({reads} | jq -r --arg n "$N" "$Q"); echo "$M"',
            )  # fmt: skip
            self._steps.add(step._replace(command=command), {"N": tag}, {"M": config})
        else:
            values = tuple(str(row.get("Config")) for row in rows)
            can_print = can_read and all(value.isprintable() and value.isascii() for value in values)
            command = (f"{reads} | jq -r '.[].Config'",) if can_print else ()
            self._steps.add(step._replace(command=command, values=values), {})
        writes = f'{self._written.command} "$M"' if is_plain else None
        why = "The image ID is the SHA-256 of the config, which says how to run it and what it is made of."
        self._steps.hashed(
            Step("CONFIG", "IMAGE ID", why, config, _hashing(writes)), archived.config_bytes, image.id.hex,
            {"M": config},
        )  # fmt: skip
        self._steps.config(writes, {"M": config}, config, archived.config_bytes, image.config, chain)
        self._members(reads if can_read else None, rows, config, archived)

    def _members(
        self, reads: str | None, rows: Sequence[Mapping[str, object]], config: str, archived: ArchivedImage
    ) -> None:
        """The names of the layers' tars."""
        names = tuple(layer.name for layer in archived.layers)
        first = next((row.get("Layers") for row in rows if row.get("Config") == config), None)
        plain = all(name.isprintable() and name.isascii() for name in names)
        step = Step(
            "CONFIG", "TARS", "Beside the config stand the layers' tars, base first.", _MANIFEST, values=names
        )
        if reads and plain and names and list(names) == first:
            command = (
                "Q='first(.[] | select(.Config == $m)) | .Layers[]'",
                f'{reads} | jq -r --arg m "$M" "$Q"',
            )
            step = step._replace(command=command)
        self._steps.add(step, {"M": config})

    # -- older forms, and tars of a file system

    def _made_up(self, image: ArchiveImage, chain: Sequence[ChainID]) -> None:
        why = (
            "The tar of a file system has no config, and one layer: itself. The image ID is that of a config "
            "that is made for it."
        )
        if self._store.form is Form.LEGACY:
            why = (
                "Archives of before Docker 1.10 have no image ID: each layer has a random one, and its json "
                "names the layer below. The engine makes a config of them, and so does layerfs."
            )
        self._steps.add(Step("NAME", "IMAGE ID", why, None, values=(image.id,)), {})
        self._steps.config(None, {}, None, image.archived.config_bytes, image.config, chain)

    # -- layers

    def _layers(self, archived: ArchivedImage, chain: Sequence[ChainID]) -> None:
        for number, _ in enumerate(chain, 1):
            if self._every or number == len(chain):
                self._layer(archived, number)

    def _layer(self, archived: ArchivedImage, number: int) -> None:
        layer = archived.layers[number - 1]
        diff_id = archived.config.diff_ids[number - 1]
        if layer.blob is None:
            label = f"{self._store.outer.label}:{layer.name}"
            lost = layer.problem or MissingFile(label, "the layer is not in the archive")
            step = _LAYER._replace(place=layer.name, ok=False, problem=said(lost), layer=number)
            self._steps.add(step._replace(why="The bytes of the layer.", expected=(diff_id,)), {})
            raise lost
        place = layer.blob.place.decode("utf-8", "surrogateescape")
        digest = layer.name if layer.name.startswith("sha256:") else None
        if self._store.form is Form.ROOTFS:
            name = self._written.needs["A"]
            writes, needs = 'cat "$A"', {"A": name}
            place = name
        elif digest and self._written.path(digest) == place:
            writes, needs = self._written.blob("L"), {"L": digest}
        else:
            writes, needs = f'{self._written.command} "$L"', {"L": place}
        can_write = self._store.form is Form.ROOTFS or self._written.is_there(place)
        step = _LAYER._replace(place=place, layer=number)
        if layer.name not in (place, digest) and self._store.form is not Form.ROOTFS:
            why = "The archive has the same layer once more: this member is a link to the other."
            self._steps.add(
                step._replace(start="TAR", end="TAR", why=why, place=layer.name, values=(place,)), {}
            )
        self._steps.layer(writes if can_write else None, needs, step, layer.blob, digest, diff_id)

    def layer_alone(self, found: ID) -> None:
        """The steps of one layer that was named."""
        layer = self._store.record(found)  # type: ignore[arg-type]
        for image in self._store.images(all_platforms=True):
            if layer.chain_id in image.chain:
                self._layer(image.archived, image.chain.index(layer.chain_id) + 1)
                return


def _hashing(writes: str | None) -> tuple[str, ...]:
    return (f"{writes} | sha256sum | cut -c-64",) if writes else ()


def _rows(found: object) -> list[Mapping[str, object]]:
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _annotation(rows: Sequence[Mapping[str, object]], name: str, top: str) -> tuple[str | None, str]:
    """The key and the text of the note by which a name alone leads to a digest; None where none does."""
    for key in _KEYS:
        texts = [(_note(row, key), row.get("digest")) for row in rows]
        for text, digest in texts:
            if text and digest == top and _is_called(name, text):
                return (key, text) if [of for other, of in texts if other == text] == [top] else (None, "")
    return None, ""


def _note(row: Mapping[str, object], key: str) -> str | None:
    found = row.get("annotations")
    text = found.get(key) if isinstance(found, dict) else None
    return text if isinstance(text, str) else None


def _is_called(name: str, text: str) -> bool:
    """Whether a name is what a note says, as it is written or in Docker's normal form."""
    if name == text:
        return True
    try:
        wanted = parse_reference(name).with_default_tag()
        return wanted == parse_reference(text) or (wanted.tag == text and ":" not in text)
    except FormatError:
        return False


def _configs(rows: Sequence[Mapping[str, object]], tag: str) -> list[object]:
    """What jq finds for a tag."""
    found = []
    for row in rows:
        tags = row.get("RepoTags")
        if isinstance(tags, list) and tag in tags:
            found.append(row.get("Config"))
    return found
