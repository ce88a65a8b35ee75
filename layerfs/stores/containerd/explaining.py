"""`explain` in a containerd root: from the name of an image or container to snapshots and the mount.

The names stand in bolt databases, which no everyday tool reads. So the commands prove what they can: that the
database holds the two texts that a step connects, and everything that is a file of its own.

Sources: containerd `core/metadata/buckets.go`, `plugins/snapshots/overlay/overlay.go` (mounts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootError, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference
from layerfs.ids import ContainerID, ImageID
from layerfs.model import Container, Image, Layer
from layerfs.steps import MountLine, Step, Walk
from layerfs.stores.blobs.explaining import BlobSteps, Written
from layerfs.stores.containerd.content import CONTENT
from layerfs.stores.containerd.places import META_DB
from layerfs.stores.walker import MOUNT_AT, Walker, mounted, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.descriptors import Descriptor
    from layerfs.formats.reference import Reference
    from layerfs.layernames import ID
    from layerfs.model import BareLayer
    from layerfs.stores.containerd.image import ContainerdImage
    from layerfs.stores.containerd.layers import ContainerdLayer, Placed
    from layerfs.stores.containerd.store import ContainerdStore

__all__ = ["explained"]

_MOST_SEARCHED = 128 << 20

_PACKED_NOTE = (
    "There is no mount line: a layer is not unpacked, or not as a directory that can be stacked. "
    "`layerfs mount` reads it from its blob."
)


def explained(store: ContainerdStore, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
    """The walk from a name to snapshots; as `Explaining` has it."""
    return _Explained(store, every=every).walk(name, found, up_to)


class _Explained:
    def __init__(self, store: ContainerdStore, *, every: bool) -> None:
        self._store = store
        self._every = every
        self._walker = Walker(store.directory)
        self._steps = BlobSteps(self._walker, Written("cat", {}, self._is_there, f"{CONTENT}/blobs/sha256"))
        self._databases: dict[str, bytes] = {}
        self._walk = Walk("layer", None, None, None, store.directory.display, ())

    def _is_there(self, path: str) -> bool:
        try:
            with self._store.directory.file(path):
                return True
        except OSError:
            return False

    def walk(self, name: str, found: ID, up_to: int | None) -> Walk:
        """The walk; see `explained`."""
        failure = None
        try:
            if isinstance(found, ImageID):
                self._image(name, found, up_to)
            elif isinstance(found, ContainerID):
                self._container(self._store.load_container(found))
            else:
                self._layer(self._store.layer(found))
        except (CorruptStore, DataRootError) as error:
            failure = error
        return self._walk._replace(steps=tuple(self._walker.steps), failure=failure)

    # -- databases -----------------------------------------------------------------------------

    def _database(self, path: str) -> bytes:
        """All of a database, read once; raises `CorruptStore`."""
        if path not in self._databases:
            self._databases[path] = self._walker.read(path, _MOST_SEARCHED)
        return self._databases[path]

    def _searched(self, step: Step, texts: dict[str, str], shown: str | None = None) -> None:
        """A step that shows that a database holds some texts.

        Args:
            step: whose place is the database.
            texts: what is looked for, by variables of the script; what `grep` cannot look for is left out.
            shown: how the script writes the database.
        """
        assert step.place  # noqa: S101 - see above
        try:
            content = self._database(step.place)
        except CorruptStore as error:
            self._walker.add(step._replace(ok=False, problem=said(error)))
            return
        sought = {name: text for name, text in texts.items() if "\n" not in text}
        lacking = [text for text in sought.values() if text.encode("utf-8", "surrogateescape") not in content]
        if lacking:
            problem = f"the database does not hold {lacking[0]}"
            self._walker.add(step._replace(ok=False, problem=problem))
            return
        database = shown or "$DB"
        tests = [f'LC_ALL=C grep -aqF -e "${name}" {database} && echo found' for name in sought]
        needs = dict(sought) if shown else {"DB": step.place, **sought}
        if shown:
            needs["S"] = step.place.rpartition("/")[0]
        self._walker.add(step._replace(command=tuple(tests), values=("found",) * len(tests)), needs)

    # -- images --------------------------------------------------------------------------------

    def _image(self, name: str, image_id: ImageID, up_to: int | None) -> None:
        self._walk = self._walk._replace(kind="image", image=image_id)
        image = self._store.read_image(image_id)
        self._named(name, image)
        self._documents(image, up_to)
        if up_to is not None:
            self._store.layer_number(image, up_to)
        chain = self._store.chain(image, up_to)
        self._walk = self._walk._replace(layers=len(chain))
        if not chain:
            self._walk = self._walk._replace(note="An image of no layers is an empty tree: nothing to mount.")
            return
        for number, layer in enumerate(chain, 1):
            if self._every or layer is chain[-1]:
                self._packed(layer, number)
                self._snapshot(layer.placed, number)
        self._walk = self._walk._replace(shortened=0 if self._every else len(chain) - 1)
        self._mount(self._store.stack(chain[-1] if up_to else image), image, up_to)

    def _named(self, name: str, image: ContainerdImage) -> None:
        target = image.target.digest
        metas = self._store.targets.targets[target].metas
        names = {meta.name for meta in metas}
        reference = _reference(name)
        if reference in image.references:
            self._walk = self._walk._replace(reference=str(reference))
        spelled = (name, reference.canonical if reference else name)
        known = next((item for item in spelled if item in names), None)
        step = Step(
            "NAME", "TARGET",
            "A name is a record of a bolt database, and leads to a digest. No everyday tool reads bolt, so "
            "the digest is given here; grep shows that the database holds both.", META_DB,
        )  # fmt: skip
        if known is None:
            step = step._replace(
                start="ID",
                why="A record of a bolt database leads to the digest of the image, or of the index above it. "
                "No everyday tool reads bolt; grep shows that the database holds it.",
            )
        self._searched(step, {**({"N": known} if known else {}), "T": target})

    def _documents(self, image: ContainerdImage, up_to: int | None) -> None:
        chosen = image.chosen
        if chosen is None or image.manifest is None:
            return
        for index in chosen.indexes:
            self._index(index, image)
        manifest = self._document(chosen.descriptor, "DIGEST", "MANIFEST")
        self._steps.manifest(chosen.descriptor.digest, manifest, called="DIGEST")
        config = image.manifest.config
        if config is None:
            return
        content = self._document(config, "MANIFEST", "CONFIG")
        path = self._steps.written.path(config.digest)
        writes = self._steps.written.blob("G") if path else None
        why = "The config's digest is the SHA-256 of it: what Docker's older stores call the image ID."
        command = (f"{writes} | sha256sum | cut -c-64",) if writes else ()
        step = Step("CONFIG", "DIGEST", why, path, command)
        self._steps.hashed(step, content, config.digest.partition(":")[2], {"G": config.digest})
        self._steps.config(writes, {"G": config.digest}, path, content, image.config, image.chain[:up_to])

    def _index(self, index: Descriptor, image: ContainerdImage) -> None:
        content = self._document(index, "TARGET", "MANIFESTS")
        path = self._steps.written.path(index.digest)
        self._steps.index(index.digest, content, image.platform_name, path)

    def _document(self, descriptor: Descriptor, start: str, end: str) -> bytes:
        """The bytes of a blob; raises `CorruptStore`, after a step that says so."""
        try:
            return self._store.content.document(descriptor)
        except CorruptStore as error:
            step = Step(start, end, "A blob is a file that is called by its SHA-256.", None, ok=False)
            found = (error.expected,) if error.expected else (descriptor.digest,)
            self._walker.add(step._replace(problem=said(error), expected=found))
            raise

    # -- layers --------------------------------------------------------------------------------

    def _packed(self, layer: ContainerdLayer, number: int | None) -> None:
        """The blob of a layer; that it is gone is no fault where the layer is unpacked."""
        step = Step("BLOB", "DIFF ID", "", layer=number)
        if layer.packed is None:
            why = "The layer's blob is not kept: containerd may drop it once the layer is unpacked."
            problem = None if layer.placed else "neither a blob nor a snapshot is there"
            self._walker.add(step._replace(why=why, ok=None if layer.placed else False, problem=problem))
            return
        digest = layer.digest
        path = self._steps.written.path(digest) if digest else None
        writes = self._steps.written.blob("L") if path else None
        needs = {"L": digest} if digest else {}
        self._steps.layer(
            writes, needs, step._replace(place=path), layer.packed.blob, digest, layer.diff_id,
            listing=layer.placed is None,
        )  # fmt: skip

    def _snapshot(self, placed: Placed | None, number: int | None) -> None:
        """From a layer's chain ID, or a container's key, to the directory of its snapshot."""
        if placed is None:
            return
        snapshotter = placed.snapshotter
        step = Step(
            "CHAIN ID", "SNAPSHOT",
            f"A layer that is unpacked is a snapshot: a record of another bolt database, by its chain ID. "
            f"It is number {placed.snapshot.number} there.", f"{snapshotter.path}/metadata.db", layer=number,
        )  # fmt: skip
        if not placed.key.startswith("sha256:"):
            step = step._replace(start="KEY", why=step.why.replace("by its chain ID", "by a key"))
        self._searched(step, {"C": placed.key}, '"$S/metadata.db"')
        path = self._path(placed)
        step = Step(
            "SNAPSHOT",
            "FILES",
            "What it changed, as overlayfs stores it: a name that it deleted is a device 0,0.",
            path,
            layer=number,
        )
        if not snapshotter.is_readable:
            self._walker.add(step._replace(ok=None, why="This snapshotter keeps no directories of layers."))
            return
        if snapshotter.is_whole:
            step = step._replace(why="The whole tree: this snapshotter copies it for each layer.")
        try:
            command, values = self._walker.listing(path, f"$S/snapshots/$K{snapshotter.files}")
        except CorruptStore as error:
            self._walker.add(step._replace(ok=False, problem=said(error)))
            return
        needs = {"S": snapshotter.path, "K": str(placed.snapshot.number)}
        self._walker.add(step._replace(command=command, values=values), needs)

    @staticmethod
    def _path(placed: Placed) -> str:
        snapshotter = placed.snapshotter
        return f"{snapshotter.path}/snapshots/{placed.snapshot.number}{snapshotter.files}"

    def _layer(self, layer: Layer | BareLayer) -> None:
        stack = self._store.stack(layer)
        self._walk = self._walk._replace(layers=len(stack))
        if isinstance(layer, Layer):
            self._packed(self._store.own_layer(layer), None)
        self._snapshot(self._store.placed(layer), None)
        self._mount(stack, None, None)

    # -- containers ----------------------------------------------------------------------------

    def _container(self, container: Container) -> None:
        self._walk = self._walk._replace(kind="container")
        placed = self._store.placed_of(container)
        why = "A container is known by its ID; its name is a note of the engine's."
        step = Step("NAME", "CONTAINER ID", why, None, values=(container.id,))
        self._walker.add(step)
        if placed is None:
            raise MissingFile(f"container {container.id}", "it has no snapshot")
        stack = self._store.stack(container)
        self._walk = self._walk._replace(layers=len(stack))
        self._snapshot(placed, None)
        self._mount(stack, container, None)

    # -- mount ---------------------------------------------------------------------------------

    def _mount(
        self, stack: Sequence[Layer | BareLayer], subject: Image | Container | None, up_to: int | None
    ) -> None:
        """The step that shows the tree, where every layer is a directory of one snapshotter."""
        placed = [self._store.placed(layer) for layer in reversed(stack)]
        found = [item for item in placed if item and item.snapshotter.is_readable]
        tree = self._store.tree(subject, up_to=up_to) if subject else None
        if len(found) < len(placed) or len({item.snapshotter.name for item in found}) != 1:
            self._walk = self._walk._replace(note=_PACKED_NOTE)
            return
        for item in found:
            self._walker.names(self._path(item))
        folder = found[0].snapshotter.path
        parts = [f"{item.snapshot.number}{item.snapshotter.files}" for item in found]
        needs = {"S": folder}
        if len(parts) == 1:
            why = "One directory is the whole tree, and there is nothing to lay it over. For root, on a copy."
            needs["K"] = str(found[0].snapshot.number)
            path = f"$S/snapshots/$K{found[0].snapshotter.files}"
            lines: tuple[str, ...] = (f"mount --bind -o ro,nosuid,nodev {path} {MOUNT_AT}",)
        else:
            why = (
                "Each record names the one below; so the stack is this, uppermost first. Read-only; for "
                "root, on a copy: a mount changes access times."
            )
            needs["LOW"] = ":".join(parts)
            lines = (
                "O=ro,nosuid,nodev,lowerdir=$LOW",
                f"(cd $S/snapshots && mount -t overlay overlay -o $O {MOUNT_AT})",
            )
            if isinstance(subject, Container):
                lines = ("# the engine has the uppermost as upperdir, and writes to it", *lines)
        names = list(tree.children(tree.root)) if tree else None
        step = mounted(Step("SNAPSHOT", "TREE", why, command=lines, needs_root=True), names)
        self._walker.add(step, needs)
        command = self._walker.steps[-1].command
        directories = tuple(f"{folder}/snapshots/{part}" for part in parts)
        self._walk = self._walk._replace(mount=MountLine(command, directories))


def _reference(name: str) -> Reference | None:
    try:
        return parse_reference(name).with_default_tag()
    except FormatError:
        return None
