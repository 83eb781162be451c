"""What runs now, what comes next, how late the oldest is, and what happened last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.reports.activity import (
    MAX_GROUPS,
    MAX_WALKED_GROUPS,
    DueQueue,
    ExecutorGroups,
    compute_lag_seconds,
    read_groups,
    read_overdue,
    read_queues,
    read_recent_actions,
    read_running,
    read_upcoming,
)
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, open_engine


async def repeat() -> str:
    return "check"


ORDERS_MODULE = build_workflow_module(**build_single_state(repeat))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[EngineHarness]:
    """An executor moved by hand, on each of the three databases."""
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        yield hands


async def create_due_in(engine: EngineHarness, delay_seconds: int, **values: Any) -> int:
    """Create an instance that is due so many seconds from now."""
    id = await engine.create_instance(**values)
    at = engine.clock.now() + delay_seconds * SECOND_MICROSECONDS
    await engine.execute_sql("UPDATE flowlet_workflow SET next_activation = :at WHERE id = :id", {"at": at, "id": id})
    return id


async def test_what_runs_is_told_with_its_executor_the_longest_first(engine: EngineHarness) -> None:
    second, _ = await create_due_in(engine, 5), await create_due_in(engine, 60)
    first = await engine.create_instance(key="A-1")
    hand = await engine.add_executor("executor-a")
    await hand.claim_due()
    began = engine.clock.now()
    engine.clock.advance(5 * SECOND_MICROSECONDS)
    await hand.claim_due()

    found = await read_running(engine.store.connections, limit=10)
    one = await read_running(engine.store.connections, limit=1)

    assert [(each.id, each.since - began) for each in found] == [(first, 0), (second, 5 * SECOND_MICROSECONDS)]
    assert (found[0].type, found[0].business_key, found[0].state) == ("Orders", "A-1", "check")
    assert found[0].executor_id == "executor-a"
    assert one == found[:1]


async def test_what_has_waited_for_an_executor_runs_since_its_claim(engine: EngineHarness) -> None:
    await create_due_in(engine, 60)
    engine.clock.advance(100 * SECOND_MICROSECONDS)
    await (await engine.add_executor()).claim_due()

    (found,) = await read_running(engine.store.connections, limit=10)

    assert found.since == engine.clock.now()


async def test_what_comes_next_is_found_in_every_group_and_priority(engine: EngineHarness) -> None:
    due, last = await create_due_in(engine, 0), await create_due_in(engine, 50)
    third, first = await create_due_in(engine, 30), await create_due_in(engine, 10, priority=9)
    second, fourth = await create_due_in(engine, 20, group="night"), await create_due_in(engine, 40, group="night")
    await engine.execute_sql("UPDATE flowlet_workflow SET attempt = 2 WHERE id = :id", {"id": first})
    await engine.execute_sql("UPDATE flowlet_workflow SET status = 'WAITING' WHERE id = :id", {"id": second})
    await engine.execute_sql("UPDATE flowlet_workflow SET status = 'PAUSED' WHERE id = :id", {"id": fourth})
    connections, now = engine.store.connections, engine.clock.now()

    known = await read_groups(connections)
    ahead = await read_queues(connections, known.names)
    found = await read_upcoming(connections, ahead, now=now, limit=10)
    late = await read_overdue(connections, ahead, now=now, limit=10)

    assert known == ExecutorGroups(("default", "night"), has_more=False)
    assert {(one.group, one.priority, one.earliest_due - now) for one in ahead} == {
        ("default", 0, 0),
        ("default", 9, 10 * SECOND_MICROSECONDS),
        ("night", 0, 20 * SECOND_MICROSECONDS),
    }
    assert [one.id for one in found] == [first, second, third, last]
    assert [(one.attempt, one.status, one.at - now) for one in found[:2]] == [
        (2, Status.NEW, 10 * SECOND_MICROSECONDS),
        (0, Status.WAITING, 20 * SECOND_MICROSECONDS),
    ]
    assert [one.id for one in late] == [due]
    assert [one.id for one in await read_upcoming(connections, ahead, now=now, limit=2)] == [first, second]
    assert [
        one.id for one in await read_upcoming(connections, [DueQueue("default", "Orders", 0, now)], now=now, limit=1)
    ] == [third]


async def test_the_oldest_due_one_says_how_late_it_is(engine: EngineHarness) -> None:
    connections = engine.store.connections
    await create_due_in(engine, 90)
    oldest, _ = await create_due_in(engine, 10, group="night"), await create_due_in(engine, 20)
    early = compute_lag_seconds(
        await read_queues(connections, (await read_groups(connections)).names), now=engine.clock.now()
    )
    engine.clock.advance(25 * SECOND_MICROSECONDS)

    ahead = await read_queues(connections, (await read_groups(connections)).names)

    assert early == 0.0
    assert compute_lag_seconds(ahead, now=engine.clock.now()) == 15.0
    assert [one.id for one in await read_overdue(connections, ahead, now=engine.clock.now(), limit=1)] == [oldest]


async def test_an_empty_store_has_nothing_ahead(engine: EngineHarness) -> None:
    connections = engine.store.connections

    ahead = await read_queues(connections, (await read_groups(connections)).names)

    assert ahead == []
    assert compute_lag_seconds(ahead, now=engine.clock.now()) == 0.0
    assert await read_upcoming(connections, ahead, now=0, limit=5) == []
    assert await read_recent_actions(connections, limit=5) == []
    assert await read_running(connections, limit=5) == []


async def test_of_more_groups_than_are_looked_at_the_served_ones_are_among_them(engine: EngineHarness) -> None:
    names = [f"group-{number:02}" for number in range(MAX_GROUPS + 2)]
    for name in names[:MAX_GROUPS]:
        await engine.create_instance(group=name)
    connections = engine.store.connections

    fits = await read_groups(connections)
    for name in names[MAX_GROUPS:]:
        await engine.create_instance(group=name)
    found = await read_groups(connections)
    served = await read_groups(connections, served=[names[-1], names[0], "nothing-there"])
    every = await read_groups(connections, served=names[MAX_GROUPS:])
    crowded = await read_groups(connections, served=[*(f"a-{number:02}" for number in range(MAX_GROUPS)), names[-1]])

    assert fits == ExecutorGroups(tuple(names[:MAX_GROUPS]), has_more=False)
    assert found == ExecutorGroups(tuple(names[:MAX_GROUPS]), has_more=True)
    assert served == ExecutorGroups((*names[:MAX_GROUPS], names[-1], "nothing-there"), has_more=True)
    assert every == ExecutorGroups(tuple(names), has_more=False)
    assert (len(crowded.names), names[-1] in crowded.names, crowded.has_more) == (2 * MAX_GROUPS, False, True)
    assert len(await read_queues(connections, served.names)) == MAX_GROUPS + 1


async def test_groups_whose_work_has_ended_take_no_place(engine: EngineHarness) -> None:
    for number in range(MAX_GROUPS + 3):
        await engine.create_instance(group=f"group-{number:02}")
    await engine.execute_sql("UPDATE flowlet_workflow SET status = 'FINISHED' WHERE executor_group < 'group-05'")
    await engine.execute_sql("UPDATE flowlet_workflow SET next_activation = NULL WHERE executor_group = 'group-07'")

    found = await read_groups(engine.store.connections)

    left = [f"group-{number:02}" for number in range(5, MAX_GROUPS + 3) if number != 7]
    assert found == ExecutorGroups(tuple(left), has_more=False)


async def test_on_mysql_no_more_than_so_many_ended_groups_are_walked_through(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        for number in range(MAX_WALKED_GROUPS + 1):
            await hands.create_instance(group=f"group-{number:03}")
        await hands.execute_sql("UPDATE flowlet_workflow SET status = 'FINISHED' WHERE executor_group < 'group-127'")

        found = await read_groups(hands.store.connections)

    assert found == ExecutorGroups(("group-127",), has_more=True)


async def test_the_last_lines_of_all_histories_come_newest_first(engine: EngineHarness) -> None:
    first, second = await engine.create_instance(key="A-1"), await engine.create_instance()
    await engine.store.connections.write(
        lambda session: session.execute(
            "UPDATE flowlet_action SET text = :text WHERE workflow_id = :id", {"text": "x" * 5_000, "id": second}
        )
    )
    hand = await engine.add_executor()
    await hand.commit_transitions(*[await hand.run_instance(instance) for instance in await hand.claim_due()])

    found = await read_recent_actions(engine.store.connections, limit=3)

    assert [(one.action.workflow_id, one.action.kind) for one in found] == [
        (second, ActionKind.TRANSITION),
        (first, ActionKind.TRANSITION),
        (second, ActionKind.CREATED),
    ]
    assert (found[1].type, found[1].business_key) == ("Orders", "A-1")
    assert (found[1].action.from_state, found[1].action.to_state) == ("check", "check")
    assert len(found[2].action.text or "") == 300
