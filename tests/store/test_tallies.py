"""What happens is counted in the commit that makes it so, and no count is lost while counts are folded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowlet.errors import Fail
from flowlet.instances import DAY, Action, ActionKind, Instance, Status
from flowlet.retry import Retry
from flowlet.states import Workflow, end, error, state
from flowlet.store.changes import Change, change
from flowlet.store.instances import Verdict
from flowlet.store.reports.throughput import throughput
from flowlet.store.tallies import FOLDED
from flowlet.transitions import Next
from tests.engine.hands import Hand, Hands, opened
from tests.engine.making import one_state, workflow_module
from tests.store.tallying import MINUTE, rows, tallied, told

HOUR = 60 * MINUTE


async def finishing() -> str:
    return "done"


@state(start=True, next=["pack"], retry=Retry(limit=2))
async def shaky() -> Next:
    raise ConnectionError("not now")


@state(next=["done"])
async def pack() -> None:
    raise Fail("no box fits")


ORDERS = workflow_module(**one_state(finishing))
SHAKY = workflow_module(workflow=Workflow("Shaky"), shaky=shaky, pack=pack, done=end())


async def committed(hands: Hands, hand: Hand, count: int) -> None:
    """Create instances and take each through its one state, in one batch."""
    for _ in range(count):
        await hands.create()
    verdicts = await hand.commit(*[await hand.run(instance) for instance in await hand.claim()])
    assert verdicts == [Verdict.COMMITTED] * count


async def put(hands: Hands, id: int, kind: ActionKind, **columns: object) -> None:
    """Change an instance as an operator does."""

    def decide(instance: Instance) -> Change:
        line = Action(kind, hands.clock.now(), instance.state, instance.state)
        return Change(instance, replace(instance, executor_id=None, **columns), (line,))  # type: ignore[arg-type]  # any column

    await change(hands.store.connections, id, decide, now=hands.clock.now())


async def cancel(hands: Hands, id: int) -> None:
    await put(hands, id, ActionKind.CANCELLED, status=Status.CANCELLED, ended=hands.clock.now())


async def retry(hands: Hands, id: int) -> None:
    await put(hands, id, ActionKind.RETRIED, status=Status.IN_PROGRESS, ended=None, next_activation=hands.clock.now())


async def spans(hands: Hands) -> list[tuple[int, int, int, int]]:
    """Return the rows: minutes, how old they are, and how many transitions and ends they count."""
    sql = "SELECT minutes, start, transitions, finished FROM workflow_tally ORDER BY minutes, start, writer"
    return [(row[0], hands.clock.now() - row[1], row[2], row[3]) for row in await rows(hands.store, sql)]


async def test_the_counts_say_what_the_history_says(database_url: str) -> None:
    async with opened(database_url, ORDERS, SHAKY) as hands:
        executors = [await hands.hand("executor-a"), await hands.hand("executor-b")]
        for name in ("Orders", "Shaky") * 6:
            await hands.create(name)
        cancelled = await hands.create("Shaky", group="elsewhere")

        for _ in range(5):
            for hand in executors:
                if claimed := await hand.claim(limit=6):
                    await hand.commit(*[await hand.run(instance) for instance in claimed])
            hands.clock.advance(HOUR)
        await cancel(hands, cancelled)

        counts = await tallied(hands.store)
        assert counts == await told(hands.store)
        assert counts == {
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

    async with opened(database_url, workflow_module(risky=risky, done=end(), lost=error())) as hands:
        await (await hands.hand()).move(await hands.create())

        assert await tallied(hands.store) == {
            ("Orders", "transitions"): 1,
            ("Orders", "failures"): 1,
            ("Orders", "failed"): 1,
        }


async def test_what_is_not_written_is_not_counted(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        await hands.create()
        await hands.create()
        one, lost = [await hand.run(instance) for instance in await hand.claim()]
        await hands.execute("UPDATE workflow SET token = token + 1 WHERE id = :id", {"id": lost.instance.id})

        for _ in range(2):  # sent again, as after an answer that was lost
            assert await hand.commit(one, lost) == [Verdict.COMMITTED, Verdict.LOST]

        assert await tallied(hands.store) == {("Orders", "transitions"): 1, ("Orders", "finished"): 1}


async def test_an_end_that_is_taken_back_stays_in_its_minute_and_leaves_the_sum(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        id = await hands.create()
        await cancel(hands, id)
        hands.clock.advance(3 * MINUTE)

        await retry(hands, id)
        await (await hands.hand()).move(id)

        assert await tallied(hands.store) == {("Orders", "transitions"): 1, ("Orders", "finished"): 1}
        until = hands.clock.now() + MINUTE
        told_by_minute = await throughput(hands.store.connections, since=until - HOUR, until=until, step=MINUTE)
        assert [span.cancelled for span in told_by_minute if span.cancelled] == [1]


async def test_counts_are_folded_by_their_age_into_longer_spans(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        executors = [await hands.hand("executor-a"), await hands.hand("executor-b")]
        for number, hand in enumerate(executors, start=1):
            await committed(hands, hand, number)
            hands.clock.advance(MINUTE)
        seen = []

        for later in (0, 6 * MINUTE, 3 * HOUR, 4 * DAY, 500 * DAY):
            hands.clock.advance(later)
            await hands.store.tallies.fold(now=hands.clock.now())
            seen.append([(minutes, transitions, ends) for minutes, _, transitions, ends in await spans(hands)])
            assert await tallied(hands.store) == await told(hands.store)

        minutes = [(1, 1, 1), (1, 2, 2)]
        assert seen == [minutes, minutes, [(60, 3, 3)], [(1440, 3, 3)], [(0, 3, 3)]]
        assert not await hands.store.tallies.needs_folding(now=hands.clock.now())


async def test_the_rows_of_several_writers_become_one(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        start = hands.clock.now() - hands.clock.now() % MINUTE
        for writer in range(7, 7 + 3 * FOLDED // 2):
            values = {"start": start, "writer": writer}
            await hands.execute(
                "INSERT INTO workflow_tally VALUES (1, :start, :writer, 'Orders', 2, 1, 1, 0, 0)", values
            )
        now = hands.clock.now() + 7 * MINUTE

        folded = [await hands.store.tallies.fold(now=now) for _ in range(3)]

        assert folded == [FOLDED, FOLDED // 2, 0]
        sql = "SELECT minutes, start, writer, transitions, failures, finished FROM workflow_tally"
        assert await rows(hands.store, sql) == [(1, start, 0, 300, 150, 150)]


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
async def test_what_is_being_committed_while_counts_are_folded_is_not_lost(
    request: pytest.FixtureRequest, server: str
) -> None:
    async with opened(request.getfixturevalue(server), ORDERS) as hands:
        hand = await hands.hand()
        await hands.create()
        await hands.create()
        one, other = [await hand.run(instance) for instance in await hand.claim()]
        later = hands.clock.now() + HOUR

        async with hands.store.instances.transaction() as session:
            writer = session.dialect.writer(session.raw)
            await hands.store.instances.commit_within(session, hand.id, one, now=hands.clock.now())
        async with hands.store.instances.transaction() as session:
            assert session.dialect.writer(session.raw) == writer, "it would be another row"
            await hands.store.instances.commit_within(session, hand.id, other, now=hands.clock.now())
            folding = asyncio.create_task(hands.store.tallies.fold(now=later))
            await asyncio.wait({folding}, timeout=5)
            assert folding.done(), "folding waits for a commit, and the next commits for folding"

        assert await tallied(hands.store) == await told(hands.store) != {}
        assert await hands.store.tallies.fold(now=later) == 1


async def test_no_count_is_lost_while_batches_commit_and_counts_are_folded_all_the_time(database_url: str) -> None:
    async with opened(database_url, ORDERS, SHAKY) as hands:
        executors = [await hands.hand("executor-a"), await hands.hand("executor-b")]
        for name in ("Orders", "Shaky") * 60:
            await hands.create(name)
        batches = [(hand, [await hand.run(one) for one in await hand.claim(limit=60)]) for hand in executors]
        now = hands.clock.now() + 4 * HOUR  # so that what is counted now is old enough at once
        is_over = False

        async def commit(hand: Hand, first: int) -> None:
            transitions = next(made for one, made in batches if one is hand)
            for place in range(first, len(transitions), 2):
                assert await hand.commit(transitions[place]) == [Verdict.COMMITTED]

        async def fold() -> int:
            folded = 0
            while not is_over:
                folded += await hands.store.tallies.fold(now=now)
            return folded

        folding = [asyncio.create_task(fold()) for _ in range(2)]
        await asyncio.gather(*(commit(hand, first) for hand in executors for first in (0, 1)))
        is_over = True
        assert sum(await asyncio.gather(*folding)) > 2

        counts = await tallied(hands.store)
        assert counts == await told(hands.store)
        assert (counts["Orders", "finished"], counts["Shaky", "failures"]) == (60, 60)
