"""Paused lanes: whole workflows and whole groups from which nothing is claimed, while all others run as before."""

from __future__ import annotations

import asyncio
from types import ModuleType

import pytest

from flowlet.errors import RefusedError, UnknownWorkflowError
from flowlet.instance.instance import Status
from flowlet.operations.doctor import LANE, examine_store
from flowlet.store.limits.table import LaneKind
from flowlet.testing import Harness
from flowlet.workflow.limits import Limit
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.limits.limited_modules import Door, build_charges
from tests.engine.limits.limits_harness import open_limits

WORKFLOW, GROUP = LaneKind


def build_walk(name: str, door: Door | None = None) -> ModuleType:
    """Return the module of a workflow of two states; a door is entered in the first."""

    async def first() -> None:
        if door:
            await door.enter(name)

    async def second() -> None:
        if door:
            door.visits.append(f"{name} second")

    return build_workflow_module(
        workflow=Workflow(name),
        first=state(start=True, next=["second"])(first),
        second=state(next=["done"])(second),
        done=end(),
    )


async def test_a_paused_workflow_waits_untouched_while_others_run(database_url: str) -> None:
    modules = [build_walk("Orders"), build_walk("Invoices")]
    async with Harness(modules, database_url=database_url) as flow:
        lanes = flow.operations.lanes
        await lanes.pause(WORKFLOW, "Orders", username="ada", reason="the bank moves")
        order, invoice = await flow.start("Orders"), await flow.start("Invoices")

        await flow.settle()
        paused = await flow.get(order)
        assert (paused.status, paused.version, paused.token) == (Status.NEW, 0, 0)
        assert (await flow.get(invoice)).succeeded
        assert await lanes.explain_wait(paused) == (
            "It waits because the workflow 'Orders' is paused by ada since 2030-01-01 00:00:00 UTC: the bank moves."
        )

        await lanes.resume(WORKFLOW, "Orders", username="bob")
        assert (await flow.run_to_end(order)).succeeded
        assert not await lanes.list_paused()


async def test_a_paused_group_waits_while_the_same_workflow_runs_in_another(database_url: str) -> None:
    async with Harness(build_walk("Orders"), database_url=database_url, groups=["day", "night"]) as flow:
        await flow.operations.lanes.pause(GROUP, "night", username="ada", reason="maintenance")
        held = await flow.start("Orders", group="night")
        free = await flow.start("Orders", group="day")

        await flow.settle()
        assert (await flow.get(held)).status is Status.NEW
        assert (await flow.get(free)).succeeded

        await flow.operations.lanes.resume(GROUP, "night", username="ada")
        assert (await flow.run_to_end(held)).succeeded


async def test_a_pause_holds_what_waits_behind_a_limit_too(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(door, limit=Limit(5)))
        await one.operations.lanes.pause(WORKFLOW, "Charges", username="ada", reason="the bank moves")
        await one.operations.lanes.pause(GROUP, "default", username="ada", reason="the bank moves")
        await seen.create(["anna", "bob"])

        assert await one.claim() == 0
        await one.operations.lanes.resume(WORKFLOW, "Charges", username="ada")
        assert await one.claim() == 0
        await one.operations.lanes.resume(GROUP, "default", username="ada")
        await seen.settle()
        await seen.check_all_ended()


async def test_a_running_attempt_ends_and_its_next_state_waits_for_the_end_of_the_pause(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_walk("Charges", door))
        (id,) = [created.id for created in [await one.operations.create("Charges")]]
        assert await one.claim() == 1
        await door.wait_until_inside(1)
        await one.operations.lanes.pause(WORKFLOW, "Charges", username="ada", reason="why")
        assert await one.claim() == 0

        door.open()
        await seen.settle()
        held = await seen.get(id)
        assert (held.state, held.status, door.visits) == ("second", Status.IN_PROGRESS, ["Charges"])

        await one.operations.lanes.resume(WORKFLOW, "Charges", username="ada")
        await seen.settle()
        await seen.check_all_ended()


async def test_an_executor_of_another_process_goes_on_as_soon_as_a_pause_ends(database_url: str) -> None:
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_walk("Charges"))
        await one.operations.lanes.pause(WORKFLOW, "Charges", username="ada", reason="why")
        await one.operations.create("Charges")
        assert await one.claim() == 0
        woken = asyncio.Event()
        unsubscribe = seen.store.commit_signal.subscribe(lambda commit: woken.set())

        await one.operations.lanes.resume(WORKFLOW, "Charges", username="ada")

        async with asyncio.timeout(5):
            await woken.wait()
        unsubscribe()
        assert await one.claim() == 1


async def test_a_pause_needs_a_reason_a_known_workflow_and_is_not_repeated(database_url: str) -> None:
    async with Harness(build_walk("Orders"), database_url=database_url) as flow:
        lanes = flow.operations.lanes
        with pytest.raises(RefusedError, match="needs a reason"):
            await lanes.pause(WORKFLOW, "Orders", username="ada", reason=" ")
        with pytest.raises(UnknownWorkflowError, match="'Order'"):
            await lanes.pause(WORKFLOW, "Order", username="ada", reason="why")
        with pytest.raises(RefusedError, match="the executor group 'night' is not paused"):
            await lanes.resume(GROUP, "night", username="ada")

        results = await asyncio.gather(
            *(lanes.pause(WORKFLOW, "Orders", username=name, reason="why") for name in ("ada", "bob")),
            return_exceptions=True,
        )

        assert sorted(type(one).__name__ for one in results) == ["LanePause", "RefusedError"]
        (finding,) = [one for one in await examine_store(flow.store) if one.rule == LANE]
        assert "the workflow 'Orders' is paused by " in finding.message
