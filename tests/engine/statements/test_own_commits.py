"""A process hears of its own commits from itself: the look for those of others does not find them again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from flowlet.assembly import lease_directly
from flowlet.operations.service import Operations
from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.dialects.mysql import signals as mysql_signals
from flowlet.store.dialects.mysql.signals import PollPace
from flowlet.store.opening import open_store
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import ExecutorHarness, run_executor, wait_for


async def finish() -> str:
    return "done"


ORDERS = build_workflow_module(**build_single_state(finish))


@dataclass
class SignalHarness:
    """An executor, the operations of its process, and what they and others have committed, as it hears of it."""

    run: ExecutorHarness
    operations: Operations
    commits: list[Commit]
    heard: asyncio.Event

    async def wait_until_idle(self) -> None:
        """Return when the executor waits for work: then it leases what its process creates."""
        while not (self.run.executor.direct_leases.is_open and self.run.store.commit_signal.is_listening):
            await self.run.store.clock.sleep(0.01)

    async def wait_for_end(self, id: int) -> None:
        """Return when an instance has ended and its process has heard of that."""
        while not any(
            one.id == id and one.state == "done" for commit in self.commits for one in commit.instances or ()
        ):
            self.heard.clear()
            await wait_for(self.heard.wait())

    async def wait_for_unknown(self) -> None:
        """Return when a commit was heard of that another process may have made."""
        while UNKNOWN_COMMIT not in self.commits:
            self.heard.clear()
            await wait_for(self.heard.wait())


@asynccontextmanager
async def open_signals(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SignalHarness]:
    monkeypatch.setattr(mysql_signals, "UNSETTLED_SECONDS", 0.0)
    async with run_executor(url, ORDERS) as run:
        operations = Operations(run.store, run.registry)
        lease_directly(operations, run.executor.direct_leases)
        at = SignalHarness(run, operations, [], asyncio.Event())

        def hear(commit: Commit) -> None:
            at.commits.append(commit)
            at.heard.set()

        run.store.commit_signal.subscribe(hear, get_poll_seconds=lambda: 0.02)
        await at.wait_until_idle()
        yield at


@pytest.mark.parametrize("database", ["sqlite", "mariadb"])
async def test_the_commits_of_this_process_are_not_found_by_its_poll(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue(f"{database}_url")
    async with open_signals(url, monkeypatch) as at, open_store(url) as elsewhere:
        at.commits.clear()
        for _ in range(3):
            await at.wait_until_idle()
            await at.wait_for_end((await at.operations.create("Orders")).id)

        own = list(at.commits)
        await Operations(elsewhere, at.run.registry).create("Orders", group="night")
        await at.wait_for_unknown()

    assert UNKNOWN_COMMIT not in own
    assert len(own) == 6


async def test_what_a_handler_writes_to_sqlite_is_heard_of(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_signals(sqlite_url, monkeypatch) as at:
        at.commits.clear()
        async with at.run.store.connections.transaction() as session:
            await at.operations.create("Orders", connection=session.connection)

        await at.wait_for_unknown()

        id = (await at.run.store.queries.get_many([1]))[1].id
        await at.wait_for_end(id)


def test_after_a_create_of_another_process_the_next_one_is_found_soon() -> None:
    pace = PollPace()

    idle = pace.compute_pause(100.0, has_created=False)
    pauses = [pace.compute_pause(100.0, has_created=True), pace.compute_pause(100.9, has_created=False)]
    slower = [pace.compute_pause(101.1 + place, has_created=False) for place in range(30)]

    assert idle == float("inf")
    assert pauses == [0.02, 0.02]
    assert slower == sorted(slower)
    assert slower[0] < 0.03
    assert slower[-1] > 0.2
