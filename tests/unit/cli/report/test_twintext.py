"""The text of a twin: the same document, in which a row is a line, and nothing is unseen."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs_cli.report.twintext import twin_text

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.text())
DOCUMENTS = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=30,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), DOCUMENTS))
def test_document_is_the_same(twin: dict[str, object]) -> None:
    """Read again, it is what it was."""
    whole = b"".join(twin_text(twin))
    assert json.loads(whole) == twin
    assert whole.decode().replace("\n", "").isprintable()


def test_row_is_a_line() -> None:
    """Values without values of their own stand on one line."""
    rows = [{"a": 1, "b": ["x", "y"]}] * 3
    lines = b"".join(twin_text({"rows": rows, "one": {"a": rows}})).splitlines()
    assert lines.count(b'  {"a":1,"b":["x","y"]}') + lines.count(b'  {"a":1,"b":["x","y"]},') == 3
