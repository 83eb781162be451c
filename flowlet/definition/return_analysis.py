"""Static analysis of a handler's ``return`` statements: the values that they name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flowlet.definition.handler_source import HandlerSource, walk_scope
from flowlet.workflow.outcome import Destination

__all__ = ["ReturnedValue", "find_returned_values", "returns_a_value"]

_OUTCOME_METHODS = frozenset(name for name in vars(Destination) if not name.startswith("_"))
_WAITS = frozenset({"after", "at", "when_children_end"})


@dataclass(frozen=True, slots=True)
class ReturnedValue:
    """A value in a ``return`` statement.

    Attributes:
        value: The object that a global name refers to, or a constant, such as the name of a state or None.
        name: The expression, as messages show it.
        line: Its line, counted from 1.
        wait: The method of an outcome that waits before the state, such as ``after``; None if none does.
    """

    value: Any
    name: str
    line: int
    wait: str | None = None


def find_returned_values(source: HandlerSource) -> tuple[ReturnedValue, ...]:
    """Return the values that a handler's ``return`` statements name, in the order of the source.

    It recognises ``return ship``, ``return ship.after(...).log(...)``, ``return "ship"``, ``return`` alone, and these
    inside ``x if y else z`` and ``x or y``. Names are looked up in the handler's module, unless a local variable or
    parameter has the same name; one that is not found there is left out. Functions inside the handler are ignored.
    """
    found = []
    for statement in _walk_returns(source.tree):
        if statement.value is None:
            found.append(ReturnedValue(None, "nothing", statement.lineno))
            continue
        for expression, wait in _walk_returned_names(statement.value):
            is_constant = isinstance(expression, ast.Constant)
            value = expression.value if isinstance(expression, ast.Constant) else source.resolve_name(expression)
            if is_constant or value is not None:
                found.append(ReturnedValue(value, ast.unparse(expression), expression.lineno, wait))
    return tuple(found)


def returns_a_value(source: HandlerSource) -> bool:
    """Return whether any ``return`` statement of a handler returns something else than None."""
    given = (statement.value for statement in _walk_returns(source.tree))
    return any(value is not None and not _is_none(value) for value in given)


def _walk_returns(node: ast.AST) -> Iterator[ast.Return]:
    return (inner for inner in walk_scope(node) if isinstance(inner, ast.Return))


def _is_none(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Constant) and expression.value is None


def _walk_returned_names(expression: ast.expr | None, wait: str | None = None) -> Iterator[tuple[ast.expr, str | None]]:
    match expression:
        case ast.Name() | ast.Constant() | ast.Attribute():
            yield expression, wait
        case ast.Call(func=ast.Attribute(value=inner, attr=attribute)) if attribute in _OUTCOME_METHODS:
            if not isinstance(inner, ast.Constant):
                yield from _walk_returned_names(inner, attribute if attribute in _WAITS else wait)
        case ast.IfExp(body=yes, orelse=no):
            yield from _walk_returned_names(yes, wait)
            yield from _walk_returned_names(no, wait)
        case ast.BoolOp(values=values):
            for value in values:
                if not isinstance(value, ast.Constant) or isinstance(value.value, str):
                    yield from _walk_returned_names(value, wait)
        case ast.NamedExpr(value=value):
            yield from _walk_returned_names(value, wait)
