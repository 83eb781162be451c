"""What happens is counted in the commit that makes it so, and no count is lost while counts are folded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowlet.errors import Fail
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import MICROSECONDS_PER_DAY, Instance, Status
from flowlet.instance.new_instance import NewInstance
from flowlet.store.changes import change_instance
from flowlet.store.counters import MAX_ROLLUP_ROWS
from flowlet.store.instances import CommitResult
from flowlet.store.reports.throughput import read_throughput
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine
from tests.store.counter_totals import MINUTE_MICROSECONDS, count_from_history, fetch_rows, read_counters

HOUR_MICROSECONDS = 60 * MINUTE_MICROSECONDS


async def finish() -> str:
    return "done"


@state(start=True, next=["pack"], retry=Retry(limit=2))
async def shaky() -> Next:
    raise ConnectionError("not now")


@state(next=["done"])
async def pack() -> None:
    raise Fail("no box fits")


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))
SHAKY_MODULE = build_workflow_module(workflow=Workflow("Shaky"), shaky=shaky, pack=pack, done=end())


async def create_and_commit(engine: EngineHarness, executor: ManualExecutor, count: int) -> None:
    """Create instances and take each through its one state, in one batch."""
    for _ in range(count):
        await engine.create_instance()
    verdicts = await executor.commit_transitions(
        *[await executor.run_instance(instance) for instance in await executor.claim_due()]
    )
    assert verdicts == [CommitResult.COMMITTED] * count


async def apply_operator_change(engine: EngineHarness, id: int, kind: ActionKind, **columns: object) -> None:
    """Change an instance as an operator does."""

    def decide_change(instance: Instance) -> Change:
        line = Action(kind, engine.clock.now(), instance.state, instance.state)
        return Change(instance, replace(instance, executor_id=None, **columns), (line,))  # type: ignore[arg-type]  # any column

    await change_instance(engine.store.connections, id, decide_change, now=engine.clock.now())


async def cancel_instance(engine: EngineHarness, id: int) -> None:
    await apply_operator_change(engine, id, ActionKind.CANCELLED, status=Status.CANCELLED, ended_us=engine.clock.now())


async def retry_instance(engine: EngineHarness, id: int) -> None:
    await apply_operator_change(
        engine, id, ActionKind.RETRIED, status=Status.IN_PROGRESS, ended_us=None, next_activation_us=engine.clock.now()
    )


async def read_spans(engine: EngineHarness) -> list[tuple[int, int, int, int]]:
    """Return the rows: minutes, how old they are, and how many transitions and ends they count."""
    sql = "SELECT minutes, start, transitions, finished FROM flowlet_counter ORDER BY minutes, start, writer"
    return [(row[0], engine.clock.now() - row[1], row[2], row[3]) for row in await fetch_rows(engine.store, sql)]


async def test_the_counts_say_what_the_history_says(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE, SHAKY_MODULE) as hands:
        executors = [await hands.add_executor("executor-a"), await hands.add_executor("executor-b")]
        for name in ("Orders", "Shaky") * 6:
            await hands.create_instance(name)
        cancelled = await hands.create_instance("Shaky", group="elsewhere")

        for _ in range(5):
            for hand in executors:
                if claimed := await hand.claim_due(limit=6):
                    await hand.commit_transitions(*[await hand.run_instance(instance) for instance in claimed])
            hands.clock.advance(HOUR_MICROSECONDS)
        await cancel_instance(hands, cancelled)

        counts = await read_counters(hands.store)
        assert counts == await count_from_history(hands.store)
        assert counts == {
            ("Orders", "opened"): 6,
            ("Shaky", "opened"): 7,
            ("Orders", "transitions"): 6,
            ("Orders", "finished"): 6,
            ("Shaky", "failures"): 18,
            ("Shaky", "failed"): 6,
            ("Shaky", "cancelled"): 1,
        }


async def test_a_transition_that_also_failed_counts_as_both(database_url: str) -> None:
    @state(start=True, next=["done", "lost"], retry=Retry(limit=0), on_error="lost")
    async def risky() -> Next:
        raise ValueError("no")

    async with open_engine(database_url, build_workflow_module(risky=risky, done=end(), lost=error())) as hands:
        await (await hands.add_executor()).run_due_instance(await hands.create_instance())

        assert await read_counters(hands.store) == {
            ("Orders", "opened"): 1,
            ("Orders", "transitions"): 1,
            ("Orders", "failures"): 1,
            ("Orders", "failed"): 1,
        }


async def test_what_is_not_written_is_not_counted(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        await hands.create_instance()
        await hands.create_instance()
        one, lost = [await hand.run_instance(instance) for instance in await hand.claim_due()]
        await hands.execute_sql(
            "UPDATE flowlet_workflow SET token = token + 1 WHERE id = :id", {"id": lost.instance.id}
        )

        for _ in range(2):  # sent again, as after an answer that was lost
            assert await hand.commit_transitions(one, lost) == [CommitResult.COMMITTED, CommitResult.LOST]

        counted = {("Orders", "opened"): 2, ("Orders", "transitions"): 1, ("Orders", "finished"): 1}
        assert await read_counters(hands.store) == counted


async def test_a_create_is_counted_once_whichever_door_it_took(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        new = NewInstance("Orders", 1, "order-1", "A-1", "default", 0, "check", Status.NEW, "{}", hands.clock.now())
        await hands.store.instances.create([new, new], now=hands.clock.now())
        await hands.store.instances.create([new], now=hands.clock.now())
        async with hands.store.instances.transaction() as session:
            other = replace(new, external_id="order-2")
            await hands.store.instances.create_in_transaction(session, [other], now=hands.clock.now())

        assert await read_counters(hands.store) == {("Orders", "opened"): 2}


async def test_an_end_that_is_taken_back_stays_in_its_minute_and_leaves_the_sum(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        id = await hands.create_instance()
        await cancel_instance(hands, id)
        hands.clock.advance(3 * MINUTE_MICROSECONDS)

        await retry_instance(hands, id)
        await (await hands.add_executor()).run_due_instance(id)

        counted = {("Orders", "opened"): 2, ("Orders", "transitions"): 1, ("Orders", "finished"): 1}
        assert await read_counters(hands.store) == counted
        until = hands.clock.now() + MINUTE_MICROSECONDS
        told_by_minute = await read_throughput(
            hands.store.connections, since=until - HOUR_MICROSECONDS, until=until, step_microseconds=MINUTE_MICROSECONDS
        )
        assert [span.cancelled for span in told_by_minute if span.cancelled] == [1]
        assert [(span.opened, span.ended) for span in told_by_minute if span.opened] == [(1, 1), (1, 1)]


async def test_counts_are_folded_by_their_age_into_longer_spans(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        executors = [await hands.add_executor("executor-a"), await hands.add_executor("executor-b")]
        for number, hand in enumerate(executors, start=1):
            await create_and_commit(hands, hand, number)
            hands.clock.advance(MINUTE_MICROSECONDS)
        seen = []

        for later in (
            0,
            6 * MINUTE_MICROSECONDS,
            3 * HOUR_MICROSECONDS,
            4 * MICROSECONDS_PER_DAY,
            500 * MICROSECONDS_PER_DAY,
        ):
            hands.clock.advance(later)
            await hands.store.counters.roll_up(now=hands.clock.now())
            seen.append([(minutes, transitions, ends) for minutes, _, transitions, ends in await read_spans(hands)])
            assert await read_counters(hands.store) == await count_from_history(hands.store)

        minutes = [(1, 1, 1), (1, 2, 2)]
        assert seen == [minutes, minutes, [(60, 3, 3)], [(1440, 3, 3)], [(0, 3, 3)]]
        assert not await hands.store.counters.needs_rollup(now=hands.clock.now())


async def test_the_rows_of_several_writers_become_one(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        start = hands.clock.now() - hands.clock.now() % MINUTE_MICROSECONDS
        for writer in range(7, 7 + 3 * MAX_ROLLUP_ROWS // 2):
            values = {"start": start, "writer": writer}
            await hands.execute_sql(
                "INSERT INTO flowlet_counter VALUES (1, :start, :writer, 'Orders', 2, 1, 1, 0, 0, 0)", values
            )
        now = hands.clock.now() + 7 * MINUTE_MICROSECONDS

        folded = [await hands.store.counters.roll_up(now=now) for _ in range(3)]

        assert folded == [MAX_ROLLUP_ROWS, MAX_ROLLUP_ROWS // 2, 0]
        sql = "SELECT minutes, start, writer, transitions, failures, finished FROM flowlet_counter"
        assert await fetch_rows(hands.store, sql) == [(1, start, 0, 300, 150, 150)]


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
async def test_what_is_being_committed_while_counts_are_folded_is_not_lost(
    request: pytest.FixtureRequest, server: str
) -> None:
    async with open_engine(request.getfixturevalue(server), ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        await hands.create_instance()
        await hands.create_instance()
        one, other = [await hand.run_instance(instance) for instance in await hand.claim_due()]
        later = hands.clock.now() + HOUR_MICROSECONDS

        async with hands.store.instances.transaction() as session:
            writer = session.dialect.writes.get_writer_id(session.raw)
            await hands.store.instances.commit_in_transaction(session, hand.id, one, now=hands.clock.now())
        async with hands.store.instances.transaction() as session:
            assert session.dialect.writes.get_writer_id(session.raw) == writer, "it would be another row"
            await hands.store.instances.commit_in_transaction(session, hand.id, other, now=hands.clock.now())
            folding = asyncio.create_task(hands.store.counters.roll_up(now=later))
            await asyncio.wait({folding}, timeout=5)
            assert folding.done(), "folding waits for a commit, and the next commits for folding"

        assert await read_counters(hands.store) == await count_from_history(hands.store) != {}
        assert await hands.store.counters.roll_up(now=later) == 1


async def test_no_count_is_lost_while_batches_commit_and_counts_are_folded_all_the_time(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE, SHAKY_MODULE) as hands:
        executors = [await hands.add_executor("executor-a"), await hands.add_executor("executor-b")]
        for name in ("Orders", "Shaky") * 60:
            await hands.create_instance(name)
        batches = [
            (hand, [await hand.run_instance(one) for one in await hand.claim_due(limit=60)]) for hand in executors
        ]
        now = hands.clock.now() + 4 * HOUR_MICROSECONDS  # so that what is counted now is old enough at once
        is_over = False

        async def commit_repeatedly(executor: ManualExecutor, first: int) -> None:
            transitions = next(made for one, made in batches if one is executor)
            for place in range(first, len(transitions), 2):
                assert await executor.commit_transitions(transitions[place]) == [CommitResult.COMMITTED]

        async def fold_repeatedly() -> int:
            folded = 0
            while not is_over:
                folded += await hands.store.counters.roll_up(now=now)
            return folded

        folding = [asyncio.create_task(fold_repeatedly()) for _ in range(2)]
        await asyncio.gather(*(commit_repeatedly(hand, first) for hand in executors for first in (0, 1)))
        is_over = True
        assert sum(await asyncio.gather(*folding)) > 2

        counts = await read_counters(hands.store)
        assert counts == await count_from_history(hands.store)
        assert (counts["Orders", "finished"], counts["Shaky", "failures"]) == (60, 60)
