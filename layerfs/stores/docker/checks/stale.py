"""Finds remains of containers that run no more: state, mounts, the kernel's work files.

A container's `State` is written when it changes, and is wrong after a crash and in a copy. A container runs
on this host only if its `merged/` is a mount.

Sources: moby `daemon/daemon.go` (restore), `container/state.go`,
`daemon/graphdriver/overlay2/overlay.go`; Linux `fs/overlayfs/super.c` (work directory).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding, Found, container_subject, directory_subject
from layerfs.ids import ImageID, InvalidID
from layerfs.stores.docker.driver import DRIVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.ids import CacheID, ContainerID
    from layerfs.stores.docker.checks.survey import Survey

__all__ = ["stale"]


def stale(survey: Survey) -> Iterator[Found]:
    """Wrong states of containers in `survey`, and remains of their mounts."""
    overlay2 = survey.root.overlay2
    mounted = frozenset(item for item in overlay2.cache_ids() if overlay2.is_mounted(item))
    for container_id, config in survey.configs.items():
        for finding in _container(survey, container_id, config, mounted):
            foreign = finding.code == "container-driver"
            yield Found(finding, (f"containers/{container_id}".encode(),) if foreign else ())
    for cache_id in overlay2.cache_ids():
        if cache_id not in mounted:
            yield from _mount(survey, cache_id)


def _container(
    survey: Survey, container_id: ContainerID, config: ContainerConfig, mounted: frozenset[CacheID]
) -> Iterator[Finding]:
    subject = container_subject(container_id)
    path = survey.root.directory.name_of(f"containers/{container_id}/config.v2.json")

    def found(code: str, severity: Severity, expected: str, actual: str, message: str) -> Finding:
        return Finding(code, severity, subject, path, expected, actual, message)

    if config.driver not in ("", DRIVER):
        message = "the container is of another storage driver"
        yield found("container-driver", "warning", DRIVER, config.driver, message)
    if not _has_image(survey, config.image_id):
        message = "the image is gone; the container holds its layers alone"
        yield found("container-image-missing", "note", "an image of this root", config.image_id, message)
    if config.state.dead:
        message = "its removal did not end"
        yield found("container-dead", "warning", "a container that is there or gone", "dead", message)
    mount = survey.mounts.get(container_id)
    running = config.state.running or config.state.paused or config.state.restarting
    if running and not (mount and mount.mount_id in mounted):
        message = "noted as running, but not on this host: it crashed, or the root was copied as it ran"
        yield found("container-stale", "note", "stopped", "running", message)


def _has_image(survey: Survey, image_id: str) -> bool:
    try:
        return ImageID(image_id) in survey.root.imagedb
    except InvalidID:
        return False


def _mount(survey: Survey, cache_id: CacheID) -> Iterator[Found]:
    """The remains of a mount of a directory, also in a copy."""
    overlay2 = survey.root.overlay2
    claims = survey.structure.claims.get(cache_id)
    subject = claims[0] if claims else directory_subject(cache_id)
    merged, scratch = f"overlay2/{cache_id}/merged", f"overlay2/{cache_id}/work/work"
    if (names := overlay2.names_in(cache_id, "merged")) is not None:
        path, actual = survey.root.directory.name_of(merged), f"{len(names)} entries"
        finding = Finding("merged-left", "note", subject, path, "nothing", actual, "a mount never undone")
        if names:
            message = "a copy took along what was mounted here: everything in it is elsewhere too"
            finding = finding._replace(code="merged-copied", severity="warning", message=message)
        yield Found(finding, (merged.encode(),))
    if names := overlay2.names_in(cache_id, "work/work"):
        path = survey.root.directory.name_of(scratch)
        message = "scratch files of the kernel from a mount that was never undone, or from whiteouts"
        finding = Finding("work-left", "note", subject, path, "nothing", f"{len(names)} entries", message)
        yield Found(finding, tuple(f"{scratch}/".encode() + name for name in names))
