"""An executor that is killed between a migration of variables and its commit: the migration runs again, once."""

from __future__ import annotations

import pytest

from flowlet.instance.action import ActionKind
from flowlet.instance.json_text import parse_json
from tests.faults.fault_harness import FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

INSTANCE_COUNT = 3


async def test_migrations_whose_executor_is_killed_run_again_from_the_stored_variables(
    database_url: str, start_process: StartProcess
) -> None:
    async with open_fault_harness(database_url, "ledger_first") as seen:
        await seen.create_instances("Ledger", [{"count": number} for number in range(INSTANCE_COUNT)])
        first = await start_executor(start_process, "ledger_third", database_url)
        await first.wait_for_lines("ran book, and hangs", times=INSTANCE_COUNT)

        await first.kill()
        left = await seen.fetch_rows("SELECT vars, vars_version FROM flowlet_workflow ORDER BY id")
        second = await start_executor(start_process, "ledger_third", database_url)
        await seen.wait_until_all_end(timeout_seconds=60)

        assert left == [(f'{{"count":{number}}}', 0) for number in range(INSTANCE_COUNT)]
        for id, number in enumerate(range(INSTANCE_COUNT), start=1):
            instance = await seen.store.queries.get(id)
            stored = {"totals": {"all": number + 1}, "steps": ["1 to 2", "2 to 3"], "note": "2 steps"}
            assert (parse_json(instance.vars_json), instance.vars_version) == (stored, 3)
            history = await seen.store.queries.read_history(id)
            assert await seen.store.history.variables_at(id, history[-1].id) == stored
            assert not [line for line in history if line.kind in (ActionKind.ERROR, ActionKind.GATED)]
        for step in ("ran 1 to 2", "ran 2 to 3"):
            # An executor may also try migrations at its start, on a sample, without storing anything.
            assert min(len(run.find_lines(step)) for run in (first, second)) >= INSTANCE_COUNT


async def test_an_instance_that_kills_its_executor_stays_with_the_version_that_knows_it(
    database_url: str, start_process: StartProcess
) -> None:
    async with open_fault_harness(database_url, "ledger_third") as seen:
        await seen.create_instances("Ledger", [{"totals": {"all": 0}, "steps": []}])
        old = await start_executor(start_process, "ledger_first", database_url)
        await seen.wait_until(
            lambda: has_count(seen, "gate IS NOT NULL AND status = 'IN_PROGRESS'"),
            timeout_seconds=30,
            description="the old version leaves it",
        )
        first = await start_executor(start_process, "ledger_third", database_url)
        await first.wait_for_lines("ran book, and hangs")

        await first.kill()
        await seen.wait_until(
            lambda: has_count(seen, "crashes = 1 AND gate IS NOT NULL AND status = 'IN_PROGRESS'"),
            timeout_seconds=30,
            description="the old version repairs its lease",
        )
        await start_executor(start_process, "ledger_third", database_url)
        await seen.wait_until_all_end(timeout_seconds=60)

        kinds = [line.kind for line in await seen.store.queries.read_history(1)]
        assert kinds.count(ActionKind.GATED) == 1
        assert kinds.count(ActionKind.REPAIRED) == 1
        assert old.is_alive


async def has_count(seen: FaultHarness, where: str) -> bool:
    return await seen.count_instances(where) == 1


async def start_executor(start_process: StartProcess, module: str, url: str) -> ManagedProcess:
    """Start an executor with a lease as short as can be, and wait until it runs."""
    return await start_process("run_executor.py", module, database_url=url, lease="1s", log_level="WARNING")
