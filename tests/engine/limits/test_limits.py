"""Limits: never more at once than the number says, whoever runs them, whatever ends their leases."""

from __future__ import annotations

from types import ModuleType

import pytest
from pydantic import BaseModel

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.limits import Limit
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.limits.limited_modules import Door, build_charges
from tests.engine.limits.limits_harness import LimitedExecutor, LimitsHarness, open_limits

CRASH_LIMIT = 5


class OptionalCharge(BaseModel):
    customer: str | None = None


async def test_never_more_run_at_once_than_the_limit_says_over_all_executors(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        for _ in range(3):
            await seen.add_executor(build_charges(door, limit=Limit(4)))
        await seen.store.connections.write(lambda session: session.execute("DELETE FROM flowlet_gate"))
        await seen.create(["anna"] * 20)

        assert await seen.executors[0].claim() == 0  # it stores the limit again
        assert await seen.claim_all() == 4
        await door.wait_until_inside(4)
        use = await seen.read_limit()
        assert (use.record.capacity, use.running, use.waiting) == (4, 4, 16)
        assert await seen.claim_all() == 0

        door.open()
        await seen.settle()
        assert (door.most, len(door.visits)) == (4, 20)
        await seen.check_all_ended()


async def test_a_limit_by_a_variable_holds_for_each_value_and_no_value_waits_for_another_one(
    database_url: str,
) -> None:
    door = Door(is_open=False)
    odd = "Zoë / 'Inc.' " + "x" * 300
    async with open_limits(database_url) as seen:
        await seen.add_executor(build_charges(door, limit=Limit(2, by="customer")), slots=4)
        await seen.add_executor(build_charges(door, limit=Limit(2, by="customer")), slots=4)
        await seen.create([*["anna"] * 12, "bob", odd, "", odd, odd])
        await seen.claim_all()
        await door.wait_until_inside(6)

        assert sorted(door.inside) == sorted(["anna"] * 2 + ["bob", "", odd, odd])

        door.open()
        await seen.settle()
        assert len(door.visits) == 17
        await seen.check_all_ended()


async def test_instances_without_the_variable_count_together(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_optional_charges(door))
        await one.operations.create("Charges", vars={})
        null = await one.operations.create("Charges", vars={"customer": None})
        for name in ("anna", "(none)", ""):
            await one.operations.create("Charges", vars={"customer": name})
        await seen.claim_all()
        await door.wait_until_inside(4)

        assert sorted(door.inside) == ["", "(none)", "None", "anna"]
        assert await one.operations.limits.explain_wait(await seen.get(null.id)) == (
            "It waits for a slot of the limit of Charges in state 'charge' (1 of 1 in use without customer)."
        )

        door.open()
        await seen.settle()
        assert sorted(door.visits) == ["", "(none)", "None", "None", "anna"]
        await seen.check_all_ended()


async def test_a_slot_is_free_while_a_retry_waits_and_the_retry_waits_for_a_slot_again(database_url: str) -> None:
    door = Door()
    door.faults = 1
    async with open_limits(database_url) as seen:
        await seen.add_executor(build_charges(door, limit=Limit(1)))
        created = await seen.create(["first", "second", "third"])
        await seen.settle()
        # Any of them may have run first: all three are due at the same time.
        waiting, *others = sorted([await seen.get(id) for id in created], key=lambda one: -one.attempt)
        assert (waiting.status, waiting.attempt) == (Status.IN_PROGRESS, 1)
        assert str(waiting.gate).startswith("limit:")
        assert [one.status for one in others] == [Status.FINISHED, Status.FINISHED]

        door_closed = Door(is_open=False)
        await seen.add_executor(build_charges(door_closed, limit=Limit(1)))
        await seen.create(["fourth"], priority=5)
        assert await seen.executors[1].claim() == 1
        seen.clock.advance(10_000_000)
        assert await seen.claim_all() == 0

        door_closed.open()
        await seen.settle()
        await seen.check_all_ended()
        assert (await seen.get(waiting.id)).attempt == 0


async def test_whatever_ends_a_lease_frees_its_slot(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        lost = await seen.add_executor(build_charges(door, limit=Limit(1)))
        cancelled, killed, paused, last = await seen.create(["cancelled", "killed", "paused", "last"])

        assert await lost.claim() == 1
        await lost.operations.cancel(cancelled, username="ada")
        assert await lost.claim() == 1
        await repair_leases(seen, lost.id)
        assert (await seen.get(killed)).status is Status.IN_PROGRESS
        await lost.operations.pause(killed, username="ada")

        other = await seen.add_executor(build_charges(door, limit=Limit(1)))
        assert await other.claim() == 1
        await other.operations.pause(paused, username="ada")
        await other.operations.resume(paused, username="ada")
        await other.operations.pause(paused, username="ada")
        door.open()
        await other.worker.wait_until_idle()
        assert (await seen.get(paused)).status in (Status.PAUSED, Status.FINISHED)
        await run_alone(other)
        assert (await seen.get(last)).status is Status.FINISHED

        for id in (killed, paused):
            if (await seen.get(id)).status is Status.PAUSED:
                await other.operations.resume(id, username="ada")
        await run_alone(other)
        assert [(await seen.get(id)).status for id in (killed, paused)] == [Status.FINISHED, Status.FINISHED]
        kinds = [line.kind for line in await seen.store.queries.read_history(killed)]
        assert kinds.count(ActionKind.REPAIRED) == 1


async def test_a_capacity_below_what_runs_admits_nothing_until_enough_have_ended(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        old = await seen.add_executor(build_charges(door, limit=Limit(4)))
        await seen.create(["anna"] * 10)
        assert await old.claim() == 4

        new = await seen.add_executor(build_charges(door, limit=Limit(2), version=2))
        assert await seen.claim_all() == 0
        use = await seen.read_limit()
        assert (use.record.capacity, use.record.version, use.running) == (2, 2, 4)

        door.open()
        await seen.wait_until_idle()
        door_closed = Door(is_open=False)
        late = await seen.add_executor(build_charges(door_closed, limit=Limit(9)))
        assert await late.claim() == 2  # an older version takes the newer one's number
        assert await new.claim() == 0

        door_closed.open()
        await seen.settle()
        await seen.check_all_ended()


async def test_after_a_rollback_the_older_version_s_number_holds_until_the_newer_one_is_back(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        new = await seen.add_executor(build_charges(door, limit=Limit(1), version=2))
        old = await seen.add_executor(build_charges(door, limit=Limit(3)))
        await seen.create(["anna"] * 9)
        assert await old.claim() == 1
        assert await old.claim() == 0

        await seen.store.executors.deregister(new.id, now=seen.clock.now())
        assert await old.claim() == 2
        use = await seen.read_limit()
        assert (use.record.capacity, use.record.version, use.running) == (3, 1, 3)

        # The newer one had stored its number before the older one wrote its own, and registers afterwards.
        back = await seen.add_executor(build_charges(door, limit=Limit(1), version=2))
        sql = "UPDATE flowlet_gate SET capacity = 3, definition_version = 1"
        await seen.store.connections.write(lambda session: session.execute(sql))
        assert await back.claim() == 0
        assert ((await seen.read_limit()).record.capacity, await old.claim()) == (1, 0)

        door.open()
        await seen.settle()
        await seen.check_all_ended()


@pytest.mark.parametrize("version", [2, 1])
async def test_what_waits_behind_a_limit_goes_on_where_another_version_has_none(
    database_url: str, version: int
) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        limited = await seen.add_executor(build_charges(door, limit=Limit(1), version=2))
        await seen.create(["anna"] * 5)
        assert await limited.claim() == 1
        free = await seen.add_executor(build_charges(door, version=version + (version == 2)))
        count = await free.claim()
        if version == 1:  # it knows nothing of the limit: as long as the newer version lives, that one admits
            assert count == 0
            door.open()
            await limited.worker.wait_until_idle()
            await seen.store.executors.deregister(limited.id, now=seen.clock.now())
            while await free.claim():
                await free.worker.wait_until_idle()
        else:
            assert count == 4
            door.open()
            await seen.settle()
        await seen.check_all_ended()


async def test_an_instance_that_comes_past_the_gate_waits_for_a_slot_too(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(door, limit=Limit(1), is_start=False))
        first, moved, edited = await seen.create(["first", "moved", "edited"], when="1 hour")
        for id in (first, moved, edited):
            await one.operations.move(id, "charge", username="ada")
        await one.operations.edit_variables(edited, {"customer": "bea"}, username="ada")

        assert await one.claim() == 3
        await one.worker.wait_until_idle()  # each goes back behind the gate
        assert await seen.claim_all() == 1
        waiting = [await seen.get(id) for id in (first, moved, edited)]
        assert sorted(each.status for each in waiting) == [
            Status.EXECUTING,
            Status.IN_PROGRESS,
            Status.IN_PROGRESS,
        ]
        assert {each.attempt for each in waiting} == {0}

        door.open()
        await seen.settle()
        assert (door.most, sorted(door.visits)) == (1, ["bea", "first", "moved"])
        await seen.check_all_ended()


async def test_a_limit_of_a_whole_workflow_counts_the_attempts_of_all_its_states(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        for _ in range(2):
            await seen.add_executor(build_charges(door, whole=Limit(2)))
        await seen.create(["anna"] * 9)

        most = 0
        while await seen.claim_all():
            most = max(most, (await seen.read_limit()).running)
            await seen.wait_until_idle()

        assert most <= 2
        assert door.most <= 2
        assert len(door.visits) == 9
        await seen.check_all_ended()


def build_optional_charges(door: Door) -> ModuleType:
    """Return a module with a limit of one for each customer, which an instance may lack."""

    async def charge(order: OptionalCharge) -> None:
        await door.enter(str(order.customer))

    return build_workflow_module(
        workflow=Workflow("Charges", vars=OptionalCharge),
        charge=state(start=True, next=["done"], limit=Limit(1, by="customer"))(charge),
        done=end(),
    )


async def run_alone(executor: LimitedExecutor) -> None:
    """Let one executor run whatever it finds."""
    while await executor.claim():
        await executor.worker.wait_until_idle()


async def repair_leases(harness: LimitsHarness, executor_id: str) -> None:
    """Mark an executor as lost, and free what it held."""
    sql = "UPDATE flowlet_executor SET lease_until = 0 WHERE id = :id"
    await harness.store.connections.write(lambda session: session.execute(sql, {"id": executor_id}))
    await harness.store.executors.repair_leases(
        now=harness.clock.now(), expired_before=harness.clock.now(), crash_limit=CRASH_LIMIT
    )
