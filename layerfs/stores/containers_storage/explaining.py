"""`explain` in a graph root: from the name of an image, a container or a layer to the mount.

The records are JSON in plain files, so each step can be followed with jq. A root may have its images or
layers in others (imagestore, additional stores): what stands there is written in full.

Sources: containers/storage `images.go`, `layers.go`, `store.go`, `drivers/overlay/overlay.go`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootError, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.graphroot import layer_id
from layerfs.formats.jsontext import load_object
from layerfs.formats.reference import parse_reference
from layerfs.ids import BlobDigest, ContainerID, ImageID
from layerfs.model import Layer
from layerfs.steps import Step, Walk
from layerfs.stores.containers_storage.layersteps import LayerSteps
from layerfs.stores.containers_storage.recordfiles import Written, called, of_id, record_files
from layerfs.stores.containers_storage.treesteps import TreeSteps
from layerfs.stores.files import JSON_LIMIT
from layerfs.stores.walker import Walker, fails, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.graphroot import ImageRecord
    from layerfs.layernames import ID
    from layerfs.model import BareLayer, Container
    from layerfs.stores.containers_storage.images import StorageImage
    from layerfs.stores.containers_storage.parts import Part, Stored
    from layerfs.stores.containers_storage.recordfiles import RecordFile
    from layerfs.stores.containers_storage.store import GraphRoot

__all__ = ["explained"]

_OF_NAME = '{}=$(jq -r --arg n "$N" \'.[]|select(any(.names[]?;.==$n)).id\' "$F")'
_DIFF_IDS = "jq -r '.rootfs.diff_ids{}[]?' $CFG"
_LAYER_IDS = (
    "P=; for D in $({}); do",
    "  D=${{D#*:}}; [ -z \"$P\" ] || D=$(printf '%s' $P+$D | sha256sum | cut -c-64)",
    "  P=$D; echo $P",
    "done",
)
_RANDOM = (
    "An ID is that of the layer below, a plus and the diff ID, hashed; the base's is its diff ID. Here not "
    "all are: an ID that is taken, or of a layer that is known by its table of contents, is another one."
)


def explained(store: GraphRoot, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
    """The walk from a name to directories; as `Explaining` has it."""
    return _Explained(store, every=every).walk(name, found, up_to)


class _Explained:
    def __init__(self, store: GraphRoot, *, every: bool) -> None:
        self._store = store
        self._every = every
        self._walker = Walker(store.directory)
        self._written = Written(store.directory)
        self._records = LayerSteps(store, self._walker, self._written)
        self._trees = TreeSteps(store, self._walker, self._written)
        self._walk = Walk("layer", None, None, None, store.directory.display, ())
        self._files: dict[str, list[RecordFile]] = {}

    def walk(self, name: str, found: ID, up_to: int | None) -> Walk:
        """The walk; see `explained`."""
        failure = None
        try:
            if isinstance(found, ImageID):
                self._image(name, found, up_to)
            elif isinstance(found, ContainerID):
                self._container(name, self._store.load_container(found))
            else:
                self._layer(self._store.layer(found))
        except (CorruptStore, DataRootError) as error:
            failure = error
        return self._walk._replace(steps=tuple(self._walker.steps), mount=self._trees.line, failure=failure)

    # -- records -------------------------------------------------------------------------------

    def _image_files(self, part: Part) -> list[RecordFile]:
        path = part.images_file
        key = self._written.place(part.directory, path)
        if key not in self._files:
            self._files[key] = record_files(self._written, [(part.directory, path)])
        return self._files[key]

    def _container_files(self) -> list[RecordFile]:
        own = self._store.roots[0].opened
        names = [f"{own.containers}/{name}" for name in ("containers.json", "volatile-containers.json")]
        tops = [own.directory, *([own.run] if own.run else [])]
        return record_files(self._written, [(top, name) for top in tops for name in names])

    # -- images --------------------------------------------------------------------------------

    def _image(self, name: str, image_id: ImageID, up_to: int | None) -> None:
        self._walk = self._walk._replace(kind="image", image=image_id)
        record, part = self._store.record_of_image(image_id)
        self._named(name, image_id, record, part)
        image = self._config(image_id, record, part)
        if up_to is not None:
            self._store.layer_number(image, up_to)
        chain = self._store.chain(image, up_to)
        self._walk = self._walk._replace(layers=len(chain))
        lines = self._diff_ids(image, up_to)
        if not chain:
            self._walk = self._walk._replace(note="An image of no layers is an empty tree: nothing to mount.")
            return
        stack = [layer.stored for layer in reversed(chain)]
        self._layer_ids(lines, stack)
        self._top(image, part, stack)
        for number, stored in enumerate(reversed(stack), 1):
            if self._every or number == len(stack):
                self._of_layer(stored, number)
        self._walk = self._walk._replace(shortened=0 if self._every else len(stack) - 1)
        tree = self._store.tree(image, up_to=up_to)
        self._trees.mount(stack, list(tree.children(tree.root)), own=False)

    def _named(self, name: str, image_id: ImageID, record: ImageRecord, part: Part) -> None:
        files = self._image_files(part)
        full = self._full_name(name, image_id)
        step = Step(
            "NAME", "IMAGE ID",
            "A name is written in the record of its image, in full: with its registry and tag.",
            self._written.place(part.directory, part.images_file),
        )  # fmt: skip
        if full:
            self._walk = self._walk._replace(reference=full)
        if files and full and called(files[0], full) == [record.id]:
            command = (_OF_NAME.format("ID"), "echo $ID")
            needs = {"F": files[0].place, "N": full}
            self._walker.add(step._replace(command=command, values=(record.id,)), needs, {"ID": record.id})
        else:
            self._by_id(name, record, files, step)

    def _full_name(self, name: str, image_id: ImageID) -> str | None:
        """The name in the record that was meant: None where an ID or a digest was given."""
        record, _ = self._store.record_of_image(image_id)
        if name in record.names:
            return name
        try:
            wanted = parse_reference(name)
        except FormatError:
            return None
        if wanted.digest:
            return None
        tag = wanted.with_default_tag().tag
        path = name.rpartition(":")[0] if wanted.tag else name
        ends = [item for item in record.names if f"/{item}".endswith(f"/{path}:{tag}")]
        local = f"localhost/{path}:{tag}"
        return local if local in ends else ends[0] if ends else None

    def _by_id(self, name: str, record: ImageRecord, files: Sequence[RecordFile], step: Step) -> None:
        digits = name.removeprefix("sha256:")
        begun = (digits if digits and record.id.startswith(digits) else record.id)[:12]
        step = step._replace(start="ID", why="An image ID, or the beginning of one, is that of one record.")
        texts = [str(row.get("id")) for file in files for row in file.rows]
        if [item for item in texts if item.startswith(begun)] == [record.id]:
            command = (f"ID=$(jq -r '.[].id' \"$F\" | grep ^{begun})", "echo $ID")
            needs = {"F": files[0].place}
            self._walker.add(step._replace(command=command, values=(record.id,)), needs, {"ID": record.id})
        else:
            problem = "no sound record of this ID alone is there"
            self._walker.add(step._replace(ok=False, expected=(record.id,), problem=problem))

    def _config(self, image_id: ImageID, record: ImageRecord, part: Part) -> StorageImage:
        key = self._store.config_key(image_id)
        path = part.document_path(record.id, key)
        why = (
            "An image's documents lie in a directory of its ID, each in a file that is called by its key: as "
            "it is, or in base64 behind an equals sign. The config's key is its SHA-256, as is the image ID."
        )
        step = Step("IMAGE ID", "CONFIG", why, self._written.place(part.directory, path), ok=False)
        wanted = key.partition(":")[2]
        step = step._replace(expected=(wanted,))
        try:
            content = fails(path, lambda: part.directory.read(path, JSON_LIMIT))
        except CorruptStore as error:
            self._walker.add(step._replace(problem=said(error)))
            raise
        computed = BlobDigest.of(content).partition(":")[2]
        altered = None if computed == wanted else "the config was altered: it is not the one of this ID"
        before, needs = self._written.text(part.directory)
        named = f"{before}{part.opened.images}"
        if key == f"sha256:{record.id}":
            lines = [f"CFG={named}/$ID/=$(printf sha256:$ID | base64 -w0)"]
        else:
            name = "=" + base64.b64encode(key.encode()).decode()
            lines = [f"CFG={named}/$ID/{name}"]
            step = step._replace(
                why=f"{why} (This image's ID is another one: its manifest names the config.)"
            )
        self._walker.add(
            step._replace(
                command=(*lines, 'sha256sum < "$CFG" | cut -c-64'), values=(computed,), ok=not altered,
                problem=altered, expected=step.expected if altered else None,
            ),
            {**needs, "ID": record.id}, {"CFG": self._written.place(part.directory, path)},
        )  # fmt: skip
        return self._store.read_image(image_id)

    def _diff_ids(self, image: StorageImage, up_to: int | None) -> str | None:
        """The command that prints the diff IDs; None where jq does not find them."""
        part = image.part
        path = part.document_path(image.record.id, self._store.config_key(image.id))
        place = self._written.place(part.directory, path)
        line = _DIFF_IDS.format("" if up_to is None else f"[:{up_to}]").replace("$CFG", '"$CFG"')
        values = tuple(image.config.diff_ids[: self._walk.layers])
        step = Step("CONFIG", "DIFF IDS", "Each is the SHA-256 of a layer's tar, base first.", place)
        rootfs = load_object(part.directory.read(path, JSON_LIMIT)).get("rootfs")
        found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if list(found or ()) != list(image.config.diff_ids):
            why = f"{step.why} (jq does not find them: the keys are spelled in other letters.)"
            self._walker.add(step._replace(why=why, values=values))
            return None
        self._walker.add(step._replace(command=(line,), values=values), {"CFG": place})
        return line

    def _layer_ids(self, line: str | None, stack: Sequence[Stored]) -> None:
        """From the diff IDs to layer IDs, where these are made of them; `stack` is uppermost first."""
        step = Step(
            "DIFF IDS", "LAYER IDS",
            "A layer's ID is its diff ID and that of all below it: the base's is its diff ID, each other one "
            'the SHA-256 of the text "LAYER-ID-BELOW+DIFF-ID". There are no chain IDs in this store.',
        )  # fmt: skip
        below = None
        for stored in reversed(stack):
            diff_id = self._store.storage.diff_id(stored)
            if diff_id is None or stored.record.id != layer_id(below, diff=diff_id.hex):
                self._walker.add(step._replace(why=_RANDOM, ok=None))
                return
            below = stored.record.id
        values = tuple(stored.record.id for stored in reversed(stack))
        if line is None:
            self._walker.add(step._replace(values=values))
            return
        first, *others = (text.format(line) for text in _LAYER_IDS)
        needs = {"CFG": self._walker.held("CFG")}
        self._walker.add(step._replace(command=(first, *others), values=values), needs, {"P": values[-1]})

    def _top(self, image: StorageImage, part: Part, stack: Sequence[Stored]) -> None:
        """From the image's record to its uppermost layer, and from layer to layer below."""
        top = image.top
        files = self._image_files(part)
        found = of_id(files, image.record.id)
        place = self._written.place(part.directory, part.images_file)
        step = Step("IMAGE ID", "LAYER ID", "The record names the uppermost layer of the image.", place)
        if top is None or found is None or found[1].get("layer") != top:
            problem = "the record of the image does not tell"
            step = step._replace(ok=False, problem=problem, expected=(top,) if top else None)
            self._walker.add(step)
        else:
            command = ("K=$(jq -r --arg i $ID '.[]|select(.id==$i).layer' \"$F\")", "echo $K")
            needs = {"F": files[0].place, "ID": image.record.id}
            self._walker.add(step._replace(command=command, values=(top,)), needs, {"K": top})
        if top:
            self._records.below(self._store.storage.walk(top) if top != stack[0].record.id else stack)

    # -- layers --------------------------------------------------------------------------------

    def _of_layer(self, stored: Stored, number: int | None) -> None:
        self._records.record(stored, number)
        self._trees.files(stored, number)
        self._trees.link(stored, number)

    def _layer(self, layer: Layer | BareLayer) -> None:
        stack = [self._store.stored(item) for item in reversed(self._store.stack(layer))]
        self._walk = self._walk._replace(layers=len(stack))
        self._records.below(stack)
        self._of_layer(stack[0], None)
        self._trees.mount(stack, None, own=not isinstance(layer, Layer))

    # -- containers ----------------------------------------------------------------------------

    def _container(self, name: str, container: Container) -> None:
        self._walk = self._walk._replace(kind="container")
        if container.config and container.config.image_id:
            self._walk = self._walk._replace(image=container.config.image_id)
        if not container.own:
            raise MissingFile(self._store.record_name(container.id), "its layer is not known")
        self._container_record(name, container)
        stack = [self._store.stored(item) for item in reversed(self._store.stack(container))]
        self._walk = self._walk._replace(layers=len(stack))
        self._records.below(stack)
        self._of_layer(stack[0], None)
        tree = self._store.tree(container)
        self._trees.mount(stack, list(tree.children(tree.root)), own=True)

    def _container_record(self, name: str, container: Container) -> None:
        layer = container.own[-1].cache_id
        files = self._container_files()
        why = "The record of a container has its names, its own layer, and the ID of its image."
        first = self._store.roots[0].opened
        place = f"{first.containers}/containers.json"
        found = of_id(files, container.id)
        if found is None or found[1].get("layer") != layer:
            problem = "no record of it tells its layer: it is known by what else there is"
            self._walker.add(Step("NAME", "CONTAINER", why, place, ok=False, problem=problem))
            return
        file, row = found
        image = row.get("image")
        step = Step("ID", "CONTAINER", why, file.place)
        lines, values = [], []
        needs = {"F": file.place}
        if called(file, name) == [container.id]:
            lines = [_OF_NAME.format("CT"), "echo $CT"]
            values = [str(container.id)]
            needs["N"] = name
            step = step._replace(start="NAME")
        else:
            needs["CT"] = container.id
        lines += ["K=$(jq -r --arg i $CT '.[]|select(.id==$i).layer' \"$F\"); echo $K"]
        values += [layer]
        if isinstance(image, str) and image.isalnum() and image.isascii():
            lines += ["jq -r --arg i $CT '.[]|select(.id==$i).image' \"$F\""]
            values += [image]
        self._walker.add(
            step._replace(command=tuple(lines), values=tuple(values)), needs, {"K": layer, "CT": container.id}
        )
