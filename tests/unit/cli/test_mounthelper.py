"""The options of mount(8) as `layerfs mount` takes them; tests/fuse has them from the real mount(8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs_cli.mounthelper import BadOption, layerfs_words

WORDS = st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cs", "Cc"]), min_size=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", []),
        ("rw", []),
        (",,rw,", []),
        ('root="/a,b",up-to=3', ["--root=/a,b", "--up-to=3"]),
        (r"root=/a\,b\\c", [r"--root=/a,b\c"]),
        ("root=/a=b", ["--root=/a=b"]),
        ("root=", ["--root="]),
        ("ignore_permissions,no_passthrough", ["--ignore-permissions", "--no-passthrough"]),
        (
            "userns=231072,no_cache,platform=linux/arm64",
            ["--userns=231072", "--no-cache", "--platform=linux/arm64"],
        ),
        ("noexec,exec", []),
        ("exec,noexec", ["--noexec"]),
    ],
)
def test_options_become_words(options: str, words: list[str]) -> None:
    """Every option becomes a word of the command line, its value whole and without quotes."""
    assert layerfs_words("demo", "/mnt", options) == ["mount", *words, "--", "demo", "/mnt"]


@given(value=WORDS, name=WORDS.filter(lambda name: not name.startswith("/")))
def test_any_value_in_quotes_arrives(value: str, name: str) -> None:
    """Whatever stands in quotes is one value; a name may be given as an option."""
    found = layerfs_words("spec", "/mnt", f'rw,root="{value}",name="{name}",up-to=1')
    assert found == ["mount", f"--root={value}", "--up-to=1", "--", name, "/mnt"]


@given(options=st.text())
def test_anything_is_understood_or_refused(options: str) -> None:
    """No text of options is more than refused, and none adds a word that is no option."""
    try:
        words = layerfs_words("demo", "/mnt", options)
    except BadOption:
        return
    assert all(word.startswith("--") for word in words[1:-3])
    assert words[-3] == "--"
