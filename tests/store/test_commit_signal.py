"""The signal of commits: of this process at once, of others by one connection, after which everybody looks once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.clock import StoreClock
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.limits.claims import list_policies
from flowlet.engine.waiters import Waiters
from flowlet.operations.service import Operations
from flowlet.store import commit_signal
from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.dialects.mysql import signals as mysql_signals
from flowlet.store.opening import Store, open_store
from flowlet.workflow.limits import Limit
from tests.databases import find_schema
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import ExecutorHarness, run_executor, wait_for
from tests.engine.manual_executor import EngineHarness, open_engine

REAL_CLOCK = StoreClock()
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' ORDER BY pid"


async def finish() -> str:
    return "done"


ORDERS = build_workflow_module(**build_single_state(finish))
LIMITED_ORDERS = build_workflow_module(**build_single_state(finish, limit=Limit(1)))


class CommitListener:
    """A subscriber that keeps the commits it hears of."""

    def __init__(self, store: Store) -> None:
        self.commits: list[Commit] = []
        self._heard = asyncio.Event()
        self.unsubscribe = store.commit_signal.subscribe(self._hear, get_poll_seconds=lambda: 0.02)

    def _hear(self, commit: Commit) -> None:
        self.commits.append(commit)
        self._heard.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when what has been heard of fits a condition."""
        async with asyncio.timeout(20):
            while not condition():
                self._heard.clear()
                await self._heard.wait()


@asynccontextmanager
async def open_listener(url: str) -> AsyncIterator[tuple[Store, CommitListener]]:
    """Open a store as another process does, which has begun to listen."""
    async with open_store(url, schema=find_schema(url)) as store:
        listener = CommitListener(store)
        await listener.wait_until(lambda: store.commit_signal.is_listening)
        listener.commits.clear()
        yield store, listener


async def run_new_order(engine: EngineHarness) -> None:
    """Create an instance and commit its transition."""
    executor = await engine.add_executor()
    await executor.run_due_instance(await engine.create_instance())


async def test_a_commit_of_this_process_is_signalled_with_what_it_changed(database_url: str) -> None:
    async with open_engine(database_url, ORDERS) as engine:
        listener = CommitListener(engine.store)
        executor = await engine.add_executor()
        id = await engine.create_instance(group="east")
        await Operations(engine.store, engine.registry).pause(id, username="ada")
        (instance,) = [await engine.get_instance(id)]
        await Operations(engine.store, engine.registry).resume(id, username="ada")
        (claimed,) = await executor.claim_due(groups=["east"])
        await executor.commit_transitions(await executor.run_instance(claimed))

        own = [commit for commit in listener.commits if commit.instances is not None]

    assert [(commit.due_groups, commit.executor_id) for commit in own] == [
        *([(frozenset({"east"}), None)] * 3),
        (frozenset(), "executor-a"),
    ]
    assert [commit.instances for commit in own] == [
        (),
        ((id, "check", instance.status),),
        ((id, "check", claimed.status.NEW),),
        ((id, "done", claimed.status.FINISHED),),
    ]


async def test_what_is_rolled_back_is_not_signalled(database_url: str) -> None:
    async with open_engine(database_url, ORDERS) as engine:
        id = await engine.create_instance()
        listener = CommitListener(engine.store)

        with pytest.raises(ValueError, match="is no reason"):
            await _change_and_fail(engine, id)

        assert [commit for commit in listener.commits if commit.instances is not None] == []


async def _change_and_fail(engine: EngineHarness, id: int) -> None:
    async def change(session: Any) -> None:
        session.pending_commit = Commit(frozenset({"default"}), ())
        raise ValueError("this is no reason")

    await engine.store.connections.write(change)


async def test_every_kind_of_commit_of_another_process_is_signalled(database_url: str) -> None:
    async with open_engine(database_url, ORDERS) as engine, open_listener(database_url) as (_, listener):
        for commit in (
            engine.create_instance,
            lambda: Operations(engine.store, engine.registry).cancel(1, username="ada"),
            lambda: run_new_order(engine),
        ):
            listener.commits.clear()
            await commit()
            await listener.wait_until(lambda: bool(listener.commits))

    assert all(commit.instances is None for commit in listener.commits)


@pytest.mark.parametrize("name", ["lane resumed", "limit released"])
async def test_what_may_let_instances_of_any_group_run_concerns_all_executors(
    database_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_signals, "UNSETTLED_SECONDS", 0.0)  # what was committed before is no reason
    async with open_engine(database_url, LIMITED_ORDERS) as engine:
        operations = Operations(engine.store, engine.registry)
        await engine.store.definitions.save_definitions(engine.registry.definitions, now=engine.clock.now())
        await engine.store.limits.save_policies(list_policies(engine.registry.definitions))
        await operations.lanes.pause("workflow", "Orders", username="ada", reason="the bank moves")
        await operations.limits.hold("Orders", "check", username="ada", reason="the bank moves")
        async with open_listener(database_url) as (_, listener):
            if name == "lane resumed":
                await operations.lanes.resume("workflow", "Orders", username="ada")
            else:
                await operations.limits.release("Orders", "check", username="ada")

            await listener.wait_until(lambda: any(commit.may_concern(["east"]) for commit in listener.commits))


@pytest.mark.parametrize("is_orderly", [True, False], ids=["stopped", "lost"])
async def test_the_end_of_an_executor_concerns_all_others(postgres_url: str, is_orderly: bool) -> None:
    """Here it alone knew when its timers come; other databases are polled, and show each of its transitions."""
    async with open_engine(postgres_url, ORDERS) as engine, open_listener(postgres_url) as (_, listener):
        executors, now = engine.store.executors, engine.clock.now()
        await engine.add_executor("executor-a")
        listener.commits.clear()
        if is_orderly:
            await executors.deregister("executor-a", now=now)
        else:
            await executors.repair_leases(now=now, expired_before=2**60, crash_limit=3)

        await listener.wait_until(lambda: any(commit.may_concern(["east"]) for commit in listener.commits))


async def test_executors_of_other_groups_are_not_concerned(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS) as engine, open_listener(postgres_url) as (_, listener):
        await engine.create_instance(group="east")
        await listener.wait_until(lambda: bool(listener.commits))

        (commit,) = listener.commits

    assert commit.due_groups == frozenset({"east"})
    assert (commit.may_concern(["east", "west"]), commit.may_concern(["west"])) == (True, False)


async def test_an_instance_of_a_callers_own_transaction_is_signalled_when_that_commits(
    postgres_url: str,
) -> None:
    async with open_engine(postgres_url, ORDERS) as engine, open_listener(postgres_url) as (_, there):
        here = CommitListener(engine.store)
        await here.wait_until(lambda: engine.store.commit_signal.is_listening)
        here.commits.clear()
        async with engine.store.connections.transaction() as session:
            await Operations(engine.store, engine.registry).create("Orders", connection=session.connection)
            assert [*here.commits, *there.commits] == []
        await here.wait_until(lambda: bool(here.commits))
        await there.wait_until(lambda: bool(there.commits))

    assert [*here.commits, *there.commits] == [Commit(frozenset({"default"}))] * 2


async def test_a_process_does_not_hear_itself(postgres_url: str) -> None:
    async with open_listener(postgres_url) as (store, here), open_listener(postgres_url) as (_, there):
        for _ in range(20):
            there.commits.clear()
            store.connections.report_commit(Commit(frozenset(), ()))
            await there.wait_until(lambda: bool(there.commits))

        assert [commit for commit in here.commits if commit.instances is None] == []


async def test_a_busy_process_notifies_the_others_less_often(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def record_pause(seconds: float) -> None:
        pauses.append(seconds)
        await REAL_CLOCK.sleep(0)

    monkeypatch.setattr(commit_signal, "_wait_in_real_time", record_pause)
    async with open_store(postgres_url) as store:
        send, sent, has_sent = store.connections.dialect.signals.send_commit_signal, [], asyncio.Event()

        async def send_and_commit(raw: Any, groups: Iterable[str]) -> None:
            await send(raw, groups)
            sent.append(set(groups))
            if len(sent) < 8:
                store.connections.report_commit(Commit(frozenset({f"group-{len(sent)}"}), ()))
                store.connections.report_commit(Commit(frozenset({"another"}), ()))
            else:
                has_sent.set()

        monkeypatch.setattr(store.connections.dialect.signals, "send_commit_signal", send_and_commit)
        store.connections.report_commit(Commit(frozenset(), ()))
        await wait_for(has_sent.wait())

    assert pauses[:7] == [0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05]
    # One that the end of the process interrupts is sent again.
    assert sent[:8] == [set(), *({f"group-{number}", "another"} for number in range(1, 8))]


async def test_what_a_process_has_committed_last_is_signalled_when_it_closes(postgres_url: str) -> None:
    async with open_listener(postgres_url) as (_, listener):
        async with open_store(postgres_url) as store:
            for number in range(3):
                store.connections.report_commit(Commit(frozenset({f"group-{number}"}), ()))
                await REAL_CLOCK.sleep(0)

        groups: set[str] = set()
        while len(groups) < 3:
            await listener.wait_until(lambda: bool(listener.commits))
            groups |= listener.commits.pop().due_groups or set()


async def test_who_unsubscribes_hears_nothing_more(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS) as engine:
        one, other = CommitListener(engine.store), CommitListener(engine.store)
        one.unsubscribe()

        await engine.create_instance()

        assert not one.commits
        assert other.commits


async def test_a_process_listens_on_one_connection_for_all_that_wait(postgres_url: str) -> None:
    async with run_executor(postgres_url, ORDERS) as run:
        waiters, broadcaster = Waiters(run.store, run.store.clock), EventBroadcaster(run.store)
        await waiters.wait(await run.create_instance(), timeout=20)
        await broadcaster.start()

        assert len(await read_listeners(run)) == 1
        broadcaster.close()
        await waiters.close()


async def test_a_lost_connection_is_made_anew_at_once_and_everybody_looks_once(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS) as engine, open_listener(postgres_url) as (store, listener):
        before = await read_listeners(engine)

        began = asyncio.get_running_loop().time()
        await engine.fetch_rows(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) listeners")
        await listener.wait_until(lambda: bool(listener.commits))
        took = asyncio.get_running_loop().time() - began

        after = await read_listeners(engine)
        assert listener.commits == [UNKNOWN_COMMIT]
        assert len(after) == 1
        assert after != before
        assert store.commit_signal.is_listening
        assert took < 0.5
        listener.commits.clear()
        await engine.create_instance()
        await listener.wait_until(lambda: bool(listener.commits))


async def test_a_line_that_appears_below_others_is_signalled_where_the_history_is_polled(
    mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_signals, "UNSETTLED_SECONDS", 0.0)
    monkeypatch.setattr(mysql_signals, "WINDOW", 2)
    async with open_engine(mariadb_url, ORDERS) as engine, open_store(mariadb_url) as other:
        listener = CommitListener(other)
        async with engine.store.connections.transaction() as session:
            await Operations(engine.store, engine.registry).create("Orders", connection=session.connection)
            for _ in range(2):
                seen = len(listener.commits)
                await engine.create_instance()
                await listener.wait_until(lambda seen=seen: len(listener.commits) > seen)  # type: ignore[misc]
            await REAL_CLOCK.sleep(0.1)
            seen = len(listener.commits)
        await listener.wait_until(lambda: len(listener.commits) > seen)


async def test_a_history_that_does_not_grow_is_not_signalled(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_signals, "UNSETTLED_SECONDS", 0.05)
    monkeypatch.setattr(mysql_signals, "WINDOW", 2)
    async with open_engine(mariadb_url, ORDERS) as engine, open_listener(mariadb_url) as (_, listener):
        for _ in range(9):
            await engine.create_instance()
        await REAL_CLOCK.sleep(0.5)
        listener.commits.clear()

        await REAL_CLOCK.sleep(0.3)

        assert not listener.commits


async def read_listeners(engine: EngineHarness | ExecutorHarness) -> list[int]:
    """Return the connections that listen to this database."""
    connections = engine.store.connections
    return [row[0] for row in await connections.read(lambda session: session.fetch_rows(LISTENERS))]


async def test_who_rests_between_polls_is_called_for_their_commits_afterwards(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS) as engine, open_listener(mariadb_url) as (store, quick):
        slow: list[Commit] = []
        store.commit_signal.subscribe(slow.append, poll_rest_seconds=0.4)
        for count in range(1, 8):
            await engine.create_instance()
            await quick.wait_until(lambda count=count: len(quick.commits) >= count)  # type: ignore[misc]
        called_meanwhile = len(slow)
        while len(slow) == called_meanwhile:
            await REAL_CLOCK.sleep(0.01)

    assert called_meanwhile <= 3
