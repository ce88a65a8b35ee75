"""Which store is read if a path has both Docker's overlay2 and a containerd root.

If a Docker data root has images in both, it is the one that its containers use. If no container tells, it is
the one that Docker would choose: that of `daemon.json`, else overlay2 if that has images.

Sources: moby `daemon/image_store_choice.go` of v29; Docker's `daemon.json`.
"""

from __future__ import annotations

import logging
import posixpath
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootError
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, mapping, text
from layerfs.hostdir import HostDir
from layerfs.stores.containerd.places import META_DB, open_containerd
from layerfs.stores.containerd.spaces import has_dockers, namespaces_of
from layerfs.stores.docker.containers import ContainerDB
from layerfs.stores.docker.driver import DRIVER, open_data_root
from layerfs.stores.looks import is_filled

if TYPE_CHECKING:
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.jsontext import Json
    from layerfs.stores.containerd.places import Opened

__all__ = ["is_containerd_meant"]

_CONTAINERD = "containerd"
_USUAL = "/var/lib/docker"
_SETTINGS, _SETTINGS_LIMIT = "etc/docker/daemon.json", 1 << 20
_LAYERS = f"{DRIVER}/l"
_RECORDS = (f"image/{DRIVER}/imagedb/content/sha256", f"image/{DRIVER}/layerdb/mounts")

_log = logging.getLogger(__name__)


def is_containerd_meant(path: str) -> bool:
    """Whether the containerd root at `path` is read, and not the overlay2 data root; logs the choice."""
    try:
        docker = open_data_root(path)
        opened = open_containerd(path)
    except (DataRootError, CorruptStore):
        return False
    has_records = any(is_filled(docker, records) for records in _RECORDS)
    has_overlay2 = has_records or is_filled(docker, _LAYERS)
    if opened.docker is None:
        return _is_other_engine_meant(docker, opened, has_overlay2=has_overlay2)
    if not has_overlay2:
        return True
    by_itself = (DRIVER, "as Docker does where there is one")
    if not has_records:  # the other store must not answer for a lost one without a word
        if not has_dockers(namespaces_of(opened.directory, META_DB)):
            return False
        by_itself = (_CONTAINERD, "as the records of overlay2 are gone")
    found, why = _by_containers(docker) or _by_settings(docker) or by_itself
    other = _CONTAINERD if found == DRIVER else DRIVER
    where = f" at {opened.directory.display}" if other == _CONTAINERD else ""
    _log.warning(
        "%s: there are two stores of images: %s is read, %s; --store %s reads the other%s",
        *(docker.display, found, why, other, where),
    )
    return found == _CONTAINERD


def _is_other_engine_meant(docker: HostDir, opened: Opened, *, has_overlay2: bool) -> bool:
    """Whether the store of another engine is read: not if Docker has an overlay2 store."""
    if has_overlay2:
        _log.warning(
            "%s is read; there is a containerd root too, of %s, at %s (--store containerd, or --root)",
            *(docker.display, opened.owner, opened.directory.display),
        )
    return not has_overlay2


def _by_containers(docker: HostDir) -> tuple[str, str] | None:
    """The store of the newest container whose config names one; None if none does."""
    notes = ContainerDB(docker)
    configs: list[ContainerConfig] = []
    for container_id in notes.container_ids():
        try:
            configs.append(notes.config(container_id))
        except (CorruptStore, DataRootError):
            continue
    told = max((item for item in configs if item.driver), key=lambda item: item.created_ns or 0, default=None)
    if told is None:
        return None
    drivers = {item.driver == DRIVER for item in configs if item.driver}
    which = "its newest container uses" if len(drivers) > 1 else "its containers use"
    return (DRIVER if told.driver == DRIVER else _CONTAINERD), f"which {which}"


def _by_settings(docker: HostDir) -> tuple[str, str] | None:
    """The store that the `daemon.json` of the same system asks for."""
    settings = _settings(docker)
    try:
        flag = mapping(settings, "features").get("containerd-snapshotter")
        driver = text(settings, "storage-driver")
    except FormatError:
        return None
    if isinstance(flag, bool):
        return (_CONTAINERD if flag else DRIVER), "as its daemon.json says (containerd-snapshotter)"
    if driver:
        return (DRIVER if driver == DRIVER else _CONTAINERD), "as its daemon.json says (storage-driver)"
    return None


def _settings(docker: HostDir) -> Json:
    """The settings in `daemon.json` of the system whose `/var/lib/docker` this is; empty if there is none."""
    whole = posixpath.abspath(docker.display)
    if not whole.endswith(_USUAL):
        return {}
    try:
        with HostDir.open(whole.removesuffix(_USUAL) or "/") as system:
            return load_object(system.read(_SETTINGS, _SETTINGS_LIMIT))
    except (OSError, FormatError):
        return {}
