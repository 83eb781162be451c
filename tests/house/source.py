"""The source of the package as the tests of this folder read it: by its syntax, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["PACKAGE", "ROOT", "is_type_checking_block", "list_imports", "list_strings", "parse_modules"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "flowlet"


@cache
def parse_modules() -> dict[str, ast.Module]:
    """Return every module of the package: its name without ``flowlet.`` ("" for the package itself), and its tree.

    They are parsed once: clear the cache when a module's tests are over, the trees are large.
    """
    return {_module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def list_imports(tree: ast.Module, *, only_when_loaded: bool = False) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the module and the name of each import; the name is empty for ``import module``.

    Args:
        tree: A module.
        only_when_loaded: Leave out what loading the module does not import: inside functions, and for types only.
    """
    for node in _walk_loaded(tree) if only_when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, node.module, alias.name) for alias in node.names)


def is_type_checking_block(node: ast.AST) -> bool:
    """Return whether a node is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def list_strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string, but for docstrings."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def _walk_loaded(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking_block(child):
            continue
        yield child
        yield from _walk_loaded(child)


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")
