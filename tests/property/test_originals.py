"""Unpacking in memory: what it remembers of the way to a directory changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats.tarheader import Header
from layerfs.tree.originals import Originals

if TYPE_CHECKING:
    from layerfs.tree.original import Original

NAMES = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b"/".join)
MARKED = st.tuples(NAMES, st.sampled_from([b"", b".wh."])).map(
    lambda drawn: drawn[0].rpartition(b"/")[0] + b"/" + drawn[1] + drawn[0].rpartition(b"/")[2]
)
TARGETS = st.one_of(NAMES, NAMES.map(lambda name: b"../" + name), st.just(b".."), st.just(b"/"))
HEADERS = st.builds(
    lambda name, kind, target: Header(name, kind, 0o644, 0, 0, 0, 0, target),
    MARKED,
    st.sampled_from([b"0", b"1", b"2", b"5"]),
    TARGETS,
)


class Forgetful(Originals):
    """Finds every directory anew."""

    def add(self, header: Header, size: int) -> Original | None:
        """Unpack one member."""
        self._entered.clear()
        return super().add(header, size)


def _told(made: Originals) -> list[tuple[bytes, int, int, bytes, int]]:
    """Every path: its inode, mode, target and links."""
    told, pending = [], [(b"", made.root)]
    while pending:
        path, entry = pending.pop()
        told.append((path, entry.number, entry.mode, entry.target, entry.links))
        pending += [(path + b"/" + name, child) for name, child in (entry.children or {}).items()]
    return told


@given(headers=st.lists(HEADERS, max_size=20), deleting=st.booleans())
def test_remembered_ways_lead_where_walked_ones_do(*, headers: list[Header], deleting: bool) -> None:
    """Directories that are replaced by files and links, links that lead elsewhere, names that are deleted."""
    quick, slow = (kind((), b"opaque", deleting=deleting) for kind in (Originals, Forgetful))
    for header in headers:
        for made in (quick, slow):
            made.add(header, 0)
    assert _told(quick) == _told(slow)
    assert quick.faults == slow.faults
