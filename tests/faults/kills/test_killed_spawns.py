"""Executors are killed before and after the statements that make the children of a spawn: each child exists once.

FLOWLET_TEST_SPAWN_CHILDREN makes the spawn as large as one likes.
"""

from __future__ import annotations

import os

import pytest

from flowlet.operations.doctor import examine_store
from tests.faults.fault_harness import FaultHarness, open_fault_harness
from tests.faults.kills.kill_points import KINDS_BY_ROLE
from tests.faults.processes import StartProcess

SIZE = int(os.environ.get("FLOWLET_TEST_SPAWN_CHILDREN", "2500"))
"""More children than the parts that all killed executors make."""
TIMEOUT_SECONDS = 60 + SIZE / 80
KILLS = [(kind, when) for kind in KINDS_BY_ROLE["spawn"] for when in ("before", "after")]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240 + SIZE / 20)]


async def test_each_child_exists_once_whatever_is_killed(database_url: str, start_process: StartProcess) -> None:
    async with open_fault_harness(database_url, "fan", "leaf") as seen:
        now = seen.store.clock.now()
        fan = seen.registry.get_definition("Fan").build_instance({"size": SIZE}, now=now)
        await seen.store.instances.create([fan], now=now)

        killed = []
        for kind, when in KILLS:
            process = await start_process(
                *("kills/killed_process.py", "run", str(kind), when),
                database_url=database_url,
                lease="1s",
                crash_limit="1000",
                log_level="ERROR",
            )
            await process.wait_for_exit(timeout_seconds=TIMEOUT_SECONDS)
            killed += process.find_lines("killed ")
        unmade = await seen.fetch_rows("SELECT COUNT(*) FROM flowlet_spawn")
        await start_process("kills/killed_process.py", "run", "-1", "after", database_url=database_url, lease="1s")
        await seen.wait_until_all_end(timeout_seconds=TIMEOUT_SECONDS)

        assert len(killed) == len(KILLS)
        assert unmade[0][0] > 0
        await check_children(seen)


async def check_children(seen: FaultHarness) -> None:
    """Check that each child exists once and has ended, as its parent has, and that nothing is left to be made."""
    numbers = [row["number"] for row in await seen.read_variables("Leaf")]
    assert sorted(numbers) == list(range(SIZE))
    sql = "SELECT workflow_type, status, children, open_children, COUNT(*) FROM flowlet_workflow GROUP BY 1, 2, 3, 4"
    assert sorted(await seen.fetch_rows(sql)) == [("Fan", "FINISHED", SIZE, 0, 1), ("Leaf", "FINISHED", 0, 0, SIZE)]
    assert await seen.fetch_rows("SELECT workflow_id FROM flowlet_spawn") == []
    assert await examine_store(seen.store) == []
