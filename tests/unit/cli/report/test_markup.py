"""The markup of reports: whatever the text, a parser of HTML gives it back, and nothing else."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from layerfs_cli.escape import printable
from layerfs_cli.report.markup import Html, element, joined, name, text
from tests.support.injections import INJECTIONS

TEXTS = st.one_of(
    st.sampled_from(INJECTIONS), st.text(), st.binary().map(lambda b: b.decode("utf-8", "surrogateescape"))
)


class _Parsed(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.data = ""
        self.other: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.data += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        self.other.append(decl)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


@given(TEXTS, TEXTS)
def test_text_and_attributes_are_given_back(inner: str, attribute: str) -> None:
    """One element with one attribute and its text is parsed, each as a terminal would show it."""
    found = _Parsed(element("p", inner, title=attribute))
    assert found.tags == [("p", [("title", printable(attribute))])]
    assert found.data == printable(inner)
    assert found.other == []


@given(TEXTS)
def test_name_has_a_direction_of_its_own(inner: str) -> None:
    """A name stands in an element that keeps its direction inside."""
    found = _Parsed(name(inner))
    assert found.tags == [("bdi", [("dir", "ltr")])]
    assert found.data == printable(inner)


@given(TEXTS)
def test_markup_is_not_escaped_again(inner: str) -> None:
    """What was made here stays as it is, and what was not is escaped."""
    made = element("b", inner)
    assert joined((made, inner)) == made + text(inner)
    assert element("i", made) == Html(f"<i>{made}</i>")


def test_attributes_are_named_as_html_names_them() -> None:
    """A `_` is a `-`, one behind a word of Python is nothing, and None leaves an attribute out."""
    assert element("input", for_="x", aria_label=3, open=None) == '<input for="x" aria-label="3">'
    assert element("path", d="M0 0") == '<path d="M0 0"></path>'
