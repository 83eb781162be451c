"""The pages of a search: their order, their total, their offset, and the cursor of the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.errors import SearchError
from flowlet.instance.instance import Status
from flowlet.instance.new_instance import NewInstance
from flowlet.store.search.query import MAX_COUNTED, SearchQuery
from tests.store.store_harness import NOW, StoreHarness


async def test_every_order_goes_by_its_key_and_then_by_the_id(
    store_harness: StoreHarness, subtests: pytest.Subtests
) -> None:
    for seconds in (3, 1, 3, 2, 1):
        await store_harness.create_instance(
            created=NOW + seconds, modified=NOW - seconds, next_activation=NOW + seconds
        )
    everything = (await store_harness.search_instances()).instances

    for order_by in ("id", "created", "modified", "next_activation"):
        for descending in (True, False):
            with subtests.test(f"{order_by}, {descending}"):
                found = await store_harness.search_instances(order_by=order_by, descending=descending)

                expected = sorted(everything, key=lambda one: (getattr(one, order_by), one.id), reverse=descending)
                assert found.instances == tuple(expected)


@pytest.mark.parametrize("descending", [True, False])
async def test_what_has_no_next_activation_comes_last_in_either_direction(
    store_harness: StoreHarness, descending: bool
) -> None:
    due = await store_harness.create_instance()
    ended = {await store_harness.create_instance(next_activation=None) for _ in range(3)}

    pages = [
        page async for page in iterate_pages(store_harness, order_by="next_activation", descending=descending, limit=1)
    ]

    assert pages[0] == [due]
    assert {id for page in pages[1:] for id in page} == ended


@pytest.mark.parametrize("has_next", [True, False])
@pytest.mark.parametrize("descending", [True, False])
async def test_what_waits_for_persons_and_for_messages_is_in_one_order_of_deadlines(
    store_harness: StoreHarness, descending: bool, has_next: bool
) -> None:
    deadlines = {
        await store_harness.create_instance(status=Status.WAITING, next_activation=deadline): deadline
        for deadline in (NOW + 5, NOW + 1, None, NOW + 3, NOW + 3, None, NOW + 2)
    }
    await store_harness.create_instance(next_activation=NOW)
    await store_harness.execute_sql("UPDATE flowlet_workflow SET awaits = '[\"paid\"]' WHERE MOD(id, 2) = 0")

    query = {"status": Status.WAITING, "order_by": "next_activation", "descending": descending, "has_next": has_next}
    pages = [page async for page in iterate_pages(store_harness, **query, limit=2)]

    timed = sorted(((at, id) for id, at in deadlines.items() if at is not None), reverse=descending)
    untimed = sorted((id for id, at in deadlines.items() if at is None), reverse=descending)
    assert [id for page in pages for id in page] == [id for _, id in timed] + ([] if has_next else untimed)


async def iterate_pages(store_harness: StoreHarness, **query: Any) -> AsyncIterator[list[int]]:
    """Yield the ids of each page."""
    found = await store_harness.search_instances(**query)
    while True:
        yield [instance.id for instance in found.instances]
        if found.next_cursor is None:
            return
        found = await store_harness.search_instances(**query, cursor=found.next_cursor)


async def create_many(store_harness: StoreHarness, count: int) -> list[int]:
    """Create many instances in one transaction; three share each time of creation."""
    news = [
        NewInstance("Orders", 1, f"many-{place}", "", "default", 0, "check", Status.NEW, "{}", NOW)
        for place in range(count)
    ]
    created = [one.id for one in await store_harness.store.instances.create(news, now=NOW)]
    await store_harness.execute_sql("UPDATE flowlet_workflow SET created = created + MOD(id, 300)")
    return created


@pytest.mark.parametrize("order_by", ["id", "created"])
@pytest.mark.parametrize("descending", [True, False])
async def test_a_walk_misses_nothing_and_repeats_nothing_while_rows_come_and_change(
    store_harness: StoreHarness, order_by: str, descending: bool
) -> None:
    there = await create_many(store_harness, 1_000)

    seen: list[int] = []
    async for page in iterate_pages(store_harness, order_by=order_by, descending=descending, limit=90):
        seen += page
        await store_harness.create_instance(created=NOW + len(seen) % 300)
        await store_harness.execute_sql(
            "UPDATE flowlet_workflow SET status = 'FINISHED', modified = modified + 7 WHERE id = :id", id=page[-1]
        )

    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)


async def test_the_total_is_that_of_all_pages_on_each_of_them(store_harness: StoreHarness) -> None:
    await create_many(store_harness, 25)

    first = await store_harness.search_instances(limit=10)
    last = await store_harness.search_instances(limit=10, offset=20)
    second = await store_harness.search_instances(limit=10, cursor=first.next_cursor)

    assert [first.total, second.total, last.total] == [25, 25, 25]
    assert [len(one.instances) for one in (first, second, last)] == [10, 10, 5]
    assert (await store_harness.search_instances(limit=25)).next_cursor is None


async def test_more_than_ten_thousand_are_not_counted(store_harness: StoreHarness) -> None:
    await create_many(store_harness, 700)
    columns = "workflow_type, definition_version, executor_group, status, state, vars, created, modified"
    name = (
        "CONCAT(a.id, '-', b.id)" if store_harness.store.connections.dialect.name == "mysql" else "a.id || '-' || b.id"
    )
    copies = ", ".join(f"a.{column}" for column in columns.split(", "))
    await store_harness.execute_sql(
        f"INSERT INTO flowlet_workflow (external_id, {columns}) SELECT {name}, {copies} "
        "FROM flowlet_workflow a CROSS JOIN (SELECT id FROM flowlet_workflow ORDER BY id LIMIT 14) b"
    )

    more = await store_harness.search_instances(limit=1)
    await store_harness.execute_sql(
        "DELETE FROM flowlet_workflow "
        "WHERE id > (SELECT most FROM (SELECT MIN(id) + 9999 AS most FROM flowlet_workflow) m)"
    )
    exactly = await store_harness.search_instances(limit=1)

    assert (more.total, more.total_is_at_least) == (MAX_COUNTED, True)
    assert exactly.total <= MAX_COUNTED
    assert not exactly.total_is_at_least


async def test_an_offset_leaves_out_the_first(store_harness: StoreHarness) -> None:
    ids = [await store_harness.create_instance() for _ in range(4)]

    assert await store_harness.search_ids(offset=1, limit=2) == [ids[2], ids[1]]
    assert await store_harness.search_ids(offset=10_000) == []


async def test_a_cursor_that_was_tampered_with_is_refused(store_harness: StoreHarness) -> None:
    for _ in range(3):
        await store_harness.create_instance()
    cursor = (await store_harness.search_instances(limit=1)).next_cursor
    assert cursor is not None

    tampered = [cursor[:-2], cursor + "AA", cursor[::-1], "", "%", "AAAA", "x" * 10_000, "\x00", "ä", f"{cursor}\n"]
    tampered += [cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(20)]

    for text in tampered:
        with pytest.raises(SearchError) as refused:
            SearchQuery(cursor=text)
        assert list(refused.value.faults) == ["cursor"]


async def test_a_cursor_of_another_order_is_refused(store_harness: StoreHarness) -> None:
    for _ in range(3):
        await store_harness.create_instance()
    cursor = (await store_harness.search_instances(limit=1)).next_cursor

    orders: tuple[dict[str, Any], ...] = ({"order_by": "created"}, {"descending": False})
    for order in orders:
        with pytest.raises(SearchError, match="another order"):
            SearchQuery(**order, cursor=cursor)


def test_a_cursor_and_an_offset_exclude_each_other() -> None:
    with pytest.raises(SearchError, match="cannot be combined with a cursor"):
        SearchQuery(cursor="x", offset=1)
