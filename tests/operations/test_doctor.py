"""The doctor: silent about a database in order, and never about one that is not."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet import doctor
from flowlet.doctor import CHILDREN, LEASE, PATH, STUCK, UNSERVED, Finding, examine
from flowlet.instances import Status
from flowlet.store import examination
from flowlet.store.examination import Standing
from tests.operations.desk import CLERK, Desk

MINUTE = 60_000_000


async def populate(desk: Desk) -> None:
    """Make an instance in every status, a parent with children, and one with a long history of every kind of line."""
    for status in Status:
        await desk.at(status)
    _, (child, _) = await desk.family("Orders", "Orders")
    await desk.operations.cancel(child, username=CLERK)
    long = await desk.start(way="review")
    await desk.drive(long)
    await desk.operations.answer(long, "rejected", username=CLERK)
    await desk.operations.move(long, "charge", username=CLERK)
    await desk.operations.move(long, "check", username=CLERK, force=True, reason="once more")
    await desk.operations.pause(long, username=CLERK)
    await desk.operations.resume(long, username=CLERK)


async def examined(desk: Desk) -> list[tuple[int, str]]:
    """Return which instances the doctor finds, and why."""
    return [(finding.instance_id, finding.rule) for finding in await examine(desk.hands.store)]


async def plant(desk: Desk, id: int, **columns: Any) -> None:
    """Write columns of an instance as no operation would."""
    written = ", ".join(f"{name} = :{name}" for name in columns)
    await desk.hands.execute(f"UPDATE workflow SET {written} WHERE id = :id", {"id": id, **columns})


async def test_nothing_is_found_in_a_database_in_order(desk: Desk) -> None:
    await populate(desk)

    assert await examined(desk) == []


async def test_pages_and_reads_of_any_size_find_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await populate(desk)
    stuck = await desk.at(Status.NEW)
    await plant(desk, stuck.id, next_activation=None)
    monkeypatch.setattr(doctor, "PAGE", 2)
    monkeypatch.setattr(examination, "LINES", 1)

    assert await examined(desk) == [(stuck.id, STUCK)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM workflow_action WHERE kind = 'CREATED'", "comes before the one of its creation"),
        ("UPDATE workflow_action SET kind = 'CREATED' WHERE kind = 'TRANSITION'", "creates it a second time"),
        ("UPDATE workflow_action SET from_state = 'sign' WHERE to_state = 'delivered'", "but it was in 'charge' then"),
        (
            "UPDATE workflow_action SET to_state = 'delivered', from_state = 'check' WHERE to_state = 'charge'",
            "goes from 'check' to 'delivered', which is no transition of Orders version 1",
        ),
        ("DELETE FROM workflow_action WHERE to_state = 'delivered'", "its history ends in state 'charge'"),
        ("DELETE FROM workflow_action", "its history does not tell of its creation"),
    ],
)
async def test_a_history_that_is_no_path_of_the_graph_is_found(desk: Desk, change: str, said: str) -> None:
    finished = await desk.at(Status.FINISHED)
    await desk.hands.execute(change)

    (finding,) = await examine(desk.hands.store)

    assert (finding.instance_id, finding.rule) == (finished.id, PATH)
    assert finding.message.startswith("Orders, FINISHED in state 'delivered': ")
    assert said in finding.message


async def test_a_move_that_says_it_was_along_an_edge_is_judged_and_a_forced_one_is_not(desk: Desk) -> None:
    instance = await desk.at(Status.NEW)
    await desk.operations.move(instance.id, "sign", username=CLERK, force=True, reason="it has to be")
    forced = await examined(desk)

    await desk.hands.execute("UPDATE workflow_action SET kind = 'MOVED' WHERE kind = 'FORCED'")

    assert (forced, await examined(desk)) == ([], [(instance.id, PATH)])


async def test_a_history_of_a_version_whose_shape_is_not_stored_is_not_judged_by_another(desk: Desk) -> None:
    await desk.at(Status.FINISHED)
    await desk.hands.execute("UPDATE workflow_definition SET version = 2")

    assert await examined(desk) == []


@pytest.mark.parametrize(
    ("status", "columns", "rule"),
    [
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
        (Status.IN_PROGRESS, {"waits_for_children": 1}, CHILDREN),
    ],
)
async def test_an_instance_that_stands_as_none_may_is_found(
    desk: Desk, status: Status, columns: dict[str, Any], rule: str
) -> None:
    instance = await desk.at(status)
    await plant(desk, instance.id, **columns)

    assert await examined(desk) == [(instance.id, rule)]


async def test_a_child_that_ended_without_its_parents_knowing_is_found_with_the_wake_that_was_lost(desk: Desk) -> None:
    parent, (child,) = await desk.family("Orders")
    await plant(desk, child, status="CANCELLED")

    findings = await examine(desk.hands.store)

    assert [(finding.instance_id, finding.rule) for finding in findings] == [(parent, CHILDREN)]
    assert "it counts 1 open children, but 0 of its children have not ended" in findings[0].message


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("status = 'STOPPED'", "which has stopped. Any running executor frees it: flowlet serve"),
        ("lease_until = lease_until - 91000000", "whose lease ran out 61 s ago"),
        ("status = 'LOST', lease_until = lease_until - 91000000", "whose lease ran out 61 s ago"),
    ],
)
async def test_an_instance_of_an_executor_that_is_gone_is_found(desk: Desk, columns: str, said: str) -> None:
    held = await desk.at(Status.EXECUTING)
    await desk.hands.execute(f"UPDATE executor SET {columns}")

    (finding,) = await examine(desk.hands.store)

    assert (finding.instance_id, finding.rule) == (held.id, LEASE)
    assert said in finding.message


async def test_an_executor_whose_lease_has_only_just_run_out_is_left_to_the_repair(desk: Desk) -> None:
    await desk.at(Status.EXECUTING)
    desk.hands.clock.advance(MINUTE)

    assert await examined(desk) == []


async def test_instances_that_are_due_and_served_by_nobody_are_one_warning_for_their_workflow(desk: Desk) -> None:
    first = await desk.start(group="night")
    await desk.start(group="night")
    await desk.start(group="default", way="charge")
    await desk.hands.execute("UPDATE executor SET lease_until = lease_until + 3600000000")
    desk.hands.clock.advance(MINUTE)
    early = await examined(desk)
    desk.hands.clock.advance(1)

    findings = await examine(desk.hands.store)

    assert early == []
    assert findings == [
        Finding(
            first,
            UNSERVED,
            f"2 of 'Orders' in the executor group 'night' are due for more than 60 s, and no live executor of this "
            f"group knows this workflow; {first} is the first. Start one: flowlet serve.",
        )
    ]


async def test_an_executor_that_drains_serves_nothing_new(desk: Desk) -> None:
    id = await desk.start(group="default")
    await desk.hands.store.executors.drain("executor-a")
    desk.hands.clock.advance(MINUTE + 1)

    assert await examined(desk) == [(id, UNSERVED)]


async def test_an_instance_that_moves_between_the_looks_is_looked_at_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await desk.at(Status.WAITING)
    looks: list[int] = []

    async def moving(connections: Any, ids: list[int]) -> dict[int, Standing]:
        looks.append(len(ids))
        if len(looks) == 1:
            await desk.operations.move(instance.id, "charge", username=CLERK)
        return await examination.standings(connections, ids)

    monkeypatch.setattr(doctor, "standings", moving)

    assert await examined(desk) == []
    assert looks == [1, 1]


async def test_a_shape_that_is_stored_while_the_doctor_looks_raises_no_alarm(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.at(Status.FINISHED)
    moved = await desk.at(Status.NEW)
    await desk.operations.move(moved.id, "sign", username=CLERK, force=True, reason="the next release allows it")
    await desk.hands.execute("UPDATE workflow_action SET kind = 'MOVED' WHERE kind = 'FORCED'")
    pages: list[int] = []

    async def reshaping(connections: Any, id: int, *, limit: int) -> list[Standing]:
        pages.append(id)
        if len(pages) == 2:
            sql = "UPDATE workflow_definition SET definition = REPLACE(definition, :old, :new)"
            await desk.hands.execute(sql, {"old": '"target":"review"', "new": '"target":"sign"'})
        return await examination.standings_after(connections, id, limit=1)

    monkeypatch.setattr(doctor, "standings_after", reshaping)

    assert await examined(desk) == []


async def test_the_doctor_changes_nothing(desk: Desk) -> None:
    await populate(desk)
    before = await desk.hands.contents()

    await examine(desk.hands.store)

    assert await desk.hands.contents() == before
