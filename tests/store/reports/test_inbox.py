"""What waits for a person: which come first, how many there are, and by which index they are found."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest

from flowlet.clock import to_microseconds
from flowlet.errors import SearchError
from flowlet.instance.instance import Status
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.reports import inbox
from flowlet.store.reports.inbox import InboxGroup, count_waiting, read_inbox
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness, open_operations
from tests.store.test_plans import fill_instances

T = TypeVar("T")


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[OperationsHarness]:
    """A desk on each of the three databases."""
    async with open_operations(database_url) as desk:
        yield desk


def get_connections(harness: OperationsHarness) -> Connections:
    return harness.hands.store.connections


async def read_inbox_ids(harness: OperationsHarness, **values: Any) -> list[int]:
    found = await read_inbox(get_connections(harness), **values)
    return [one.instance.id for one in found.waiting_instances]


async def create_waiting(harness: OperationsHarness, *deadlines: int | None) -> list[int]:
    """Return instances that wait, with these deadlines in days from now."""
    found = []
    for days in deadlines:
        id = (await harness.create_in_status(Status.WAITING)).id
        deadline = None if days is None else harness.hands.clock.now() + to_microseconds(timedelta(days=days))
        await harness.hands.execute_sql(
            "UPDATE flowlet_workflow SET next_activation = :at WHERE id = :id", {"at": deadline, "id": id}
        )
        found.append(id)
    return found


async def test_only_what_waits_is_there_the_nearest_deadline_first(harness: OperationsHarness) -> None:
    for status in Status:
        if status not in (Status.WAITING, Status.FINISHED):
            await harness.create_in_status(status)
    never, later, soon, too = await create_waiting(harness, None, 2, 1, None)

    assert await read_inbox_ids(harness) == [soon, later, never, too]
    assert await count_waiting(get_connections(harness)) == 4


async def test_a_question_that_is_answered_while_the_page_is_read_keeps_whom_it_is_for(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    fetch_rows = DatabaseSession.fetch_rows

    async def fetch_rows_before_answer(self: DatabaseSession, sql: str, values: Any = None) -> list[Any]:
        rows = await fetch_rows(self, sql, values)
        if "row_limit" in (values or {}):
            await harness.operations.answer(instance.id, "rejected", username=OPERATOR_NAME)
        return rows

    monkeypatch.setattr(DatabaseSession, "fetch_rows", fetch_rows_before_answer)
    (waiting,) = (await read_inbox(get_connections(harness))).waiting_instances

    assert waiting.entry is not None
    assert (await harness.get_instance(instance.id)).status is not Status.WAITING


async def test_what_has_waited_the_longest_may_come_first_and_an_edit_changes_nothing(
    harness: OperationsHarness,
) -> None:
    one, two, three = [(await harness.create_in_status(Status.WAITING)).id for _ in range(3)]
    harness.hands.clock.advance(1_000)
    entered = (await harness.get_instance(one)).modified_us
    await harness.operations.edit_variables(one, {"amount": 2}, username=OPERATOR_NAME)

    page = await read_inbox(get_connections(harness), by_deadline=False, limit=2)
    rest = await read_inbox(get_connections(harness), by_deadline=False, limit=2, cursor=page.next_cursor)

    assert [each.instance.id for each in (*page.waiting_instances, *rest.waiting_instances)] == [one, two, three]
    assert page.waiting_instances[0].since == entered < page.waiting_instances[0].instance.modified_us


async def test_pages_follow_one_another_and_filters_hold(harness: OperationsHarness) -> None:
    first, second, third = await create_waiting(harness, 1, 2, 3)
    signing = await harness.create_order(way="charge")
    await harness.operations.move(signing, "sign", username=OPERATOR_NAME, force=True, reason="test")

    page = await read_inbox(get_connections(harness), limit=2)
    rest = await read_inbox_ids(harness, limit=2, cursor=page.next_cursor)

    assert ([each.instance.id for each in page.waiting_instances], rest) == ([first, second], [third, signing])
    assert (page.total, page.waiting, page.has_partial_groups) == (4, 4, False)
    assert page.groups == (InboxGroup("Orders", "review", 3), InboxGroup("Orders", "sign", 1))
    assert (await read_inbox(get_connections(harness), state="review", limit=1)).total == 3
    assert await read_inbox_ids(harness, type="Orders", state="sign") == [signing]
    assert await read_inbox_ids(harness, type="Families") == []


async def test_a_user_of_very_many_teams_has_an_inbox(harness: OperationsHarness) -> None:
    await create_waiting(harness, None)

    assert await read_inbox_ids(harness, teams=[f"team-{number}" for number in range(2_500)]) == []


async def test_a_cursor_of_another_order_is_refused(harness: OperationsHarness) -> None:
    await create_waiting(harness, 1, 2)
    cursor = (await read_inbox(get_connections(harness), limit=1)).next_cursor

    with pytest.raises(SearchError, match="another order"):
        await read_inbox(get_connections(harness), cursor=cursor, by_deadline=False)


async def test_no_more_are_counted_than_are_told(harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_BADGE_COUNT", 2)
    await create_waiting(harness, 1, 1, 1)

    assert await count_waiting(get_connections(harness)) == 2


async def test_groups_of_a_part_say_so(harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await create_waiting(harness, 1, 1, 1)
    whole = await read_inbox(get_connections(harness))
    monkeypatch.setattr(inbox, "MAX_GROUPED_INSTANCES", 2)

    part = await read_inbox(get_connections(harness))

    assert (whole.groups, whole.has_partial_groups) == ((InboxGroup("Orders", "review", 3),), False)
    assert (part.groups, part.has_partial_groups) == ((InboxGroup("Orders", "review", 2),), True)


class ExplainingConnections:
    """Connections that explain each statement before it is read."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.plans: list[str] = []

    async def read(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        return await self._connections.read(
            lambda session: work(cast(DatabaseSession, ExplainingSession(session, self.plans)))
        )


class ExplainingSession:
    """A session that explains."""

    def __init__(self, session: DatabaseSession, plans: list[str]) -> None:
        self._session = session
        self._plans = plans
        self.dialect = session.dialect

    async def fetch_rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        explain = "EXPLAIN QUERY PLAN" if self.dialect.name == "sqlite" else "EXPLAIN"
        self._plans += [" ".join(map(str, row)) for row in await self._session.fetch_rows(f"{explain} {sql}", values)]
        return await self._session.fetch_rows(sql, values)


async def test_what_has_ended_is_not_read(harness: OperationsHarness) -> None:
    await fill_instances(harness.hands)
    await harness.hands.execute_sql(
        "UPDATE flowlet_workflow SET status = 'WAITING' WHERE status = 'NEW' AND MOD(id, 100) = 0"
    )
    await harness.hands.execute_sql(
        "ANALYZE TABLE flowlet_workflow" if get_dialect_name(harness) == "mysql" else "ANALYZE"
    )
    explaining: Any = ExplainingConnections(get_connections(harness))

    assert await count_waiting(explaining) == 100
    assert len((await read_inbox(explaining)).waiting_instances) == 25
    await read_inbox(explaining, type="Orders", state="review", by_deadline=False)

    used = "\n".join(explaining.plans)
    whole = {
        "sqlite": r"SCAN flowlet_workflow(?! USING (?:COVERING )?INDEX flowlet_workflow_asking)\b",
        "postgresql": r"Seq Scan on flowlet_workflow\b",
        "mysql": r" flowlet_workflow (ALL|index) ",
    }
    assert not re.search(whole[get_dialect_name(harness)], used), used
    assert used.count("flowlet_workflow_asking") >= 5, used
    assert get_dialect_name(harness) != "sqlite" or "SCAN flowlet_inbox USING INDEX flowlet_inbox_entered" in used, used


def get_dialect_name(harness: OperationsHarness) -> str:
    return get_connections(harness).dialect.name
