"""A search with a reach: how far it looks where no index tells what fits, and how it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.instance.instance import Status
from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.opening import open_store
from flowlet.store.search.query import VariableFilter
from tests.databases import find_schema
from tests.store.store_harness import NOW, StoreHarness


@pytest.fixture
async def store_harness(database_url: str) -> AsyncIterator[StoreHarness]:
    """Twenty instances, of which every fifth is in another state."""
    async with open_store(database_url, schema=find_schema(database_url), clock=VirtualClock()) as store:
        shelf = StoreHarness(store)
        made = [
            shelf.build_new_instance(external_id=f"order-{n}", type=_choose_type(n), state=_choose_state(n))
            for n in range(20)
        ]
        await store.instances.create(made, now=NOW)
        # The first has the id 1.
        sql = "UPDATE flowlet_workflow SET created = :at + id - 1, modified = :at - id, next_activation = NULL"
        await shelf.execute_sql(sql, at=NOW)
        yield shelf


def _choose_type(number: int) -> str:
    return "Rare" if number in (2, 5, 7) else "Common"


def _choose_state(number: int) -> str:
    return "pack" if number % 5 == 0 else "check"


async def walk_pages(store_harness: StoreHarness, **query: Any) -> tuple[list[str], int]:
    """Return what all pages of a search find, by the numbers in the names, and how many pages there were."""
    found: list[str] = []
    pages, cursor = 0, None
    while True:
        page = await store_harness.search_instances(**query, cursor=cursor)
        found += [instance.external_id.removeprefix("order-") for instance in page.instances]
        pages, cursor = pages + 1, page.next_cursor
        if cursor is None:
            return found, pages


async def test_without_a_reach_everything_is_looked_at(store_harness: StoreHarness) -> None:
    found = await store_harness.search_instances(state="pack", limit=2)

    assert (found.total, found.total_is_at_least, found.is_cut) == (4, False, False)


async def test_a_walk_goes_on_beyond_its_reach_and_misses_nothing(
    store_harness: StoreHarness, subtests: pytest.Subtests
) -> None:
    for order_by in ("id", "created"):
        for descending in (True, False):
            with subtests.test(f"{order_by}, {descending}"):
                query: dict[str, Any] = {
                    "state": "pack",
                    "order_by": order_by,
                    "descending": descending,
                    "scan_limit": 4,
                    "limit": 3,
                }

                found, pages = await walk_pages(store_harness, **query)

                assert found == (["15", "10", "5", "0"] if descending else ["0", "5", "10", "15"])
                assert 4 <= pages <= 6


CREATION_TIMES: list[dict[str, Any]] = [{"created_from": NOW}, {"created_to": NOW + 100}, {"created_from": NOW + 4}]


async def test_a_walk_within_a_time_of_creation_misses_nothing(
    store_harness: StoreHarness, subtests: pytest.Subtests
) -> None:
    # The later an instance was created, the lower its id: nothing but its time says so.
    await store_harness.execute_sql(f"UPDATE flowlet_workflow SET created = {NOW} + 20 - id")

    for descending in (True, False):
        for times in CREATION_TIMES:
            with subtests.test(f"{descending}, {times}"):
                query: dict[str, Any] = {"state": "pack", **times, "descending": descending, "limit": 1}

                found, _ = await walk_pages(store_harness, **query, scan_limit=5)

                everything, _ = await walk_pages(store_harness, **query)
                assert found == everything


async def test_a_reach_of_one_goes_on(store_harness: StoreHarness) -> None:
    found, pages = await walk_pages(store_harness, state="pack", scan_limit=1)

    assert (found, pages) == (["15", "10", "5", "0"], 20)


async def test_what_failed_alike_is_found_however_far_it_is(store_harness: StoreHarness) -> None:
    await store_harness.execute_sql(
        "UPDATE flowlet_workflow SET fingerprint = 'f0', failed = :at WHERE id <= 3", at=NOW
    )

    found = await store_harness.search_instances(fingerprint="f0", order_by="modified", scan_limit=4)

    assert (found.total, found.is_cut) == (3, False)


async def test_instances_created_at_one_moment_are_not_split(store_harness: StoreHarness) -> None:
    await store_harness.execute_sql("UPDATE flowlet_workflow SET created = :at", at=NOW)

    found, _ = await walk_pages(store_harness, state="pack", order_by="created", scan_limit=2)

    assert found == ["15", "10", "5", "0"]


async def test_what_is_beyond_the_reach_is_told_and_not_counted(store_harness: StoreHarness) -> None:
    found = await store_harness.search_instances(state="pack", scan_limit=7)

    assert [instance.external_id for instance in found.instances] == ["order-15"]
    assert (found.total, found.total_is_at_least, found.is_cut) == (1, True, True)
    assert found.next_cursor is not None


async def test_the_total_is_that_of_the_first_page_on_each(store_harness: StoreHarness) -> None:
    first = await store_harness.search_instances(state="check", scan_limit=9, limit=3)
    second = await store_harness.search_instances(state="check", scan_limit=9, limit=3, cursor=first.next_cursor)

    assert (first.total, second.total) == (8, 8)
    assert first.total_is_at_least
    assert second.total_is_at_least


INDEXED_QUERIES: list[dict[str, Any]] = [
    {},
    {"workflow_type": "Common"},
    {"external_id": "order-0", "state": "pack"},
    {"prefix": "order-0", "state": "pack"},
    {"workflow_type": "Rare", "state": "pack"},
    {"workflow_type": "Rare", "order_by": "modified"},
    {"created_to": NOW + 4, "state": "pack"},
    {"status": "CANCELLED"},
    {"status": "FAILED"},
    {"is_retrying": True},
    {"waits_for_version": True},
    {"has_next": True},
    {"parent_id": 3},
]


async def test_what_an_index_finds_is_found_however_far_it_is(
    store_harness: StoreHarness, subtests: pytest.Subtests
) -> None:
    for query in INDEXED_QUERIES:
        with subtests.test(str(query)):
            found = await store_harness.search_instances(**query, scan_limit=4)

            assert found == await store_harness.search_instances(**query)


SHARED_BY_MANY: list[dict[str, Any]] = [
    {"status": "FAILED"},
    {"status": ["FAILED", "PAUSED"], "workflow_type": "Common"},
    {"parent_id": 99},
    {"is_retrying": True},
    {"fingerprint": "f0"},
    {"waits_for_version": True},
    {"has_next": True},
]


@pytest.mark.parametrize("text", [{"variables": [VariableFilter("n", 3)]}, {"reason_contains": "STOCK-3"}])
async def test_what_an_index_finds_is_not_read_beyond_the_reach_for_a_text(
    store_harness: StoreHarness, subtests: pytest.Subtests, text: dict[str, Any]
) -> None:
    for query in SHARED_BY_MANY:
        with subtests.test(str(query)):
            await make_all_alike(store_harness, query)

            cut = await store_harness.search_instances(**query, **text, scan_limit=4)
            walked, pages = await walk_pages(store_harness, **query, **text, scan_limit=4)
            everything = await store_harness.search_instances(**query, **text, scan_limit=20)
            without_text = await store_harness.search_instances(**query, scan_limit=4)

            assert (cut.instances, cut.is_cut) == ((), True)
            assert (walked, pages > 3) == (["3"], True)
            assert ([one.external_id for one in everything.instances], everything.is_cut) == (["order-3"], False)
            assert (without_text.is_cut, without_text.total > 4) == (False, True)


async def make_all_alike(store_harness: StoreHarness, query: dict[str, Any]) -> None:
    """Let every instance match the part of a query that an index answers."""
    status = {"has_next": "NEW", "waits_for_version": "NEW", "is_retrying": "NEW"}.get(next(iter(query)), "FAILED")
    sql = (
        "UPDATE flowlet_workflow SET status = :status, parent_id = 99, attempt = 1, fingerprint = 'f0', failed = :at, "
        "gate = :gate, next_activation = :at, vars = :vars, reason = :reason WHERE external_id = :name"
    )
    for number in range(20):
        names = {"name": f"order-{number}", "vars": f'{{"n":{number}}}', "reason": f"no stock-{number}."}
        gate = f"{GATE_PREFIX}x" if "waits_for_version" in query else None
        await store_harness.execute_sql(sql, status=status, gate=gate, at=NOW, **names)


async def test_sorted_by_what_changes_the_newest_are_sorted(store_harness: StoreHarness) -> None:
    found = await store_harness.search_instances(order_by="modified", scan_limit=4, limit=2)

    assert [instance.external_id for instance in found.instances] == ["order-16", "order-17"]
    assert (found.total, found.total_is_at_least) == (4, True)
    rest = await store_harness.search_instances(order_by="modified", scan_limit=4, limit=2, cursor=found.next_cursor)
    assert [instance.external_id for instance in rest.instances] == ["order-18", "order-19"]
    assert rest.next_cursor is None


async def test_of_many_created_in_a_time_the_newest_are_looked_at(store_harness: StoreHarness) -> None:
    found = await store_harness.search_instances(created_to=NOW + 12, state="pack", scan_limit=4)

    assert [instance.external_id for instance in found.instances] == ["order-10"]
    assert found.is_cut


async def test_what_is_paused_or_waits_without_a_deadline_has_no_next_activation(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(external_id="held", next_activation=NOW, status=Status.PAUSED)
    later = await store_harness.create_instance(external_id="later", next_activation=NOW + 1)
    sooner = await store_harness.create_instance(external_id="sooner", next_activation=NOW, status=Status.IN_PROGRESS)
    await store_harness.create_instance(external_id="asked", next_activation=None, status=Status.WAITING)

    assert await store_harness.search_ids(has_next=True, order_by="next_activation", descending=False) == [
        sooner,
        later,
    ]


async def test_an_empty_database_is_searched_to_its_end(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url), clock=VirtualClock()) as store:
        found = await StoreHarness(store).search_instances(state="pack", scan_limit=3)

    assert (found.instances, found.is_cut, found.next_cursor) == ((), False, None)
