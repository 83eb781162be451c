"""An executor's maintenance: leases that it lost, repairs, reasons, old counts, lost executors and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from types import ModuleType

import pytest

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.clock import to_microseconds
from flowlet.engine.maintenance import Maintenance
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import Worker
from flowlet.engine.worker_parts import build_executor_record
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.counters import MAX_ROLLUP_ROWS
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.accounts.password_hashes import CheapHashes
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.lease_settings import EXECUTOR_SETTINGS, ORDERS_MODULE, PAST_LEASE_MICROSECONDS
from tests.engine.manual_executor import LEASE, EngineHarness, ManualExecutor, open_engine


@dataclass
class WorkerHarness:
    """An executor with its upkeep, and a handler that waits for the test."""

    engine: EngineHarness
    executor: ManualExecutor
    runner: Worker
    upkeep: Maintenance
    has_started: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_worker(database_url: str, *other_modules: ModuleType) -> AsyncIterator[WorkerHarness]:
    begun, was_cancelled = asyncio.Event(), asyncio.Event()

    async def check() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise
        return "done"

    module = build_workflow_module(**build_single_state(check))
    async with open_engine(database_url, module, *other_modules) as hands:
        hand = await hands.add_executor("executor-a", lease=timedelta(days=1))
        async with hand.open_committer() as committer:
            waker, types = Wakeup(hands.clock), hands.registry.names
            runner = Worker(
                hands.store, hand.activations, committer, waker, EXECUTOR_SETTINGS, executor_id=hand.id, types=types
            )
            upkeep = Maintenance(hands.store, runner, EXECUTOR_SETTINGS, executor_id=hand.id, random=Random(7))
            yield WorkerHarness(hands, hand, runner, upkeep, begun, was_cancelled)
            runner.cancel_leases(runner.running.values())
            await runner.wait_until_idle()


async def test_the_activation_of_an_instance_that_was_taken_away_is_stopped(database_url: str) -> None:
    async with open_worker(database_url) as at:
        id = await at.engine.create_instance()
        await at.runner.claim_due()
        await at.has_started.wait()
        await at.engine.execute_sql("UPDATE flowlet_workflow SET executor_id = NULL, token = token + 1")

        await at.upkeep.drop_lost_leases()
        await at.runner.wait_until_idle()

        assert at.was_cancelled.is_set()
        assert at.runner.running == {}
        assert len(await at.engine.read_history(id)) == 1


async def test_an_activation_whose_instance_is_held_goes_on(database_url: str) -> None:
    async with open_worker(database_url) as at:
        id = await at.engine.create_instance()
        await at.runner.claim_due()
        await at.has_started.wait()

        for _ in range(3):
            await at.upkeep.run_checks()

        assert not at.was_cancelled.is_set()
        assert list(at.runner.running) == [id]


async def test_many_due_reminders_leave_room_for_the_other_checks(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.engine.people.due_questions.MAX_DUE_QUESTIONS", 1)
    monkeypatch.setattr("flowlet.engine.maintenance.MAX_REMINDER_ROUNDS", 2)
    module = ModuleType("claims", "Pay claims.")
    decide = manual(start=True, next=["paid"], remind="1 hour")(lambda: None)
    vars(module).update(decide=decide, paid=end(), workflow=Workflow("Claims"))
    async with open_worker(sqlite_url, module) as at:
        for _ in range(3):
            await at.engine.create_instance("Claims")
        at.engine.clock.advance(to_microseconds(timedelta(hours=1)))

        counts = []
        for _ in range(3):
            await at.upkeep.run_checks()
            counts += await at.engine.fetch_rows("SELECT SUM(reminders) FROM flowlet_inbox")

        assert counts == [(2,), (3,), (3,)]


async def test_what_is_leased_and_not_run_is_handed_back_when_it_was_seen_twice(database_url: str) -> None:
    async with open_worker(database_url) as at:
        id = await at.engine.create_instance()
        await at.executor.claim_instance(id)
        at.runner.lease_count += 1  # as for a claim whose answer was lost

        await at.upkeep.drop_lost_leases()
        assert (await at.engine.get_instance(id)).status is Status.EXECUTING
        await at.upkeep.drop_lost_leases()

        freed = await at.engine.get_instance(id)
        assert (freed.status, freed.executor_id) == (Status.IN_PROGRESS, None)
        assert [line.kind for line in await at.engine.read_history(id)][1:] == [ActionKind.RELEASED]


async def test_an_executor_repairs_only_when_it_was_in_touch_for_the_length_of_a_lease(database_url: str) -> None:
    async with open_worker(database_url) as at:
        lost = await at.engine.add_executor("executor-b")
        id = await at.engine.create_instance()
        await lost.claim_instance(id)
        at.engine.clock.advance(PAST_LEASE_MICROSECONDS)

        for _ in range(3):
            await at.upkeep.run_checks()
            assert (await at.engine.get_instance(id)).executor_id == "executor-b"
            at.engine.clock.advance(to_microseconds(LEASE) // 3)
        await at.upkeep.run_checks()

        assert (await at.engine.get_instance(id)).executor_id is None


@pytest.mark.parametrize("seconds", [31.5, 47.3, 58.9])
async def test_a_lost_executor_is_found_when_its_lease_runs_out_and_not_at_the_next_round(
    database_url: str, seconds: float
) -> None:
    async with open_worker(database_url) as at:
        lost = await at.engine.add_executor("executor-b", lease=timedelta(seconds=seconds))
        expiry = at.engine.clock.now() + to_microseconds(timedelta(seconds=seconds))
        id = await at.engine.create_instance()
        await lost.claim_instance(id)
        at.upkeep._rest_seconds = LEASE.total_seconds()  # all pauses are virtual

        maintenance = asyncio.create_task(at.upkeep.run())
        while (await at.engine.get_instance(id)).executor_id is not None:
            pass
        maintenance.cancel()
        await asyncio.wait([maintenance])

        (repaired,) = await at.engine.read_history(id, ActionKind.REPAIRED)
        assert 0 < repaired.at_us - expiry <= 200_000


async def test_an_instance_that_nobody_here_can_run_waits_and_says_why(database_url: str) -> None:
    async with open_worker(database_url) as at:
        id = await at.engine.create_instance()
        await at.engine.execute_sql("UPDATE flowlet_workflow SET workflow_type = 'Unknown'")
        at.engine.clock.advance(2_000_000)
        await at.runner.claim_due()
        assert at.runner.running == {}

        await at.upkeep.run_checks()

        waiting = await at.engine.get_instance(id)
        assert waiting.status is Status.NEW
        assert waiting.reason == "no running executor of the group 'default' knows this workflow"


async def test_an_instance_of_a_group_that_nobody_serves_says_so_until_an_executor_comes(database_url: str) -> None:
    async with open_worker(database_url) as at:
        id = await at.engine.create_instance(group="night")
        at.engine.clock.advance(2_000_000)
        await at.upkeep.run_checks()
        waiting = await at.engine.get_instance(id)

        record = build_executor_record(EXECUTOR_SETTINGS, at.engine.registry, id="n", now=0)
        served = replace(record, groups=("night",))
        await at.engine.store.executors.register(replace(served, lease_until=2**60))
        for _ in range(3):
            await at.upkeep.run_checks()

        assert waiting.reason == "no running executor serves the group 'night'"
        assert (await at.engine.get_instance(id)).reason is None


async def test_counts_that_are_old_are_folded_also_those_of_writers_that_are_gone(database_url: str) -> None:
    async with open_worker(database_url) as at:
        writers = MAX_ROLLUP_ROWS + 10
        for writer in range(1, writers + 1):
            values = {"start": at.engine.clock.now(), "writer": writer}
            await at.engine.execute_sql(
                "INSERT INTO flowlet_counter VALUES (1, :start, :writer, 'A', 2, 0, 1, 0, 0, 0)", values
            )
        at.engine.clock.advance(to_microseconds(timedelta(hours=3)))

        await at.upkeep.run_checks()

        rows = await at.engine.fetch_rows("SELECT minutes, writer, transitions, finished FROM flowlet_counter")
        assert rows == [(60, 0, 2 * writers, writers)]


@pytest.mark.parametrize("status", ["STOPPED", "LOST"])
async def test_executors_that_are_gone_leave_the_list_after_a_while(database_url: str, status: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        await hands.add_executor("executor-a")
        await hands.add_executor("executor-b")
        await hands.execute_sql(
            "UPDATE flowlet_executor SET status = :status WHERE id = 'executor-a'", {"status": status}
        )

        await hands.store.executors.delete_gone(before=hands.clock.now() + PAST_LEASE_MICROSECONDS)

        assert [one.id for one in await hands.store.executors.list_all()] == ["executor-b"]


async def test_sessions_that_have_ended_are_deleted_and_others_stay(database_url: str) -> None:
    async with open_worker(database_url) as at:
        users = Users(at.engine.store, passwords=CheapHashes())
        await users.create("ada", "correct horse", Role.VIEWER, actor="test")
        await users.log_in("ada", "correct horse", user_agent="forgotten")
        at.engine.clock.advance(to_microseconds(EXECUTOR_SETTINGS.session_idle))
        await users.log_in("ada", "correct horse", user_agent="in use")

        await at.upkeep.run_checks()

        left = await at.engine.store.sessions.list_for_user((await users.get("ada")).id)
        assert [session.user_agent for session in left] == ["in use"]


async def test_a_round_reminds_of_questions(sqlite_url: str) -> None:
    @manual(start=True, next=["over"], remind="1 hour")
    async def ask() -> None: ...

    module = ModuleType("questions", "Ask.")
    vars(module).update(ask=ask, over=end(), workflow=Workflow("Questions"))
    async with open_worker(sqlite_url, module) as at:
        id = await at.engine.create_instance("Questions")
        at.engine.clock.advance(to_microseconds(timedelta(hours=1)))

        await at.upkeep.run_checks()

        (line,) = await at.engine.read_history(id, ActionKind.REMINDED)
        assert (line.text, line.executor_id) == ("reminder 1", "executor-a")
