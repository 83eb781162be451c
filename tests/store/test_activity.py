"""What runs now, what comes next, how late the oldest is, and what happened last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.instances import ActionKind, Status
from flowlet.store.reports.activity import (
    GROUPS,
    WALKED,
    Groups,
    Queue,
    groups,
    lag,
    overdue,
    queues,
    recent,
    running,
    upcoming,
)
from tests.engine.hands import Hands, opened
from tests.engine.making import SECOND, one_state, workflow_module


async def again() -> str:
    return "check"


ORDERS = workflow_module(**one_state(again))


@pytest.fixture
async def hands(database_url: str) -> AsyncIterator[Hands]:
    """An executor moved by hand, on each of the three databases."""
    async with opened(database_url, ORDERS) as hands:
        yield hands


async def later(hands: Hands, seconds: int, **values: Any) -> int:
    """Create an instance that is due so many seconds from now."""
    id = await hands.create(**values)
    at = hands.clock.now() + seconds * SECOND
    await hands.execute("UPDATE workflow SET next_activation = :at WHERE id = :id", {"at": at, "id": id})
    return id


async def test_what_runs_is_told_with_its_executor_the_longest_first(hands: Hands) -> None:
    second, _ = await later(hands, 5), await later(hands, 60)
    first = await hands.create(key="A-1")
    hand = await hands.hand("executor-a")
    await hand.claim()
    began = hands.clock.now()
    hands.clock.advance(5 * SECOND)
    await hand.claim()

    found = await running(hands.store.connections, limit=10)
    one = await running(hands.store.connections, limit=1)

    assert [(each.id, each.since - began) for each in found] == [(first, 0), (second, 5 * SECOND)]
    assert (found[0].type, found[0].business_key, found[0].state) == ("Orders", "A-1", "check")
    assert found[0].executor_id == "executor-a"
    assert one == found[:1]


async def test_what_came_due_by_a_timer_runs_since_then(hands: Hands) -> None:
    await later(hands, 60)
    hands.clock.advance(100 * SECOND)
    await (await hands.hand()).claim()

    (found,) = await running(hands.store.connections, limit=10)

    assert found.since == hands.clock.now() - 40 * SECOND


async def test_what_comes_next_is_found_in_every_group_and_priority(hands: Hands) -> None:
    due, last = await later(hands, 0), await later(hands, 50)
    third, first = await later(hands, 30), await later(hands, 10, priority=9)
    second, fourth = await later(hands, 20, group="night"), await later(hands, 40, group="night")
    await hands.execute("UPDATE workflow SET attempt = 2 WHERE id = :id", {"id": first})
    await hands.execute("UPDATE workflow SET status = 'WAITING' WHERE id = :id", {"id": second})
    await hands.execute("UPDATE workflow SET status = 'PAUSED' WHERE id = :id", {"id": fourth})
    connections, now = hands.store.connections, hands.clock.now()

    known = await groups(connections)
    ahead = await queues(connections, known.names)
    found = await upcoming(connections, ahead, now=now, limit=10)
    late = await overdue(connections, ahead, now=now, limit=10)

    assert known == Groups(("default", "night"), has_more=False)
    assert {(one.group, one.priority, one.earliest - now) for one in ahead} == {
        ("default", 0, 0),
        ("default", 9, 10 * SECOND),
        ("night", 0, 20 * SECOND),
    }
    assert [one.id for one in found] == [first, second, third, last]
    assert [(one.attempt, one.status, one.at - now) for one in found[:2]] == [
        (2, Status.NEW, 10 * SECOND),
        (0, Status.WAITING, 20 * SECOND),
    ]
    assert [one.id for one in late] == [due]
    assert [one.id for one in await upcoming(connections, ahead, now=now, limit=2)] == [first, second]
    assert [one.id for one in await upcoming(connections, [Queue("default", 0, now)], now=now, limit=1)] == [third]


async def test_the_oldest_due_one_says_how_late_it_is(hands: Hands) -> None:
    connections = hands.store.connections
    await later(hands, 90)
    oldest, _ = await later(hands, 10, group="night"), await later(hands, 20)
    early = lag(await queues(connections, (await groups(connections)).names), now=hands.clock.now())
    hands.clock.advance(25 * SECOND)

    ahead = await queues(connections, (await groups(connections)).names)

    assert early == 0.0
    assert lag(ahead, now=hands.clock.now()) == 15.0
    assert [one.id for one in await overdue(connections, ahead, now=hands.clock.now(), limit=1)] == [oldest]


async def test_an_empty_store_has_nothing_ahead(hands: Hands) -> None:
    connections = hands.store.connections

    ahead = await queues(connections, (await groups(connections)).names)

    assert ahead == []
    assert lag(ahead, now=hands.clock.now()) == 0.0
    assert await upcoming(connections, ahead, now=0, limit=5) == []
    assert await recent(connections, limit=5) == []
    assert await running(connections, limit=5) == []


async def test_of_more_groups_than_are_looked_at_the_served_ones_are_among_them(hands: Hands) -> None:
    names = [f"group-{number:02}" for number in range(GROUPS + 2)]
    for name in names[:GROUPS]:
        await hands.create(group=name)
    connections = hands.store.connections

    fits = await groups(connections)
    for name in names[GROUPS:]:
        await hands.create(group=name)
    found = await groups(connections)
    served = await groups(connections, served=[names[-1], names[0], "nothing-there"])
    every = await groups(connections, served=names[GROUPS:])
    crowded = await groups(connections, served=[*(f"a-{number:02}" for number in range(GROUPS)), names[-1]])

    assert fits == Groups(tuple(names[:GROUPS]), has_more=False)
    assert found == Groups(tuple(names[:GROUPS]), has_more=True)
    assert served == Groups((*names[:GROUPS], names[-1], "nothing-there"), has_more=True)
    assert every == Groups(tuple(names), has_more=False)
    assert (len(crowded.names), names[-1] in crowded.names, crowded.has_more) == (2 * GROUPS, False, True)
    assert len(await queues(connections, served.names)) == GROUPS + 1


async def test_groups_whose_work_has_ended_take_no_place(hands: Hands) -> None:
    for number in range(GROUPS + 3):
        await hands.create(group=f"group-{number:02}")
    await hands.execute("UPDATE workflow SET status = 'FINISHED' WHERE executor_group < 'group-05'")
    await hands.execute("UPDATE workflow SET next_activation = NULL WHERE executor_group = 'group-07'")

    found = await groups(hands.store.connections)

    left = [f"group-{number:02}" for number in range(5, GROUPS + 3) if number != 7]
    assert found == Groups(tuple(left), has_more=False)


async def test_on_mysql_no_more_than_so_many_ended_groups_are_walked_through(mariadb_url: str) -> None:
    async with opened(mariadb_url, ORDERS) as hands:
        for number in range(WALKED + 1):
            await hands.create(group=f"group-{number:03}")
        await hands.execute("UPDATE workflow SET status = 'FINISHED' WHERE executor_group < 'group-127'")

        found = await groups(hands.store.connections)

    assert found == Groups(("group-127",), has_more=True)


async def test_the_last_lines_of_all_histories_come_newest_first(hands: Hands) -> None:
    first, second = await hands.create(key="A-1"), await hands.create()
    await hands.store.connections.write(
        lambda session: session.execute(
            "UPDATE workflow_action SET text = :text WHERE workflow_id = :id", {"text": "x" * 5_000, "id": second}
        )
    )
    hand = await hands.hand()
    await hand.commit(*[await hand.run(instance) for instance in await hand.claim()])

    found = await recent(hands.store.connections, limit=3)

    assert [(one.action.workflow_id, one.action.kind) for one in found] == [
        (second, ActionKind.TRANSITION),
        (first, ActionKind.TRANSITION),
        (second, ActionKind.CREATED),
    ]
    assert (found[1].type, found[1].business_key) == ("Orders", "A-1")
    assert (found[1].action.from_state, found[1].action.to_state) == ("check", "check")
    assert len(found[2].action.text or "") == 300
