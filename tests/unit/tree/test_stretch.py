from __future__ import annotations

import os
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats.tarindex import Extent
from layerfs.tree.openfile import OpenFile
from layerfs.tree.stretch import Stretch

PARTS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=6)


@given(
    PARTS, st.integers(0, 300), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)), max_size=5)
)
def test_a_stretch_reads_as_the_file_it_was(
    parts: list[tuple[int, int]], rest: int, reads: list[tuple[int, int]]
) -> None:
    """Reads at any place, and where data and holes begin, are those of a file with these parts and holes."""
    content, stored, extents = bytearray(), bytearray(b"before"), []
    for hole, length in parts:
        content += bytes(hole)
        data = os.urandom(length)
        extents.append(Extent(len(content), length, len(stored)))
        content += data
        stored += data
    content += bytes(rest)
    with tempfile.TemporaryFile() as file:
        file.write(stored)
        file.flush()
        with Stretch(OpenFile(os.dup(file.fileno())), len(content), extents) as stretch:
            assert stretch.size == len(content)
            assert stretch.read() == content
            for offset, length in reads:
                assert stretch.pread(length, offset) == content[offset : offset + length]
            at = 0
            for extent in extents:
                data_at = stretch.seek(at, os.SEEK_DATA)
                assert data_at == extent.start if extent.start >= at else data_at == at
                at = extent.start + extent.length
                assert stretch.seek(data_at, os.SEEK_HOLE) >= at or at == len(content)
