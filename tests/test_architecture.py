"""The architecture as rules over the source: who may import, open, write and print what.

Each rule is a function from a module to its violations, and each has an example that must violate
it, so that no rule can pass because it sees nothing.
"""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

import pytest

from layerfs.stores import registry
from tests.support import source
from tests.support.source import Module, dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rule = Callable[[Module], Iterator[str]]

FLOORS = (
    ("layerfs.errors", "layerfs.ids"),
    ("layerfs.formats",),
    ("layerfs.hostfile", "layerfs.reserves", "layerfs.syscalls", "layerfs.witness"),
    ("layerfs.hostdir", "layerfs.likely"),
    ("layerfs.boltfile", "layerfs.pool", "layerfs.sqlitefile"),
    ("layerfs.cache", "layerfs.tree"),
    ("layerfs.accounts", "layerfs.damage", "layerfs.model", "layerfs.steps"),
    ("layerfs.containerlog", "layerfs.layerchain", "layerfs.layertar"),
    ("layerfs.layernames",),
    ("layerfs.naming", "layerfs.store"),
    ("layerfs.capabilities",),
    ("layerfs.analysis",),
    ("layerfs.subject",),
    ("layerfs.views",),
    ("layerfs.stores",),
    ("layerfs",),
    ("layerfs_cli.escape",),
    ("layerfs_cli.template",),
    ("layerfs_cli.table",),
    ("layerfs_cli",),
    ("layerfs_cli.colors", "layerfs_cli.rows"),
    ("layerfs_cli.explore", "layerfs_cli.report", "layerfs_cli.web"),
    ("layerfs_cli.commands",),
    ("layerfs_cli.mounthelper",),
    ("layerfs.__main__",),
)
"""Lowest first; a module imports from its own package and from lower floors only."""

STORE_TYPES = {"CacheID", "DockerContainer", "LayerRecord", "LinkID", "MountRecord"}
"""What only the package of a kind of store may name, and `formats`."""

BESIDE = {
    "containerd": {
        f"layerfs.stores.docker.{name}"
        for name in ("buildkit", "containerlogs", "containers", "driver", "recordedpaths")
    }
}
"""The modules of another kind that a kind may import: Docker keeps containers and the records of its
build cache in its own data root, also when its images are in containerd."""

_PACKAGES = {kind: module.rpartition(".")[0] for kind, module in registry.KINDS.items()}
"""The package of each kind of store."""

KIND_FILES = (
    *("config.v2.json", "imagedb", "layerdb", "overlay2", "repositories.json", "tar-split.json"),
    *("/containers/", "/merged", "/volumes/", "/work", "/_data"),
    *("meta.db", "metadata.db"),
    *("images.json", "layers.json", "containers.json", "tar-split.gz", "db.sql", "bolt_state.db"),
)
"""Files and directories of single kinds of store: the engine outside their packages has no such text."""

ONLY_IMPORTER = {
    "backports": "layerfs.formats.zstd",
    "fuse": "layerfs.views.fuse.fusepy_driver",
    "tabulate": "layerfs_cli.emit",
    "click": "layerfs_cli",
    "fastcrc": "layerfs.formats.checksum",
    "sqlite3": "layerfs.formats.sqlite",
    "re2": "layerfs.analysis.grep.matcher",
    "textual": "layerfs_cli.explore",
    "rich": "layerfs_cli.explore",
    "aiohttp": "layerfs_cli.web",
}

DOORS = ("layerfs.cache", "layerfs.hostdir", "layerfs.syscalls")
"""The modules that reach files of the host: the evidence, and the cache."""

ON_FILES = {"fileinput", "glob", "io.open", "mmap", "pathlib", "shutil", "subprocess", "tempfile"}
"""Modules that reach files by path; the engine has `hostdir` for that."""

HARMLESS_OS = {
    "DirEntry",
    "O_CLOEXEC",
    "SEEK_DATA",
    "SEEK_HOLE",
    "PathLike",
    "close",
    "fdopen",
    "fsdecode",
    "fsencode",
    "fspath",
    "fstat",
    "fstatvfs",
    "lseek",
    "major",
    "makedev",
    "minor",
    "pread",
    "preadv",
    "stat_result",
    "statvfs_result",
    "strerror",
}
"""What the engine outside `hostdir` and the views may take from `os`: nothing here takes a path."""

WRITING_OS = {
    *("chmod", "chown", "fchmod", "fchown", "ftruncate", "lchown", "link", "makedirs", "mkdir", "mkfifo"),
    *("mknod", "pwrite", "remove", "removedirs", "removexattr", "rename", "replace", "rmdir", "sendfile"),
    *("setxattr", "symlink", "truncate", "unlink", "utime", "write", "writev"),
    *("O_APPEND", "O_CREAT", "O_RDWR", "O_TMPFILE", "O_TRUNC", "O_WRONLY"),
}
WRITING_METHODS = {"mkdir", "rename", "rmdir", "symlink_to", "touch", "unlink", "write_bytes", "write_text"}

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60


def _floor(name: str) -> tuple[int, str]:
    """The floor a dotted name belongs to, by its longest prefix, and that prefix."""
    places = [
        (len(unit), number, unit)
        for number, units in enumerate(FLOORS)
        for unit in units
        if name == unit or name.startswith(unit + ".")
    ]
    _, number, unit = max(places)
    return number, unit


def imports_only_downward(module: Module) -> Iterator[str]:
    """A module imports from its own package and the floors below."""
    number, _ = _floor(module.name)
    for found in module.imports():
        if not found.target.startswith(("layerfs.", "layerfs_cli.")):
            continue
        below, _ = _floor(found.target)
        if below > number:
            yield f"line {found.line}: imports {found.target}"


def nobody_knows_a_kind_of_store(module: Module) -> Iterator[str]:
    """Only a package of `stores` knows its kind; the public names, and `ids`, where they are made, aside."""
    if module.within("layerfs.stores", "layerfs.formats", "layerfs.ids") or module.name == "layerfs":
        return
    yield from _kinds_known(module)


def _kinds_known(module: Module) -> Iterator[str]:
    packages = tuple(f"{package}." for package in _PACKAGES.values())
    for found in module.imports():
        if found.target == "layerfs.DataRoot" or f"{found.target}.".startswith(packages):
            yield f"line {found.line}: imports {found.target}"
    for node in module.nodes:
        name = _name(node)
        if name in STORE_TYPES:
            yield f"line {node.lineno}: names {name}"  # type: ignore[attr-defined]
    for text, line in module.texts():
        if f"{text}.".startswith(packages):
            yield f"line {line}: the module {text}"


def kinds_do_not_know_each_other(module: Module) -> Iterator[str]:
    """A kind of store imports nothing of another, but for what `BESIDE` names."""
    own = next((kind for kind, package in _PACKAGES.items() if module.within(package)), None)
    if own is None and not module.within("layerfs.stores.blobs"):
        return
    others = tuple(f"{package}." for kind, package in _PACKAGES.items() if kind != own)
    for found in module.imports():
        allowed = found.target.rpartition(".")[0] in BESIDE.get(own or "", ())
        if f"{found.target}.".startswith(others) and not allowed:
            yield f"line {found.line}: imports {found.target}"


def _name(node: ast.AST) -> str:
    """The last name of an expression or an import."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else node.name if isinstance(node, ast.alias) else ""


def engine_has_no_files_of_a_kind(module: Module) -> Iterator[str]:
    """No path and no message of the engine has a file of one kind of store, but in that kind's package."""
    if not module.within("layerfs") or module.within("layerfs.stores", "layerfs.formats"):
        return
    for text, line in module.texts():
        if any(file in text for file in KIND_FILES):
            yield f"line {line}: {text!r}"


def third_parties_have_one_importer(module: Module) -> Iterator[str]:
    """Only the fusepy driver imports fuse, only the output imports tabulate, and so on."""
    for found in module.imports():
        owner = ONLY_IMPORTER.get(found.target.split(".")[0])
        if owner and not module.within(owner):
            yield f"line {found.line}: imports {found.target}, which only {owner} may"


def tables_know_no_click(module: Module) -> Iterator[str]:
    """What describes rows, and Go's templates, know nothing of a command line."""
    if module.within("layerfs_cli.escape", "layerfs_cli.table", "layerfs_cli.template"):
        for found in module.imports():
            if found.target.split(".")[0] == "click":
                yield f"line {found.line}: imports {found.target}"


def formats_know_no_files(module: Module) -> Iterator[str]:
    """`formats` takes bytes and gives values."""
    if module.within("layerfs.formats"):
        for found in module.imports():
            if found.target.split(".")[0] == "os" or _touches_files(found.target):
                yield f"line {found.line}: imports {found.target}"
        yield from _opens(module)


def only_hostdir_reaches_files(module: Module) -> Iterator[str]:
    """The evidence is reached through `hostdir` alone; the views reach their mount points."""
    if not module.within("layerfs") or module.within(*DOORS, "layerfs.views"):
        return
    for found in module.imports():
        if _touches_files(found.target) and not found.for_types:
            yield f"line {found.line}: imports {found.target}"
    for name, line in module.os_names():
        if name not in HARMLESS_OS:
            yield f"line {line}: os.{name}"
    yield from _opens(module)


def engine_writes_nothing(module: Module) -> Iterator[str]:
    """Nothing in the engine but a view, and the cache, can write."""
    if not module.within("layerfs") or module.within("layerfs.cache", "layerfs.views"):
        return
    for name, line in module.os_names():
        if name in WRITING_OS:
            yield f"line {line}: os.{name}"
    for call in module.calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in WRITING_METHODS:
            yield f"line {call.lineno}: .{call.func.attr}()"
        if isinstance(call.func, ast.Name) and call.func.id == "open" and not _only_reads(call):
            yield f"line {call.lineno}: open() for more than reading"


def engine_keeps_to_itself(module: Module) -> Iterator[str]:
    """The engine neither prints, nor reads the environment, nor configures the log."""
    if not module.within("layerfs"):
        return
    for name, line in module.os_names():
        if name in ("environ", "environb", "getenv", "getenvb"):
            yield f"line {line}: os.{name}"
    for call in module.calls():
        called = dotted(call.func)
        if called in ("print", "input", "breakpoint") or called.startswith("logging.basic"):
            yield f"line {call.lineno}: {called}()"


def modules_and_functions_stay_small(module: Module) -> Iterator[str]:
    """A module has one noun and a function one screen."""
    lines = module.text.count("\n")
    if lines > LONGEST_MODULE:
        yield f"{lines} lines"
    for function in module.functions():
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > LONGEST_FUNCTION:
            yield f"line {function.lineno}: {function.name} has {length} lines"


def public_names_are_listed(module: Module) -> Iterator[str]:
    """Every module with content has an `__all__`, sorted, without repetition (order: ruff's RUF022)."""
    lists = [
        ast.literal_eval(node.value)
        for node in module.tree.body
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "__all__"
    ]
    only_docstring = len(module.tree.body) == 1
    if len(lists) != 1:
        if not only_docstring:
            yield "no __all__"
    elif lists[0] != sorted(set(lists[0]), key=_export_order):
        yield "__all__ is not sorted"


def public_things_are_documented(module: Module) -> Iterator[str]:
    """The module and every public class and function of it say what they are."""
    if not ast.get_docstring(module.tree):
        yield "no docstring"
    inside = {node for function in module.functions() for node in ast.walk(function) if node is not function}
    named = (node for node in module.nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef)))
    for node in named:
        if not (node.name.startswith("_") or node in inside or ast.get_docstring(node)):
            yield f"line {node.lineno}: {node.name} has no docstring"


def promises_are_stated(module: Module) -> Iterator[str]:
    """Every test says in a docstring what it promises."""
    for function in module.functions():
        if function.name.startswith("test_") and not ast.get_docstring(function):
            yield f"line {function.lineno}: {function.name} has no docstring"


def foreign_errors_have_words(module: Module) -> Iterator[str]:
    """The words of an `OSError` are those of `errors.reason`: Python's own are `[Errno 2] … b'/x'`."""
    for handler in module.nodes:
        if isinstance(handler, ast.ExceptHandler) and handler.name and _catches_foreign(handler.type):
            for node in ast.walk(handler):
                if any(isinstance(said, ast.Name) and said.id == handler.name for said in _said(node)):
                    yield f"line {handler.lineno}: the text of {handler.name}"


def _catches_foreign(caught: ast.expr | None) -> bool:
    names = {node.id for node in ast.walk(caught) if isinstance(node, ast.Name)} if caught else set()
    kinds = [getattr(builtins, name, None) for name in names]
    return any(
        isinstance(kind, type) and (issubclass(kind, OSError) or issubclass(OSError, kind)) for kind in kinds
    )


def _said(node: ast.AST) -> list[ast.expr]:
    """What becomes text here: a field of an f-string, `str(x)`, an argument of the log."""
    if isinstance(node, ast.FormattedValue):
        return [node.value]
    if not isinstance(node, ast.Call):
        return []
    called = dotted(node.func)
    return node.args if called in ("str", "repr") or called.startswith("_log.") else []


def _touches_files(target: str) -> bool:
    return any(target == name or target.startswith(name + ".") for name in ON_FILES)


def _opens(module: Module) -> Iterator[str]:
    """Calls of the builtin `open`."""
    for call in module.calls():
        if isinstance(call.func, ast.Name) and call.func.id == "open":
            yield f"line {call.lineno}: open()"


def _only_reads(call: ast.Call) -> bool:
    """Whether the mode of a call of `open` is a literal that only reads."""
    modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
    return all(isinstance(mode, ast.Constant) and mode.value in ("r", "rb") for mode in modes)


def _export_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name.lstrip("_")[:1].isupper() else 2, name)


SOURCE_RULES = (
    imports_only_downward,
    nobody_knows_a_kind_of_store,
    engine_has_no_files_of_a_kind,
    kinds_do_not_know_each_other,
    third_parties_have_one_importer,
    tables_know_no_click,
    formats_know_no_files,
    only_hostdir_reaches_files,
    engine_writes_nothing,
    engine_keeps_to_itself,
    modules_and_functions_stay_small,
    public_names_are_listed,
    public_things_are_documented,
    foreign_errors_have_words,
)

VIOLATIONS = [
    (imports_only_downward, "layerfs.ids", "from layerfs.hostdir import HostDir"),
    (imports_only_downward, "layerfs.tree.walk", "from layerfs.analysis.tree.find import find"),
    (
        imports_only_downward,
        "layerfs.tree.union",
        "if TYPE_CHECKING:\n    import layerfs.stores.files",
    ),
    (imports_only_downward, "layerfs.tree.union", "from layerfs import DataRoot"),
    (imports_only_downward, "layerfs.analysis.store.usage", "def f():\n    from ...views import fuse"),
    (imports_only_downward, "layerfs.analysis.store.usage", "from ...stores import registry"),
    (imports_only_downward, "layerfs.views.fuse.server", "import layerfs_cli.main"),
    (nobody_knows_a_kind_of_store, "layerfs.naming", "from layerfs.stores.docker.layerdb import LayerDB"),
    (nobody_knows_a_kind_of_store, "layerfs_cli.rows.waste", "from layerfs.ids import CacheID"),
    (nobody_knows_a_kind_of_store, "layerfs_cli.rows.waste", "from layerfs import ids\nids.LinkID('x')"),
    (nobody_knows_a_kind_of_store, "layerfs_cli.rows.waste", "def f():\n    import layerfs.stores.docker"),
    (nobody_knows_a_kind_of_store, "layerfs_cli.rows.waste", "from layerfs.stores import archive"),
    (nobody_knows_a_kind_of_store, "layerfs.naming", "import_module('layerfs.stores.containerd.store')"),
    (engine_has_no_files_of_a_kind, "layerfs.analysis.store.inspect", "path = f'{x}/overlay2/{y}'"),
    (engine_has_no_files_of_a_kind, "layerfs.tree.archived", "def f():\n    raise OSError(b'layerdb')"),
    (engine_has_no_files_of_a_kind, "layerfs.analysis.store.inspect", "own = f'/containers/{x}/'"),
    (nobody_knows_a_kind_of_store, "layerfs.analysis.store.forest", "def f(x: MountRecord): pass"),
    (kinds_do_not_know_each_other, "layerfs.stores.archive.store", "from layerfs.stores import docker"),
    (
        kinds_do_not_know_each_other,
        "layerfs.stores.containerd.store",
        "def f():\n    from layerfs.stores.docker.layerdb import LayerDB",
    ),
    (kinds_do_not_know_each_other, "layerfs.stores.blobs.outer", "import layerfs.stores.archive.store"),
    (third_parties_have_one_importer, "layerfs.views.fuse.server", "from fuse import FUSE"),
    (third_parties_have_one_importer, "layerfs_cli.commands.images", "import tabulate"),
    (third_parties_have_one_importer, "layerfs.naming", "import click.core"),
    (imports_only_downward, "layerfs_cli.emit", "from layerfs_cli.rows.entries import Entry"),
    (imports_only_downward, "layerfs_cli.rows.waste", "from ..commands.waste import command"),
    (tables_know_no_click, "layerfs_cli.table", "import click"),
    (tables_know_no_click, "layerfs_cli.template.printf", "from click import echo"),
    (formats_know_no_files, "layerfs.formats.reference", "import os"),
    (formats_know_no_files, "layerfs.formats.reference", "from pathlib import PurePath"),
    (formats_know_no_files, "layerfs.formats.reference", "open('x')"),
    (only_hostdir_reaches_files, "layerfs.stores.files", "import os\nos.scandir(b'x')"),
    (only_hostdir_reaches_files, "layerfs.stores.files", "from os import listdir"),
    (only_hostdir_reaches_files, "layerfs.stores.files", "import os\nos.path.exists('x')"),
    (only_hostdir_reaches_files, "layerfs.stores.docker.dataroot", "from pathlib import Path"),
    (only_hostdir_reaches_files, "layerfs.stores.docker.dataroot", "with open('x', 'rb') as f: pass"),
    (engine_writes_nothing, "layerfs.hostdir", "import os\nos.mkdir('x')"),
    (engine_writes_nothing, "layerfs.hostdir", "import os\nos.open('x', os.O_RDWR)"),
    (engine_writes_nothing, "layerfs.hostdir", "open('x', 'wb')"),
    (engine_writes_nothing, "layerfs.hostdir", "open('x', mode=m)"),
    (engine_writes_nothing, "layerfs.stores.docker.dataroot", "path.write_text('x')"),
    (engine_keeps_to_itself, "layerfs.stores.docker.dataroot", "print('x')"),
    (engine_keeps_to_itself, "layerfs.views.fuse.server", "import os\nos.environ['X']"),
    (modules_and_functions_stay_small, "layerfs.stores.docker.dataroot", "x = 1\n" * 401),
    (modules_and_functions_stay_small, "layerfs_cli.main", "def f():\n" + "    x = 1\n" * 60),
    (public_names_are_listed, "layerfs.ids", "x = 1\ny = 2"),
    (public_names_are_listed, "layerfs.ids", "__all__ = ['b', 'a']"),
    (public_things_are_documented, "layerfs.ids", "x = 1"),
    (
        public_things_are_documented,
        "layerfs.ids",
        "'''Doc.'''\nclass A:\n    '''A.'''\n    def f(self): pass",
    ),
    (foreign_errors_have_words, "layerfs.ids", "try: pass\nexcept OSError as error: f'{error}'"),
    (foreign_errors_have_words, "layerfs.ids", "try: pass\nexcept (KeyError, Exception) as e: str(e)"),
    (
        foreign_errors_have_words,
        "layerfs.ids",
        "try: pass\nexcept FileNotFoundError as e: _log.info('%s', e)",
    ),
    (promises_are_stated, "tests.test_x", "def test_x(): pass"),
]


@pytest.mark.parametrize("rule", SOURCE_RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule: Rule) -> None:
    """Every installed module keeps every rule of the architecture."""
    assert _problems(rule, source.everything()) == []


def test_tests_keep_their_rule() -> None:
    """Every test states its promise."""
    assert _problems(promises_are_stated, source.tests()) == []


@pytest.mark.parametrize(("rule", "name", "text"), VIOLATIONS)
def test_rule_sees_its_violation(rule: Rule, name: str, text: str) -> None:
    """A rule that is broken is seen to be broken."""
    assert list(rule(Module(name, text))) != []


def test_every_rule_has_a_violation() -> None:
    """No rule goes without the example that proves it can fail."""
    assert {rule for rule, _, _ in VIOLATIONS} == {*SOURCE_RULES, promises_are_stated}


def test_every_engine_module_has_a_floor() -> None:
    """A new module at the top of the engine must be given its floor, or it would float above all others."""
    named = {unit for units in FLOORS for unit in units}
    top = {".".join(module.name.split(".")[:2]) for module in source.engine()}
    assert top <= named


def _problems(rule: Rule, modules: list[Module]) -> list[str]:
    """Every violation, each under the name of its module."""
    assert modules
    return [f"{module.name}: {problem}" for module in modules for problem in rule(module)]
