"""What waits for a person: which come first, how many there are, and by which index they are found."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest

from flowlet.clock import microseconds
from flowlet.errors import SearchError
from flowlet.instances import Status
from flowlet.store.connection import Connections, Session
from flowlet.store.reports import inbox
from flowlet.store.reports.inbox import Group, count_waiting, read_inbox
from tests.operations.desk import CLERK, Desk, opened_desk
from tests.store.test_plans import fill

T = TypeVar("T")


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk on each of the three databases."""
    async with opened_desk(database_url) as desk:
        yield desk


def connections(desk: Desk) -> Connections:
    return desk.hands.store.connections


async def ids(desk: Desk, **values: Any) -> list[int]:
    found = await read_inbox(connections(desk), **values)
    return [one.instance.id for one in found.questions]


async def waiting(desk: Desk, *deadlines: int | None) -> list[int]:
    """Return instances that wait, with these deadlines in days from now."""
    found = []
    for days in deadlines:
        id = (await desk.at(Status.WAITING)).id
        deadline = None if days is None else desk.hands.clock.now() + microseconds(timedelta(days=days))
        await desk.hands.execute("UPDATE workflow SET next_activation = :at WHERE id = :id", {"at": deadline, "id": id})
        found.append(id)
    return found


async def test_only_what_waits_is_there_the_nearest_deadline_first(desk: Desk) -> None:
    for status in Status:
        if status not in (Status.WAITING, Status.FINISHED):
            await desk.at(status)
    never, later, soon, too = await waiting(desk, None, 2, 1, None)

    assert await ids(desk) == [soon, later, never, too]
    assert await count_waiting(connections(desk)) == 4


async def test_the_longest_untouched_may_come_first(desk: Desk) -> None:
    one, two = (await desk.at(Status.WAITING)).id, (await desk.at(Status.WAITING)).id
    desk.hands.clock.advance(1_000)
    entered = (await desk.get(one)).modified
    await desk.operations.edit_variables(one, {"amount": 2}, username=CLERK)

    found = await read_inbox(connections(desk), by_deadline=False)

    assert [each.instance.id for each in found.questions] == [two, one]
    assert found.questions[1].since == entered < found.questions[1].instance.modified


async def test_pages_follow_one_another_and_filters_hold(desk: Desk) -> None:
    first, second, third = await waiting(desk, 1, 2, 3)
    signing = await desk.start(way="charge")
    await desk.operations.move(signing, "sign", username=CLERK, force=True, reason="test")

    page = await read_inbox(connections(desk), limit=2)
    rest = await ids(desk, limit=2, cursor=page.next_cursor)

    assert ([each.instance.id for each in page.questions], rest) == ([first, second], [third, signing])
    assert (page.total, page.waiting, page.groups_are_of_a_part) == (4, 4, False)
    assert page.groups == (Group("Orders", "review", 3), Group("Orders", "sign", 1))
    assert (await read_inbox(connections(desk), state="review", limit=1)).total == 3
    assert await ids(desk, type="Orders", state="sign") == [signing]
    assert await ids(desk, type="Families") == []


async def test_a_cursor_of_another_order_is_refused(desk: Desk) -> None:
    await waiting(desk, 1, 2)
    cursor = (await read_inbox(connections(desk), limit=1)).next_cursor

    with pytest.raises(SearchError, match="another order"):
        await read_inbox(connections(desk), cursor=cursor, by_deadline=False)


async def test_no_more_are_counted_than_are_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "NOTED", 2)
    await waiting(desk, 1, 1, 1)

    assert await count_waiting(connections(desk)) == 2


async def test_groups_of_a_part_say_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await waiting(desk, 1, 1, 1)
    whole = await read_inbox(connections(desk))
    monkeypatch.setattr(inbox, "GROUPED", 2)

    part = await read_inbox(connections(desk))

    assert (whole.groups, whole.groups_are_of_a_part) == ((Group("Orders", "review", 3),), False)
    assert (part.groups, part.groups_are_of_a_part) == ((Group("Orders", "review", 2),), True)


class Explaining:
    """Connections that explain each statement before it is read."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.plans: list[str] = []

    async def read(self, work: Callable[[Session], Awaitable[T]]) -> T:
        return await self._connections.read(lambda session: work(cast(Session, ExplainingSession(session, self.plans))))


class ExplainingSession:
    """A session that explains."""

    def __init__(self, session: Session, plans: list[str]) -> None:
        self._session = session
        self._plans = plans
        self.dialect = session.dialect

    async def rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        explain = "EXPLAIN QUERY PLAN" if self.dialect.name == "sqlite" else "EXPLAIN"
        self._plans += [" ".join(map(str, row)) for row in await self._session.rows(f"{explain} {sql}", values)]
        return await self._session.rows(sql, values)


async def test_what_has_ended_is_not_read(desk: Desk) -> None:
    await fill(desk.hands)
    await desk.hands.execute("UPDATE workflow SET status = 'WAITING' WHERE status = 'NEW' AND MOD(id, 100) = 0")
    await desk.hands.execute("ANALYZE TABLE workflow" if dialect(desk) == "mysql" else "ANALYZE")
    explaining: Any = Explaining(connections(desk))

    assert await count_waiting(explaining) == 100
    assert len((await read_inbox(explaining)).questions) == 25
    await read_inbox(explaining, type="Orders", state="review", by_deadline=False)

    used = "\n".join(explaining.plans)
    whole = {
        "sqlite": r"SCAN workflow(?! USING INDEX workflow_status)\b",
        "postgresql": r"Seq Scan on workflow\b",
        "mysql": r" workflow (ALL|index) ",
    }
    assert not re.search(whole[dialect(desk)], used), used
    assert used.count("workflow_status") >= 5, used


def dialect(desk: Desk) -> str:
    return connections(desk).dialect.name
