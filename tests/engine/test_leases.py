"""Leases: only their holder writes, and what a lost executor held is freed, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from flowlet.instance.action import ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import Status
from flowlet.store import changes
from flowlet.store.database_session import DatabaseSession
from flowlet.store.executors import MAX_FREED_INSTANCES, SUSPECT_CRASHES
from flowlet.store.instances import CommitResult
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.children.family_modules import build_waiting_parent_module
from tests.engine.lease_settings import CRASH_LIMIT, ORDERS_MODULE, PAST_LEASE_MICROSECONDS
from tests.engine.manual_executor import LEASE, EngineHarness, open_engine


async def repair_leases(engine: EngineHarness) -> list[int]:
    """Repair, and return which instances were freed."""
    changes = await engine.store.executors.repair_leases(
        now=engine.clock.now(), expired_before=engine.clock.now(), crash_limit=CRASH_LIMIT
    )
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

        assert await hands.store.executors.find_first_expiry() == hands.clock.now()
        assert await repair_leases(hands) == []

        assert await hands.get_instance(held.id) == held


async def test_what_nobody_on_the_list_holds_is_freed(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor("executor-a")
        held = await hand.claim_instance(await hands.create_instance())
        await hands.execute_sql("DELETE FROM flowlet_executor")

        assert await hands.store.executors.find_first_expiry() == 0
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
        instance = await hand.claim_instance(id)
        if instance.crashes >= SUSPECT_CRASHES:
            assert await engine.store.executors.count_crash(hand.id, id, instance.token)
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


async def test_an_instance_that_was_held_and_not_begun_alone_does_not_fail(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        id = await hands.create_instance()

        for number in range(2 * CRASH_LIMIT):
            hand = await hands.add_executor(f"executor-{number}")
            await hand.claim_instance(id)
            hands.clock.advance(PAST_LEASE_MICROSECONDS)
            await repair_leases(hands)

        instance = await hands.get_instance(id)
        assert (instance.status, instance.crashes) == (Status.IN_PROGRESS, 2)


async def test_a_crash_is_not_counted_for_an_instance_that_is_held_by_another(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        id = await hands.create_instance()
        hand = await hands.add_executor()
        instance = await hand.claim_instance(id)

        assert not await hands.store.executors.count_crash("another", id, instance.token)
        assert not await hands.store.executors.count_crash(hand.id, id, instance.token + 1)
        assert (await hands.get_instance(id)).crashes == 0


async def test_an_orderly_release_takes_counted_crashes_back(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        id = await hands.create_instance()
        await crash_executors(hands, id, CRASH_LIMIT - 1)
        hand = await hands.add_executor()
        instance = await hand.claim_instance(id)
        await hands.store.executors.count_crash(hand.id, id, instance.token)

        await hands.store.executors.deregister(hand.id, now=hands.clock.now())

        assert (await hands.get_instance(id)).crashes == 1


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
    parent = build_waiting_parent_module("Orders")
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


@pytest.mark.parametrize("how", ["repair", "deregister", "release"])
async def test_what_is_held_is_freed_in_short_transactions(
    database_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    count = 2 * MAX_FREED_INSTANCES + 1
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        executor, executors = await hands.add_executor(), hands.store.executors
        for _ in range(count):
            await hands.create_instance()
        held = await executor.claim_due()
        sizes: list[int] = []
        monkeypatch.setattr(changes, "_add_end_counts", record_sizes(sizes, changes._add_end_counts))

        if how == "deregister":
            assert await executors.deregister(executor.id, now=hands.clock.now()) == count
        elif how == "release":
            await executors.release_instances(executor.id, {one.id: one.token for one in held}, now=hands.clock.now())
        else:
            hands.clock.advance(PAST_LEASE_MICROSECONDS)
            while await repair_leases(hands):
                assert await executors.find_first_expiry() == (0 if sum(sizes) < count else None)

        assert [size for size in sizes if size] == [MAX_FREED_INSTANCES, MAX_FREED_INSTANCES, 1]
        status = "SELECT COUNT(*) FROM flowlet_workflow WHERE status = 'IN_PROGRESS' AND executor_id IS NULL"
        assert await hands.fetch_rows(status) == [(count,)]


def record_sizes(sizes: list[int], add_counts: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return a function that also records how many instances each transaction changes."""

    async def record_and_add(session: DatabaseSession, made: Sequence[Change], now: int) -> None:
        sizes.append(len(made))
        await add_counts(session, made, now)

    return record_and_add
