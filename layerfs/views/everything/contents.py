"""What is where in the tree of a whole store: images, their layers and hidden files, containers.

Everything is listed by what names alone tell, and the configs of images. No layer is opened for that.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from layerfs.errors import MissingFile
from layerfs.model import READ_WRITE
from layerfs.subject import by_layers, open_subject, subject_of
from layerfs.views.everything.directories import Directory, Door, Text
from layerfs.views.everything.hidden import hidden_tree
from layerfs.views.everything.names import COLON, component
from layerfs.views.everything.readme import readme
from layerfs.views.provenance import TracedTree

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from layerfs.ids import ContainerID, ImageID
    from layerfs.model import Image
    from layerfs.store import Store
    from layerfs.subject import Subject
    from layerfs.tree.union import UnionTree
    from layerfs.views.everything.directories import Item

__all__ = ["Contents", "everything"]

_BY_ID = "by-id"
_DIGITS = 2

_Level: TypeAlias = "Door | dict[str, _Level]"


def everything(stores: Mapping[str, Store], contents: Callable[[Store], Contents]) -> Directory:
    """The top directory of a store; of several, by name, a directory of each."""
    tops = {component(name): contents(store).directories() for name, store in stores.items()}
    if len(tops) > 1:
        listed: Mapping[str, Item] = {name: _given(top) for name, top in sorted(tops.items())}
    else:
        (listed,) = tops.values()
    whole: dict[str, Item] = {
        "README": Text(readme(tuple(stores.values()))),
        ".trackerignore": Text(b""),
    }
    for name, item in listed.items():
        whole[_free(name, whole)] = item
    return _given(whole)


class Contents:
    """The directories of one store."""

    def __init__(
        self, store: Store, lock: threading.RLock, shown: Callable[[str], str], *, listed: bool
    ) -> None:
        """Show a store.

        Args:
            store: the store.
            lock: who asks the store holds it.
            shown: makes a command of the history fit to be shown.
            listed: see `TracedTree`.
        """
        self._store = store
        self._lock = lock
        self._shown = shown
        self._listed = listed

    def directories(self) -> Mapping[str, Item]:
        """The directories of the store, by name."""
        found: dict[str, Item] = {
            "images": _asked(lambda: self._named(self._door)),
            _BY_ID: _asked(self._by_id),
            "layers": _asked(lambda: self._of_images(self._alone)),
            "up-to": _asked(lambda: self._of_images(self._as_of)),
        }
        if self._store.has_containers:
            found["containers"] = _asked(self._containers)
        found["deleted"] = _asked(lambda: self._named(self._deleted))
        return found

    # -- images --------------------------------------------------------------------------------

    def _named(self, door: Callable[[str, ImageID | None], Door]) -> dict[str, Item]:
        """Every name of an image: a directory for each part of its repository, and one for the tag."""
        names: dict[str, tuple[list[str], Door]] = {}
        for reference, image_id in self._store.repositories.rows:
            tag = reference.tag or ""
            last = tag + (f"@{reference.digest}" if reference.digest else "")
            names[str(reference)] = (
                [*reference.familiar_name.split("/"), last],
                door(str(reference), image_id),
            )
        for name in sorted(self._store.other_names()):
            names.setdefault(name, ([name], door(name, None)))
        return _nested(names.values())

    def _door(self, name: str, image_id: ImageID | None) -> Door:
        return Door(
            lambda: self._traced(subject_of(self._store, self._store.image(name), name)),
            name,
            self._created(image_id) if image_id else None,
        )

    def _deleted(self, name: str, image_id: ImageID | None) -> Door:
        created = self._created(image_id) if image_id else None

        def opened() -> UnionTree:
            subject = subject_of(self._store, self._store.image(name), name)
            return hidden_tree(by_layers(subject).tree, created or 0)

        return Door(opened, None, created)

    def _by_id(self) -> dict[str, Item]:
        """Every image, also those without a name."""
        return {
            image_id.hex: Door(self._image(image_id), image_id, self._created(image_id))
            for image_id in self._store.image_ids()
        }

    def _image(self, image_id: ImageID) -> Callable[[], UnionTree]:
        return lambda: self._traced(subject_of(self._store, self._read(image_id), image_id))

    def _read(self, image_id: ImageID) -> Image:
        """The image of an ID; raises `CorruptStore`."""
        return self._store.load_image(image_id) or self._store.read_image(image_id)

    def _created(self, image_id: ImageID) -> int | None:
        """When an image was created, as its config says; None where it cannot be read (reported)."""
        image = self._store.load_image(image_id)
        return image.config.created_ns if image else None

    # -- layers --------------------------------------------------------------------------------

    def _of_images(self, door: Callable[[Image, int], Door]) -> dict[str, Item]:
        """A directory for each image, with a door for each of its layers."""

        def layers(image_id: ImageID) -> dict[str, Item]:
            image = self._read(image_id)
            depth = len(image.config.diff_ids)
            digits = max(_DIGITS, len(str(depth)))
            return {f"{number:0{digits}}": door(image, number) for number in range(1, depth + 1)}

        return {
            image_id.hex: _asked(functools.partial(layers, image_id), self._created(image_id))
            for image_id in self._store.image_ids()
        }

    def _alone(self, image: Image, number: int) -> Door:
        return self._of_layer(image, layer=number)

    def _as_of(self, image: Image, number: int) -> Door:
        return self._of_layer(image, up_to=number)

    def _of_layer(self, image: Image, *, layer: int | None = None, up_to: int | None = None) -> Door:
        return Door(
            lambda: self._traced(open_subject(self._store, image.id, layer=layer, up_to=up_to)),
            None if up_to is None else f"{image.id}@{up_to}",
            image.config.created_ns,
        )

    # -- containers ----------------------------------------------------------------------------

    def _containers(self) -> dict[str, Item]:
        """Every container by its name, if no other has it, and by its ID."""
        names = self._store.container_names()
        times = Counter(names.values())
        every: dict[str, Item] = {
            container_id: self._container(container_id) for container_id in sorted(names)
        }
        listed: dict[str, Item] = {_BY_ID: _given(every)}
        for name, container_id in sorted(
            (name, container_id) for container_id, name in names.items() if name
        ):
            if times[name] == 1:
                listed[_free(component(name), listed)] = every[container_id]
        return listed

    def _container(self, container_id: ContainerID) -> Directory:
        doors = {
            "rootfs": Door(lambda: self._rootfs(container_id), container_id),
            "changes": Door(lambda: self._changes(container_id)),
        }
        return _given(doors)

    def _rootfs(self, container_id: ContainerID) -> UnionTree:
        container = self._store.load_container(container_id)
        return self._traced(subject_of(self._store, container, container.name))

    def _changes(self, container_id: ContainerID) -> UnionTree:
        """The container's own layer as it is stored."""
        layer = self._store.load_container(container_id).own_layer(READ_WRITE)
        if layer is None:
            raise MissingFile(self._store.record_name(container_id), f"its {READ_WRITE} is not known")
        return self._traced(subject_of(self._store, layer, layer.cache_id))

    # -- trees ---------------------------------------------------------------------------------

    def _traced(self, subject: Subject) -> UnionTree:
        """The tree of a subject with the attributes `user.layerfs.*`."""

        def created_by(number: int) -> str | None:
            with self._lock:
                command = subject.created_by(number)
            return None if command is None else self._shown(command)

        return TracedTree(subject.tree, subject.layers, created_by, listed=self._listed)


def _nested(names: Iterable[tuple[Sequence[str], Door]]) -> dict[str, Item]:
    """Doors in directories of directories; where a name means both, the door has a colon in front."""
    top: dict[str, _Level] = {}
    doors = [([component(name) for name in path], door) for path, door in names]
    levels = [_level(top, path[:-1]) for path, _ in doors]
    for level, (path, door) in zip(levels, doors, strict=True):
        level[_free(path[-1], level)] = door
    return _directories(top)


def _level(top: dict[str, _Level], path: Sequence[str]) -> dict[str, _Level]:
    """What is at a path of directories, which are made."""
    for name in path:
        below = top.setdefault(name, {})
        assert isinstance(below, dict)  # noqa: S101 - doors come after all directories
        top = below
    return top


def _free(name: str, taken: Container[str]) -> str:
    """A name that nothing has: with a colon in front where something has it."""
    while name in taken:
        name = COLON + name
    return name


def _directories(level: Mapping[str, _Level]) -> dict[str, Item]:
    return {
        name: item if isinstance(item, Door) else _given(_directories(item))
        for name, item in sorted(level.items())
    }


def _given(found: Mapping[str, Item]) -> Directory:
    """A directory of what is known already."""
    listed = {name.encode(): item for name, item in found.items()}
    return Directory(lambda: listed)


def _asked(found: Callable[[], Mapping[str, Item]], mtime_ns: int | None = None) -> Directory:
    """A directory of what is asked of the store when somebody looks into it."""
    return Directory(lambda: {name.encode(): item for name, item in found().items()}, mtime_ns)
