"""The layers that a name means, sound or damaged: for commands that ask whether they are damaged.

Unlike `naming` and `targets` this goes by each file of a record by itself, and reports nothing. Used by
`verify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import AmbiguousName, LayerNotFound
from layerfs.formats.rootpath import root_paths
from layerfs.ids import InvalidID, LinkID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.structure import Structure
    from layerfs.ids import ChainID

__all__ = ["layers_called"]


def layers_called(structure: Structure, name: str, root_path: bytes) -> list[ChainID]:
    """The layers of this chain ID, diff ID, cache ID, short link, path of a layer, or beginning of an ID.

    Args:
        structure: the records.
        name: what was given.
        root_path: the data root's absolute path; a path of another place is understood as well.

    Raises:
        LayerNotFound: it means none.
        AmbiguousName: it is the beginning of several IDs.
    """
    wanted = _of_path(name, root_path) or name
    if linked := _linked(structure, wanted):
        wanted = linked
    ids = list(_ids(structure))
    exact = [chain for text, chain in ids if wanted in (text, text.removeprefix("sha256:"))]
    if exact:
        return list(dict.fromkeys(exact))
    prefix = wanted.removeprefix("sha256:")
    found = [(text, chain) for text, chain in ids if text.removeprefix("sha256:").startswith(prefix)]
    if not prefix or not found:
        raise LayerNotFound(
            f"no such image or layer: {name}",
            hint="`layerfs images -a` and `layerfs layers` list what there is",
        )
    chains = list(dict.fromkeys(chain for _, chain in found))
    if len({text for text, _ in found}) > 1 and len(chains) > 1:
        raise AmbiguousName(name, chains)
    return chains


def _ids(structure: Structure) -> Iterator[tuple[str, ChainID]]:
    """Every ID of every layer; a chain ID comes first, as it may be the diff ID of others."""
    noted = {chain: structure.noted(chain) for chain in structure.root.layerdb.chain_ids()}
    yield from ((chain, chain) for chain in noted)
    for chain, record in noted.items():
        if record.cache_id:
            yield record.cache_id, chain
        if record.diff_id and str(record.diff_id) != chain:
            yield record.diff_id, chain


def _of_path(name: str, root_path: bytes) -> str | None:
    """The ID in a path of a layer; None for what is no path of one."""
    if "/" not in name or "\0" in name:
        return None
    for place in root_paths(name.encode("utf-8", "surrogateescape"), root_path):
        if place.kind in ("directory", "link", "chain", "diff"):
            return place.name
    return None


def _linked(structure: Structure, name: str) -> str | None:
    """The directory that a short link leads to."""
    try:
        return structure.root.overlay2.link_target(LinkID(name.removeprefix("l/")))
    except InvalidID:
        return None
