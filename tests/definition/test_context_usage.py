"""Which attributes of its context a handler reads, as far as its code shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from flowlet.definition.context_usage import find_context_attributes


def use(*values: Any) -> Any:
    return values


async def read_two(ctx: Any) -> Any:
    ctx.log("ctx and children")
    return [one.vars for one in ctx.children if one]


def read_vars(ctx: Any, order: Any) -> Any:
    order.total = ctx.vars["total"] + ctx.attempt
    return {"ctx": f"{ctx.workflow.key}"}


def read_nothing(ctx: Any) -> str:
    return "done"


def hand_on(ctx: Any, order: Any) -> Any:
    return use(ctx, order.total)


def rename(ctx: Any) -> Any:
    other = ctx
    return other.children


def shadow(ctx: Any) -> Any:
    def inner(ctx: Any) -> Any:
        return ctx.parent

    return inner(ctx)


def read_by_name(ctx: Any, name: str) -> Any:
    return getattr(ctx, name)


def read_locals(ctx: Any) -> Any:
    return locals()["ctx"].children


def replace(ctx: Any) -> Any:
    ctx = use(ctx.workflow)
    return ctx.children


@functools.wraps(read_nothing)
def wrap(ctx: Any) -> Any:
    return ctx.attempt


@pytest.mark.parametrize(
    ("handler", "attributes"),
    [
        (read_two, {"log", "children"}),
        (read_vars, {"vars", "attempt", "workflow"}),
        (read_nothing, set()),
        (hand_on, None),
        (rename, None),
        (shadow, None),
        (read_by_name, None),
        (read_locals, None),
        (replace, None),
        (wrap, None),
        (functools.partial(read_nothing), None),
    ],
)
def test_the_attributes_are_those_in_the_code_unless_the_context_leaves_it(
    handler: Callable[..., Any], attributes: set[str] | None
) -> None:
    found = find_context_attributes(handler, ["ctx"])

    assert found == (None if attributes is None else frozenset(attributes))


def test_a_function_inside_the_handler_counts() -> None:
    def handler(ctx: Any) -> Any:
        return lambda: ctx.parent

    found = find_context_attributes(handler, ["ctx"])

    assert found in (None, frozenset({"parent"}))  # from Python 3.13 on, a closure counts as handing the context on


def test_the_parameter_may_have_any_name() -> None:
    def handler(context: Any, ctx: Any) -> Any:
        return context.children, ctx

    assert find_context_attributes(handler, ["context"]) == frozenset({"children"})
