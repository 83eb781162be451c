"""An executor that stops while another transaction has locked its row, or SQLite's file: it does not wait for that."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from flowlet.engine import registration
from flowlet.instance.instance import Status
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.engine.executor_harness import GatedHandler, run_executor, wait_for

LOCK_EXECUTORS = "UPDATE flowlet_executor SET name = name"


@pytest.mark.parametrize("stop_count", [1, 2])
async def test_an_executor_stops_although_it_cannot_leave_the_list(
    database_url: str, monkeypatch: pytest.MonkeyPatch, stop_count: int
) -> None:
    monkeypatch.setattr(registration, "DEREGISTER_SECONDS", 0.2)
    gate = GatedHandler()
    async with (
        run_executor(database_url, gate.build_module(), grace=timedelta(seconds=0.2)) as run,
        open_store(database_url, schema=find_schema(database_url)) as other,
    ):
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())
        async with other.connections.transaction() as session:
            await session.execute(LOCK_EXECUTORS)
            for _ in range(stop_count):
                run.executor.stop()
            async with asyncio.timeout(5):
                await asyncio.wait([run.task])

        assert gate.was_cancelled.is_set()
        assert (await run.get_instance(id)).status is Status.EXECUTING
        assert [one.is_live for one in await run.read_executors()] == [True]
