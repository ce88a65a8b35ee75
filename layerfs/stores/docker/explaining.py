"""`explain` in a Docker data root: from the name of an image, a container or a layer to the mount.

Sources: moby `reference/store.go`, `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layerfs.errors import CorruptStore, DataRootError, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object
from layerfs.formats.reference import parse_reference
from layerfs.ids import CacheID, ContainerID, ImageID
from layerfs.model import INIT, BareLayer, Container, Image
from layerfs.steps import Step, Walk
from layerfs.stores.docker.directorysteps import HALF, DirectorySteps
from layerfs.stores.files import JSON_LIMIT
from layerfs.stores.walker import Walker, computed_chain, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.formats.reference import Reference
    from layerfs.ids import ChainID
    from layerfs.layernames import ID
    from layerfs.model import Layer
    from layerfs.steps import MountLine
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["explained"]

_REPOSITORIES = "image/overlay2/repositories.json"
_DIFF_IDS = "jq -r '.rootfs.diff_ids{}[]?' $CFG"


def explained(root: DataRoot, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
    """The walk from a name to directories.

    Args:
        root: the data root.
        name: as it was given.
        found: what it means.
        up_to: of an image, as of its layer of this number.
        every: whether each layer gets its steps, and not the uppermost alone.
    """
    return _Explained(root, every=every).walk(name, found, up_to)


class _Explained:
    def __init__(self, root: DataRoot, *, every: bool) -> None:
        self._root = root
        self._every = every
        self._walker = Walker(root.directory)
        self._steps = DirectorySteps(root, self._walker)
        self._walk = Walk("layer", None, None, None, root.directory.display, ())
        self._mount: MountLine | None = None

    def walk(self, name: str, found: ID, up_to: int | None) -> Walk:
        """The walk; see `explained`."""
        failure = None
        try:
            if isinstance(found, ImageID):
                self._image(name, found, up_to)
            elif isinstance(found, ContainerID):
                self._container(self._root.container(found))
            else:
                self._layer(self._root.layer(found))
        except (CorruptStore, DataRootError) as error:
            failure = error
        return self._walk._replace(steps=tuple(self._walker.steps), mount=self._mount, failure=failure)

    # -- images --------------------------------------------------------------------------------

    def _image(self, name: str, image_id: ImageID, up_to: int | None) -> None:
        self._walk = self._walk._replace(kind="image", image=image_id)
        reference = self._reference(name, image_id)
        key = reference and self._key(reference, image_id)
        if reference and key:
            self._walk = self._walk._replace(reference=str(reference))
            self._by_reference(key, image_id)
        else:
            self._by_id(name, image_id)
        image = self._config(image_id)
        if up_to is not None:
            self._root.layer_number(image, up_to)
        chain = image.chain[:up_to]
        self._walk = self._walk._replace(layers=len(chain))
        self._diff_ids(image, "" if up_to is None else f"[:{up_to}]")
        if not chain:
            self._walk = self._walk._replace(note="An image of no layers is an empty tree: nothing to mount.")
            return
        stack = self._directories(chain)
        self._below(stack, "layers" if len(stack) > 2 else "layer")
        self._mounted(image, stack, up_to)

    def _reference(self, name: str, image_id: ImageID) -> Reference | None:
        """The reference that a name is; None of an ID, or the beginning of one."""
        try:
            reference = parse_reference(name).with_default_tag()
        except FormatError:
            return None
        return reference if self._root.repositories.image_of(reference) == image_id else None

    def _key(self, reference: Reference, image_id: ImageID) -> str | None:
        """How the file spells a reference, if its only entry of this spelling is the image."""
        repositories = load_object(self._walker.read(_REPOSITORIES, JSON_LIMIT)).get("Repositories")
        inner = [row for row in (repositories or {}).values() if isinstance(row, dict)]
        for key in dict.fromkeys(key for row in inner for key in row):
            if _parsed(key) == reference:
                return (
                    key
                    if [row[key] for row in inner if row.get(key) not in (None, False)] == [image_id]
                    else None
                )
        return None

    def _by_reference(self, key: str, image_id: ImageID) -> None:
        self._walker.add(
            Step(
                "NAME", "IMAGE ID",
                "A name is an entry of repositories.json, and nothing but that: a tag can be moved.",
                _REPOSITORIES,
                (
                    "ID=$(jq -r --arg n $N '.Repositories[][$n]? // empty' $I/repositories.json)",
                    "echo $ID",
                ),
                (image_id,),
            ),
            {**HALF, "N": key}, {"ID": image_id},
        )  # fmt: skip

    def _by_id(self, name: str, image_id: ImageID) -> None:
        digits = name.removeprefix("sha256:")
        begun = (digits if digits and image_id.hex.startswith(digits) else image_id.hex)[:12]
        folder = "image/overlay2/imagedb/content/sha256"
        step = Step(
            "ID", "IMAGE ID", "An image ID, or the beginning of one, is the name of a config file.", folder
        )
        try:
            names = self._walker.names(folder)
        except CorruptStore:
            names = []
        if [item for item in names if item.startswith(begun.encode())] == [image_id.hex.encode()]:
            self._walker.add(
                step._replace(
                    command=(
                        f"ID=sha256:$(ls $I/imagedb/content/sha256 | grep ^{begun})", "echo $ID"
                    ),
                    values=(image_id,),
                ),
                HALF, {"ID": image_id},
            )  # fmt: skip
        else:
            self._walker.add(step._replace(ok=False, expected=(image_id,), problem="the file is missing"))

    def _config(self, image_id: ImageID) -> Image:
        path = f"image/overlay2/imagedb/content/sha256/{image_id.hex}"
        why = "The ID is the SHA-256 of the config file, which is called by it."
        step = Step("IMAGE ID", "CONFIG", why, path, expected=(image_id.hex,), ok=False)
        try:
            content = self._walker.read(path, JSON_LIMIT)
        except CorruptStore as error:
            self._walker.add(step._replace(problem=said(error)))
            raise
        computed = ImageID.of(content)
        altered = None if computed == image_id else "the config was altered: it is not the one of this ID"
        step = step._replace(
            command=("CFG=$I/imagedb/content/sha256/${ID#*:}", "sha256sum < $CFG | cut -c-64"),
            values=(computed.hex,), ok=not altered, problem=altered,
            expected=step.expected if altered else None,
        )  # fmt: skip
        self._walker.add(step, {**HALF, "ID": image_id}, {"CFG": path})
        return self._root.read_image(image_id)

    def _diff_ids(self, image: Image, wanted: str) -> None:
        path = f"image/overlay2/imagedb/content/sha256/{image.id.hex}"
        depth = self._walk.layers
        lines = _DIFF_IDS.format(wanted)
        step = Step(
            "CONFIG", "DIFF IDS", "Each is the SHA-256 of a layer's tar, base first.", path,
            (lines,), tuple(image.config.diff_ids[:depth]),
        )  # fmt: skip
        if not _spelled(self._walker.read(path, JSON_LIMIT), image):
            why = f"{step.why} (jq does not find them: the keys are spelled in other letters.)"
            step = step._replace(command=(), why=why)
        self._walker.add(step, {"CFG": path})
        if not depth:
            return
        why = (
            "The name of a layer with all below it: the base's is its diff ID, and each other one is the "
            'SHA-256 of the text "CHAIN-ID-BELOW DIFF-ID".'
        )
        step = step._replace(
            start="DIFF IDS", end="CHAIN IDS", why=why, place=None,
            command=tuple(computed_chain(lines)) if step.command else (), values=tuple(image.chain[:depth]),
        )  # fmt: skip
        self._walker.add(step, {"CFG": path}, {"C": step.values[-1]})

    # -- layers --------------------------------------------------------------------------------

    def _directories(self, chain: Sequence[ChainID]) -> list[CacheID]:
        """The steps of each layer, or of the uppermost; all directories, uppermost first."""
        for number, item in enumerate(chain, 1):
            if self._every or number == len(chain):
                cache_id = self._steps.of_chain(item, number)
                self._steps.files(cache_id, number)
                self._steps.link(cache_id, number)
        self._walk = self._walk._replace(shortened=0 if self._every else len(chain) - 1)
        return [self._root.record(item).cache_id for item in reversed(chain)]

    def _below(self, stack: Sequence[CacheID], noun: str) -> None:
        if len(stack) > 1:
            count = f"the {len(stack) - 1} {noun}" if len(stack) > 2 else f"the {noun}"
            self._steps.lower(stack, f"The short names of {count} below, uppermost first.")

    def _mounted(self, subject: Image | Container, stack: Sequence[CacheID], up_to: int | None) -> None:
        tree = self._root.tree(subject, up_to=up_to)
        own = isinstance(subject, Container)
        self._mount = self._steps.mount(stack, list(tree.children(tree.root)), own=own)

    def _layer(self, layer: Layer | BareLayer) -> None:
        if isinstance(layer, BareLayer):
            cache_id = CacheID(layer.cache_id)
            self._steps.files(cache_id, None)
            self._steps.link(cache_id, None)
            stack = self._root.stack(layer)
            found = [CacheID(str(item.cache_id)) for item in reversed(stack)]
        else:
            chain = [item.chain_id for item in self._root.chain_below(layer.chain_id)]
            self._walk = self._walk._replace(layers=len(chain))
            found = self._directories(chain)
        self._walk = self._walk._replace(layers=len(found))
        self._below(found, "layers")
        self._mount = self._steps.mount(found, None, own=False)

    # -- containers ----------------------------------------------------------------------------

    def _container(self, container: Container) -> None:
        self._walk = self._walk._replace(kind="container")
        self._container_config(container)
        mount = self._mount_record(container)
        self._steps.files(mount, None, "What the container changed")
        self._steps.link(mount, None)
        stack = [CacheID(str(item.cache_id)) for item in reversed(self._root.stack(container))]
        self._walk = self._walk._replace(layers=len(stack))
        has_init = any(layer.kind == INIT for layer in container.own)
        what = "The short names of the layers of the image, uppermost first."
        if has_init:
            what = (
                "The short names of the -init layer, which has what the engine adds for each container "
                "(/etc/hosts and such), and of the image's layers."
            )
        if len(stack) > 1:
            self._steps.lower(stack, what)
        self._mounted(container, stack, None)

    def _container_config(self, container: Container) -> None:
        path = f"containers/{container.id}/config.v2.json"
        why = "A container's directory is called by its ID. Its config has its name, and the ID of its image."
        step = Step("NAME", "CONTAINER", why, path, ok=False)
        try:
            document = load_object(self._walker.read(path, JSON_LIMIT))
        except CorruptStore as error:
            self._walker.add(step._replace(problem=said(error)))
            return
        except FormatError as error:
            self._walker.add(step._replace(problem=str(error)))
            return
        name, image = document.get("Name"), document.get("Image")
        if container.config is None or not isinstance(name, str) or not isinstance(image, str):
            self._walker.add(step._replace(problem="not the config of this container"))
            return
        self._walk = self._walk._replace(image=container.config.image_id or None)
        values = tuple(_ascii(item) for item in (name, image))
        command = ("jq -a '.Name, .Image' containers/$CT/config.v2.json",)
        self._walker.add(step._replace(command=command, values=values, ok=True), {"CT": container.id})

    def _mount_record(self, container: Container) -> CacheID:
        """From a container to its own directory; raises `CorruptStore` where nothing tells it."""
        known = self._root.load_container(container.id).mount
        base = f"image/overlay2/layerdb/mounts/{container.id}"
        right = [known.mount_id, known.init_id, known.parent] if known else []
        parts = [("K", "mount-id"), ("INIT", "init-id"), ("C", "parent")]
        wanted = [(*part, text) for part, text in zip(parts, right, strict=False) if text]
        why = "Its own layer, the layer that the engine prepares (-init), and the chain ID of the image."
        step = Step("CONTAINER", "LAYERS", why, base, expected=tuple(text for *_, text in wanted))
        lines, values, problems = [], [], []
        sets: dict[str, str] = {}
        for variable, file, text in wanted:
            try:
                found = self._walker.text(f"{base}/{file}")
            except CorruptStore as error:
                problems.append(f"{file}: {said(error)}")
                continue
            if found != text:
                problems.append(f"{file}: {found} is not what other records tell")
            lines.append(f"{variable}=$(cat $M/{file}); echo ${variable}")
            values.append(found)
            sets[variable] = found
        if known is None:
            lost = MissingFile(self._root.layerdb.mount_name(container.id), "its layers are not known")
            self._walker.add(step._replace(ok=False, problem=said(lost), expected=None))
            raise lost
        command = ("M=$I/layerdb/mounts/$CT", *lines) if lines else ()
        self._walker.add(
            step._replace(
                command=command, values=tuple(values), ok=not problems,
                problem="; ".join(problems) or None, expected=step.expected if problems else None,
            ),
            {**HALF, "CT": container.id}, sets,
        )  # fmt: skip
        return known.mount_id


def _parsed(key: str) -> Reference | None:
    try:
        return parse_reference(key)
    except FormatError:
        return None


def _spelled(config: bytes, image: Image) -> bool:
    """Whether jq finds the diff IDs where the walk asks for them: Go takes any case of a key's letters."""
    rootfs = load_object(config).get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return list(found or ()) == list(image.config.diff_ids)


def _ascii(value: Any) -> str:
    """A value as `jq -a` prints it."""
    return json.dumps(value).replace("\x7f", "\\u007f")
