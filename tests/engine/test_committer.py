"""Group commit: transitions that end together are one transaction, and each activation waits for its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.engine.committer import Committer, RejectedError
from flowlet.engine.outage import DELAYS_SECONDS
from flowlet.errors import StoreUnavailableError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.clocks import RecordingClock, StillClock
from tests.engine.executor_harness import wait_for
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine

Commit = Callable[..., Awaitable[dict[int, CommitResult]]]


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


class GroupCommitHarness:
    """Transitions that are ready to be committed, and what the store was asked to commit so far."""

    def __init__(
        self,
        engine: EngineHarness,
        executor: ManualExecutor,
        transitions: list[Transition],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.hands = engine
        self.hand = executor
        self.transitions = transitions
        self.batch_sizes: list[int] = []
        self._patch = monkeypatch
        self._commit: Commit = engine.store.instances.commit

    def replace_commit(
        self, commit: Callable[[Commit, Sequence[Transition]], Awaitable[dict[int, CommitResult]]]
    ) -> None:
        """Let every batch go through a function of the test, which is given the real commit."""

        async def record_batch(
            executor_id: str, transitions: Sequence[Transition], *, now: int
        ) -> dict[int, CommitResult]:
            self.batch_sizes.append(len(transitions))

            async def commit_batch() -> dict[int, CommitResult]:
                return await self._commit(executor_id, transitions, now=now)

            return await commit(commit_batch, transitions)

        self._patch.setattr(self.hands.store.instances, "commit", record_batch)

    async def read_statuses(self) -> list[Status]:
        return [(await self.hands.get_instance(one.instance.id)).status for one in self.transitions]


@asynccontextmanager
async def open_group_commit(
    database_url: str, patch: pytest.MonkeyPatch, *, count: int, clock: VirtualClock | None = None
) -> AsyncIterator[GroupCommitHarness]:
    async with open_engine(database_url, ORDERS_MODULE, clock=clock) as hands:
        hand = await hands.add_executor()
        for _ in range(count):
            await hands.create_instance()
        transitions = [await hand.run_instance(instance) for instance in await hand.claim_due()]
        yield GroupCommitHarness(hands, hand, transitions, patch)


def gate_first_batch(harness: GroupCommitHarness) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold the first batch until the second event is set; the first one is set when it is under way."""
    under_way, may_go_on = asyncio.Event(), asyncio.Event()

    async def commit(real: Commit, _: Sequence[Transition]) -> dict[int, CommitResult]:
        under_way.set()
        await may_go_on.wait()
        return await real()

    harness.replace_commit(commit)
    return under_way, may_go_on


def start_commits(committer: Committer, transitions: Sequence[Transition]) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(committer.commit(transition)) for transition in transitions]


async def test_transitions_that_arrive_during_a_batch_are_the_next_batch(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group_commit(database_url, monkeypatch, count=21) as at, at.hand.open_committer() as committer:
        under_way, may_go_on = gate_first_batch(at)

        first = start_commits(committer, at.transitions[:1])
        await under_way.wait()
        others = start_commits(committer, at.transitions[1:])
        may_go_on.set()
        committed = await asyncio.gather(*first, *others)

        assert at.batch_sizes == [1, 20]
        assert committed == at.transitions
        assert (committer.totals.batches, committer.totals.items, committer.totals.largest) == (2, 21, 20)


async def test_an_activation_continues_only_when_its_own_batch_is_durable(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group_commit(database_url, monkeypatch, count=2) as at, at.hand.open_committer() as committer:
        under_way, may_go_on = gate_first_batch(at)

        tasks = start_commits(committer, at.transitions)
        await under_way.wait()

        assert [task.done() for task in tasks] == [False, False]
        may_go_on.set()
        await asyncio.gather(*tasks)
        assert await at.read_statuses() == [Status.FINISHED] * 2


async def test_a_batch_has_no_more_transitions_than_its_limit(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_group_commit(database_url, monkeypatch, count=10) as at,
        at.hand.open_committer(limit=4) as committer,
    ):
        _, may_go_on = gate_first_batch(at)
        may_go_on.set()

        await asyncio.gather(*start_commits(committer, at.transitions))

        assert at.batch_sizes == [4, 4, 2]


async def test_two_writers_have_two_batches_under_way(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        open_group_commit(database_url, monkeypatch, count=8) as at,
        at.hand.open_committer(limit=4, writers=2) as committer,
    ):
        both = asyncio.Barrier(2)

        async def commit(real: Commit, _: Sequence[Transition]) -> dict[int, CommitResult]:
            await both.wait()
            return await real()

        at.replace_commit(commit)
        async with asyncio.timeout(20):
            committed = await asyncio.gather(*start_commits(committer, at.transitions))

        assert committed == at.transitions


async def test_while_the_store_is_away_a_batch_waits_and_is_then_written_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group_commit(database_url, monkeypatch, count=5) as at, at.hand.open_committer() as committer:
        began = at.hands.clock.now()

        async def commit(real: Commit, _: Sequence[Transition]) -> dict[int, CommitResult]:
            if len(at.batch_sizes) <= 3:
                raise StoreUnavailableError("the database is away")
            return await real()

        at.replace_commit(commit)
        committed = await asyncio.gather(*start_commits(committer, at.transitions))

        assert committed == at.transitions
        assert at.batch_sizes == [5, 5, 5, 5]
        assert at.hands.clock.now() - began == 350_000
        assert await count_transitions(at) == [1] * 5


async def test_a_batch_whose_answer_was_lost_is_not_written_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group_commit(database_url, monkeypatch, count=5) as at, at.hand.open_committer() as committer:

        async def commit(real: Commit, _: Sequence[Transition]) -> dict[int, CommitResult]:
            verdicts = await real()
            if len(at.batch_sizes) == 1:
                raise StoreUnavailableError("the connection was lost while it committed")
            return verdicts

        at.replace_commit(commit)
        committed = await asyncio.gather(*start_commits(committer, at.transitions))

        assert committed == at.transitions
        assert await count_transitions(at) == [1] * 5
        assert await at.hands.store.queries.count_by_type_and_status() == {("Orders", "FINISHED"): 5}


async def count_transitions(harness: GroupCommitHarness) -> list[int]:
    """Return how many transitions the history of each instance has."""
    return [
        len(await harness.hands.read_history(one.instance.id, ActionKind.TRANSITION)) for one in harness.transitions
    ]


async def test_one_bad_row_is_found_and_fails_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_group_commit(database_url, monkeypatch, count=20) as at, at.hand.open_committer() as committer:
        bad = at.transitions[13]

        async def commit(real: Commit, transitions: Sequence[Transition]) -> dict[int, CommitResult]:
            if bad in transitions:
                raise ValueError("refused")
            return await real()

        at.replace_commit(commit)
        results = await asyncio.gather(*start_commits(committer, at.transitions), return_exceptions=True)

        assert isinstance(results[13], RejectedError)
        assert str(results[13]) == "refused"
        assert [one for one in results if not isinstance(one, RejectedError)] == [
            one for one in at.transitions if one is not bad
        ]
        assert len(at.batch_sizes) < 20


async def test_an_activation_that_is_cancelled_while_it_waits_does_not_disturb_its_batch(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group_commit(database_url, monkeypatch, count=3) as at, at.hand.open_committer() as committer:
        under_way, may_go_on = gate_first_batch(at)
        tasks = start_commits(committer, at.transitions)
        await under_way.wait()

        tasks[1].cancel()
        may_go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)

        assert (results[0], results[2]) == (at.transitions[0], at.transitions[2])
        assert await at.read_statuses() == [Status.FINISHED] * 3


async def test_closing_commits_what_waits(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_group_commit(database_url, monkeypatch, count=6) as at:
        committer = Committer(at.hands.store, at.hand.id, max_batch_size=2)
        tasks = start_commits(committer, at.transitions)
        while not committer.totals.batches:
            await at.hands.get_instance(at.transitions[0].instance.id)

        await committer.close()

        assert await asyncio.gather(*tasks) == at.transitions


async def test_an_idle_committer_closes_at_once(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()

        async with asyncio.timeout(5), hand.open_committer(writers=3):
            pass


async def test_a_transition_that_the_store_has_trouble_with_does_not_hold_up_the_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_group_commit(database_url, monkeypatch, count=20, clock=StillClock()) as at,
        at.hand.open_committer() as committer,
    ):
        bad = at.transitions[13]

        async def commit(real: Commit, transitions: Sequence[Transition]) -> dict[int, CommitResult]:
            if bad in transitions:
                raise LookupError("an error that says nothing")
            return await real()

        at.replace_commit(commit)
        tasks = start_commits(committer, at.transitions)
        others = [task for task, transition in zip(tasks, at.transitions, strict=True) if transition is not bad]

        assert await wait_for(asyncio.gather(*others)) == [one for one in at.transitions if one is not bad]
        assert not tasks[13].done()
        assert len(at.batch_sizes) < 15
        tasks[13].cancel()


async def test_a_batch_of_which_every_transition_has_trouble_is_halved_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = RecordingClock()
    async with (
        open_group_commit(sqlite_url, monkeypatch, count=10, clock=clock) as at,
        at.hand.open_committer() as committer,
    ):

        async def commit(real: Commit, transitions: Sequence[Transition]) -> dict[int, CommitResult]:
            if len(at.batch_sizes) <= 19 or len(transitions) > 1:
                raise LookupError("an error that says nothing")
            return await real()

        at.replace_commit(commit)
        committed = await wait_for(asyncio.gather(*start_commits(committer, at.transitions)))

    assert committed == at.transitions
    assert at.batch_sizes[0] == 10
    assert at.batch_sizes[19:] == [1] * 10
    assert clock.recorded_sleeps == [DELAYS_SECONDS[0]] * 10
    assert caplog.text.count("unexpected error") == 1


async def test_an_outage_that_is_followed_by_another_error_ends_no_writer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_group_commit(database_url, monkeypatch, count=2) as at, at.hand.open_committer() as committer:
        errors: list[Exception] = [StoreUnavailableError("away")] * 8 + [LookupError("an error that says nothing")] * 5

        async def commit(real: Commit, _: Sequence[Transition]) -> dict[int, CommitResult]:
            if errors:
                raise errors.pop(0)
            return await real()

        at.replace_commit(commit)
        first, second = at.transitions

        assert await wait_for(committer.commit(first)) is first
        assert await wait_for(committer.commit(second)) is second


async def test_how_long_a_transition_has_waited_is_known(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_group_commit(sqlite_url, monkeypatch, count=1) as at, at.hand.open_committer() as committer:
        under_way, may_go_on = gate_first_batch(at)
        (task,) = start_commits(committer, at.transitions)
        await under_way.wait()

        at.hands.clock.advance(90_000_000)

        assert committer.get_oldest_wait_seconds() == 90
        may_go_on.set()
        await wait_for(task)
        assert committer.get_oldest_wait_seconds() == 0
