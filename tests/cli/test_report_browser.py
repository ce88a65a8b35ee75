"""The page of `layerfs report` in a real browser: no text of a store becomes anything but text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from layerfs_cli.escape import printable
from layerfs_cli.report.page import page
from tests.support.browser import browsing
from tests.support.command import layerfs
from tests.support.injections import INJECTIONS, as_names, injected, injected_layout
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser import Browser

pytestmark = [pytest.mark.root, pytest.mark.chromium]

TAGS = {
    *("a", "b", "bdi", "body", "button", "caption", "circle", "code", "dd", "defs", "desc", "details", "div"),
    *("dl", "dt", "g", "h1", "h2", "h3", "head", "header", "html", "input", "label", "li", "line", "main"),
    *("meta", "nav", "ol", "p", "path", "pattern", "rect", "script", "section", "small", "span", "style"),
    *("summary", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul"),
}
"""Elements that a page is made of."""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDTHS = (360, 1280, 1920)
IN_PAGE = """
(() => {
  const all = [...document.querySelectorAll("*")];
  return {
    tags: [...new Set(all.map(e => e.localName))],
    attributes: [...new Set(all.flatMap(e => e.getAttributeNames()))],
    links: all.flatMap(e => ["href", "src", "xlink:href"].map(n => e.getAttribute(n))).filter(x => x),
    scripts: document.scripts.length,
    title: document.title,
    text: document.body.textContent,
  };
})()
"""
USE = """
(() => {
  for (const button of document.querySelectorAll("th button")) { button.click(); button.click(); }
  for (const filter of document.querySelectorAll("input.filter")) {
    filter.value = "</script>"; filter.dispatchEvent(new Event("input"));
    filter.value = ""; filter.dispatchEvent(new Event("input"));
  }
  for (const details of document.querySelectorAll("details")) details.open = true;
  document.getElementById("other-colours").click();
  return document.querySelectorAll("th button").length;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all pages."""
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of an image of such texts, of a store of each kind, and of a twin that holds nothing else."""
    top = tmp_path_factory.mktemp("pages")
    made: dict[str, Path] = {}
    layout = injected_layout(top / "app")
    stores = {"layout": layout}
    kinds = {kind.name: kind for kind in STORE_KINDS}
    for kind in STORE_KINDS:
        stores[kind.name] = kind.make(top / kind.name)
        kind.make_hostile(stores[kind.name])
    for name, store in stores.items():
        made[name] = top / f"{name}.html"
        verify = ["--verify"] if name == "layout" or kinds[name].can(["--verify"]) else []
        done = layerfs(store, "report", "--all", *verify, "-o", str(made[name]))
        assert done.code in (0, 1), done.stderr  # 1: there is damage, which is told
    made["twin"] = top / "twin.html"
    made["twin"].write_text("".join(page(_full_of_texts(), "".join(INJECTIONS))))
    return made


def _full_of_texts() -> dict[str, Any]:
    """A twin whose every list has rows, with each of the texts wherever a text can be."""
    row = {
        "code": "", "severity": "", "subject": "", "path": "", "expected": "", "actual": "", "message": "",
        "bytes": 1, "suggestion": "",
    }  # fmt: skip
    size = {"size": 5, "layer": 1, "wasted": 5, "hidden_by": 2, "how": "", "type": ""}
    change = {"kind": "", "path": "", "type": "", "size": 5, "size_before": 4, "attributes": [""]}
    layer = {
        "index": 1, "step": "", "size": 5, "counts": {}, "wasted": 1, "stored": 5, "hides": 1, "diff_id": "",
        "chain_id": "", "place": "", "changes_in": None,
        "changes": [change] * 40,
    }  # fmt: skip
    part = {
        "id": "", "name": "", "references": ["", ""], "created": "", "platform": "", "damage": None,
        "size": 5, "shared_size": 5, "unique_size": 5, "freed_size": 5, "image": "", "pod": "",
        "steps": [{"created_by": "", "comment": "", "empty_layer": True}] * 40,
        "layers": [layer, layer], "waste": {"stored": 5, "wasted": 1},
        "hidden": [{**size, "path": ""}] * 40,
        "lanes": [{"path": "", "versions": [size]}] * 40,
        "directories": [{"path": "", "layer": 1, "shown": 5, "wasted": 1}] * 40,
    }  # fmt: skip
    twin = {
        "schema": "", "root": {"kind": "", "driver": "", "path": ""}, "scope": "",
        "totals": {"images": 1, "containers": 1, "layers": 1, "size": 1, "shared_size": 1},
        "images": [part] * 3, "containers": [part, {**part, "damage": ""}], "names": {},
        "sharing": [{"chain_id": "", "size": 1, "images": [], "containers": []}] * 2,
        "findings": [row] * 40, "verified": [row] * 40, "problems": [""] * 40,
        "timeline": {
            "span_hours": 1, "buckets": [{"start": "", "files": 1}] * 3, "first": "", "last": "",
            "outliers": [{"side": "", "files": 1, "extreme": ""}],
            "events": [{"time": "", "what": "", "owners": [""], "text": "", "layer": 1}] * 40,
        },
        "evidence": {
            "tool": "", "arguments": [""] * 40, "ended": "",
            "metadata_files": [{"path": "", "size": 1, "sha256": ""}] * 40,
        },
        "compared": _differences(),
    }  # fmt: skip
    filled: dict[str, Any] = injected(twin, INJECTIONS)[0]
    for number, part in enumerate((*filled["images"], *filled["containers"])):
        part["id"] += str(number)
        part["chain"] = [INJECTIONS[0], INJECTIONS[1]]
    filled["sharing"] = [
        {"chain_id": INJECTIONS[number], "size": 1, "images": [*map(str, range(5))], "containers": ["5"]}
        for number in range(2)
    ]
    filled["names"] = {str(number): text for number, text in enumerate(INJECTIONS)}
    return filled


def _differences() -> dict[str, Any]:
    """What changed, with a text wherever one can be."""
    side = {"file": "", "size": 1, "sha256": "", "tool": "", "ended": "", "kind": "", "path": ""}
    sizes = {"size_then": 1, "size": 1}
    thing = {"change": "", "id": "", "name": "", "what": ["", ""], **sizes}
    path = {"path": "", "then": "", "now": "", **sizes}
    layer = {"change": "", "chain_id": "", "of": "", "index": 1, "what": [""], "paths": [path] * 3, **sizes}
    found = {"change": "", "by": "", "severity": "", "code": "", "path": "", "message": ""}
    return {
        "differences": 1, "complete": False, "then": side, "now": side, "images": [thing] * 20,
        "totals": [{"what": "", "then": 1, "now": 2}], "containers": [thing] * 20, "layers": [layer] * 20,
        "names": [{"change": "", "name": "", "then": [""], "now": [""]}] * 20, "findings": [found] * 20,
        "not_compared": [""],
        "records": [{"change": "", "path": "", "sha256_then": "", "sha256": "", **sizes}] * 20,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["layout", "twin", *(kind.name for kind in STORE_KINDS)])
def test_text_stays_text(browser: Browser, pages: dict[str, Path], name: str) -> None:
    """Only our elements and attributes, no request, message, dialog or breach of the policy, at any width."""
    for width in WIDTHS:
        browser.open(pages[name], width=width)
        found = browser.tell(IN_PAGE)
        assert set(found["tags"]) <= TAGS
        assert not [key for key in found["attributes"] if key.startswith("on") or key == "style"]
        assert all(link.startswith("#") for link in found["links"])
        assert found["scripts"] == 1
        assert found["title"].startswith("layerfs report: ")
        browser.tell(USE)
        assert browser.tell(OVERFLOW) <= 0, width
        assert browser.noticed(pages[name]) == []


def test_names_are_read_as_the_command_line_shows_them(browser: Browser, pages: dict[str, Path]) -> None:
    """What the page shows of a name is the name, escaped as in a terminal."""
    browser.open(pages["layout"])
    shown = browser.tell("[...document.querySelectorAll('bdi')].map(e => e.textContent)")
    for name in as_names():
        assert printable(f"/{name}") in shown
    assert browser.tell("[...document.querySelectorAll('bdi')].every(e => e.dir === 'ltr')")


def test_all_is_there_without_the_script(browser: Browser, pages: dict[str, Path]) -> None:
    """With scripts off the page has the same text, no buttons, and can be printed."""
    browser.open(pages["layout"])
    texts = [browser.tell("document.querySelector('main').textContent")]
    assert browser.tell("document.querySelectorAll('th button').length") > 0
    browser.open(pages["layout"], scripts=False)
    texts.append(browser.tell("document.querySelector('main').textContent"))
    assert browser.tell("document.querySelectorAll('th button').length") == 0
    assert texts[0] == texts[1]
    assert browser.printed().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_change_by_the_switch(browser: Browser, pages: dict[str, Path], scheme: str) -> None:
    """In either scheme the text contrasts with the page, and the box turns it to the other one."""
    browser.prefer(prefers_color_scheme=scheme)
    browser.open(pages["layout"])
    seen = []
    for _ in range(2):
        parts = browser.tell("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
        seen.append([sum(map(int, re.findall(r"\d+", part)[:3])) for part in parts])
        browser.tell("document.getElementById('other-colours').click()")
    browser.prefer(prefers_color_scheme="light")
    assert [ink < paper for ink, paper in seen] == ([True, False] if scheme == "light" else [False, True])
    assert all(abs(ink - paper) > 500 for ink, paper in seen)


def test_sorting_and_filtering(browser: Browser, pages: dict[str, Path]) -> None:
    """A heading sorts its table both ways by number, and a filter hides the other rows."""
    browser.open(pages["overlay2"])
    column = "[...document.querySelector('table').tBodies[0].rows].map(r => Number(r.cells[4].dataset.v))"
    button = "document.querySelectorAll('table')[0].querySelectorAll('th button')[4].click()"
    browser.tell(button)
    down = browser.tell(column)
    browser.tell(button)
    assert browser.tell(column) == sorted(down)
    assert down == sorted(down, reverse=True)
    assert len(set(down)) > 2
    browser.tell("filter = document.querySelector('.filter'); filter.value = 'no such row'")
    browser.tell("filter.dispatchEvent(new Event('input'))")
    assert browser.tell("[...document.querySelector('table').tBodies[0].rows].every(r => r.hidden)")
