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

from flowlet.clock import microseconds
from flowlet.engine.runner import Runner
from flowlet.engine.upkeep import Upkeep
from flowlet.engine.waker import Waker
from flowlet.instances import ActionKind, Status
from flowlet.roles import Role
from flowlet.settings import ExecutorSettings
from flowlet.states import Workflow, end, state
from flowlet.store.instances import Verdict
from flowlet.store.tallies import FOLDED
from flowlet.transitions import Next, child
from flowlet.users import Users
from tests.engine.hands import LEASE, Hand, Hands, opened
from tests.engine.making import one_state, workflow_module
from tests.users.hashes import CheapHashes

LIMIT = 5
OVER = microseconds(LEASE) + 1
SETTINGS = ExecutorSettings(slots=8, lease=LEASE, crash_limit=LIMIT)


async def finishing() -> str:
    return "done"


ORDERS = workflow_module(**one_state(finishing))


async def repair(hands: Hands) -> list[int]:
    """Repair, and return which instances were freed."""
    changes = await hands.store.executors.repair(now=hands.clock.now(), crash_limit=LIMIT)
    return [change.before.id for change in changes]


async def test_what_a_lost_executor_held_is_due_at_once_under_a_new_token(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        lost = await hands.hand("executor-a")
        held = await lost.claim_one(await hands.create())
        hands.clock.advance(OVER)

        assert await repair(hands) == [held.id]

        freed = await hands.get(held.id)
        assert (freed.status, freed.executor_id, freed.token) == (Status.IN_PROGRESS, None, held.token + 1)
        assert (freed.next_activation, freed.crashes) == (hands.clock.now(), 1)
        (line,) = await hands.history(held.id, ActionKind.REPAIRED)
        assert (line.executor_id, line.text) == ("executor-a", "its executor's lease ran out (1 in a row)")
        assert [one.status for one in await hands.store.executors.all()] == ["LOST"]


async def test_an_executor_whose_lease_ran_out_cannot_commit(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        lost, other = await hands.hand("executor-a"), await hands.hand("executor-b", lease=LEASE * 2)
        late = await lost.run(await lost.claim_one(await hands.create()))
        hands.clock.advance(OVER)
        await repair(hands)
        assert await lost.commit(late) == [Verdict.LOST]

        await other.move(late.instance.id)
        before = await hands.contents()

        assert await lost.commit(late) == [Verdict.LOST]
        assert await hands.contents() == before


async def test_what_live_executors_hold_is_left_to_them(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        live = await hands.hand("executor-a")
        held = await live.claim_one(await hands.create())
        hands.clock.advance(OVER - 1)

        assert not await hands.store.executors.needs_repair(now=hands.clock.now())
        assert await repair(hands) == []

        assert await hands.get(held.id) == held


async def test_what_nobody_on_the_list_holds_is_freed(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand("executor-a")
        held = await hand.claim_one(await hands.create())
        await hands.execute("DELETE FROM executor")

        assert await hands.store.executors.needs_repair(now=hands.clock.now())
        assert await repair(hands) == [held.id]


async def test_a_heartbeat_prolongs_the_lease_until_the_executor_was_given_up(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        await hands.hand("executor-a")
        beat = hands.store.executors.beat

        assert await beat("executor-a", lease_microseconds=10) is not None
        (before,) = await hands.store.executors.all()
        assert 10 <= before.lease_until - before.beat < 1_000_000
        hands.clock.advance(max(before.lease_until - hands.clock.now(), 0) + 1)
        await repair(hands)

        assert await beat("executor-a", lease_microseconds=10) is None
        assert await beat("stranger", lease_microseconds=10) is None


async def crash(hands: Hands, id: int, times: int) -> None:
    """Let executors die under an instance, one after another."""
    for number in range(times):
        hand = await hands.hand(f"executor-{hands.clock.now()}-{number}")
        await hand.claim_one(id)
        hands.clock.advance(OVER)
        await repair(hands)


async def test_an_instance_under_which_executors_keep_dying_fails(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        id = await hands.create()

        await crash(hands, id, LIMIT)

        failed = await hands.get(id)
        assert (failed.status, failed.reason) == (Status.FAILED, "5 executors in a row died while they ran it")
        assert (failed.executor_id, failed.next_activation, failed.ended) == (None, None, hands.clock.now())
        assert [line.kind for line in await hands.history(id)][-1] is ActionKind.FAILED
        assert await hands.store.reads.counts() == {("Orders", "FAILED"): 1}


async def test_crashes_are_counted_in_a_row(database_url: str) -> None:
    @state(start=True, next=["second"])
    async def first() -> Next:
        return second.after("1s")

    @state(next=["done"])
    async def second() -> None: ...

    async with opened(database_url, workflow_module(first=first, second=second, done=end())) as hands:
        id = await hands.create()
        await crash(hands, id, LIMIT - 1)

        hand = await hands.hand("executor-b")
        await hand.move(id)
        hands.clock.advance(1_000_000)
        await crash(hands, id, LIMIT - 1)

        assert (await hands.get(id)).status is Status.IN_PROGRESS


async def test_a_child_that_a_repair_gives_up_wakes_its_parent(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def spawn() -> Next:
        return wait.spawn(child("Orders")).when_children_end()

    @state(next=["done"])
    async def wait() -> None: ...

    parent = workflow_module(workflow=Workflow("Parent"), spawn=spawn, wait=wait, done=end())
    async with opened(database_url, parent, ORDERS) as hands:
        hand = await hands.hand("executor-a")
        id = await hands.create("Parent")
        await hand.move(id)
        (one,) = await hands.store.reads.children(id)

        await crash(hands, one.id, LIMIT)

        instance = await hands.get(id)
        assert (instance.open_children, instance.next_activation) == (0, hands.clock.now())


async def test_a_pause_that_was_asked_for_holds_after_the_repair(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand("executor-a")
        id = await hands.create()
        await hand.claim_one(id)
        await hands.execute("UPDATE workflow SET pause_requested = 1")
        hands.clock.advance(OVER)

        await repair(hands)

        held = await hands.get(id)
        assert (held.status, held.held_status, held.pause_requested) == (Status.PAUSED, Status.IN_PROGRESS, False)


async def test_repairs_that_race_free_each_instance_once(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand("executor-a")
        ids = [await hands.create() for _ in range(10)]
        await hand.claim()
        hands.clock.advance(OVER)

        freed = await asyncio.gather(*(repair(hands) for _ in range(4)))

        assert sorted(id for ids_ in freed for id in ids_) == ids
        assert [len(await hands.history(id, ActionKind.REPAIRED)) for id in ids] == [1] * 10


async def test_an_executor_that_leaves_hands_back_what_it_holds(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand("executor-a")
        held = await hand.claim_one(await hands.create())

        assert await hands.store.executors.leave("executor-a", now=hands.clock.now()) == 1

        freed = await hands.get(held.id)
        assert (freed.status, freed.token, freed.crashes) == (Status.IN_PROGRESS, held.token + 1, 0)
        assert [one.status for one in await hands.store.executors.all()] == ["STOPPED"]


@dataclass
class Watched:
    """An executor with its upkeep, and a handler that waits for the test."""

    hands: Hands
    hand: Hand
    runner: Runner
    upkeep: Upkeep
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def watched(database_url: str, *others: ModuleType) -> AsyncIterator[Watched]:
    begun, was_cancelled = asyncio.Event(), asyncio.Event()

    async def check() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise
        return "done"

    module = workflow_module(**one_state(check))
    async with opened(database_url, module, *others) as hands:
        hand = await hands.hand("executor-a", lease=timedelta(days=1))
        async with hand.committer() as committer:
            waker, types = Waker(hands.clock), hands.registry.names
            runner = Runner(hands.store, hand.activations, committer, waker, SETTINGS, executor_id=hand.id, types=types)
            upkeep = Upkeep(hands.store, runner, SETTINGS, executor_id=hand.id, random=Random(7))
            yield Watched(hands, hand, runner, upkeep, begun, was_cancelled)
            runner.forget(runner.running.values())
            await runner.settle()


async def test_the_activation_of_an_instance_that_was_taken_away_is_stopped(database_url: str) -> None:
    async with watched(database_url) as at:
        id = await at.hands.create()
        await at.runner.claim()
        await at.begun.wait()
        await at.hands.execute("UPDATE workflow SET executor_id = NULL, token = token + 1")

        await at.upkeep.drop_lost()
        await at.runner.settle()

        assert at.was_cancelled.is_set()
        assert at.runner.running == {}
        assert len(await at.hands.history(id)) == 1


async def test_an_activation_whose_instance_is_held_goes_on(database_url: str) -> None:
    async with watched(database_url) as at:
        id = await at.hands.create()
        await at.runner.claim()
        await at.begun.wait()

        for _ in range(3):
            await at.upkeep.look()

        assert not at.was_cancelled.is_set()
        assert list(at.runner.running) == [id]


async def test_what_is_leased_and_not_run_is_handed_back_when_it_was_seen_twice(database_url: str) -> None:
    async with watched(database_url) as at:
        id = await at.hands.create()
        await at.hand.claim_one(id)

        await at.upkeep.drop_lost()
        assert (await at.hands.get(id)).status is Status.EXECUTING
        await at.upkeep.drop_lost()

        freed = await at.hands.get(id)
        assert (freed.status, freed.executor_id) == (Status.IN_PROGRESS, None)
        assert [line.kind for line in await at.hands.history(id)][1:] == [ActionKind.RELEASED]


async def test_an_executor_repairs_only_when_it_was_in_touch_for_the_length_of_a_lease(database_url: str) -> None:
    async with watched(database_url) as at:
        lost = await at.hands.hand("executor-b")
        id = await at.hands.create()
        await lost.claim_one(id)
        at.hands.clock.advance(OVER)
        at.upkeep.out_of_touch()

        at.hands.clock.advance(microseconds(LEASE) - 1)
        await at.upkeep.look()
        assert (await at.hands.get(id)).executor_id == "executor-b"
        at.hands.clock.advance(1)
        await at.upkeep.look()

        assert (await at.hands.get(id)).executor_id is None


async def test_an_instance_that_nobody_here_can_run_waits_and_says_why(database_url: str) -> None:
    async with watched(database_url) as at:
        id = await at.hands.create()
        await at.hands.execute("UPDATE workflow SET workflow_type = 'Unknown'")
        at.hands.clock.advance(2_000_000)
        await at.runner.claim()
        assert at.runner.running == {}

        await at.upkeep.look()

        waiting = await at.hands.get(id)
        assert waiting.status is Status.NEW
        assert waiting.reason == "no running executor of the group 'default' knows this workflow"


async def test_counts_that_are_old_are_folded_also_those_of_writers_that_are_gone(database_url: str) -> None:
    async with watched(database_url) as at:
        writers = FOLDED + 10
        for writer in range(1, writers + 1):
            values = {"start": at.hands.clock.now(), "writer": writer}
            await at.hands.execute("INSERT INTO workflow_tally VALUES (1, :start, :writer, 'A', 2, 0, 1, 0, 0)", values)
        at.hands.clock.advance(microseconds(timedelta(hours=3)))

        await at.upkeep.look()

        rows = await at.hands.rows("SELECT minutes, writer, transitions, finished FROM workflow_tally")
        assert rows == [(60, 0, 2 * writers, writers)]


@pytest.mark.parametrize("status", ["STOPPED", "LOST"])
async def test_executors_that_are_gone_leave_the_list_after_a_while(database_url: str, status: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        await hands.hand("executor-a")
        await hands.hand("executor-b")
        await hands.execute("UPDATE executor SET status = :status WHERE id = 'executor-a'", {"status": status})

        await hands.store.executors.forget(before=hands.clock.now() + OVER)

        assert [one.id for one in await hands.store.executors.all()] == ["executor-b"]


async def test_sessions_that_have_ended_are_deleted_and_others_stay(database_url: str) -> None:
    async with watched(database_url) as at:
        users = Users(at.hands.store, passwords=CheapHashes())
        await users.create("ada", "correct horse", Role.VIEWER, by="test")
        await users.log_in("ada", "correct horse", user_agent="forgotten")
        at.hands.clock.advance(microseconds(SETTINGS.session_idle))
        await users.log_in("ada", "correct horse", user_agent="in use")

        await at.upkeep.look()

        left = await at.hands.store.sessions.of((await users.get("ada")).id)
        assert [session.user_agent for session in left] == ["in use"]
