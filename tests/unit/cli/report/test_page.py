"""The page of a report: how large it gets, what it links to, and what it is made of."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from layerfs_cli.report.page import page

PAGE_SIZE, PAGES_SIZE, ELEMENTS, SCRIPT_SIZE = 2_000_000, 6_000_000, 25_000, 8192


def _part(number: int, layers: int, files: int) -> dict[str, Any]:
    """An image of so many layers, each with so many new files in long directories."""
    paths = [
        f"/usr/lib/python3/dist-packages/package{n % 700}/some_module_of_it_{n}.py" for n in range(files)
    ]
    changes: list[dict[str, Any]] = [
        {"kind": "added", "path": path, "type": "file", "size": n, "size_before": None, "attributes": []}
        for n, path in enumerate(paths)
    ]
    hidden = [
        {"path": path, "type": "file", "size": 9, "layer": 1, "hidden_by": 2, "how": "replaced", "wasted": 9}
        for path in paths
    ]
    identity = f"sha256:{number:064x}"
    return {
        "id": identity, "name": f"image{number}:latest", "references": [f"image{number}:latest"],
        "created": "2024-01-01T00:00:00Z", "platform": "linux/amd64", "size": 1, "shared_size": 1,
        "unique_size": 1, "freed_size": 1, "chain": [identity], "damage": None,
        "steps": [{"created_by": "RUN " + "x" * 300, "comment": "", "empty_layer": False}] * layers,
        "waste": {"stored": 10, "wasted": 5}, "hidden": hidden,
        "lanes": [{"path": path, "versions": [hidden[0], {**hidden[0], "layer": 2}]} for path in paths],
        "directories": [
            {"path": path.rpartition("/")[0], "layer": 1 + n % layers, "shown": n, "wasted": n % 3}
            for n, path in enumerate(paths)
        ],
        "layers": [
            {
                "index": n + 1, "step": "RUN " + "x" * 300, "size": 1, "stored": 10, "wasted": 5, "hides": 1,
                "counts": {"added": files}, "diff_id": identity, "chain_id": identity, "place": "d" * 64,
                "changes_in": None, "changes": changes,
            }
            for n in range(layers)
        ],
    }  # fmt: skip


def _twin(images: int, layers: int, files: int) -> dict[str, Any]:
    records = [{"path": f"image/overlay2/{n}", "size": 1, "sha256": "0" * 64} for n in range(images * 20)]
    return {
        "scope": "all", "root": {"kind": "docker", "driver": "overlay2"},
        "totals": {"images": images, "containers": 0, "layers": 1, "size": 1, "shared_size": None},
        "images": [_part(number, layers, files) for number in range(images)], "containers": [],
        "sharing": [], "names": {}, "findings": [], "verified": None, "problems": [],
        "timeline": {
            "span_hours": 1, "buckets": [], "first": None, "last": None, "outliers": [], "events": [],
        },
        "evidence": {"tool": "layerfs", "metadata_files": records},
    }  # fmt: skip


def test_large_image_makes_a_page_that_a_browser_opens_at_once() -> None:
    """30,000 files in 8 layers: below 2 MB and 25,000 elements, and what was left out is counted."""
    made = "".join(page(_twin(1, 8, 3750), "0" * 64))
    assert len(made) < PAGE_SIZE
    assert len(re.findall("<[a-z]", made)) < ELEMENTS
    assert "3,600 more, which the JSON has." in made


def test_hundred_images_make_a_page() -> None:
    """120 images: below 6 MB and 25,000 elements; the last have no section, and it is said how many."""
    made = "".join(page(_twin(120, 6, 60), "0" * 64))
    assert len(made) < PAGES_SIZE
    assert len(re.findall("<[a-z]", made)) < ELEMENTS
    shown = made.count('id="part-')
    assert 90 < shown < 120
    assert f"{120 - shown} more have no section" in made


def test_every_link_has_its_target() -> None:
    """Links lead to parts of the page alone, all of which are there, each ID once."""
    made = "".join(page(_twin(3, 2, 3), None))
    ids = re.findall(' id="([^"]*)"', made)
    assert len(ids) == len(set(ids))
    assert set(re.findall('href="([^"]*)"', made)) <= {f"#{name}" for name in ids}


def test_policy_allows_what_is_there_and_nothing_else() -> None:
    """The policy stands before all that it rules, with the digests of the one style and the one script."""
    made = "".join(page(_twin(1, 1, 1), None))
    (style,), (script,) = (
        re.findall(f"<{tag}>(.*?)</{tag}>", made, re.DOTALL) for tag in ("style", "script")
    )
    policy = re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', made)[0].replace(
        "&#39;", "'"
    )
    for text in (style, script):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert made.index("Content-Security-Policy") < made.index("<style>")
    assert len(script) <= SCRIPT_SIZE
