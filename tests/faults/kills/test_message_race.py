"""Sends race with entering, and both are killed before and after their statements: each message is read once.

FLOWLET_TEST_RACE_SENDS and FLOWLET_TEST_RACE_KILLS make it as long as one likes. The kills of senders, and as many of
executors, go through the kinds of statements.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from flowlet.operations.doctor import examine_store
from tests.faults.fault_harness import FaultHarness, open_fault_harness
from tests.faults.kills.kill_points import KINDS_BY_ROLE
from tests.faults.processes import ManagedProcess, StartProcess

SENDS = int(os.environ.get("FLOWLET_TEST_RACE_SENDS", "24"))
KILLS = int(os.environ.get("FLOWLET_TEST_RACE_KILLS", "1"))
INSTANCES = max(4, SENDS // 100)
PARTS = 2
TIMEOUT_SECONDS = 60 + SENDS / 20 + 3 * KILLS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2 * TIMEOUT_SECONDS)]


class Race:
    """The processes of a race, each started again when it has killed itself."""

    def __init__(self, start_process: StartProcess, url: str, folder: Path) -> None:
        self._start_process = start_process
        self._url = url
        self._folder = folder
        self._kill_counts = {"send": 0, "run": 0}
        self._executors: dict[int, ManagedProcess] = {}
        self._is_over = False
        self.killed: list[str] = []

    def stop_executors(self) -> None:
        """Kill the executors, which are not started again."""
        self._is_over = True
        for process in self._executors.values():
            process.send_signal(signal.SIGKILL)

    async def run(self, role: str, part: int) -> None:
        """Run a process until it has come to its end, or all has been sent for an executor."""
        arguments = [str(each) for each in (part, PARTS, SENDS, INSTANCES, self._folder / f"progress-{part}")]
        while True:
            process = await self._start_process(
                "kills/killed_process.py",
                *(role, *(arguments if role == "send" else ()), *self._draw_kill_point(role)),
                database_url=self._url,
                lease="1s",
                crash_limit="1000",
                log_level="ERROR",
            )
            if role == "run":
                self._executors[part] = process
            await process.wait_for_exit(timeout_seconds=TIMEOUT_SECONDS)
            self.killed += process.find_lines("killed ")
            if self._is_over or process.find_lines("the end"):
                return
            assert process.find_lines("killed "), process.read_last_lines()

    def _draw_kill_point(self, role: str) -> tuple[str, str]:
        kinds, number = KINDS_BY_ROLE[role], self._kill_counts[role]
        if number >= KILLS:
            return "-1", "after"
        self._kill_counts[role] += 1
        return str(kinds[number // 2 % len(kinds)]), ("before", "after")[number % 2]


async def test_each_message_is_read_once_whatever_is_killed(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, "collection") as seen:
        targets = [len(range(number, SENDS, INSTANCES)) for number in range(INSTANCES)]
        definition, now = seen.registry.get_definition("Collection"), seen.store.clock.now()
        news = [
            definition.build_instance({"target": target}, now=now, external_id=f"account-{number}")
            for number, target in enumerate(targets)
        ]
        await seen.store.instances.create(news, now=now)
        race = Race(start_process, database_url, tmp_path)

        executors = [asyncio.create_task(race.run("run", part)) for part in range(PARTS)]
        await asyncio.gather(*(race.run("send", part) for part in range(PARTS)))
        await seen.wait_until_all_end(timeout_seconds=TIMEOUT_SECONDS)
        race.stop_executors()
        await asyncio.gather(*executors)

        await check_messages(seen)
        print("\n".join(sorted(race.killed)))  # noqa: T201


async def check_messages(seen: FaultHarness) -> None:
    """Check that each instance has read each of its messages once, by one transition, and that its counter is 0."""
    rows = await seen.fetch_rows("SELECT id, external_id, status, unread FROM flowlet_workflow ORDER BY id")
    assert [(status, unread) for _, _, status, unread in rows] == [("FINISHED", 0)] * INSTANCES
    for id, external_id, _, _ in rows:
        number = int(external_id.removeprefix("account-"))
        keys = (await seen.store.queries.get(id)).vars["keys"]
        assert sorted(keys) == sorted(f"payment-{n}" for n in range(number, SENDS, INSTANCES))
    ((sent, consumed),) = await seen.fetch_rows("SELECT COUNT(*), COUNT(consumed) FROM flowlet_message")
    assert (sent, consumed) == (SENDS, SENDS)
    where = "kind = 'TRANSITION' AND text = 'message ''payment'''"
    ((read,),) = await seen.fetch_rows(f"SELECT COUNT(*) FROM flowlet_action WHERE {where}")
    assert read == SENDS
    assert await examine_store(seen.store) == []
