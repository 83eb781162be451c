"""What is due and locked by another transaction is tried again soon: that may end without any commit to hear of."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import pytest

from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.engine.executor_harness import NEVER, ExecutorHarness, run_executor, wait_for
from tests.engine.timers.test_due_times import build_timers


class GiveUpError(Exception):
    """Ends a transaction without a commit."""


@pytest.mark.parametrize("commits", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize("url_fixture", ["postgres_url", "mariadb_url"])  # SQLite has one writer, who waits
async def test_an_instance_that_is_locked_when_its_timer_comes_runs_afterwards(
    url_fixture: str, commits: bool, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(url_fixture)
    module, come = build_timers(1500)
    async with run_executor(url, module, lease=NEVER) as run, open_store(url, schema=find_schema(url)) as other:
        id = await run.create_and_wake(vars={"milliseconds": 1500})
        while (instance := await run.get_instance(id)).state != "later":
            pass
        due = instance.next_activation_us
        assert due is not None
        with contextlib.suppress(GiveUpError):
            await other.connections.write(lock_until_claimed(run, id, due, commits=commits))

        await wait_for(come[1500].wait())


def lock_until_claimed(
    run: ExecutorHarness, id: int, due: int, *, commits: bool
) -> Callable[[DatabaseSession], Awaitable[None]]:
    """Return a unit of work that holds an instance until a claim has looked for it."""

    async def lock(session: DatabaseSession) -> None:
        await session.fetch_rows("SELECT id FROM flowlet_workflow WHERE id = :id FOR UPDATE", {"id": id})
        while (run.executor._get_last_claim() or 0) < due:
            await run.get_instance(id)
        if not commits:
            raise GiveUpError

    return lock
