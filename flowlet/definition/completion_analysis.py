"""Static analysis of a handler's end: whether it can be reached without a ``return``.

What cannot be known counts as not reached: a ``with`` that swallows errors, a ``match`` without a last case.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Never, NoReturn, get_type_hints

from flowlet.definition.handler_source import HandlerSource

__all__ = ["find_reachable_end"]

_ENDING_FUNCTIONS = (sys.exit, os._exit, os.abort)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


def find_reachable_end(source: HandlerSource) -> int | None:
    """Return the line of a handler's last statement if the end after it can be reached; None if it cannot.

    A draft, whose body is ``...``, has no end yet.
    """
    body = source.tree.body
    if _is_ellipsis(body[-1]) or not _Analysis(source).can_complete(body):
        return None
    return body[-1].lineno


class _Analysis:
    def __init__(self, source: HandlerSource) -> None:
        self._source = source

    def can_complete(self, body: Sequence[ast.stmt]) -> bool:
        """Return whether the end of some statements can be reached."""
        return all(self._can_pass(statement) for statement in body)

    def _can_pass(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
                return False
            case ast.If(test=test, body=body, orelse=orelse):
                value = _get_constant(test)
                return (value is not False and self.can_complete(body)) or (
                    value is not True and self.can_complete(orelse)
                )
            case ast.While(test=test, body=body, orelse=orelse):
                return _has_break(body) or (_get_constant(test) is not True and self.can_complete(orelse))
            case ast.For(body=body, orelse=orelse) | ast.AsyncFor(body=body, orelse=orelse):
                return _has_break(body) or self.can_complete(orelse)
            case ast.With(body=body) | ast.AsyncWith(body=body):
                return self.can_complete(body)
            case ast.Match(cases=cases):
                return any(self.can_complete(case.body) for case in cases)
            case ast.Try() | ast.TryStar():
                return self._can_pass_try(statement)
            case ast.Assert(test=test):
                return _get_constant(test) is not False
            case ast.Expr(value=value):
                return not self._never_returns(value)
        return True

    def _can_pass_try(self, statement: ast.Try | ast.TryStar) -> bool:
        if not self.can_complete(statement.finalbody):
            return False
        return self.can_complete([*statement.body, *statement.orelse]) or any(
            self.can_complete(handler.body) for handler in statement.handlers
        )

    def _never_returns(self, expression: ast.expr) -> bool:
        called = expression.value if isinstance(expression, ast.Await) else expression
        if not isinstance(called, ast.Call):
            return False
        function = self._source.resolve_name(called.func)
        return function in _ENDING_FUNCTIONS or (callable(function) and _is_annotated_never(function))


def _is_ellipsis(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and statement.value.value is Ellipsis
    )


def _is_annotated_never(function: Callable[..., Any]) -> bool:
    try:
        return get_type_hints(function).get("return") in (NoReturn, Never)
    except Exception:  # noqa: BLE001 - evaluating an annotation in quotes may raise anything
        return False


def _get_constant(test: ast.expr) -> bool | None:
    return bool(test.value) if isinstance(test, ast.Constant) else None


def _has_break(body: Sequence[ast.stmt]) -> bool:
    return any(isinstance(statement, ast.Break) for part in body for statement in _walk_loop(part))


def _walk_loop(statement: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement and those inside it whose ``break`` belongs to the same loop."""
    yield statement
    if isinstance(statement, _LOOPS):
        for later in statement.orelse:
            yield from _walk_loop(later)
        return
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for part in ast.iter_child_nodes(statement):
            if isinstance(part, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from _walk_loop(part)
