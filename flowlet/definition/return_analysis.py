"""Static analysis of a handler's ``return`` statements: the states that they name."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from flowlet.workflow.outcome import Destination
from flowlet.workflow.states import State

__all__ = ["ReturnedState", "find_returned_states"]

_OUTCOME_METHODS = frozenset(name for name in vars(Destination) if not name.startswith("_"))
_NESTED_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class ReturnedState:
    """A state in a ``return`` statement: the object, or the name as a text. ``line`` is counted from 1."""

    target: State[..., Any] | str
    line: int


def find_returned_states(handler: Callable[..., Any]) -> tuple[ReturnedState, ...]:
    """Return the states that a handler's ``return`` statements name, in the order of the source.

    It recognises ``return ship``, ``return ship.after(...).log(...)``, ``return "ship"``, and these inside
    ``x if y else z`` and ``x or y``. Names are looked up in the handler's module, unless a local variable or parameter
    has the same name. Functions inside the handler are ignored. Without source code the result is empty.
    """
    function = inspect.unwrap(handler)
    code = getattr(function, "__code__", None)
    body = _find_function_ast(code) if isinstance(code, CodeType) else None
    if code is None or body is None:
        return ()
    hidden = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    found = []
    for statement in _walk_returns(body):
        for expression in _walk_returned_names(statement.value):
            if isinstance(expression, ast.Constant):
                found.append(ReturnedState(str(expression.value), expression.lineno))
                continue
            value = None if expression.id in hidden else function.__globals__.get(expression.id)
            if isinstance(value, State):
                found.append(ReturnedState(value, expression.lineno))
    return tuple(found)


def _find_function_ast(code: CodeType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    linecache.checkcache(code.co_filename)
    tree = _parse_source("".join(linecache.getlines(code.co_filename)))
    if tree is None:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


@lru_cache(maxsize=4)
def _parse_source(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _walk_returns(node: ast.AST) -> Iterator[ast.Return]:
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Return):
            yield inner
        elif not isinstance(inner, _NESTED_SCOPES):
            yield from _walk_returns(inner)


def _walk_returned_names(expression: ast.expr | None) -> Iterator[ast.Name | ast.Constant]:
    match expression:
        case ast.Name() | ast.Constant(value=str()):
            yield expression
        case ast.Call(func=ast.Attribute(value=inner, attr=attribute)) if attribute in _OUTCOME_METHODS:
            if not isinstance(inner, ast.Constant):
                yield from _walk_returned_names(inner)
        case ast.IfExp(body=yes, orelse=no):
            yield from _walk_returned_names(yes)
            yield from _walk_returned_names(no)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _walk_returned_names(value)
        case ast.NamedExpr(value=value):
            yield from _walk_returned_names(value)
