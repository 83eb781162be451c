"""Workflows made in a test, instances of them as an executor holds them, and what runs these."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

from flowlet.clock import VirtualClock, microseconds
from flowlet.context import Transaction
from flowlet.definition import Definition
from flowlet.engine.activation import Activations
from flowlet.instances import Action, ActionKind, Instance, Status
from flowlet.provided import Provided
from flowlet.registry import Registry
from flowlet.states import end, state
from flowlet.transitions import Transition

__all__ = ["EXECUTOR", "SECOND", "START", "Bench", "kinds", "leased", "one_state", "only", "workflow_module"]

SECOND = 1_000_000
START = VirtualClock().now()
EXECUTOR = "executor-1"


def workflow_module(**members: Any) -> ModuleType:
    """Return a module called ``orders`` with the given states and ``Workflow``; without one its name is Orders."""
    module = ModuleType("orders", "Orders, from start to end.")
    vars(module).update(members)
    return module


def one_state(handler: Any, **options: Any) -> dict[str, Any]:
    """Return the members of a module with one state, ``check``, that may go to itself or to ``done``."""
    return {"check": state(start=True, next=["done", "check"], **options)(handler), "done": end()}


def leased(definition: Definition, **changes: Any) -> Instance:
    """Return an instance of a definition in its start state, freshly claimed, with some of its columns changed."""
    instance = Instance(
        id=41,
        type=definition.name,
        definition_version=definition.version,
        external_id="order-1",
        business_key="",
        parent_id=None,
        executor_group=definition.group,
        priority=definition.priority,
        status=Status.EXECUTING,
        state=definition.start,
        vars="{}",
        next_activation=START,
        attempt=0,
        visit=1,
        streak=0,
        crashes=0,
        executor_id=EXECUTOR,
        token=1,
        version=1,
        children=0,
        open_children=0,
        waits_for_children=False,
        pause_requested=False,
        held_status=None,
        answer=None,
        reason=None,
        created_by=None,
        created=START,
        modified=START,
        started=START,
        ended=None,
    )
    return replace(instance, **changes)


class Bench:
    """One executor's activations over the workflows of a test, on a clock that is moved by hand."""

    def __init__(self, *, provided: Provided | None = None) -> None:
        self.clock = VirtualClock()
        self.registry = Registry(provided)
        self.transaction: Any = object()
        self.activations = Activations(
            self.registry.definition, self.registry.provided, self.clock, Random(7), EXECUTOR, threads=2
        )

    def define(self, **members: Any) -> Definition:
        """Return the definition of a module with the given states and ``Workflow``."""
        return self.registry.add(workflow_module(**members))

    async def run(self, instance: Instance, **more: Any) -> Transition:
        """Return what one activation of an instance comes to."""
        return await self.activations.run(instance, transaction=self.open, **more)

    async def start(self, definition: Definition, **changes: Any) -> Transition:
        """Return what the first activation of a definition's instance comes to."""
        return await self.run(leased(definition, **changes))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transaction]:
        """Give ``ctx.transaction`` its connection."""
        yield self.transaction

    def after(self, **length: int) -> int:
        """Return the moment a length of time from now, as ``seconds=10``."""
        return self.clock.now() + microseconds(timedelta(**length))


def kinds(transition: Transition) -> list[ActionKind]:
    """Return what the lines of history of a transition tell."""
    return [action.kind for action in transition.actions]


def only(transition: Transition, kind: ActionKind) -> Action:
    """Return the one line of history of a kind."""
    (action,) = [action for action in transition.actions if action.kind is kind]
    return action
