"""What an executor tells a meter: every claim, every batch, every transition that is durable."""

from __future__ import annotations

import asyncio
from typing import Any

from flowlet.context import Context
from flowlet.engine.executor import Executor
from flowlet.instances import Status
from flowlet.registry import Registry
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store
from flowlet.transitions import Transition
from tests.engine.making import one_state, workflow_module
from tests.engine.running import NEVER, seen

MANY = 20


class Tally:
    """A meter that keeps what it hears."""

    def __init__(self) -> None:
        self.claims: list[int] = []
        self.batches: list[int] = []
        self.moves: list[Transition] = []
        self.seconds: list[float] = []
        self.has_all = asyncio.Event()

    def claimed(self, number: int, seconds: float) -> None:
        self.claims.append(number)
        self.seconds.append(seconds)

    def written(self, size: int, seconds: float) -> None:
        self.batches.append(size)
        self.seconds.append(seconds)

    def moved(self, transition: Transition) -> None:
        self.moves.append(transition)
        if len(self.moves) == MANY:
            self.has_all.set()


async def measured(url: str, handler: Any) -> Tally:
    """Run so many instances to their ends, and return what a meter heard."""
    tally, registry = Tally(), Registry()
    registry.add(workflow_module(**one_state(handler)))
    async with open_store(url) as store:
        executor = Executor(store, registry, None, ExecutorSettings(poll=NEVER), meter=tally)
        now = store.clock.now()
        definition = registry.definition("Orders")
        await store.instances.create([definition.new_instance(None, now=now) for _ in range(MANY)], now=now)
        task = asyncio.create_task(executor.run())
        await seen(tally.has_all.wait())
        executor.stop()
        await seen(task)
    return tally


async def test_a_meter_hears_of_every_claim_batch_and_transition(database_url: str) -> None:
    async def check() -> str:
        return "done"

    tally = await measured(database_url, check)

    assert sum(tally.claims) == MANY
    assert sum(tally.batches) == MANY
    assert [move.status for move in tally.moves] == [Status.FINISHED] * MANY
    assert all(seconds > 0 for seconds in tally.seconds)


async def test_a_transition_in_a_handlers_own_transaction_is_heard_of_too(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction():
            return "done"

    tally = await measured(database_url, check)

    assert {move.instance.id for move in tally.moves} == set(range(1, MANY + 1))
    assert not tally.batches
