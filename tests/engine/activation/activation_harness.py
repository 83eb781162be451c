"""Workflows made in a test, instances of them as an executor holds them, and what runs these."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

from flowlet.clock import VirtualClock, to_microseconds
from flowlet.definition.definition import Definition
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.engine.activation import ActivationRunner
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.instance.transition import Transition
from flowlet.workflow.context import Transaction
from flowlet.workflow.states import end, state

__all__ = [
    "EXECUTOR_ID",
    "SECOND_MICROSECONDS",
    "START_TIME",
    "ActivationHarness",
    "build_leased_instance",
    "build_single_state",
    "build_workflow_module",
    "get_only_action",
    "list_action_kinds",
]

SECOND_MICROSECONDS = 1_000_000
START_TIME = VirtualClock().now()
EXECUTOR_ID = "executor-1"


def build_workflow_module(**members: Any) -> ModuleType:
    """Return a module called ``orders`` with the given states and ``Workflow``; without one its name is Orders."""
    module = ModuleType("orders", "Orders, from start to end.")
    vars(module).update(members)
    return module


def build_single_state(handler: Any, **options: Any) -> dict[str, Any]:
    """Return the members of a module with one state, ``check``, that may go to itself or to ``done``."""
    return {"check": state(start=True, next=["done", "check"], **options)(handler), "done": end()}


def build_leased_instance(definition: Definition, **changes: Any) -> Instance:
    """Return an instance of a definition in its start state, freshly claimed, with some of its columns changed."""
    instance = Instance(
        id=41,
        type=definition.name,
        definition_version=definition.version,
        external_id="order-1",
        key="",
        root_id=None,
        parent_id=None,
        group=definition.group,
        priority=definition.priority,
        status=Status.EXECUTING,
        state=definition.start,
        vars_json="{}",
        next_activation_us=START_TIME,
        attempt=0,
        visit=1,
        streak=0,
        crashes=0,
        executor_id=EXECUTOR_ID,
        token=1,
        version=1,
        children=0,
        open_children=0,
        wake_at_open_children=None,
        pause_requested=False,
        held_status=None,
        answer_json=None,
        reason=None,
        created_by=None,
        created_us=START_TIME,
        modified_us=START_TIME,
        started_us=START_TIME,
        ended_us=None,
    )
    return replace(instance, **changes)


class ActivationHarness:
    """One executor's activations over the workflows of a test, on a clock that is moved by hand."""

    def __init__(self, *, provided: Dependencies | None = None) -> None:
        self.clock = VirtualClock()
        self.registry = Registry(provided)
        self.transaction: Any = object()
        self.activations = ActivationRunner(
            self.registry.get_definition, self.registry.provided, self.clock, Random(7), EXECUTOR_ID, max_threads=2
        )

    def add_definition(self, **members: Any) -> Definition:
        """Return the definition of a module with the given states and ``Workflow``."""
        return self.registry.add(build_workflow_module(**members))

    async def run_activation(self, instance: Instance, **options: Any) -> Transition:
        """Return what one activation of an instance comes to."""
        return await self.activations.run(instance, transaction=self.open_transaction, **options)

    async def run_first_activation(self, definition: Definition, **changes: Any) -> Transition:
        """Return what the first activation of a definition's instance comes to."""
        return await self.run_activation(build_leased_instance(definition, **changes))

    @asynccontextmanager
    async def open_transaction(self, open_connection: object = None) -> AsyncIterator[Transaction]:
        """Give ``ctx.transaction`` its connection."""
        yield self.transaction

    def get_time_after(self, **duration: int) -> int:
        """Return the moment a length of time from now, as ``seconds=10``."""
        return self.clock.now() + to_microseconds(timedelta(**duration))


def list_action_kinds(transition: Transition) -> list[ActionKind]:
    """Return what the lines of history of a transition tell."""
    return [action.kind for action in transition.actions]


def get_only_action(transition: Transition, kind: ActionKind) -> Action:
    """Return the one line of history of a kind."""
    (action,) = [action for action in transition.actions if action.kind is kind]
    return action
