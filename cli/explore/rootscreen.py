"""The first screen: the images, containers, layers and findings of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..units import age, human_size, plural, short_id
from .opening import stack_of
from .place import Place
from .rowsview import RowsView
from .spans import Span, column, cut_middle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.model import Named
    from layerfs.store import Store

    from .opening import Stack
    from .reader import Ticket

__all__ = ["ListRows", "Listed", "RootScreen", "image_rows"]

TABS = ("Images", "Containers", "Layers", "Findings")
COMMANDS = (("images",), ("containers",), ("layers",), ("doctor", "--quick"))

FINDINGS = (("PATH", 0), ("FINDING", 26), ("SEVERITY", 8), ("SUBJECT", 36))

NUMBERS = {"SIZE", "LAYERS", "LAYER", "N", "USERS", "WASTED", "HIDDEN BY", "STORED IN"}
"""Columns whose cells end at the same place."""


class Listed(NamedTuple):
    """A row of a list: its cells, what it opens (with the word that names it), and a line about it."""

    cells: tuple[str, ...]
    opens: Named | None = None
    word: str = ""
    about: str = ""


class ListRows:
    """Rows with columns; the first takes what room the others leave."""

    def __init__(self, columns: Sequence[tuple[str, int]], rows: Sequence[Listed]) -> None:
        """Columns with their widths (0 for the first), from the most important to the least; and rows."""
        self._columns = columns
        self.rows = rows

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    def heading(self, width: int) -> Sequence[Span]:
        """The names of the columns."""
        return (Span(self._line([name for name, _ in self._columns], width), "head"),)

    def row(self, index: int, width: int) -> Sequence[Span]:
        """One row."""
        return (Span(self._line(self.rows[index].cells, width)),)

    def _line(self, cells: Sequence[str], width: int) -> str:
        shown = list(zip(self._columns, cells, strict=True))
        while len(shown) > 1 and sum(size + 2 for (_, size), _ in shown[1:]) > width - 16:
            del shown[-1]
        rest = width - sum(size + 2 for (_, size), _ in shown[1:]) - 1
        first = column(cut_middle(cells[0], rest), max(rest, 1))
        others = (f"  {column(text, size, right=name in NUMBERS)}" for (name, size), text in shown[1:])
        return f" {first}{''.join(others)}"


class RootScreen(Place):
    """What a store holds."""

    def __init__(self, store: Store) -> None:
        """Show `store`."""
        super().__init__()
        self._store = store
        self.tab = 0
        self._known: dict[int, ListRows] = {}
        self._compared: tuple[Named, str] | None = None

    def panes(self) -> Iterator[RowsView]:
        """One list."""
        yield RowsView("root")

    def tabs(self) -> Sequence[str]:
        """The four lists."""
        return TABS

    def where(self) -> Sequence[str]:
        """The root."""
        return ("layerfs", self._store.path)

    def facts(self) -> str:
        """How much damage was met."""
        count = len(self._store.damage)
        return f"{count} damaged: press 4" if count else self._store.kind

    def about(self) -> str:
        """About the row under the cursor; how many rows there are."""
        rows = self._known.get(self.tab)
        if rows is None:
            return ""
        if not len(rows):
            return self._nothing()
        row = rows.rows[min(self.view.cursor, len(rows) - 1)]
        return f"{self.view.cursor + 1} of {len(rows)}  {row.about}"

    def _nothing(self) -> str:
        """What to say of an empty list, and where there is something."""
        others = [
            f"{plural(len(rows), TABS[number][:-1].lower())} (press {number + 1})"
            for number, rows in self._known.items()
            if len(rows) and number != 3
        ]
        what = "nothing found" if self.tab == 3 else f"no {TABS[self.tab].lower()} here"
        return what + (f"; the root has {', '.join(others)}" if others else "; 1 to 4 show the other lists")

    def begin(self) -> None:
        """Read the images."""
        self.show_tab(self.tab)

    def show_tab(self, number: int) -> None:
        """Show one of the lists, which is read if it was not yet."""
        self.tab = number
        if number in self._known:
            self._shown(number)
            return
        view = self.query_one(RowsView)
        view.show(ListRows([("", 0)], []))
        readers: Sequence[Callable[[Store], ListRows]] = (
            image_rows,
            _container_rows,
            _layer_rows,
            _finding_rows,
        )

        def answer(rows: ListRows) -> None:
            self._known[number] = rows
            if self.tab == number:
                self._shown(number)

        def work(_ticket: Ticket) -> ListRows:
            return readers[number](self._store)

        self.ask(work, answer, key="list")

    def _shown(self, number: int) -> None:
        self.query_one(RowsView).show(self._known[number])

    def do_reload(self) -> None:
        """Read the root anew."""
        self.explorer.reopen(lambda _store: self.say("read anew"))

    def renew(self, store: Store) -> None:
        """Show another reading of the root."""
        self._store = store
        self._compared = None
        self._known.clear()
        self.show_tab(self.tab)

    @property
    def _row(self) -> Listed | None:
        rows = self._known.get(self.tab)
        return rows.rows[self.view.cursor] if rows and len(rows) else None

    def do_open(self) -> None:
        """Open what the cursor is on."""
        row = self._row
        if row is None or row.opens is None:
            self.say(row.about if row else "there is nothing to open")
            return
        self._open(row, self.explorer.open_image)

    def _open(self, row: Listed, then: Callable[[Stack], None]) -> None:
        opens = row.opens
        assert opens is not None  # noqa: S101 - asked only then
        store = self._store
        self.ask(lambda _ticket: stack_of(store, opens, row.word), then, key="open")

    def do_compare(self) -> None:
        """Take this one for a comparison; with a second one compare the two."""
        row = self._row
        if row is None or row.opens is None:
            self.say("only images, containers and layers can be compared")
        elif self._compared is None:
            self._compared = row.opens, row.word
            self.say(f"{row.word}: now go to the other one, and press = again")
        else:
            (first, word), self._compared = self._compared, None
            store, second = self._store, row
            opens = row.opens

            def work(_ticket: Ticket) -> tuple[Stack, Stack]:
                return stack_of(store, first, word), stack_of(store, opens, second.word)

            self.ask(work, lambda both: self.explorer.open_comparison(*both), key="open")

    def command(self) -> Sequence[str]:
        """The list, as a command."""
        return COMMANDS[self.tab]


# -- the lists -------------------------------------------------------------------------------------


def _size(size: int | None) -> str:
    return "N/A" if size is None else human_size(size)


def image_rows(store: Store) -> ListRows:
    """A row for each name of each image, newest first."""
    from layerfs.analysis.store.listing import image_rows as named
    from layerfs.analysis.store.listing import listed_images

    rows: list[Listed] = []
    for row in named(listed_images(store), "hidden"):
        image = row.image
        name = f"{row.repository}:{row.tag}" if row.repository and row.tag else row.repository
        word = name or short_id(image.id)
        layers = len(image.config.diff_ids)
        cells = (
            name or "<none>",
            short_id(image.id),
            age(image.config.created_ns),
            _size(store.size(image)),
            str(layers),
        )
        line = f"image {word}, {plural(layers, 'layer')}; Enter opens it"
        rows.append(Listed(cells, image, word, line))
    columns = [("IMAGE", 0), ("IMAGE ID", 12), ("CREATED", 14), ("SIZE", 8), ("LAYERS", 6)]
    return ListRows(columns, rows)


def _container_rows(store: Store) -> ListRows:
    from ..rows.containers import View

    view = View(store, full=False)
    rows = [
        Listed(
            (item.name, short_id(item.id), view.image(item), view.status(item)),
            item,
            item.name,
            f"container {item.name}: {view.status(item)}",
        )
        for item in store.containers()
    ]
    return ListRows([("CONTAINER", 0), ("ID", 12), ("IMAGE", 20), ("STATUS", 24)], rows)


def _layer_rows(store: Store) -> ListRows:
    from layerfs.analysis.store.layers import LayerTable

    rows: list[Listed] = []
    for row in LayerTable(store).of_root():
        identity = row.chain_id or row.cache_id or ""
        users = len(row.images) + len(row.containers)
        made = row.created_by or "(no step is known)"
        cells = (
            short_id(identity),
            str(row.index or "-"),
            _size(row.size),
            str(users),
            made.replace("\t", " "),
        )
        about = f"images: {len(row.images)}, containers: {len(row.containers)}; {made}"
        rows.append(Listed(cells, row.layer, identity, about))
    return ListRows([("LAYER", 0), ("N", 3), ("SIZE", 8), ("USERS", 5), ("MADE BY", 36)], rows)


def _finding_rows(store: Store) -> ListRows:
    from layerfs.capabilities import Diagnosable, DoctorOptions, unwatched

    if not isinstance(store, Diagnosable):
        from layerfs.errors import reason

        rows = [Listed((reason(error), "", "error", ""), about=reason(error)) for error in store.damage]
        return ListRows(FINDINGS, rows)
    found = store.diagnose(DoctorOptions(sizes=False), unwatched).diagnoses
    top = f"{store.path.rstrip('/')}/"
    rows = []
    for item in found:
        finding, remedy = item.finding, item.remedy
        cells = (finding.path.removeprefix(top), finding.code, finding.severity, finding.subject)
        subject = " ".join(map(short_id, finding.subject.split()))
        about = f"{subject}: {finding.message}. What to do: {remedy.suggestion}"
        rows.append(Listed(cells, about=about))
    return ListRows(FINDINGS, rows)
