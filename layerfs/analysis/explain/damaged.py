"""The layers of an image or container of which some cannot be read: `as_far_as_readable`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from layerfs.analysis.store.stack import made_from
from layerfs.errors import CorruptStore
from layerfs.model import Container, Image, LayerInfo
from layerfs.tree.node import FileStat
from layerfs.tree.source import NO_MARKS, Entry, Unmarked
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import Never

    from layerfs.ids import ChainID
    from layerfs.model import BareLayer, Layer
    from layerfs.store import Store
    from layerfs.tree.content import Content
    from layerfs.tree.source import LayerSource, Marks

__all__ = ["SilentLayer", "UnreadableLayer", "as_far_as_readable"]

_ROOT = Entry(b"", FileStat(0o040755, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0), whiteout=False)


class UnreadableLayer(Unmarked):
    """Stands where a layer is that cannot be read: whoever asks for anything but its root gets EIO."""

    def __init__(self, label: str, problem: CorruptStore) -> None:
        """Be the layer called `label`, which has this problem."""
        self.label = label
        self.problem = problem

    @property
    def identity(self) -> Hashable:
        """Itself alone."""
        return id(self)

    def statvfs(self) -> os.statvfs_result:
        """Nothing is known of it but the longest name that most file systems take."""
        return os.statvfs_result((0,) * 9 + (255,))

    def entry(self, path: bytes) -> Entry | None:
        """Its root, which every layer has; all else raises."""
        return self._refuse() if path else _ROOT

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Raises."""
        del path
        self._refuse()

    def marks(self, path: bytes) -> Marks:
        """Those of its root."""
        return self._refuse() if path else NO_MARKS

    def readlink(self, path: bytes) -> bytes:
        """Raises."""
        del path
        self._refuse()

    def open(self, path: bytes) -> Content:
        """Raises."""
        del path
        self._refuse()

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Raises."""
        del path
        self._refuse()

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """Raises."""
        del path, name
        self._refuse()

    def _refuse(self) -> Never:
        raise OSError(errno.EIO, str(self.problem))


class SilentLayer(UnreadableLayer):
    """The same for who wants to know what the other layers tell: it has nothing."""

    def entry(self, path: bytes) -> Entry | None:
        """Its root, and nothing else."""
        return None if path else _ROOT

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Nothing."""
        del path
        return ()


def as_far_as_readable(
    store: Store, owner: Image | Container, up_to: int | None = None
) -> tuple[UnionTree, tuple[LayerInfo, ...]]:
    """The tree of an image or container, whose damaged layers refuse to answer, and its layers.

    The layers are uppermost first.

    Args:
        store: the store.
        owner: the image, or the container.
        up_to: of an image: as of its layer of this number; 1 is the base.

    Raises:
        CorruptStore: it is not known which layers there are.
    """
    image = owner if isinstance(owner, Image) else made_from(store, owner)
    if image is None:
        store.stack(owner)  # says what is wrong
        raise CorruptStore(store.record_name(owner.id), "the image is not known")
    found: list[tuple[LayerInfo, LayerSource]] = []
    for chain, diff_id in zip(image.chain[:up_to], image.config.diff_ids, strict=False):
        number = len(found) + 1
        info = LayerInfo(number, store.place_of_chain(chain), diff_id, chain)
        found.append((info, _source(store, store.record_name(chain), _recorded(store, chain))))
    for own in owner.own if isinstance(owner, Container) else ():
        info = LayerInfo.of(len(found) + 1, own)
        found.append((info, _source(store, own.cache_id, lambda own=own: own)))  # type: ignore[misc]
    found.reverse()
    return UnionTree([source for _, source in found]), tuple(info for info, _ in found)


def _recorded(store: Store, chain: ChainID) -> Callable[[], Layer]:
    return lambda: store.record(chain)


def _source(store: Store, label: str, layer: Callable[[], Layer | BareLayer]) -> LayerSource:
    """A layer to read from; one that refuses where it cannot be had, which is reported."""
    try:
        return store.source(layer())
    except CorruptStore as error:
        store.report(error)
        return UnreadableLayer(label, error)
