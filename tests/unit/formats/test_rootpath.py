"""Paths of data roots, taken apart: by shape alone, whatever directory the root has."""

from __future__ import annotations

import pytest

from layerfs.formats.rootpath import RootPath, root_paths

CACHE, DIGITS = "0123456789abcdef" * 4, "fedcba9876543210" * 4
IMAGES = "/x/image/overlay2"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"/var/lib/docker/overlay2/{CACHE}", RootPath("directory", CACHE)),
        (f"/var/lib/docker/overlay2/{CACHE}/diff", RootPath("directory", CACHE, "diff")),
        (f"/d/100000.100000/overlay2/{CACHE}/diff/a/b", RootPath("directory", CACHE, "diff", b"a/b")),
        (f"overlay2/{CACHE}//diff/./a/../b/", RootPath("directory", CACHE, "diff", b"b")),
        (f"/x/overlay2/{CACHE}/merged/etc/x", RootPath("directory", CACHE, "merged", b"etc/x")),
        (f"/x/overlay2/{CACHE}/work/work", RootPath("directory", CACHE, "work", b"work")),
        ("/x/overlay2/l/ABC/etc/x", RootPath("link", "ABC", "diff", b"etc/x")),
        ("/x/overlay2/l/ABC", RootPath("link", "ABC")),
        (f"{IMAGES}/layerdb/sha256/{DIGITS}/tar-split.json.gz", RootPath("chain", DIGITS)),
        (f"{IMAGES}/layerdb/mounts/{CACHE}/mount-id", RootPath("container", CACHE)),
        (f"{IMAGES}/imagedb/content/sha256/{DIGITS}", RootPath("image", DIGITS)),
        (f"{IMAGES}/imagedb/metadata/sha256/{DIGITS}/parent", RootPath("image", DIGITS)),
        (f"{IMAGES}/distribution/diffid-by-digest/sha256/{DIGITS}", RootPath("blob", DIGITS)),
        (f"{IMAGES}/distribution/v2metadata-by-diffid/sha256/{DIGITS}", RootPath("diff", DIGITS)),
        (f"/x/containers/{CACHE}/config.v2.json", RootPath("container", CACHE)),
        ("/x/volumes/data/_data/file", RootPath("volume", "data")),
    ],
)
def test_path_is_recognised_by_its_shape(path: str, found: RootPath) -> None:
    """Each kind of path gives the name it holds, and of a layer's directory the path inside."""
    assert next(root_paths(path.encode(), b"/evidence")) == found


@pytest.mark.parametrize("path", ["/", "", "/etc/passwd", "/x/overlay2", "/x/overlay2/..", "/x/containers"])
def test_other_paths_are_nothing(path: str) -> None:
    """A path without a name behind any known directory is none of a data root."""
    assert list(root_paths(path.encode(), b"/evidence")) == []


def test_own_root_comes_before_shapes() -> None:
    """Directories of the root's own path do not count, whatever they are called."""
    root = b"/srv/overlay2/containers"
    assert next(root_paths(root + b"/overlay2/l/ABC", root)) == RootPath("link", "ABC")
    assert next(root_paths(b"/srv/overlay2/containers/x", b"/evidence")) == RootPath(
        "directory", "containers", "x"
    )


def test_docker_within_docker_is_the_outer_one_first() -> None:
    """Of a root inside a layer the outer layer comes first, then the inner one."""
    path = f"/x/overlay2/{CACHE}/diff/var/lib/docker/overlay2/{DIGITS}/diff/f".encode()
    outer, inner, *_ = root_paths(path, b"/evidence")
    assert (outer.name, inner.name) == (CACHE, DIGITS)


def test_names_that_are_no_utf8_survive() -> None:
    """A path inside a layer keeps its bytes."""
    assert next(root_paths(b"/x/overlay2/l/ABC/\xff", b"/e")).inner == b"\xff"
