"""Times in reports: every file counts once, in a bucket or as an outlier, whatever the year."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from layerfs.ids import ChainID
from layerfs.model import LayerInfo
from layerfs_cli.report.pictures import time_strip
from layerfs_cli.report.times import FileTimes, timeline_part

NANO = st.one_of(
    st.integers(-(1 << 63) * 10**9, (1 << 63) * 10**9),  # what file systems and tars can say
    st.integers(1_600_000_000 * 10**9, 1_700_000_000 * 10**9),
)
LAYERS = [LayerInfo(number, None, None, ChainID("sha256:" + str(number) * 64)) for number in (1, 2)]


@given(st.lists(NANO, max_size=80))
def test_every_file_counts_once(moments: list[int]) -> None:
    """The files of buckets and outliers are all files; and a picture is made, if only of nothing."""
    times = FileTimes()
    for moment in moments:
        times.add(LAYERS[0], moment)
    part = timeline_part((), times)
    counted = [row["files"] for row in (*part["buckets"], *part["outliers"])]
    assert sum(counted) == len(moments)
    assert (part["first"] is None) == (not moments)
    picture = time_strip(part)
    assert "nan" not in picture
    assert not re.search(r'(width|height)="-', picture)


def test_layer_of_two_images_counts_once() -> None:
    """A layer that another image has too is counted with the first, and its other layers are."""
    times = FileTimes()
    for layers in (LAYERS[:1], LAYERS):
        times.begin()
        for layer in layers:
            times.add(layer, 10**18)
            times.add(layer, 10**18 + 1)
    assert times.hours.total() == 4
