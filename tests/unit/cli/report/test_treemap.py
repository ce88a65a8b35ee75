"""The treemap of reports: areas are bytes, boxes fill the picture and do not overlap, and no byte is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs_cli.report.treemap import Box, Tile, rolled_up, squarified, treemap

SIZES = st.lists(st.integers(1, 1 << 50), min_size=1, max_size=60).map(
    lambda sizes: sorted(sizes, reverse=True)
)
PATHS = st.lists(st.sampled_from("abc"), min_size=0, max_size=4).map(lambda parts: "/" + "/".join(parts))
TILES = st.dictionaries(PATHS, st.tuples(st.integers(1, 1000), st.integers(0, 1000)), min_size=1).map(
    lambda rows: [Tile(path, 1, size + wasted, wasted) for path, (size, wasted) in rows.items()]
)


@settings(max_examples=50)
@given(SIZES, st.floats(1, 2000), st.floats(1, 2000))
def test_areas_are_sizes(sizes: list[int], width: float, height: float) -> None:
    """Each box has its part of the area, lies inside, and overlaps no other."""
    boxes = squarified(sizes, Box(0, 0, width, height))
    total, area = sum(sizes), width * height
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(area * size / total, rel=1e-3, abs=area * 1e-6)
        assert min(box.x, box.y, box.width, box.height) >= 0
        assert box.x + box.width <= width * (1 + 1e-6)
        assert box.y + box.height <= height * (1 + 1e-6)
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) <= 1e-6 * max(width, height)


@given(TILES, st.integers(1, 12))
def test_small_directories_are_part_of_those_above(tiles: list[Tile], most: int) -> None:
    """There are at most so many, all bytes are kept, and each stands at its directory or one above it."""
    found = rolled_up(tiles, most)
    assert len(found) <= most
    assert sum(tile.size for tile in found) == sum(tile.size for tile in tiles)
    assert sum(tile.wasted for tile in found) == sum(tile.wasted for tile in tiles)
    assert len({tile.path for tile in found}) == len(found)
    given_paths = {tile.path: tile for tile in tiles}
    for tile in found:
        if not tile.below:
            assert given_paths[tile.path] == tile
        else:
            assert any(path.startswith(tile.path) for path in given_paths)


def test_picture_of_nothing_is_nothing() -> None:
    """Without bytes there is no picture."""
    assert treemap([], 1) == ""
    assert treemap([{"path": "/", "layer": 1, "shown": 0, "wasted": 0}], 1) == ""


def test_label_shows_the_end_of_a_path() -> None:
    """Where a path has no room, its last components are shown; the title has all of it."""
    path = "/usr/share/" + "long/" * 40 + "end"
    picture = treemap([{"path": path, "layer": 7, "shown": 10, "wasted": 3}], 1)
    assert f"<title>{path}: layer 7, 13B, 3B of it wasted</title>" in picture
    label = re.findall("<text[^>]*>([^<]*)</text>", picture)[0]
    assert label.startswith("7 …/long/")
    assert label.endswith("/long/end")
