"""A commit whose answer is on the way: its transition is noticed, and nothing runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

import pytest

from flowlet.engine.maintenance import Maintenance
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import Worker
from flowlet.instance.transition import Transition
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.instances import ClaimedInstances, CommitResult, InstanceStore
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import wait_for
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.engine.test_observer import RecordingObserver


class HeldAnswers:
    """Commits whose answers arrive when the test says so. What they have written is in the database by then."""

    def __init__(self, instances: InstanceStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._commit = instances.commit
        self.is_written = asyncio.Event()
        self.may_arrive = asyncio.Event()
        monkeypatch.setattr(instances, "commit", self.commit)

    async def commit(self, executor_id: str, transitions: Sequence[Transition], *, now: int) -> dict[int, CommitResult]:
        results = await self._commit(executor_id, transitions, now=now)
        self.is_written.set()
        await self.may_arrive.wait()
        return results


@dataclass
class HeldCommitHarness:
    """An executor that has committed a transition and does not know it yet."""

    engine: EngineHarness
    worker: Worker
    maintenance: Maintenance
    observer: RecordingObserver
    answers: HeldAnswers
    id: int

    async def let_answers_arrive(self) -> list[str]:
        """Return the states to which the observed transitions have led, when no activation runs any more."""
        self.answers.may_arrive.set()
        await wait_for(self.worker.wait_until_idle())
        return [transition.state for transition in self.observer.transitions]


@asynccontextmanager
async def hold_commit(
    url: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[HeldCommitHarness]:
    """Run an instance until the answer to its first commit is on the way."""
    given, observer = ExecutorSettings(slots=8, **settings), RecordingObserver()
    async with open_engine(url, module) as engine:
        executor = await engine.add_executor(lease=timedelta(days=1))
        answers = HeldAnswers(engine.store.instances, monkeypatch)
        async with executor.open_committer(writers=2) as committer:
            wakeup, parts = Wakeup(engine.clock), (engine.store, executor.activations, committer)
            worker = Worker(
                *parts, wakeup, given, executor_id=executor.id, types=engine.registry.names, observer=observer
            )
            maintenance = Maintenance(engine.store, worker, given, executor_id=executor.id, random=Random(7))
            id = await engine.create_instance()
            await worker.claim_due()
            await wait_for(answers.is_written.wait())
            try:
                yield HeldCommitHarness(engine, worker, maintenance, observer, answers, id)
            finally:
                answers.may_arrive.set()
                await wait_for(worker.wait_until_idle())


def build_two_states(runs: list[str]) -> ModuleType:
    """Return a workflow of two handlers, which note that they run."""

    @state(start=True, next=["pay"])
    async def check() -> Next:
        runs.append("check")
        return pay

    @state(next=["done"])
    async def pay() -> str:
        runs.append("pay")
        return "done"

    return build_workflow_module(check=check, pay=pay, done=end())


async def test_a_commit_whose_answer_is_on_the_way_is_no_lost_lease(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> str:
        return "done"

    module = build_workflow_module(**build_single_state(check))
    async with hold_commit(database_url, module, monkeypatch) as held:
        await held.maintenance.drop_lost_leases()

        assert await held.let_answers_arrive() == ["done"]


async def test_an_instance_that_is_claimed_again_before_its_commit_is_answered_misses_no_transition(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    async with hold_commit(database_url, build_two_states(runs), monkeypatch, max_transitions_per_lease=1) as held:
        await held.worker.claim_due()

        assert sorted(await held.let_answers_arrive()) == ["done", "pay"]
        assert runs == ["check", "pay"]


async def test_an_activation_that_loses_its_lease_while_it_commits_runs_no_further_state(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    async with hold_commit(database_url, build_two_states(runs), monkeypatch) as held:
        operations = Operations(held.engine.store, held.engine.registry)
        await operations.move(held.id, "pay", username="lead", force=True, reason="it hangs")
        await held.worker.claim_due()

        assert sorted(await held.let_answers_arrive()) == ["done", "pay"]
        assert runs == ["check", "pay"]


async def test_a_claim_that_is_answered_after_its_instance_was_handed_back_runs_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    may_arrive, is_leased = asyncio.Event(), asyncio.Event()
    given = ExecutorSettings(slots=8)
    async with open_engine(database_url, build_two_states(runs)) as engine:
        executor = await engine.add_executor(lease=timedelta(days=1))
        await engine.create_instance()
        claim = engine.store.instances.claim

        async def claim_once_and_wait(request: ClaimRequest) -> ClaimedInstances:
            if is_leased.is_set():
                return ClaimedInstances([], None)
            found = await claim(request)
            is_leased.set()
            await may_arrive.wait()
            return found

        monkeypatch.setattr(engine.store.instances, "claim", claim_once_and_wait)
        async with executor.open_committer(writers=1) as committer:
            parts = (engine.store, executor.activations, committer, Wakeup(engine.clock), given)
            worker = Worker(*parts, executor_id=executor.id, types=engine.registry.names)
            maintenance = Maintenance(engine.store, worker, given, executor_id=executor.id, random=Random(7))
            claiming = asyncio.create_task(worker.claim_due())
            await wait_for(is_leased.wait())
            worker.lease_count += 1  # as the claims of others that were answered meanwhile
            for _ in range(2):
                await maintenance.drop_lost_leases()
            may_arrive.set()
            await wait_for(claiming)
            await wait_for(worker.wait_until_idle())
            late = list(runs)
            monkeypatch.setattr(engine.store.instances, "claim", claim)
            await wait_for(worker.claim_due())
            await wait_for(worker.wait_until_idle())

    assert (late, runs) == ([], ["check", "pay"])
