"""Our own source as syntax trees, for the tests of the architecture."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["REPOSITORY", "Import", "Module", "dotted", "engine", "everything", "tests"]

REPOSITORY = Path(__file__).resolve().parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a module imports; `for_types` when only the type checker sees it."""

    target: str
    line: int
    for_types: bool


@dataclass(frozen=True)
class Module:
    """A source file under the name it is imported by."""

    name: str
    text: str
    is_package: bool = False

    @classmethod
    def read(cls, path: Path) -> Module:
        """The module in a file of the repository."""
        parts = list(path.relative_to(REPOSITORY).with_suffix("").parts)
        if parts[0] == "cli":
            parts[0] = "layerfs_cli"
        is_package = parts[-1] == "__init__"
        return cls(".".join(parts[:-1] if is_package else parts), path.read_text(), is_package)

    @property
    def tree(self) -> ast.Module:
        """The syntax tree, the same one every time."""
        return _parse(self.text)

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the syntax tree, in the order of `ast.walk`."""
        return _nodes(self.text)

    def within(self, *packages: str) -> bool:
        """Whether this is one of the packages, or lies in one."""
        return any(self.name == package or self.name.startswith(package + ".") for package in packages)

    @functools.cached_property
    def _imported(self) -> tuple[Import, ...]:
        return tuple(self._imports(self.tree, for_types=False))

    def imports(self) -> Iterator[Import]:
        """Everything imported, absolutely named; `from a import b` counts as `a.b`."""
        return iter(self._imported)

    def functions(self) -> Iterator[Function]:
        """Every function and method."""
        return (node for node in self.nodes if isinstance(node, Function))

    def calls(self) -> Iterator[ast.Call]:
        """Every call."""
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def os_names(self) -> Iterator[tuple[str, int]]:
        """Every `os.name` and `os.path.name` used, however it was imported, with its line."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute) and (name := dotted(node)).startswith("os."):
                yield name.removeprefix("os."), node.lineno
        for found in self.imports():
            if found.target.startswith("os."):
                yield found.target.removeprefix("os."), found.line

    def texts(self) -> Iterator[tuple[str, int]]:
        """Every text and every bytes of the code but docstrings, with its line."""
        alone = {id(node.value) for node in self.nodes if isinstance(node, ast.Expr)}
        for node in self.nodes:
            if isinstance(node, ast.Constant) and id(node) not in alone:
                if isinstance(node.value, str):
                    yield node.value, node.lineno
                elif isinstance(node.value, bytes):
                    yield node.value.decode("latin-1"), node.lineno

    def _imports(self, top: ast.AST, *, for_types: bool) -> Iterator[Import]:
        for node in ast.iter_child_nodes(top):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno, for_types) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from (Import(f"{base}.{alias.name}", node.lineno, for_types) for alias in node.names)
            else:
                guarded = isinstance(node, ast.If) and dotted(node.test) == "TYPE_CHECKING"
                yield from self._imports(node, for_types=for_types or guarded)

    def _base(self, node: ast.ImportFrom) -> str:
        """The absolute name behind the dots of a relative import."""
        if not node.level:
            return node.module or ""
        up = self.name.split(".")[
            : None if self.is_package and node.level == 1 else -node.level + self.is_package
        ]
        return ".".join([*up, *([node.module] if node.module else [])])


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name with attributes; empty for what is anything else."""
    if isinstance(node, ast.Name):
        return node.id
    above = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{above}.{node.attr}" if above and isinstance(node, ast.Attribute) else ""


@functools.cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@functools.cache
def _nodes(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_parse(text)))


@functools.cache
def engine() -> list[Module]:
    """Every module of `layerfs`."""
    return _below("layerfs")


@functools.cache
def everything() -> list[Module]:
    """Every module that is installed."""
    return engine() + _below("cli")


def tests() -> list[Module]:
    """Every module of the tests."""
    return _below("tests")


def _below(directory: str) -> list[Module]:
    return [Module.read(path) for path in sorted((REPOSITORY / directory).rglob("*.py"))]
