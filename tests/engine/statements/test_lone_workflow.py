"""A lone workflow takes few statements on an idle executor: each list is exact, and fails when one is added.

A create by the executor's own process leases what it creates: no claim has to find it. Each of the three transitions is
a commit of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from flowlet import Workflow, end, state
from flowlet.assembly import open_engine, run_executor
from flowlet.definition.registry import Registry
from flowlet.instance.instance import ENDED_STATUSES
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.commits import Commit
from flowlet.store.dialects.mysql import signals as mysql_signals
from tests.engine.executor_harness import NEVER, wait_for
from tests.engine.statements.statement_log import StatementLog, log_statements

WORKFLOWS, MAX_ROUNDS = 2, 10
"""How many workflows are counted together, and how often: the executor's start and its maintenance come into some."""

_PARTS = ["INSERT action", "INSERT counter"]
_MARIADB_CREATE = ["BEGIN", "SELECT workflow", "SELECT lane_pause", "INSERT workflow", "SELECT workflow"]
KINDS = {
    "sqlite": [
        *("BEGIN", "INSERT workflow", *_PARTS, "COMMIT"),
        *(["BEGIN", "UPDATE workflow", *_PARTS, "COMMIT"] * 3),
    ],
    "postgresql": [
        " + ".join(["INSERT workflow", *_PARTS, "NOTIFY"]),
        *([" + ".join(["UPDATE workflow", *_PARTS, "NOTIFY"])] * 3),
    ],
    "mariadb": [
        *(*_MARIADB_CREATE, "SELECT external_id", *_PARTS, "COMMIT"),
        *(["BEGIN", "UPDATE workflow", *_PARTS, "COMMIT"] * 3),
    ],
}
ROUND_TRIPS = {"sqlite": 4, "postgresql": 4, "mariadb": 10}
"""A transaction is one on SQLite and PostgreSQL. On MariaDB its statements are sent together, and then its COMMIT."""

workflow = Workflow("Errand")


@state(start=True, next=["charge"])
async def check() -> None: ...


@state(next=["ship"])
async def charge() -> None: ...


@state(next=["done"])
async def ship() -> None: ...


done = end()


@pytest.mark.parametrize("database", KINDS)
async def test_a_lone_workflow_takes_these_statements_and_no_others(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue({"postgresql": "postgres_url"}.get(database, f"{database}_url"))
    monkeypatch.setattr(mysql_signals, "UNSETTLED_SECONDS", 0.0)
    log = log_statements(monkeypatch)
    registry = Registry()
    registry.add(sys.modules[__name__])
    settings = ExecutorSettings(poll_interval=NEVER, lease=timedelta(hours=1))
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(url, registry, settings))
        assert engine.executor is not None
        ended = asyncio.Queue[int]()
        engine.store.commit_signal.subscribe(lambda commit: put_ended(commit, ended))
        await stack.enter_async_context(run_executor(engine.executor))
        for _ in range(MAX_ROUNDS):
            await run_workflows(engine.operations, ended, log)
            counts = (len(log.kinds), log.round_trips)
            if counts == (len(KINDS[database]) * WORKFLOWS, ROUND_TRIPS[database] * WORKFLOWS):
                break  # no maintenance, and no poll that was on its way when the log was cleared, is among them
        kinds, round_trips = Counter(log.kinds), log.round_trips

    assert kinds == Counter(KINDS[database] * WORKFLOWS)
    assert round_trips == ROUND_TRIPS[database] * WORKFLOWS


def put_ended(commit: Commit, ended: asyncio.Queue[int]) -> None:
    for one in commit.instances or ():
        if one.status in ENDED_STATUSES:
            ended.put_nowait(one.id)


async def run_workflows(operations: Operations, ended: asyncio.Queue[int], log: StatementLog) -> None:
    """Run workflows to their ends, one after the other, and log what that takes."""
    log.clear()
    for _ in range(WORKFLOWS):
        created = await operations.create("Errand")
        assert await wait_for(ended.get()) == created.id
