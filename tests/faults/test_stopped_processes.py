"""An executor that stands still past its lease writes nothing under it, and goes on under a fresh id."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.checking import Bench, bench
from tests.faults.processes import Process, Start

pytestmark = pytest.mark.faults

VIGILS = 20


async def test_an_executor_that_stood_still_past_its_lease_writes_nothing_under_it(
    database_url: str, run: Start, tmp_path: Path
) -> None:
    async with bench(database_url, "vigil") as seen:
        dawn = tmp_path / "dawn"
        await seen.create("Vigil", [{"until": str(dawn)}] * VIGILS)
        first = await serve(run, database_url)
        await first.says(" watch ", times=VIGILS)
        ((first_id,),) = await seen.rows("SELECT id FROM executor")

        first.send(signal.SIGSTOP)
        second = await serve(run, database_url)
        await second.says(" watch ", times=VIGILS)
        dawn.touch()
        first.send(signal.SIGCONT)
        await first.says("given up as lost")
        await seen.all_end(within=20)

        assert await lines_by(seen, first_id) == {"REPAIRED": VIGILS}
        assert len(set(second.having(" rise "))) == VIGILS
        assert not first.having(" rise ")
        await seen.check()
        await goes_on_under_a_fresh_id(seen, first, second, dawn)


async def serve(run: Start, url: str) -> Process:
    executor = await run("serving.py", "vigil", database_url=url, lease="1s")
    await executor.says(" runs Vigil")
    return executor


async def lines_by(seen: Bench, executor_id: str) -> dict[str, int]:
    """Return how many lines of history of each kind name an executor."""
    sql = "SELECT kind, COUNT(*) FROM workflow_action WHERE executor_id = :executor_id GROUP BY kind"
    rows: list[tuple[str, int]] = await seen.rows(sql, executor_id=executor_id)
    return dict(rows)


async def goes_on_under_a_fresh_id(seen: Bench, first: Process, second: Process, dawn: Path) -> None:
    """Check that the first executor, alone again, runs what comes, and not under its old id."""
    await first.says(" runs Vigil", times=2)
    second.send(signal.SIGTERM)
    assert await second.ended() == 0

    await seen.create("Vigil", [{"until": str(dawn)}] * 5)

    await first.says(" rise ", times=5)
    await seen.all_end(within=20)
    live = await seen.rows("SELECT id FROM executor WHERE status = 'RUNNING'")
    assert len(live) == 1
    assert await lines_by(seen, live[0][0]) == {"TRANSITION": 10}
