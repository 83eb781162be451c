"""The cost of one activation without its handler, in microseconds: the median of several rounds.

Run it as ``python -m benchmarks.activation``.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from random import Random
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from flowlet.clock import StoreClock
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.engine.activation import ActivationRunner
from flowlet.engine.release import apply_transition
from flowlet.instance.instance import Instance, Status
from flowlet.workflow.context import Context
from flowlet.workflow.states import Next, State, end, state
from flowlet.workflow.workflow import Workflow

ROUNDS, RUNS = 7, 5_000


class Order(BaseModel):
    """Variables of a usual size."""

    sku: str = "A-100"
    amount: int = 1
    tags: list[str] = ["new", "gift"]


def _bare() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    async def check() -> Next:
        return check

    return {"check": check, "done": end()}


def _with_context() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    async def check(ctx: Context) -> Next:
        return check

    return {"check": check, "done": end()}


def _with_log() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    async def check(ctx: Context) -> Next:
        ctx.log("looked")
        return check.after("10 minutes").log("again")

    return {"check": check, "done": end()}


def _with_model() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    async def check(order: Order) -> Next:
        return check

    return {"workflow": Workflow("Bench", vars=Order), "check": check, "done": end()}


def _with_changed_model() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    async def check(order: Order, ctx: Context) -> Next:
        order.amount += 1
        return check

    return {"workflow": Workflow("Bench", vars=Order), "check": check, "done": end()}


def _with_timeout() -> dict[str, Any]:
    @state(start=True, next=["check", "done"], timeout="10 minutes")
    async def check() -> Next:
        return check

    return {"check": check, "done": end()}


def _in_thread() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    def check() -> Next:
        return check

    return {"check": check, "done": end()}


def _failing() -> dict[str, Any]:
    @state(start=True, next=["check", "done"])
    async def check() -> State[..., Any]:
        raise ValueError("no such order")

    return {"check": check, "done": end()}


def _open_no_transaction() -> AbstractAsyncContextManager[Any]:
    return nullcontext()


async def _measure_activation(members: dict[str, Any]) -> tuple[float, float]:
    module = ModuleType("bench")
    vars(module).update(members)
    definition = Registry().add(module)
    activations = ActivationRunner(lambda _: definition, {}, StoreClock(), Random(1), "executor-1")
    instance = _build_instance(definition)
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(RUNS):
            transition = await activations.run(instance, transaction=_open_no_transaction)
        rounds.append((time.perf_counter() - began) / RUNS * 1e6)
    activations.close()
    following = 0.0
    if transition.status is Status.EXECUTING:
        began = time.perf_counter()
        for _ in range(RUNS):
            apply_transition(instance, transition)
        following = (time.perf_counter() - began) / RUNS * 1e6
    return statistics.median(rounds), following


def _build_instance(definition: Definition) -> Instance:
    new = definition.build_instance(None, now=0, external_id="order-1")
    fields = dict.fromkeys(Instance.__dataclass_fields__)
    counts = ("attempt", "streak", "children", "open_children", "unsnapped_characters", "vars_version", "unread")
    fields |= {"id": 1, "visit": 1, "version": 1, **dict.fromkeys(counts, 0)}
    for name in ("type", "definition_version", "external_id", "group", "priority", "state", "vars_json"):
        fields[name] = getattr(new, name)
    return Instance(**{**fields, "status": Status.EXECUTING})  # type: ignore[arg-type]  # filled by name


def main() -> None:
    """Print one line for each shape of handler."""
    shapes: list[Callable[[], dict[str, Any]]] = [
        _bare,
        _with_context,
        _with_log,
        _with_model,
        _with_changed_model,
        _with_timeout,
        _in_thread,
        _failing,
    ]
    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds of {RUNS:,}")
    for shape in shapes:
        name = shape.__name__.strip("_").replace("_", " ")
        each, following = asyncio.run(_measure_activation(shape()))
        print(f"{name:20} {each:8.1f} µs" + (f"   + continued {following:.1f} µs" if following else ""))


if __name__ == "__main__":
    main()
