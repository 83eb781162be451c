"""A search with a reach: how far it looks where no index tells what fits, and how it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.instances import Status
from flowlet.store.opening import open_store
from tests.store.shelf import NOW, Shelf


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    """Twenty instances, of which every fifth is in another state."""
    async with open_store(database_url, clock=VirtualClock()) as store:
        shelf = Shelf(store)
        made = [shelf.new(external_id=f"order-{n}", type=_type(n), state=_state(n)) for n in range(20)]
        await store.instances.create(made, now=NOW)
        # The first has the id 1.
        sql = "UPDATE workflow SET created = :at + id - 1, modified = :at - id, next_activation = NULL"
        await shelf.execute(sql, at=NOW)
        yield shelf


def _type(number: int) -> str:
    return "Rare" if number in (2, 5, 7) else "Common"


def _state(number: int) -> str:
    return "pack" if number % 5 == 0 else "check"


async def walked(shelf: Shelf, **query: Any) -> tuple[list[str], int]:
    """Return what all pages of a search find, by the numbers in the names, and how many pages there were."""
    found: list[str] = []
    pages, cursor = 0, None
    while True:
        page = await shelf.search(**query, cursor=cursor)
        found += [instance.external_id.removeprefix("order-") for instance in page.instances]
        pages, cursor = pages + 1, page.next_cursor
        if cursor is None:
            return found, pages


async def test_without_a_reach_everything_is_looked_at(shelf: Shelf) -> None:
    found = await shelf.search(state="pack", limit=2)

    assert (found.total, found.total_is_at_least, found.is_cut) == (4, False, False)


@pytest.mark.parametrize("order_by", ["id", "created"])
@pytest.mark.parametrize("descending", [True, False])
async def test_a_walk_goes_on_beyond_its_reach_and_misses_nothing(
    shelf: Shelf, order_by: str, descending: bool
) -> None:
    query: dict[str, Any] = {"state": "pack", "order_by": order_by, "descending": descending, "reach": 4, "limit": 3}

    found, pages = await walked(shelf, **query)

    assert found == (["15", "10", "5", "0"] if descending else ["0", "5", "10", "15"])
    assert 4 <= pages <= 6


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("times", [{"created_from": NOW}, {"created_to": NOW + 100}, {"created_from": NOW + 4}])
async def test_a_walk_within_a_time_of_creation_misses_nothing(
    shelf: Shelf, times: dict[str, Any], descending: bool
) -> None:
    # The later an instance was created, the lower its id: nothing but its time says so.
    await shelf.execute(f"UPDATE workflow SET created = {NOW} + 20 - id")
    query: dict[str, Any] = {"state": "pack", **times, "descending": descending, "limit": 1}

    found, _ = await walked(shelf, **query, reach=5)

    everything, _ = await walked(shelf, **query)
    assert found == everything


async def test_a_reach_of_one_goes_on(shelf: Shelf) -> None:
    found, pages = await walked(shelf, state="pack", reach=1)

    assert (found, pages) == (["15", "10", "5", "0"], 20)


async def test_what_failed_alike_is_found_however_far_it_is(shelf: Shelf) -> None:
    await shelf.execute("UPDATE workflow SET fingerprint = 'f0', failed = :at WHERE id <= 3", at=NOW)

    found = await shelf.search(fingerprint="f0", order_by="modified", reach=4)

    assert (found.total, found.is_cut) == (3, False)


async def test_instances_created_at_one_moment_are_not_split(shelf: Shelf) -> None:
    await shelf.execute("UPDATE workflow SET created = :at", at=NOW)

    found, _ = await walked(shelf, state="pack", order_by="created", reach=2)

    assert found == ["15", "10", "5", "0"]


async def test_what_is_beyond_the_reach_is_told_and_not_counted(shelf: Shelf) -> None:
    found = await shelf.search(state="pack", reach=7)

    assert [instance.external_id for instance in found.instances] == ["order-15"]
    assert (found.total, found.total_is_at_least, found.is_cut) == (1, True, True)
    assert found.next_cursor is not None


async def test_the_total_is_that_of_the_first_page_on_each(shelf: Shelf) -> None:
    first = await shelf.search(state="check", reach=9, limit=3)
    second = await shelf.search(state="check", reach=9, limit=3, cursor=first.next_cursor)

    assert (first.total, second.total) == (8, 8)
    assert first.total_is_at_least
    assert second.total_is_at_least


@pytest.mark.parametrize(
    "query",
    [
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
        {"has_next": True},
        {"parent_id": 3},
    ],
)
async def test_what_an_index_finds_is_found_however_far_it_is(shelf: Shelf, query: dict[str, Any]) -> None:
    found = await shelf.search(**query, reach=4)

    assert found == await shelf.search(**query)


async def test_sorted_by_what_changes_the_newest_are_sorted(shelf: Shelf) -> None:
    found = await shelf.search(order_by="modified", reach=4, limit=2)

    assert [instance.external_id for instance in found.instances] == ["order-16", "order-17"]
    assert (found.total, found.total_is_at_least) == (4, True)
    rest = await shelf.search(order_by="modified", reach=4, limit=2, cursor=found.next_cursor)
    assert [instance.external_id for instance in rest.instances] == ["order-18", "order-19"]
    assert rest.next_cursor is None


async def test_of_many_created_in_a_time_the_newest_are_looked_at(shelf: Shelf) -> None:
    found = await shelf.search(created_to=NOW + 12, state="pack", reach=4)

    assert [instance.external_id for instance in found.instances] == ["order-10"]
    assert found.is_cut


async def test_what_is_paused_or_waits_without_a_deadline_has_no_next_activation(shelf: Shelf) -> None:
    await shelf.put(external_id="held", next_activation=NOW, status=Status.PAUSED)
    later = await shelf.put(external_id="later", next_activation=NOW + 1)
    sooner = await shelf.put(external_id="sooner", next_activation=NOW, status=Status.IN_PROGRESS)
    await shelf.put(external_id="asked", next_activation=None, status=Status.WAITING)

    assert await shelf.ids(has_next=True, order_by="next_activation", descending=False) == [sooner, later]


async def test_an_empty_database_is_searched_to_its_end(database_url: str) -> None:
    async with open_store(database_url, clock=VirtualClock()) as store:
        found = await Shelf(store).search(state="pack", reach=3)

    assert (found.instances, found.is_cut, found.next_cursor) == ((), False, None)
