"""An instance freed by an operator and claimed again by the same executor: only the new activation counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from flowlet.engine.runner import Lease, Runner
from flowlet.engine.upkeep import Upkeep
from flowlet.engine.waker import Waker
from flowlet.instances import ActionKind, Status
from flowlet.operations import Operations
from flowlet.settings import ExecutorSettings
from tests.engine.hands import Hand, Hands, opened
from tests.engine.making import one_state, workflow_module
from tests.engine.running import seen


@dataclass
class Activation:
    """One run of the handler: it begins, ends when it may, and may not care that it is cancelled."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    is_stubborn: bool = False

    async def run(self) -> None:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            if not self.is_stubborn:
                raise
            await self.may_end.wait()


@dataclass
class Retaken:
    """An executor and the two activations of an instance that was freed in between."""

    hands: Hands
    hand: Hand
    runner: Runner
    upkeep: Upkeep
    former: Activation
    present: Activation
    id: int
    first: Lease

    @property
    def lease(self) -> Lease:
        return self.runner.running[self.id]

    async def free(self) -> None:
        """Move the instance by force to the state that it is in."""
        operations = Operations(self.hands.store, self.hands.registry)
        await operations.move(self.id, "check", username="lead", force=True, reason="it hangs")

    async def kinds(self) -> list[ActionKind]:
        return [line.kind for line in await self.hands.history(self.id)]


@asynccontextmanager
async def first_run(database_url: str, *, is_stubborn: bool = False) -> AsyncIterator[Retaken]:
    """Give an executor in which the first activation of an instance runs."""
    former, present = Activation(is_stubborn=is_stubborn), Activation()
    left = [former, present]

    async def check() -> str:
        await left.pop(0).run()
        return "done"

    async with opened(database_url, workflow_module(**one_state(check))) as hands:
        hand = await hands.hand(lease=timedelta(days=1))
        async with hand.committer() as committer:
            waker, types, settings = Waker(hands.clock), hands.registry.names, ExecutorSettings(slots=8)
            runner = Runner(hands.store, hand.activations, committer, waker, settings, executor_id=hand.id, types=types)
            upkeep = Upkeep(hands.store, runner, settings, executor_id=hand.id, random=Random(7))
            id = await hands.create()
            await runner.claim()
            await seen(former.begun.wait())
            at = Retaken(hands, hand, runner, upkeep, former, present, id, runner.running[id])
            try:
                yield at
            finally:
                former.may_end.set()
                present.may_end.set()
                await seen(runner.settle())


@asynccontextmanager
async def second_run(database_url: str, *, is_stubborn: bool = False) -> AsyncIterator[Retaken]:
    """Free the instance and claim it again at once."""
    async with first_run(database_url, is_stubborn=is_stubborn) as at:
        await at.free()
        assert (await at.runner.claim()).number == 1
        await seen(at.present.begun.wait())
        yield at


async def test_the_former_activation_is_cancelled_and_what_the_present_one_gives_is_kept(database_url: str) -> None:
    async with second_run(database_url) as at:
        await seen(at.former.was_cancelled.wait())
        at.present.may_end.set()
        await seen(at.runner.settle())

        assert not at.present.was_cancelled.is_set()
        assert at.runner.running == {}
        assert (await at.hands.get(at.id)).status is Status.FINISHED
        assert await at.kinds() == [ActionKind.CREATED, ActionKind.MOVED, ActionKind.TRANSITION]


async def test_the_present_activation_keeps_its_place_when_the_former_one_ends_late(database_url: str) -> None:
    async with second_run(database_url, is_stubborn=True) as at:
        present = at.lease
        await seen(at.former.was_cancelled.wait())
        at.former.may_end.set()
        await seen(asyncio.wait([at.first.task]))
        await at.hands.get(at.id)

        assert at.lease is present
        assert at.runner.free == 7


async def test_what_runs_under_its_present_token_is_neither_stopped_nor_handed_back(database_url: str) -> None:
    async with second_run(database_url) as at:
        for _ in range(3):
            await at.upkeep.drop_lost()

        assert not at.present.was_cancelled.is_set()
        assert list(at.runner.running) == [at.id]
        assert at.lease.token == (await at.hands.get(at.id)).token
        assert await at.kinds() == [ActionKind.CREATED, ActionKind.MOVED]


async def test_what_is_held_under_another_token_than_it_runs_under_is_stopped(database_url: str) -> None:
    async with first_run(database_url) as at:
        await at.free()
        await at.hand.claim_one(at.id)

        await at.upkeep.drop_lost()
        await seen(at.runner.settle())

        assert at.former.was_cancelled.is_set()
        assert at.runner.running == {}


async def test_only_what_is_held_under_the_token_that_was_seen_is_handed_back(database_url: str) -> None:
    async with second_run(database_url) as at:
        now = at.hands.clock.now()

        await at.hands.store.executors.release(at.hand.id, {at.id: at.lease.token - 1}, now=now)

        assert (await at.hands.get(at.id)).executor_id == at.hand.id
