"""`layerfs explain --topic`: every word fits a screen, and its example is the root's own."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.topics import OTHER_WORDS, TOPICS
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

ELSEWHERE = {"manifest", "index", "snapshot", "layer-id", "composefs"}
"""What a data root of overlay2 has no example of."""


def test_every_word_is_listed(tmp_path: Path) -> None:
    """The list has each word in a line that fits; a word that leads on is one of them."""
    lines = layerfs(tmp_path, "explain", "--topic").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(TOPICS)
    assert max(map(len, lines)) <= 80
    assert {word for text in TOPICS.values() for word in text.see} | set(OTHER_WORDS.values()) <= set(TOPICS)


@pytest.mark.parametrize("word", TOPICS)
def test_a_word_fits_a_screen(dataroot_path: Path, tmp_path: Path, word: str) -> None:
    """At most 40 lines of 80 columns; the example is of the root, and where it has none, this is said."""
    for root in (dataroot_path, tmp_path):
        done = layerfs(root, "explain", "--topic", word)
        assert (done.code, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert len(lines) <= 40
        assert max(len(line) for line in lines if not line.startswith("  ")) <= 80
        own = root is dataroot_path and word not in ELSEWHERE
        assert ("Example (built in" in done.stdout) != own
        assert "NAME" not in "".join(lines[lines.index("Try:") :]) or not own


@pytest.mark.parametrize("word", sorted(set(TOPICS) - ELSEWHERE))
def test_what_is_to_be_tried_works(dataroot_path: Path, word: str) -> None:
    """Each command of an example runs, and finds what it is about."""
    commands = layerfs(dataroot_path, "explain", "--topic", word, "--format", "json").json["try"]
    assert commands
    for command in commands:
        done = layerfs(dataroot_path, *shlex.split(command)[1:])
        assert done.code in (0, 1), (command, done.stderr)
        assert done.stdout, command


def test_built_in_facts_are_of_the_recorded_roots(dataroot_path: Path, sample: Callable[[str], Path]) -> None:
    """Every ID in a built-in example is one of the recorded roots, not made up."""
    stores = "".join(
        layerfs(root, *words).stdout
        for root in (
            dataroot_path,
            *map(sample, ("docker29-containerd", "podman-4.3-rootful", "podman-5.8-composefs")),
        )
        for words in (
            ["layers", "--digests", "--format", "json"],
            ["images", "-a", "--digests", "--format", "json"],
        )
    )
    stores += " ".join(path.name for path in sample("docker29-containerd").rglob("blobs/sha256/*"))
    stores += layerfs(sample("docker29-containerd"), "chain-id", "--steps", "multi:1").stdout
    ids = {
        found
        for text in TOPICS.values()
        for _, value in text.facts
        for found in re.findall(r"([0-9a-z]{12})…", value)
    }
    assert len(ids) > 10
    assert {found for found in ids if found not in stores} == set()


@pytest.mark.parametrize(
    ("root", "word", "text"),
    [
        ("podman-4.3-rootful", "layer-id", "+"),
        ("podman-5.8-composefs", "composefs", "its object: overlay/"),
        ("podman-4.3-rootless-fuse", "whiteout", "/.wh."),
    ],
)
def test_examples_of_graph_roots(sample: Callable[[str], Path], root: str, word: str, text: str) -> None:
    """The words of containers/storage have examples in its roots, and what is to be tried there works."""
    done = layerfs(sample(root), "explain", "--topic", word)
    assert "Example (of" in done.stdout
    assert text in done.stdout
    for command in layerfs(sample(root), "explain", "--topic", word, "--format", "json").json["try"]:
        assert layerfs(sample(root), *shlex.split(command)[1:]).code in (0, 1)


@pytest.mark.parametrize(
    ("typed", "meant"), [("Chain_ID", "chain-id"), ("platform", "index"), ("<none>", "dangling")]
)
def test_other_spellings(tmp_path: Path, typed: str, meant: str) -> None:
    """A word is found in other spellings."""
    assert layerfs(tmp_path, "explain", "--topic", typed).stdout.startswith(f"{meant}: ")


def test_an_unknown_word(tmp_path: Path) -> None:
    """The nearest word is suggested; for one that is like none, where the list is."""
    assert "did you mean whiteout" in layerfs(tmp_path, "explain", "--topic", "whitout").stderr
    done = layerfs(tmp_path, "explain", "--topic", "zzz")
    assert (done.code, done.stdout) == (2, "")
    assert "lists them" in done.stderr
