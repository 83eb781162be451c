"""The doctor: silent about a database in order, and never about one that is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowlet.instance.instance import Status
from flowlet.instance.message import MessageWait
from flowlet.operations import doctor
from flowlet.operations.doctor import (
    CHILDREN,
    COUNTERS,
    LEASE,
    MESSAGES,
    PATH,
    STUCK,
    UNSERVED,
    Finding,
    examine_store,
)
from flowlet.store import consistency
from flowlet.store.consistency import InspectedInstance
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

MINUTE = 60_000_000


async def populate_database(harness: OperationsHarness) -> None:
    """Make an instance in every status, a parent with children, and one with a long history of every kind of line."""
    for status in Status:
        await harness.create_in_status(status)
    _, (child, _) = await harness.create_family("Orders", "Orders")
    await harness.operations.cancel(child, username=OPERATOR_NAME)
    long = await harness.create_order(way="review")
    await harness.run_until_released(long)
    await harness.operations.answer(long, "rejected", username=OPERATOR_NAME)
    await harness.operations.move(long, "charge", username=OPERATOR_NAME)
    await harness.operations.move(long, "check", username=OPERATOR_NAME, force=True, reason="once more")
    await harness.operations.pause(long, username=OPERATOR_NAME)
    await harness.operations.resume(long, username=OPERATOR_NAME)


async def find_findings(harness: OperationsHarness) -> list[tuple[int, str]]:
    """Return which instances the doctor finds, and why."""
    return [(finding.instance_id, finding.rule) for finding in await examine_store(harness.hands.store)]


async def write_columns(harness: OperationsHarness, id: int, **columns: Any) -> None:
    """Write columns of an instance as no operation would."""
    written = ", ".join(f"{name} = :{name}" for name in columns)
    await harness.hands.execute_sql(f"UPDATE flowlet_workflow SET {written} WHERE id = :id", {"id": id, **columns})


async def test_nothing_is_found_in_a_database_in_order(harness: OperationsHarness) -> None:
    await populate_database(harness)

    assert await find_findings(harness) == []


async def test_a_wrong_count_of_messages_and_a_missed_one_are_found(harness: OperationsHarness) -> None:
    counted, missed = [await harness.create_in_status(Status.NEW) for _ in range(2)]
    await write_columns(harness, counted.id, unread=1)
    sql = "INSERT INTO flowlet_message (workflow_id, name, message_key, body, sent) VALUES (:id, 'go', 'a', '{}', 1)"
    await harness.hands.execute_sql(sql, {"id": missed.id})
    awaits = MessageWait(("go",), None).write()
    await write_columns(harness, missed.id, unread=1, status="WAITING", awaits=awaits, next_activation=None)

    assert await find_findings(harness) == [(counted.id, MESSAGES), (missed.id, MESSAGES)]


async def test_pages_and_reads_of_any_size_find_the_same(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await populate_database(harness)
    stuck = await harness.create_in_status(Status.NEW)
    await write_columns(harness, stuck.id, next_activation=None)
    monkeypatch.setattr(doctor, "PAGE_SIZE", 2)
    monkeypatch.setattr(consistency, "PAGE_SIZE", 1)

    assert await find_findings(harness) == [(stuck.id, STUCK)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM flowlet_action WHERE kind = 'CREATED'", "comes before the one of its creation"),
        ("UPDATE flowlet_action SET kind = 'CREATED' WHERE kind = 'TRANSITION'", "creates it a second time"),
        (
            "UPDATE flowlet_action SET from_state = 'sign' WHERE to_state = 'delivered'",
            "but the instance was in 'charge'",
        ),
        (
            "UPDATE flowlet_action SET to_state = 'delivered', from_state = 'check' WHERE to_state = 'charge'",
            "goes from 'check' to 'delivered', which is not a transition of Orders version 1",
        ),
        ("DELETE FROM flowlet_action WHERE to_state = 'delivered'", "its history ends in state 'charge'"),
        ("DELETE FROM flowlet_action", "its history does not record its creation"),
    ],
)
async def test_a_history_that_is_no_path_of_the_graph_is_found(
    harness: OperationsHarness, change: str, said: str
) -> None:
    finished = await harness.create_in_status(Status.FINISHED)
    await harness.hands.execute_sql(change)

    (finding,) = await examine_store(harness.hands.store)

    assert (finding.instance_id, finding.rule) == (finished.id, PATH)
    assert finding.message.startswith("Orders, FINISHED in state 'delivered': ")
    assert said in finding.message


async def test_a_move_that_says_it_was_along_an_edge_is_judged_and_a_forced_one_is_not(
    harness: OperationsHarness,
) -> None:
    instance = await harness.create_in_status(Status.NEW)
    await harness.operations.move(instance.id, "sign", username=OPERATOR_NAME, force=True, reason="it has to be")
    forced = await find_findings(harness)

    await harness.hands.execute_sql("UPDATE flowlet_action SET kind = 'MOVED' WHERE kind = 'FORCED'")

    assert (forced, await find_findings(harness)) == ([], [(instance.id, PATH)])


async def test_a_history_of_a_version_whose_shape_is_not_stored_is_not_judged_by_another(
    harness: OperationsHarness,
) -> None:
    await harness.create_in_status(Status.FINISHED)
    await harness.hands.execute_sql("UPDATE flowlet_definition SET version = 2")

    assert await find_findings(harness) == []


IMPOSSIBLE_ROWS: list[tuple[Status, dict[str, Any], str]] = [
    (Status.NEW, {"next_activation": None}, STUCK),
    (Status.IN_PROGRESS, {"next_activation": None}, STUCK),
    (Status.PAUSED, {"next_activation": None}, STUCK),
    (Status.PAUSED, {"held_status": None}, STUCK),
    (Status.PAUSED, {"held_status": "FINISHED"}, STUCK),
    (Status.WAITING, {"executor_id": "executor-a"}, LEASE),
    (Status.FINISHED, {"executor_id": "executor-a"}, LEASE),
    (Status.EXECUTING, {"executor_id": None}, LEASE),
    (Status.EXECUTING, {"executor_id": "nobody"}, LEASE),
    (Status.NEW, {"open_children": 1}, CHILDREN),
    (Status.FINISHED, {"open_children": -1}, CHILDREN),
    (Status.IN_PROGRESS, {"wake_at_open_children": 0}, CHILDREN),
]


async def test_an_instance_that_stands_as_none_may_is_found(harness: OperationsHarness) -> None:
    expected: list[tuple[int, str]] = []
    for status, columns, rule in IMPOSSIBLE_ROWS:
        instance = await harness.create_in_status(status)
        await write_columns(harness, instance.id, **columns)
        expected.append((instance.id, rule))

    assert sorted(await find_findings(harness)) == expected


async def test_a_child_that_ended_without_its_parents_knowing_is_found_with_the_wake_that_was_lost(
    harness: OperationsHarness,
) -> None:
    parent, (child,) = await harness.create_family("Orders")
    await write_columns(harness, child, status="CANCELLED")

    findings = await examine_store(harness.hands.store)

    assert [(finding.instance_id, finding.rule) for finding in findings] == [(parent, CHILDREN), (child, COUNTERS)]
    assert "it counts 1 open children, but 0 of its children are open" in findings[0].message


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("status = 'STOPPED'", "which has stopped. Any running executor frees it: flowlet serve"),
        ("lease_until = lease_until - 91000000", "whose lease ran out 61 s ago"),
        ("status = 'LOST', lease_until = lease_until - 91000000", "whose lease ran out 61 s ago"),
    ],
)
async def test_an_instance_of_an_executor_that_is_gone_is_found(
    harness: OperationsHarness, columns: str, said: str
) -> None:
    held = await harness.create_in_status(Status.EXECUTING)
    await harness.hands.execute_sql(f"UPDATE flowlet_executor SET {columns}")

    (finding,) = await examine_store(harness.hands.store)

    assert (finding.instance_id, finding.rule) == (held.id, LEASE)
    assert said in finding.message


async def test_an_executor_whose_lease_has_only_just_run_out_is_left_to_the_repair(harness: OperationsHarness) -> None:
    await harness.create_in_status(Status.EXECUTING)
    harness.hands.clock.advance(MINUTE)

    assert await find_findings(harness) == []


async def test_an_instance_of_an_executor_that_makes_no_progress_is_found(harness: OperationsHarness) -> None:
    held = await harness.create_in_status(Status.EXECUTING)
    await harness.hands.execute_sql("UPDATE flowlet_executor SET claimed = beat - 200000000")

    assert await find_findings(harness) == []
    (finding,) = await examine_store(harness.hands.store, max_claim_gap=timedelta(minutes=2))

    assert (finding.instance_id, finding.rule) == (held.id, STUCK)
    assert "sends heartbeats and has neither claimed nor committed for 200 s" in finding.message


async def test_instances_that_are_due_and_served_by_nobody_are_one_warning_for_their_workflow(
    harness: OperationsHarness,
) -> None:
    first = await harness.create_order(group="night")
    await harness.create_order(group="night")
    await harness.create_order(group="default", way="charge")
    await harness.hands.execute_sql("UPDATE flowlet_executor SET lease_until = lease_until + 3600000000")
    harness.hands.clock.advance(MINUTE)
    early = await find_findings(harness)
    harness.hands.clock.advance(1)

    findings = await examine_store(harness.hands.store)

    assert early == []
    assert findings == [
        Finding(
            first,
            UNSERVED,
            "2 of 'Orders' in the executor group 'night' have been due for more than 60 s, and no live executor of "
            f"this group has loaded this workflow; {first} is the first. Start one: flowlet serve.",
        )
    ]


async def test_an_executor_that_drains_serves_nothing_new(harness: OperationsHarness) -> None:
    id = await harness.create_order(group="default")
    await harness.hands.store.executors.mark_draining("executor-a")
    harness.hands.clock.advance(MINUTE + 1)

    assert await find_findings(harness) == [(id, UNSERVED)]


async def test_an_instance_that_moves_between_the_looks_is_looked_at_again(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    looks: list[int] = []

    async def move_meanwhile(connections: Any, ids: list[int]) -> dict[int, InspectedInstance]:
        looks.append(len(ids))
        if len(looks) == 1:
            await harness.operations.move(instance.id, "charge", username=OPERATOR_NAME)
        return await consistency.inspect_instances(connections, ids)

    monkeypatch.setattr(doctor, "inspect_instances", move_meanwhile)

    assert await find_findings(harness) == []
    assert looks == [1, 1]


async def test_a_shape_that_is_stored_while_the_doctor_looks_raises_no_alarm(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create_in_status(Status.FINISHED)
    moved = await harness.create_in_status(Status.NEW)
    await harness.operations.move(
        moved.id, "sign", username=OPERATOR_NAME, force=True, reason="the next release allows it"
    )
    await harness.hands.execute_sql("UPDATE flowlet_action SET kind = 'MOVED' WHERE kind = 'FORCED'")
    pages: list[int] = []

    async def change_meanwhile(connections: Any, id: int, *, limit: int) -> list[InspectedInstance]:
        pages.append(id)
        if len(pages) == 2:
            sql = "UPDATE flowlet_definition SET definition = REPLACE(definition, :old, :new)"
            await harness.hands.execute_sql(sql, {"old": '"target":"review"', "new": '"target":"sign"'})
        return await consistency.inspect_instances_after(connections, id, limit=1)

    monkeypatch.setattr(doctor, "inspect_instances_after", change_meanwhile)

    assert await find_findings(harness) == []


async def test_the_doctor_changes_nothing(harness: OperationsHarness) -> None:
    await populate_database(harness)
    before = await harness.hands.read_tables()

    await examine_store(harness.hands.store)

    assert await harness.hands.read_tables() == before
