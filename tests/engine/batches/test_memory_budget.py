"""The limit of memory: what runs and what has been claimed lately say how many more may begin."""

from __future__ import annotations

import asyncio
import logging

import psutil
import pytest

from flowlet.definition.registry import Registry
from flowlet.engine.batches.memory_budget import (
    BYTES_PER_CHARACTER,
    BYTES_PER_INSTANCE,
    MemoryBudget,
    find_memory_limit,
)
from flowlet.engine.handlers.lease import Lease
from flowlet.instance.instance import Instance, Status
from flowlet.workflow.context import Context
from tests.engine.activation.activation_harness import (
    build_leased_instance,
    build_single_state,
    build_workflow_module,
)
from tests.engine.executor_harness import run_executor, wait_for

MEGABYTE = 1_000_000


def compute_weight(characters: int) -> int:
    """Return how many bytes an instance takes, about, whose variables have so many characters."""
    return BYTES_PER_INSTANCE + BYTES_PER_CHARACTER * characters


def build_sized_instance(characters: int) -> Instance:
    """Return an instance whose variables have so many characters."""
    definition = Registry().add(build_workflow_module(**build_single_state(lambda: "done")))
    return build_leased_instance(definition, vars_json="x" * characters)


def test_half_of_what_there_is_is_the_limit() -> None:
    assert find_memory_limit() <= psutil.virtual_memory().total
    assert MemoryBudget().limit_slots(10**9) == MemoryBudget(find_memory_limit() // 2).limit_slots(10**9) > 0


def test_without_a_limit_every_free_slot_may_be_taken() -> None:
    budget = MemoryBudget(0)
    budget.add(Lease(1, 1, 0), build_sized_instance(10 * MEGABYTE))

    assert [budget.limit_slots(free) for free in (512, 0, -1)] == [512, 0, -1]


def test_of_what_is_unknown_some_may_begin_and_more_when_it_is_known_to_be_small() -> None:
    budget = MemoryBudget(40 * MEGABYTE)
    assert budget.limit_slots(512) == 16

    for number in range(1_000):
        lease = Lease(number, 1, 0)
        budget.add(lease, build_sized_instance(10))
        budget.remove(lease)

    assert budget.limit_slots(512) == 512


def test_what_runs_leaves_room_for_others_of_its_size_and_one_always_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    large = build_sized_instance(2 * MEGABYTE)
    budget = MemoryBudget(3 * compute_weight(2 * MEGABYTE))
    leases = [Lease(number, 1, 0) for number in range(3)]
    room = []
    with caplog.at_level(logging.WARNING, "flowlet"):
        for lease in leases:
            budget.add(lease, large)
            room.append(budget.limit_slots(512))
        budget.change(leases[0], build_sized_instance(9 * MEGABYTE))
        room.append(budget.limit_slots(512))
        for lease in leases:
            budget.remove(lease)
        room.append(budget.limit_slots(512))

    assert room == [2, 1, 0, 0, 3]
    assert [record.message[:47] for record in caplog.records] == ["the 3 running instances take about 96 MB: other"]


def test_an_instance_that_is_larger_than_the_limit_runs_alone() -> None:
    budget, lease = MemoryBudget(16 * MEGABYTE), Lease(1, 1, 0)
    budget.add(lease, build_sized_instance(50 * MEGABYTE))
    assert budget.limit_slots(512) == 0
    budget.remove(lease)

    assert budget.limit_slots(512) == 1


async def test_no_more_run_than_fit_and_all_end(database_url: str) -> None:
    running = peak = ended = 0
    are_three, have_ended = asyncio.Event(), asyncio.Event()

    async def check(ctx: Context) -> str:
        nonlocal running, peak, ended
        running += 1
        peak = max(peak, running)
        if running == 3:
            are_three.set()
        if ctx.vars["waits"]:
            await are_three.wait()
        running, ended = running - 1, ended + 1
        if ended in (1, 9):
            have_ended.set()
        return "done"

    large = {"text": "x" * 100_000, "waits": True}
    memory = 3 * compute_weight(100_100)
    module = build_workflow_module(**build_single_state(check))
    async with run_executor(database_url, module, slots=64, memory=memory) as run:
        ids = [await run.create_and_wake(vars={**large, "waits": False})]
        await wait_for(have_ended.wait())
        have_ended.clear()
        ids += [await run.create_instance(vars=large) for _ in range(8)]
        run.executor.wake()
        await wait_for(have_ended.wait())
        await run.stop_executor()

        assert {(await run.get_instance(id)).status for id in ids} == {Status.FINISHED}
    assert peak == 3
