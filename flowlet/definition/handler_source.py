"""The source of a handler: its syntax tree, and what the names in it refer to."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

__all__ = ["HandlerSource", "parse_source", "walk_scope"]

_NESTED_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class HandlerSource:
    """A handler's function and its syntax tree."""

    tree: ast.FunctionDef | ast.AsyncFunctionDef
    _globals: dict[str, Any]
    _locals: frozenset[str]

    @classmethod
    def of(cls, handler: Callable[..., Any]) -> HandlerSource | None:
        """Return the source of a handler, or of the function that a decorator wraps; None if it cannot be read."""
        function = inspect.unwrap(handler)
        code = getattr(function, "__code__", None)
        tree = _find_function_tree(code) if isinstance(code, CodeType) else None
        if tree is None or not isinstance(code, CodeType):
            return None
        names = frozenset((*code.co_varnames, *code.co_cellvars, *code.co_freevars))
        return cls(tree, function.__globals__, names)

    def resolve_name(self, expression: ast.expr) -> Any:
        """Return the object of a global name, or of an attribute of one; None if it is not known."""
        if isinstance(expression, ast.Attribute):
            return getattr(self.resolve_name(expression.value), expression.attr, None)
        if isinstance(expression, ast.Name) and expression.id not in self._locals:
            return self._globals.get(expression.id)
        return None


def walk_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one in the order of the source, without those of functions and classes inside it."""
    for inner in ast.iter_child_nodes(node):
        yield inner
        if not isinstance(inner, _NESTED_SCOPES):
            yield from walk_scope(inner)


@lru_cache(maxsize=4)
def parse_source(source: str) -> ast.Module | None:
    """Return the syntax tree of a module's source; None if it has none."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _find_function_tree(code: CodeType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    linecache.checkcache(code.co_filename)
    functions = _index_functions("".join(linecache.getlines(code.co_filename)))
    return functions.get((code.co_name, code.co_firstlineno))


@lru_cache(maxsize=4)
def _index_functions(source: str) -> Mapping[tuple[str, int], ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions of a module's source by name and first line, as their code objects have them."""
    tree = parse_source(source)
    if tree is None:
        return {}
    functions: dict[tuple[str, int], ast.FunctionDef | ast.AsyncFunctionDef] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            functions.setdefault((node.name, first), node)
    return functions
