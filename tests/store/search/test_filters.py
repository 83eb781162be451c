"""Every filter of a search, alone and with others, and hostile values."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.instance.instance import Status
from flowlet.store.search.query import VariableFilter
from flowlet.text import MAX_INTEGER
from tests.store.store_harness import NOW, StoreHarness

HOSTILE_TEXTS = (
    "%",
    "_",
    "!",
    "\\",
    "'",
    '"',
    "'; DROP TABLE flowlet_workflow; --",
    ":id",
    "%s",
    "{}",
    "ä𝄞",
    "[a-z]*",
    "NULL",
)


async def test_without_a_filter_everything_is_found_newest_first(store_harness: StoreHarness) -> None:
    ids = [await store_harness.create_instance() for _ in range(3)]

    found = await store_harness.search_instances()

    assert [instance.id for instance in found.instances] == ids[::-1]
    assert (found.total, found.total_is_at_least, found.next_cursor) == (3, False, None)


async def test_an_empty_database_has_an_empty_page(store_harness: StoreHarness) -> None:
    found = await store_harness.search_instances(status="FAILED")

    assert (found.instances, found.total, found.next_cursor) == ((), 0, None)


async def test_id_external_id_and_business_key_are_joined_by_or(store_harness: StoreHarness) -> None:
    one, two = (
        await store_harness.create_instance(external_id="X1"),
        await store_harness.create_instance(external_id="X2"),
    )
    three, four = (
        await store_harness.create_instance(business_key="K"),
        await store_harness.create_instance(business_key="K"),
    )
    await store_harness.create_instance()

    assert await store_harness.search_ids(id=one, external_id="X2", business_key="K") == [four, three, two, one]
    assert await store_harness.search_ids(id=one, external_id="nosuch") == [one]
    assert await store_harness.search_ids(business_key="nosuch", external_id="nosuch", id=999_999) == []


async def test_what_names_an_instance_is_joined_with_the_rest_by_and(store_harness: StoreHarness) -> None:
    one = await store_harness.create_instance(business_key="K", state="charge")
    await store_harness.create_instance(business_key="K")
    await store_harness.create_instance(external_id="X1")

    assert await store_harness.search_ids(business_key="K", external_id="X1", state="charge") == [one]


FILTERS: list[tuple[str, Any, dict[str, Any]]] = [
    ("type", "Returns", {"workflow_type": "Returns"}),
    ("state", "charge", {"state": "charge"}),
    ("executor_group", "mail", {"executor_group": "mail"}),
    ("parent_id", 77, {"parent_id": 77}),
    ("status", Status.WAITING, {"status": "WAITING"}),
    ("created", NOW + 5, {"created_from": NOW + 5}),
    ("created", NOW - 5, {"created_to": NOW}),
    ("modified", NOW + 5, {"modified_from": NOW + 5}),
    ("modified", NOW - 5, {"modified_to": NOW}),
    ("next_activation", NOW + 5, {"next_activation_from": NOW + 5}),
    ("next_activation", NOW - 5, {"next_activation_to": NOW}),
    ("attempt", 2, {"is_retrying": True}),
    ("gate", "version:lane/a", {"waits_for_version": True}),
    ("reason", "the card was refused", {"reason_contains": "CARD was"}),
]


async def test_each_filter_finds_what_fits_and_nothing_else(
    store_harness: StoreHarness, subtests: pytest.Subtests
) -> None:
    for column, value, query in FILTERS:
        with subtests.test(f"{column}: {query}"):
            await store_harness.create_instance()
            fitting = await store_harness.create_instance(**{column: value})
            await store_harness.create_instance()

            found = await store_harness.search_instances(**query)

            assert [instance.id for instance in found.instances] == [fitting]
            assert found.total == 1


async def test_other_gates_are_no_version_gates(store_harness: StoreHarness) -> None:
    for gate in ("version:lane/a", "limit:pay/all", "watch:pay"):
        await store_harness.create_instance(external_id=gate, gate=gate)
    await store_harness.create_instance(external_id="none")

    assert await store_harness.search_external_ids(waits_for_version=True) == {"version:lane/a"}
    assert await store_harness.search_external_ids(waits_for_version=False) == {"limit:pay/all", "watch:pay", "none"}


async def test_several_statuses_are_joined_by_or(store_harness: StoreHarness) -> None:
    for status in Status:
        await store_harness.create_instance(external_id=status.value, status=status)

    assert await store_harness.search_external_ids(status=["FAILED", Status.WAITING]) == {"FAILED", "WAITING"}
    assert await store_harness.search_external_ids(status=("FINISHED", "PAUSED")) == {"FINISHED", "PAUSED"}
    assert await store_harness.search_external_ids(status=[]) == set(Status)


async def test_a_range_holds_its_beginning_and_not_its_end(store_harness: StoreHarness) -> None:
    ids = [await store_harness.create_instance(created=NOW + second) for second in range(4)]

    assert await store_harness.search_ids(created_from=NOW + 1, created_to=NOW + 3) == [ids[2], ids[1]]
    assert await store_harness.search_ids(created_from=NOW + 2, created_to=NOW + 2) == []
    assert await store_harness.search_ids(created_from=-MAX_INTEGER, created_to=MAX_INTEGER) == ids[::-1]


async def test_what_retries_has_failed_an_attempt_and_has_not_ended(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(external_id="new")
    await store_harness.create_instance(external_id="retrying", attempt=1, status=Status.IN_PROGRESS)
    await store_harness.create_instance(external_id="failed", attempt=3, status=Status.FAILED)
    await store_harness.create_instance(external_id="finished", attempt=1, status=Status.FINISHED)

    assert await store_harness.search_external_ids(is_retrying=True) == {"retrying"}
    assert await store_harness.search_external_ids(is_retrying=False) == {"new", "failed", "finished"}


async def test_all_filters_together_find_the_one_that_fits_each(store_harness: StoreHarness) -> None:
    fits: dict[str, Any] = {
        "type": "Returns",
        "state": "charge",
        "executor_group": "mail",
        "parent_id": 77,
        "status": Status.IN_PROGRESS,
        "attempt": 1,
        "reason": "the card was refused",
        "business_key": "K",
        "vars": {"amount": 3, "note": "glass"},
    }
    others: dict[str, Any] = {**dict.fromkeys(fits, "other"), "parent_id": 78, "status": Status.NEW, "attempt": 0}
    one = await store_harness.create_instance(**fits)
    for column in fits:
        await store_harness.create_instance(**{**fits, column: {"amount": 4} if column == "vars" else others[column]})

    found = await store_harness.search_instances(
        business_key="K",
        workflow_type="Returns",
        state="charge",
        status=["IN_PROGRESS", "WAITING"],
        executor_group="mail",
        parent_id=77,
        created_from=NOW,
        created_to=NOW + 1,
        modified_from=NOW,
        next_activation_to=NOW + 1,
        is_retrying=True,
        reason_contains="refused",
        variables=[VariableFilter("amount", 3), VariableFilter("note", "glass")],
        order_by="created",
    )

    assert ([instance.id for instance in found.instances], found.total) == ([one], 1)


async def test_a_hostile_value_finds_itself_and_nothing_else(store_harness: StoreHarness) -> None:
    made = {
        value: await store_harness.create_instance(
            business_key=value, state=value, reason=f"<{value}>", vars={"v": value}
        )
        for value in (*HOSTILE_TEXTS, "plain", "ab", "A")
    }

    for value, one in made.items():
        assert await store_harness.search_ids(business_key=value) == [one]
        assert await store_harness.search_ids(state=value) == [one]
        assert await store_harness.search_ids(reason_contains=f"<{value}>") == [one]
        assert await store_harness.search_ids(variables=[VariableFilter("v", value)]) == [one]


async def test_letters_of_either_size_are_the_same_in_a_reason_and_differ_elsewhere(
    store_harness: StoreHarness,
) -> None:
    one = await store_harness.create_instance(business_key="Key", state="Charge", reason="Refused")

    assert await store_harness.search_ids(reason_contains="rEFUSE") == [one]
    assert await store_harness.search_ids(business_key="key") == []
    assert await store_harness.search_ids(state="charge") == []
