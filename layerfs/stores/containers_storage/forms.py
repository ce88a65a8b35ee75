"""How the layers of one store are to be read: `Form`, and `layer_source`, which reads one so.

`stored_layer` gives a layer by itself, in the kernel's terms whatever its form (a whiteout is a device 0:0,
opaque is the attribute `dialect.opaque`); `layer_source` gives what a union is made of.

Sources: containers/storage `drivers/overlay/overlay.go` (mount programs, `userxattr`).
"""

from __future__ import annotations

import enum
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, MalformedFile, MissingFile
from layerfs.formats.idmap import SAME
from layerfs.formats.whiteouts import TRUSTED, USER
from layerfs.stores.containers_storage.fuseform import FuseLayer
from layerfs.stores.containers_storage.overridden import OverriddenLayer, override_in_force
from layerfs.stores.files import read_optional
from layerfs.tree.overlay import OverlayLayer, RawLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.idmap import Owners
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.tree.archived import ArchivedLayer
    from layerfs.tree.originals import Originals
    from layerfs.tree.source import LayerSource

__all__ = ["Form", "archived_layer", "form_of", "layer_source", "stored_layer"]

_MOUNT_PROGRAM = ".has-mount-program"
_WORD = 16
_WORDS = {b"true": True, b"false": False}
_LOOKED_AT = 64  # layers, in the order of their random IDs


class Form(enum.Enum):
    """Which marks the layers of a store have."""

    KERNEL = "trusted.overlay.*"
    """Overlayfs, mounted by root."""

    USER = "user.overlay.*"
    """Overlayfs in a user namespace: rootless."""

    FUSE = "fuse-overlayfs"
    """fuse-overlayfs: `.wh.` files, and all that the others have."""

    @property
    def dialect(self) -> Dialect:
        """The attributes that are marks in what `stored_layer` gives."""
        return USER if self is Form.USER else TRUSTED


def form_of(driver: HostDir, report: Callable[[CorruptStore], object]) -> Form:
    """The form of the layers below the driver's directory, `overlay/`.

    `.has-mount-program` says whether fuse-overlayfs stacks them. If not, the kernel does, for the user who
    owns the directory, and `trusted.*` is for root alone. But the owner may be that of a copy; then marks
    on the roots of layers tell, which the kernel leaves in those of containers.

    Engines older than the file had the kernel for root, and fuse-overlayfs for all others. So where the file
    of a user's root is lost, and no mark is of the kernel, it is read so: fuse-overlayfs understands the
    kernel's marks too. That, and a file that says neither, is told to `report`.
    """
    said, problem = _said(driver)
    if said:
        return Form.FUSE
    by_owner, other = (Form.USER, Form.KERNEL) if driver.lstat().st_uid else (Form.KERNEL, Form.USER)
    marked = _forms_marked(driver)
    if said is None and by_owner is Form.USER and not marked:
        lost = "whether fuse-overlayfs stacks the layers is not known: they are read so"
        report(problem or MissingFile(driver.name_of(_MOUNT_PROGRAM), lost))
        return Form.FUSE
    if problem:
        report(problem)
    return other if other in marked and by_owner not in marked else by_owner


def _said(driver: HostDir) -> tuple[bool | None, CorruptStore | None]:
    """Whether fuse-overlayfs is said to stack the layers, None if nothing tells; and what is wrong."""
    try:
        content = read_optional(driver, _MOUNT_PROGRAM, _WORD)
    except CorruptStore as error:
        return None, error
    word = None if content is None else content.strip()
    if word is None or word in _WORDS:
        return _WORDS.get(word or b""), None
    name, found = driver.name_of(_MOUNT_PROGRAM), ascii(os.fsdecode(word))
    problem = "it does not say whether fuse-overlayfs stacks the layers"
    return None, MalformedFile(name, problem, expected="true or false", found=found)


def _forms_marked(driver: HostDir) -> set[Form]:
    """The forms of which some layer's root has marks."""
    found: set[Form] = set()
    for name in sorted(driver.names())[:_LOOKED_AT]:
        with suppress(OSError):
            names = driver.xattr_names(name + b"/diff")
            found |= {form for form in (Form.KERNEL, Form.USER) if any(map(form.dialect.private, names))}
    return found


def layer_source(directory: HostDir, form: Form, owners: Owners = SAME) -> LayerSource:
    """A layer as its engine reads it.

    Args:
        directory: its `diff/`.
        form: of the store.
        owners: the user namespace; see `owners`.
    """
    return OverlayLayer(stored_layer(directory, form, owners), form.dialect)


def archived_layer(
    directory: HostDir,
    form: Form,
    owners: Owners,
    key: int,
    originals: Callable[[], Originals | None],
    told_by: str,
) -> ArchivedLayer:
    """As `stored_layer`, with the attributes of the layer's archive; for the others see `ArchivedLayer`."""
    from layerfs.stores.containers_storage.archivedfuse import ArchivedFuseLayer  # noqa: PLC0415 - few ask
    from layerfs.tree.archived import ArchivedLayer  # noqa: PLC0415

    made = ArchivedFuseLayer if form is Form.FUSE else ArchivedLayer
    return made(directory, key, originals, owners, told_by=told_by)


def stored_layer(directory: HostDir, form: Form, owners: Owners = SAME) -> RawLayer:
    """A layer by itself, marks and all; raises `OSError`."""
    if form is Form.FUSE:
        return FuseLayer(directory, owners)
    return (OverriddenLayer if override_in_force(directory) else RawLayer)(directory, owners)
