"""Images that `export --all` leaves out, because they cannot be exported as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .main import FINDINGS
from .messages import say, way_out

if TYPE_CHECKING:
    from layerfs.capabilities import LayerBlob
    from layerfs.errors import CorruptStore
    from layerfs.layertar import LayerTar
    from layerfs.views.export.images import ExportImage

__all__ = ["LeftOut", "Made"]


class Made(NamedTuple):
    """An image to write, and its name for messages."""

    name: str
    image: ExportImage


class LeftOut:
    """Names the images that cannot be rebuilt.

    Attributes:
        code: the exit code.
    """

    def __init__(self) -> None:
        """Nothing is left out yet."""
        self.code = 0
        self._tried: dict[str, CorruptStore | None] = {}

    def add(self, name: str, error: CorruptStore) -> None:
        """Report an image, why it is left out, and what could be done."""
        from layerfs.errors import reason

        self.code = FINDINGS
        say("error", f"{name} is left out: {reason(error)}")
        if hint := way_out(error):
            say("hint", hint)

    def can_be_rebuilt(self, item: Made) -> bool:
        """Whether all layers can be written, which is tried for each layer once; reports why not."""
        for chain, layer in zip(item.image.chain, item.image.written, strict=True):
            if chain not in self._tried:
                self._tried[chain] = _damage(layer)
            if error := self._tried[chain]:
                self.add(item.name, error)
                return False
        return True


def _damage(layer: LayerTar | LayerBlob) -> CorruptStore | None:
    from layerfs.errors import CorruptStore

    try:
        layer.write(lambda _piece: None)
    except CorruptStore as error:
        return error
    return None
