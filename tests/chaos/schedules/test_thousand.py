"""The proof with a thousand schedules, in small: three executors, of which one after another is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.schedules.thousand import ThousandPlan, run_thousand

pytestmark = pytest.mark.timeout(120)

SMALL = ThousandPlan(schedule_count=40, every=2, rounds=2, kill_seconds=1.5)


async def test_each_time_has_one_instance_although_executors_are_killed(postgres_url: str, tmp_path: Path) -> None:
    result = await run_thousand(postgres_url, tmp_path, SMALL)

    assert not result.faults
    assert len(result.lateness) >= SMALL.schedule_count * SMALL.rounds
    assert result.kill_count
