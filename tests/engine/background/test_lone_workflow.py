"""A workflow that runs alone uses the engine's connections no more often than it has something to write."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from flowlet.instance.instance import Status
from flowlet.store.commits import Commit
from flowlet.store.instances import InstanceStore
from flowlet.workflow.states import end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.executor_harness import ExecutorHarness, run_executor, wait_for

MAX_ROUNDS = 5
"""On a busy machine the database may tell late of the workflow before."""


@state(start=True, next=["charge"])
async def check() -> str:
    return "charge"


@state(next=["ship"])
async def charge() -> str:
    return "ship"


@state(next=["done"])
async def ship() -> str:
    return "done"


async def test_three_states_take_a_create_few_claims_and_three_commits(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses: Counter[str] = Counter()

    def count_uses(name: str) -> None:
        use = getattr(InstanceStore, name)

        async def count_use(self: InstanceStore, *arguments: Any, **options: Any) -> Any:
            uses[name] += 1
            return await use(self, *arguments, **options)

        monkeypatch.setattr(InstanceStore, name, count_use)

    module = build_workflow_module(check=check, charge=charge, ship=ship, done=end())
    async with run_executor(database_url, module) as run:
        await run_one(run)
        await run.store.connections.wait_until_idle()
        for name in ("create", "claim", "commit"):
            count_uses(name)

        for _ in range(MAX_ROUNDS):
            uses.clear()
            await run_one(run)
            if uses["claim"] <= 3:
                break  # no claim that follows a late word of the workflow before is among them

        # The second claim finds nothing more, and says when to claim again. Where this process hears of its own create
        # from the database too, another one may follow.
        assert uses.pop("claim") in (1, 2, 3)
        assert uses == {"create": 1, "commit": 3}


async def run_one(run: ExecutorHarness) -> None:
    """Create a workflow, and return when its end is committed."""
    finished = asyncio.Event()

    def note_commit(commit: Commit) -> None:
        if any(one.status is Status.FINISHED for one in commit.instances or ()):
            finished.set()

    unsubscribe = run.store.commit_signal.subscribe(note_commit)
    await run.create_instance()
    await wait_for(finished.wait())
    unsubscribe()
