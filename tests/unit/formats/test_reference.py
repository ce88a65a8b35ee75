"""References in Docker's normal and familiar forms; facts of distribution/reference and Go's path.Match."""

from __future__ import annotations

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference, reference_matches

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("x", "docker.io/library/x", "x"),
        ("library/x", "docker.io/library/x", "x"),
        ("docker.io/x:1", "docker.io/library/x:1", "x:1"),
        ("index.docker.io/x", "docker.io/library/x", "x"),
        ("a/b:t", "docker.io/a/b:t", "a/b:t"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("host:5000/x:1", "host:5000/x:1", "host:5000/x:1"),
        ("registry.example.com/a/b/c", "registry.example.com/a/b/c", "registry.example.com/a/b/c"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:1@{DIGEST}", f"docker.io/library/x:1@{DIGEST}", f"x:1@{DIGEST}"),
        ("a__b--c.d_e", "docker.io/library/a__b--c.d_e", "a__b--c.d_e"),
    ],
)
def test_forms(text: str, canonical: str, familiar: str) -> None:
    """A name is normalised as Docker does, and its familiar form leads back to it."""
    reference = parse_reference(text)
    assert (reference.canonical, reference.familiar) == (canonical, familiar)
    assert parse_reference(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "X",
        "a/B",
        "a" * 64,
        "x:",
        "x:" + "t" * 129,
        "x:-t",
        "-x",
        "x-",
        "a//b",
        "a_-b",
        "x@sha256:12",
        "x@md5:" + "a" * 32,
        "/x",
        "x/",
        "a" * 256,
        "x y",
        "x\n",
        "é",
        "host:port/x",
        "x:1:2",
        f"@{DIGEST}",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    """What Docker refuses as a reference is refused."""
    with pytest.raises(FormatError):
        parse_reference(text)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("x", "x:1", True),
        ("x:*", "x:1", True),
        ("*", "x:1", True),
        ("*", "a/x:1", False),
        ("*/*", "a/x:1", True),
        ("a/*:1", "a/x:1", True),
        ("x:?", "x:12", False),
        ("x:[0-9]", "x:1", True),
        ("x:[^0-9]", "x:1", False),
        ("x\\:1", "x:1", True),
        ("docker.io/library/x", "x:1", False),
    ],
)
def test_filter_pattern(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001
    """A `reference` filter fits the familiar form or the name, and a star crosses no slash."""
    assert reference_matches(pattern, parse_reference(text)) == matches


@pytest.mark.parametrize("pattern", ["[", "[]a]", "[a-", "[a-]", "\\", "[^]"])
def test_bad_pattern(pattern: str) -> None:
    """A pattern that Go calls malformed is refused."""
    with pytest.raises(FormatError):
        reference_matches(pattern, parse_reference("x:1"))
