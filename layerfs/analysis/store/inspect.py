"""The documents of `inspect`: everything about one image, container or layer, as in `docker inspect`.

Field names, order and values are the engine's (API 1.41, with the new fields of 1.52). In addition each
document begins with the key `type` and ends with `Layers` (base first). What is unknown because of damage is
null.

Paths of things in the data root are paths in the root that is read, which may be a copy. The paths that the
engine recorded are under `RecordedPaths`.

Sources: moby `daemon/images/image_inspect.go`, `api/server/router/image/image_routes.go`,
`daemon/inspect.go`, `api/types/types.go`, `daemon/graphdriver/overlay2/overlay.go` (GetMetadata).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from layerfs.analysis.store.containers import container_sizes
from layerfs.analysis.store.layers import LayerRow, LayerTable
from layerfs.analysis.store.ocicontainers import described
from layerfs.capabilities import Recorded
from layerfs.damage import attempt
from layerfs.errors import MalformedFile
from layerfs.formats.errors import FormatError
from layerfs.formats.gostruct import CONFIG, MOUNT_POINT, NETWORK_SETTINGS, STATE, encode, go_time
from layerfs.formats.jsontext import flag, integer, mapping, objects_by_name, text, texts
from layerfs.model import BareLayer, Container, Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.formats.jsontext import Json
    from layerfs.model import Layer, Named
    from layerfs.store import Store

__all__ = ["Inspector"]

Document: TypeAlias = dict[str, Any]

_NOT_CONFIG = {"Id", "HostConfig", "GraphDriver", "SizeRw", "SizeRootFs", "Layers"}
_OWN_FILES = ("ResolvConfPath", "HostnamePath", "HostsPath", "LogPath")
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class Inspector:
    """Makes the documents of one store."""

    def __init__(self, root: Store, path: str, *, sizes: bool = False) -> None:
        """Describe things in `root`; `path` is the prefix of their paths; `sizes` measures containers."""
        self._sizes = sizes
        self._root = root
        self._path = path
        self._layers = LayerTable(root)

    def describe(self, subject: Named) -> Document:
        """The document of an image, a container or a layer; raises `CorruptStore`."""
        kind = (
            "image"
            if isinstance(subject, Image)
            else "container"
            if isinstance(subject, Container)
            else "layer"
        )
        return {"type": kind, **self._described(subject)}

    def _described(self, subject: Named) -> Document:
        if isinstance(subject, Image):
            return self._checked(self._root.record_name(subject.id), self._image, subject)
        if isinstance(subject, Container) and self._root.container_records(subject) is not None:
            return self._checked(f"container {subject.id}", self._others_container, subject)
        if isinstance(subject, Container):
            return self._checked(self._root.config_name(subject.id), self._container, subject)
        return self._layer(subject)

    @staticmethod
    def _checked(name: str, describe: Any, subject: Any) -> Document:
        """Turn a `FormatError` (a field of the wrong type) into a `MalformedFile` of the record."""
        try:
            found: Document = describe(subject)
        except FormatError as error:
            raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error
        return found

    # -- images --------------------------------------------------------------------------------

    def _image(self, image: Image) -> Document:
        raw = image.config.raw
        rows = self._layers.of_image(image)
        size = self._root.inspected_size(image)
        history = image.config.history
        config = raw.get("config")
        found = {
            "Id": image.id,
            "RepoTags": _names(image, tagged=True),
            "RepoDigests": _names(image, tagged=False),
            "Parent": image.parent or "",
            "Comment": image.config.comment or (history[-1].comment if history else ""),
            "Created": go_time(text(raw, "created")),
            "Container": text(raw, "container"),
            "ContainerConfig": encode(mapping(raw, "container_config"), CONFIG),
            "DockerVersion": text(raw, "docker_version"),
            "Author": image.config.author,
            "Config": None if config is None else encode(mapping(raw, "config"), CONFIG),
            "Architecture": image.config.architecture,
            "Variant": image.config.variant,
            "Os": image.config.os or "linux",
            "OsVersion": text(raw, "os.version"),
            "Size": size,
            "VirtualSize": size,
            "GraphDriver": self._graph_driver([row.cache_id for row in reversed(rows)]),
            "RootFS": {
                "Type": text(mapping(raw, "rootfs"), "type"),
                **({"Layers": [row.diff_id for row in rows]} if rows else {}),
            },
            "Metadata": {"LastTagTime": self._root.last_tagged(image)},
            **self._root.notes(image),
            "Layers": [self._brief(row) for row in rows],
        }
        return {key: value for key, value in found.items() if value or key not in ("Variant", "OsVersion")}

    # -- layers --------------------------------------------------------------------------------

    def _layer(self, layer: Layer | BareLayer) -> Document:
        row = self._layers.of_layer(layer)
        lower = self._root.lower(layer)
        if lower is None and isinstance(layer, BareLayer) and row.index == 1:
            lower = []
        return {
            "Id": row.chain_id or row.cache_id,
            "Kind": row.kind,
            "Parent": row.parent,
            **self._brief(row),
            "Lower": lower,
            "CreatedBy": row.created_by,
            "Images": [image.id for image in row.images],
            "Containers": [container.id for container in row.containers],
            "BuildKit": row.buildkit,
        }

    def _brief(self, row: LayerRow) -> Document:
        return {
            "Index": row.index,
            "DiffID": row.diff_id,
            "ChainID": row.chain_id,
            "CacheID": row.cache_id,
            "Link": row.link,
            "Size": row.size,
            "Directory": self._directory(row.cache_id) if row.cache_id and row.directory else None,
            "DiffDir": self._files(row.cache_id) if row.cache_id and row.directory else None,
            "Distribution": [
                {"Digest": blob.digest, "Repositories": list(blob.repositories)}
                for blob in self._layers.blobs(row.diff_id)
            ],
        }

    def _absolute(self, path: str) -> str:
        return f"{self._path.rstrip('/')}/{path}"

    def _directory(self, cache_id: str) -> str:
        return self._absolute(self._root.place_path(cache_id))

    def _files(self, cache_id: str) -> str:
        return self._absolute(self._root.files_path(cache_id))

    def _graph_driver(self, stack: Sequence[str | None]) -> Document:
        """`GraphDriver` for a stack of directories (uppermost first); without data if a layer is missing."""
        known = [cache_id for cache_id in stack if cache_id]
        data = None
        if stack and len(known) == len(stack) and (paths := self._root.stack_paths(known)) is not None:
            data = {word: ":".join(map(self._absolute, found)) for word, found in paths.items()}
        return {"Data": data, "Name": self._root.driver}

    # -- containers ----------------------------------------------------------------------------

    def _container(self, container: Container) -> Document:
        raw: Json = container.config.raw if container.config else {}
        mounts = objects_by_name(mapping(raw, "MountPoints"))
        above, below = container.own, self._below(container)
        stack = None
        if below is not None:
            stack = [layer.cache_id for layer in reversed(above)] + [row.cache_id for row in reversed(below)]
        found = {
            "Id": container.id,
            "Created": go_time(text(raw, "Created")),
            "Path": text(raw, "Path"),
            "Args": list(texts(raw, "Args")),
            "State": _state(mapping(raw, "State")),
            "Image": text(raw, "Image"),
            **{key: self._own_file(container, text(raw, key)) for key in _OWN_FILES},
            "Name": text(raw, "Name"),
            "RestartCount": integer(raw, "RestartCount"),
            "Driver": text(raw, "Driver"),
            "Platform": text(raw, "OS"),
            **_texts(raw, "MountLabel", "ProcessLabel", "AppArmorProfile"),
            "ExecIDs": None,
            "HostConfig": self._root.host_config(container),
            "GraphDriver": self._graph_driver(stack or []),
            **(self._container_sizes(container, below) if self._sizes else {}),
            "Mounts": [self._mount(mounts[name]) for name in sorted(mounts)],
            "Config": encode(mapping(raw, "Config"), CONFIG),
            "NetworkSettings": encode(mapping(raw, "NetworkSettings"), NETWORK_SETTINGS),
            **self._root.notes(container),
            "RecordedPaths": _texts(raw, *_OWN_FILES) | {"Mounts": _sources(mounts)},
            "Layers": None if below is None else self._stack(below, above),
        }
        if container.config is None:
            found |= dict.fromkeys(found.keys() - _NOT_CONFIG)
        return found

    def _others_container(self, container: Container) -> Document:
        """The document of a container that no Docker Engine recorded."""
        below = self._below(container)
        return {
            **described(container, self._root.container_records(container) or {}),
            **(self._container_sizes(container, below) if self._sizes else {}),
            "Layers": None if below is None else self._stack(below, container.own),
        }

    def _own_file(self, container: Container, recorded: str) -> str:
        """The path in this root of a file that the engine keeps for a container; others stay as they are."""
        here = self._root.path_here(container.id, recorded) if isinstance(self._root, Recorded) else None
        return recorded if here is None else self._absolute(here)

    def _container_sizes(self, container: Container, below: list[LayerRow] | None) -> Document:
        own, whole = container_sizes(self._root, container)
        # engines with graph drivers give no sum if the image layers are not known
        is_nothing = below == [] and not self._root.account_rules.init_counts
        return {"SizeRw": own, "SizeRootFs": 0 if is_nothing else whole}

    def _stack(self, below: list[LayerRow], above: Sequence[BareLayer]) -> list[Document]:
        """The layers of a container, base first, its own at the end."""
        own = enumerate(above, len(below) + 1)
        return [*map(self._brief, below), *(self._own_layer(index, layer) for index, layer in own)]

    def _mount(self, raw: Json) -> Document:
        # the engine stores Mode under another name
        mount = encode({**raw, "Mode": text(raw, "Relabel")}, MOUNT_POINT)
        name = str(mount.get("Name", ""))
        is_local = mount.get("Type") == "volume" and mount.get("Driver") == "local"
        if is_local and _VOLUME.fullmatch(name) and isinstance(self._root, Recorded):
            mount["Source"] = self._absolute(self._root.volume_path(name))
        return mount

    def _below(self, container: Container) -> list[LayerRow] | None:
        """The image layers below it, base first; None if they are damaged, which is reported."""
        if not container.own:
            return None
        chain = attempt(self._root.report, lambda: self._root.layers_below(container))
        return None if chain is None else self._layers.of_chain(chain)

    def _own_layer(self, index: int, layer: BareLayer) -> Document:
        """The row of the -init or read-write layer of a container, which has only a directory."""
        cache_id = layer.cache_id
        present = self._root.has_place(cache_id)
        link = self._root.place(layer).link if present else None
        return {
            "Index": index,
            "DiffID": None,
            "ChainID": None,
            "CacheID": cache_id,
            "Link": link,
            "Size": self._root.content_size(layer) if self._sizes else None,
            "Directory": self._directory(cache_id) if present else None,
            "DiffDir": self._files(cache_id) if present else None,
            "Distribution": [],
        }


def _names(image: Image, *, tagged: bool) -> list[str]:
    """The image's tags or digests, in the order of their full names, as the engine sorts them.

    Names that are no references are among the tags, as Docker has it.
    """
    names = [name for name in image.references if bool(name.tag) == tagged]
    found = [name.familiar for name in sorted(names, key=lambda name: name.canonical)]
    return [*found, *image.other_names] if tagged else found


def _texts(raw: Json, *keys: str) -> Document:
    return {key: text(raw, key) for key in keys}


def _sources(mounts: Mapping[str, Json]) -> dict[str, str]:
    """The recorded source of each mount point."""
    return {name: text(mounts[name], "Source") for name in sorted(mounts)}


def _state(raw: Json) -> Document:
    """The state as last written; outdated after a crash."""
    state = encode(raw, STATE)
    status = "exited"
    if state["Running"]:
        status = "paused" if state["Paused"] else "restarting" if state["Restarting"] else "running"
    elif flag(raw, "RemovalInProgress"):
        status = "removing"
    elif state["Dead"]:
        status = "dead"
    elif state["StartedAt"].startswith("0001-01-01T00:00:00"):
        status = "created"
    return {"Status": status, **state}
