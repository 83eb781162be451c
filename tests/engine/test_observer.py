"""The events that an executor reports to its observer: every claim, batch and durable transition."""

from __future__ import annotations

import asyncio
from typing import Any

from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store
from flowlet.workflow.context import Context
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import NEVER, wait_for

INSTANCE_COUNT = 20


class RecordingObserver:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.claim_sizes: list[int] = []
        self.batch_sizes: list[int] = []
        self.transitions: list[Transition] = []
        self.durations_seconds: list[float] = []
        self.has_all_transitions = asyncio.Event()

    def on_claim(self, instance_count: int, seconds: float) -> None:
        self.claim_sizes.append(instance_count)
        self.durations_seconds.append(seconds)

    def on_batch(self, size: int, seconds: float) -> None:
        self.batch_sizes.append(size)
        self.durations_seconds.append(seconds)

    def on_transition(self, transition: Transition) -> None:
        self.transitions.append(transition)
        if len(self.transitions) == INSTANCE_COUNT:
            self.has_all_transitions.set()


async def run_observed(url: str, handler: Any) -> RecordingObserver:
    """Run instances to their ends, and return the observer of the executor."""
    observer, registry = RecordingObserver(), Registry()
    registry.add(build_workflow_module(**build_single_state(handler)))
    async with open_store(url) as store:
        executor = Executor(store, registry, ExecutorSettings(poll_interval=NEVER), observer=observer)
        now = store.clock.now()
        definition = registry.get_definition("Orders")
        await store.instances.create([definition.build_instance(None, now=now) for _ in range(INSTANCE_COUNT)], now=now)
        task = asyncio.create_task(executor.run())
        await wait_for(observer.has_all_transitions.wait())
        executor.stop()
        await wait_for(task)
    return observer


async def test_an_observer_is_notified_of_every_claim_batch_and_transition(database_url: str) -> None:
    async def check() -> str:
        return "done"

    observer = await run_observed(database_url, check)

    assert sum(observer.claim_sizes) == INSTANCE_COUNT
    assert sum(observer.batch_sizes) == INSTANCE_COUNT
    assert [move.status for move in observer.transitions] == [Status.FINISHED] * INSTANCE_COUNT
    assert all(seconds > 0 for seconds in observer.durations_seconds)


async def test_an_observer_is_notified_of_a_transition_in_a_handlers_own_transaction(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction():
            return "done"

    observer = await run_observed(database_url, check)

    assert {move.instance.id for move in observer.transitions} == set(range(1, INSTANCE_COUNT + 1))
    assert not observer.batch_sizes
