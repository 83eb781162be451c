"""An instance freed by an operator and claimed again by the same executor: only the new activation counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from flowlet.clock import VirtualClock, to_microseconds
from flowlet.engine.handlers.lease import Lease
from flowlet.engine.maintenance import REST_FACTOR, Maintenance
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import Worker
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.clocks import RecordingClock
from tests.engine.executor_harness import wait_for
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine


@dataclass
class ControlledActivation:
    """One run of the handler: it begins, ends when it may, and may not care that it is cancelled."""

    has_started: asyncio.Event = field(default_factory=asyncio.Event)
    may_finish: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    is_stubborn: bool = False

    async def run_handler(self) -> None:
        self.has_started.set()
        try:
            await self.may_finish.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            if not self.is_stubborn:
                raise
            await self.may_finish.wait()


@dataclass
class ReclaimHarness:
    """An executor and the two activations of an instance that was freed in between."""

    engine: EngineHarness
    executor: ManualExecutor
    runner: Worker
    upkeep: Maintenance
    first_activation: ControlledActivation
    second_activation: ControlledActivation
    id: int
    first_lease: Lease

    @property
    def current_lease(self) -> Lease:
        return self.runner.running[self.id]

    async def free_instance(self) -> None:
        """Move the instance by force to the state that it is in."""
        operations = Operations(self.engine.store, self.engine.registry)
        await operations.move(self.id, "check", username="lead", force=True, reason="it hangs")

    async def read_action_kinds(self) -> list[ActionKind]:
        return [line.kind for line in await self.engine.read_history(self.id)]


@asynccontextmanager
async def open_first_activation(
    database_url: str, *, is_stubborn: bool = False, clock: VirtualClock | None = None
) -> AsyncIterator[ReclaimHarness]:
    """Give an executor in which the first activation of an instance runs."""
    former, present = ControlledActivation(is_stubborn=is_stubborn), ControlledActivation()
    left = [former, present]

    async def check() -> str:
        await left.pop(0).run_handler()
        return "done"

    async with open_engine(database_url, build_workflow_module(**build_single_state(check)), clock=clock) as hands:
        hand = await hands.add_executor(lease=timedelta(days=1))
        async with hand.open_committer() as committer:
            waker, types, settings = Wakeup(hands.clock), hands.registry.names, ExecutorSettings(slots=8)
            runner = Worker(hands.store, hand.activations, committer, waker, settings, executor_id=hand.id, types=types)
            upkeep = Maintenance(hands.store, runner, settings, executor_id=hand.id, random=Random(7))
            id = await hands.create_instance()
            await runner.claim_due()
            await wait_for(former.has_started.wait())
            at = ReclaimHarness(hands, hand, runner, upkeep, former, present, id, runner.running[id])
            try:
                yield at
            finally:
                former.may_finish.set()
                present.may_finish.set()
                await wait_for(runner.wait_until_idle())


@asynccontextmanager
async def open_second_activation(database_url: str, *, is_stubborn: bool = False) -> AsyncIterator[ReclaimHarness]:
    """Free the instance and claim it again at once."""
    async with open_first_activation(database_url, is_stubborn=is_stubborn) as at:
        await at.free_instance()
        assert (await at.runner.claim_due()).instance_count == 1
        await wait_for(at.second_activation.has_started.wait())
        yield at


async def test_the_former_activation_is_cancelled_and_what_the_present_one_gives_is_kept(database_url: str) -> None:
    async with open_second_activation(database_url) as at:
        await wait_for(at.first_activation.was_cancelled.wait())
        at.second_activation.may_finish.set()
        await wait_for(at.runner.wait_until_idle())

        assert not at.second_activation.was_cancelled.is_set()
        assert at.runner.running == {}
        assert (await at.engine.get_instance(at.id)).status is Status.FINISHED
        assert await at.read_action_kinds() == [ActionKind.CREATED, ActionKind.MOVED, ActionKind.TRANSITION]


async def test_the_present_activation_keeps_its_place_when_the_former_one_ends_late(database_url: str) -> None:
    async with open_second_activation(database_url, is_stubborn=True) as at:
        present = at.current_lease
        await wait_for(at.first_activation.was_cancelled.wait())
        at.first_activation.may_finish.set()
        await wait_for(asyncio.wait([at.first_lease.task]))
        await at.engine.get_instance(at.id)

        assert at.current_lease is present
        assert at.runner.free_slots == 7


async def test_what_runs_under_its_present_token_is_neither_stopped_nor_handed_back(database_url: str) -> None:
    async with open_second_activation(database_url) as at:
        for _ in range(3):
            await at.upkeep.drop_lost_leases()

        assert not at.second_activation.was_cancelled.is_set()
        assert list(at.runner.running) == [at.id]
        assert at.current_lease.token == (await at.engine.get_instance(at.id)).token
        assert await at.read_action_kinds() == [ActionKind.CREATED, ActionKind.MOVED]


async def test_what_is_held_under_another_token_than_it_runs_under_is_stopped(database_url: str) -> None:
    async with open_first_activation(database_url) as at:
        await at.free_instance()
        await at.executor.claim_instance(at.id)

        await at.upkeep.drop_lost_leases()
        await wait_for(at.runner.wait_until_idle())

        assert at.first_activation.was_cancelled.is_set()
        assert at.runner.running == {}


async def test_only_what_is_held_under_the_token_that_was_seen_is_handed_back(database_url: str) -> None:
    async with open_second_activation(database_url) as at:
        now = at.engine.clock.now()

        await at.engine.store.executors.release_instances(at.executor.id, {at.id: at.current_lease.token - 1}, now=now)

        assert (await at.engine.get_instance(at.id)).executor_id == at.executor.id


async def test_a_check_of_the_leases_is_followed_by_a_rest_although_the_next_one_is_requested(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, check_duration, is_checked = RecordingClock(), timedelta(milliseconds=30), asyncio.Event()
    async with open_first_activation(sqlite_url, clock=clock) as at:
        read = at.engine.store.executors.read_held_tokens

        async def read_slowly(id: str) -> dict[int, int]:
            clock.advance(to_microseconds(check_duration))
            at.upkeep.request_check()
            is_checked.set()
            return await read(id)

        monkeypatch.setattr(at.engine.store.executors, "read_held_tokens", read_slowly)
        clock.advance(1_000_000)
        at.upkeep.request_check()
        maintenance = asyncio.create_task(at.upkeep.run())
        for _ in range(3):
            is_checked.clear()
            await wait_for(is_checked.wait())
        maintenance.cancel()
        await asyncio.wait([maintenance])

        rest_seconds = REST_FACTOR * check_duration.total_seconds()
        assert clock.recorded_sleeps == pytest.approx([0.1, rest_seconds, rest_seconds])
        assert not at.first_activation.was_cancelled.is_set()
