"""Leases: only their holder writes, and what a lost executor held is freed, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
from flowlet.instance.instance import ActionKind, Status
from flowlet.settings import ExecutorSettings
from flowlet.store.counters import MAX_ROLLUP_ROWS
from flowlet.store.instances import CommitResult
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, Workflow, end, state
from tests.accounts.password_hashes import CheapHashes
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import LEASE, EngineHarness, ManualExecutor, open_engine

CRASH_LIMIT = 5
PAST_LEASE_MICROSECONDS = to_microseconds(LEASE) + 1
EXECUTOR_SETTINGS = ExecutorSettings(slots=8, lease=LEASE, crash_limit=CRASH_LIMIT)


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


async def repair_leases(engine: EngineHarness) -> list[int]:
    """Repair, and return which instances were freed."""
    changes = await engine.store.executors.repair_leases(now=engine.clock.now(), crash_limit=CRASH_LIMIT)
    return [change.before.id for change in changes]


async def test_what_a_lost_executor_held_is_due_at_once_under_a_new_token(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        lost = await hands.add_executor("executor-a")
        held = await lost.claim_instance(await hands.create_instance())
        hands.clock.advance(PAST_LEASE_MICROSECONDS)

        assert await repair_leases(hands) == [held.id]

        freed = await hands.get_instance(held.id)
        assert (freed.status, freed.executor_id, freed.token) == (Status.IN_PROGRESS, None, held.token + 1)
        assert (freed.next_activation_us, freed.crashes) == (hands.clock.now(), 1)
        (line,) = await hands.read_history(held.id, ActionKind.REPAIRED)
        assert (line.executor_id, line.text) == ("executor-a", "its executor's lease ran out (1 in a row)")
        assert [one.status for one in await hands.store.executors.list_all()] == ["LOST"]


async def test_an_executor_whose_lease_ran_out_cannot_commit(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        lost, other = await hands.add_executor("executor-a"), await hands.add_executor("executor-b", lease=LEASE * 2)
        late = await lost.run_instance(await lost.claim_instance(await hands.create_instance()))
        hands.clock.advance(PAST_LEASE_MICROSECONDS)
        await repair_leases(hands)
        assert await lost.commit_transitions(late) == [CommitResult.LOST]

        await other.run_due_instance(late.instance.id)
        before = await hands.read_tables()

        assert await lost.commit_transitions(late) == [CommitResult.LOST]
        assert await hands.read_tables() == before


async def test_what_live_executors_hold_is_left_to_them(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        live = await hands.add_executor("executor-a")
        held = await live.claim_instance(await hands.create_instance())
        hands.clock.advance(PAST_LEASE_MICROSECONDS - 1)

        assert not await hands.store.executors.needs_repair(now=hands.clock.now())
        assert await repair_leases(hands) == []

        assert await hands.get_instance(held.id) == held


async def test_what_nobody_on_the_list_holds_is_freed(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor("executor-a")
        held = await hand.claim_instance(await hands.create_instance())
        await hands.execute_sql("DELETE FROM flowlet_executor")

        assert await hands.store.executors.needs_repair(now=hands.clock.now())
        assert await repair_leases(hands) == [held.id]


async def test_a_heartbeat_prolongs_the_lease_until_the_executor_was_given_up(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        await hands.add_executor("executor-a")
        beat = hands.store.executors.renew_lease

        assert await beat("executor-a", lease_microseconds=10) is not None
        (before,) = await hands.store.executors.list_all()
        assert 10 <= before.lease_until - before.beat < 1_000_000
        hands.clock.advance(max(before.lease_until - hands.clock.now(), 0) + 1)
        await repair_leases(hands)

        assert await beat("executor-a", lease_microseconds=10) is None
        assert await beat("stranger", lease_microseconds=10) is None


async def crash_executors(engine: EngineHarness, id: int, times: int) -> None:
    """Let executors die under an instance, one after another."""
    for number in range(times):
        hand = await engine.add_executor(f"executor-{engine.clock.now()}-{number}")
        await hand.claim_instance(id)
        engine.clock.advance(PAST_LEASE_MICROSECONDS)
        await repair_leases(engine)


async def test_an_instance_under_which_executors_keep_dying_fails(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        id = await hands.create_instance()

        await crash_executors(hands, id, CRASH_LIMIT)

        failed = await hands.get_instance(id)
        assert (failed.status, failed.reason) == (Status.FAILED, "5 executors in a row died while they ran it")
        assert (failed.executor_id, failed.next_activation_us, failed.ended_us) == (None, None, hands.clock.now())
        assert [line.kind for line in await hands.read_history(id)][-1] is ActionKind.FAILED
        assert await hands.store.queries.count_by_type_and_status() == {("Orders", "FAILED"): 1}


async def test_crashes_are_counted_in_a_row(database_url: str) -> None:
    @state(start=True, next=["second"])
    async def first() -> Next:
        return second.after("1s")

    @state(next=["done"])
    async def second() -> None: ...

    async with open_engine(database_url, build_workflow_module(first=first, second=second, done=end())) as hands:
        id = await hands.create_instance()
        await crash_executors(hands, id, CRASH_LIMIT - 1)

        hand = await hands.add_executor("executor-b")
        await hand.run_due_instance(id)
        hands.clock.advance(1_000_000)
        await crash_executors(hands, id, CRASH_LIMIT - 1)

        assert (await hands.get_instance(id)).status is Status.IN_PROGRESS


async def test_a_child_that_a_repair_gives_up_wakes_its_parent(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def spawn() -> Next:
        return wait.spawn(child("Orders")).when_children_end()

    @state(next=["done"])
    async def wait() -> None: ...

    parent = build_workflow_module(workflow=Workflow("Parent"), spawn=spawn, wait=wait, done=end())
    async with open_engine(database_url, parent, ORDERS_MODULE) as hands:
        hand = await hands.add_executor("executor-a")
        id = await hands.create_instance("Parent")
        await hand.run_due_instance(id)
        (one,) = await hands.store.queries.list_children(id)

        await crash_executors(hands, one.id, CRASH_LIMIT)

        instance = await hands.get_instance(id)
        assert (instance.open_children, instance.next_activation_us) == (0, hands.clock.now())


async def test_a_pause_that_was_asked_for_holds_after_the_repair(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor("executor-a")
        id = await hands.create_instance()
        await hand.claim_instance(id)
        await hands.execute_sql("UPDATE flowlet_workflow SET pause_requested = 1")
        hands.clock.advance(PAST_LEASE_MICROSECONDS)

        await repair_leases(hands)

        held = await hands.get_instance(id)
        assert (held.status, held.held_status, held.pause_requested) == (Status.PAUSED, Status.IN_PROGRESS, False)


async def test_repairs_that_race_free_each_instance_once(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor("executor-a")
        ids = [await hands.create_instance() for _ in range(10)]
        await hand.claim_due()
        hands.clock.advance(PAST_LEASE_MICROSECONDS)

        freed = await asyncio.gather(*(repair_leases(hands) for _ in range(4)))

        assert sorted(id for ids_ in freed for id in ids_) == ids
        assert [len(await hands.read_history(id, ActionKind.REPAIRED)) for id in ids] == [1] * 10


async def test_an_executor_that_leaves_hands_back_what_it_holds(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor("executor-a")
        held = await hand.claim_instance(await hands.create_instance())

        assert await hands.store.executors.deregister("executor-a", now=hands.clock.now()) == 1

        freed = await hands.get_instance(held.id)
        assert (freed.status, freed.token, freed.crashes) == (Status.IN_PROGRESS, held.token + 1, 0)
        assert [one.status for one in await hands.store.executors.list_all()] == ["STOPPED"]


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


async def test_what_is_leased_and_not_run_is_handed_back_when_it_was_seen_twice(database_url: str) -> None:
    async with open_worker(database_url) as at:
        id = await at.engine.create_instance()
        await at.executor.claim_instance(id)

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
        at.upkeep.record_outage()

        at.engine.clock.advance(to_microseconds(LEASE) - 1)
        await at.upkeep.run_checks()
        assert (await at.engine.get_instance(id)).executor_id == "executor-b"
        at.engine.clock.advance(1)
        await at.upkeep.run_checks()

        assert (await at.engine.get_instance(id)).executor_id is None


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


async def test_counts_that_are_old_are_folded_also_those_of_writers_that_are_gone(database_url: str) -> None:
    async with open_worker(database_url) as at:
        writers = MAX_ROLLUP_ROWS + 10
        for writer in range(1, writers + 1):
            values = {"start": at.engine.clock.now(), "writer": writer}
            await at.engine.execute_sql(
                "INSERT INTO flowlet_counter VALUES (1, :start, :writer, 'A', 2, 0, 1, 0, 0)", values
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
