"""A commit whose answer is lost may have been done: whatever waits for commits is called for it, here and elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.operations.service import Operations
from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.database_session import DatabaseSession
from flowlet.store.instances import CommitResult
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.test_commit_signal import ORDERS, open_listener


def record_reports(engine: EngineHarness) -> list[Commit]:
    """Return a list to which is added what the process commits from now on."""
    reported: list[Commit] = []
    engine.store.connections.on_commit = reported.append
    return reported


def is_for_all(commit: Commit) -> bool:
    return commit.may_concern(["whatever"])


async def test_an_operation_whose_answer_is_lost_is_signalled(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_engine(database_url, ORDERS) as engine:
        operations, id = Operations(engine.store, engine.registry), await engine.create_instance()
        await operations.pause(id, username="ada")
        reported, execute = record_reports(engine), DatabaseSession.execute

        async def lose_answer(self: DatabaseSession, sql: str, values: Any = None) -> None:
            await execute(self, sql, values)
            if sql == "COMMIT" and self.pending_commit is not None:
                raise StoreUnavailableError("the connection was lost")

        monkeypatch.setattr(DatabaseSession, "execute", lose_answer)
        with pytest.raises(StoreUnavailableError):
            await operations.resume(id, username="ada")

        assert list(map(is_for_all, reported)) == [True]
        assert (await engine.get_instance(id)).status == "NEW"


async def test_a_create_whose_answer_is_lost_is_signalled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_engine(database_url, ORDERS) as engine:
        reported, writes = record_reports(engine), engine.store.connections.dialect.writes
        create = writes.create

        async def lose_answer(raw: Any, new_instances: Any, now: int, **options: Any) -> Any:
            await create(raw, new_instances, now, **options)
            raise StoreUnavailableError("the connection was lost")

        monkeypatch.setattr(writes, "create", lose_answer)
        with pytest.raises(StoreUnavailableError):
            await engine.create_instance()

        assert list(map(is_for_all, reported)) == [True]
        assert await engine.fetch_rows("SELECT COUNT(*) FROM flowlet_workflow") == [(1,)]


async def test_a_batch_that_is_found_to_be_committed_is_signalled_as_one_that_may_make_anything_due(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_engine(database_url, ORDERS) as engine:
        executor, writes = await engine.add_executor(), engine.store.connections.dialect.writes
        transition = await executor.run_instance(await executor.claim_instance(await engine.create_instance()))
        reported, commit = record_reports(engine), writes.commit

        async def lose_answer(raw: Any, batch: Any, **options: Any) -> Any:
            await commit(raw, batch, **options)
            raise StoreUnavailableError("the connection was lost")

        with monkeypatch.context() as patch:
            patch.setattr(writes, "commit", lose_answer)
            with pytest.raises(StoreUnavailableError):
                await executor.commit_transitions(transition)
        assert await executor.commit_transitions(transition) == [CommitResult.COMMITTED]

        lost, found = reported
        assert lost == UNKNOWN_COMMIT
        assert (found.executor_id, len(found.instances or ()), is_for_all(found)) == (executor.id, 1, True)


async def test_a_notification_that_fails_is_sent_again(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_engine(postgres_url, ORDERS) as engine, open_listener(postgres_url) as (_, listener):
        signals = engine.store.connections.dialect.signals
        send, failed = signals.send_commit_signal, list[set[str]]()

        async def fail_once(raw: Any, groups: Iterable[str]) -> None:
            if not failed:
                failed.append(set(groups))
                raise StoreUnavailableError("the connection was lost")
            await send(raw, groups)

        monkeypatch.setattr(signals, "send_commit_signal", fail_once)
        engine.store.connections.report_commit(Commit(frozenset({"east"}), ()))

        await listener.wait_until(lambda: any(commit.may_concern(["east"]) for commit in listener.commits))
        assert failed == [{"east"}]
