"""What is larger than the database accepts is refused before it is sent, and costs no other instance anything."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.database_url import normalize_database_url
from flowlet.engine.committer import RejectedError
from flowlet.engine.creates.create_batcher import CreateBatcher
from flowlet.engine.outage import ConnectionLossError
from flowlet.errors import TooLargeError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.service import Operations
from flowlet.store.children.unmade import list_spawning, make_part
from flowlet.store.dialects.postgres import connection as postgres_connection
from flowlet.store.dialects.sizes import SizeLimit
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, state
from tests.conftest import URL_FIXTURES
from tests.database_servers import DatabaseServer
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import ExecutorHarness, run_executor, wait_for
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.closing_proxy import open_closing_proxy

LIMIT_BYTES = 1_048_576
TOO_LONG = 3_000_000
LONG = 200_000
"""A length of which a few together are too much, but not one."""


@pytest.fixture(params=URL_FIXTURES)
def limited_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a database that accepts a megabyte; SQLite's limit is one of each connection: ``limit_sqlite``."""
    url: str = request.getfixturevalue(URL_FIXTURES[request.param])
    limit = SizeLimit(LIMIT_BYTES, "a limit")
    monkeypatch.setattr(postgres_connection, "SIZE_LIMIT", limit)  # 1 GB, which is fixed when the server is built
    if request.param != "mariadb":
        yield url
        return
    server: DatabaseServer = request.getfixturevalue("mariadb_server")
    server.program.execute_statement(url, f"SET GLOBAL max_allowed_packet = {LIMIT_BYTES}")
    yield url
    server.program.execute_statement(url, "SET GLOBAL max_allowed_packet = DEFAULT")


async def limit_sqlite(harness: EngineHarness | ExecutorHarness) -> None:
    """Let the connection that writes accept a megabyte, where the database is SQLite."""
    if harness.store.url.startswith("sqlite"):
        await harness.store.connections.run_on_engine(
            lambda session: session.raw._execute(session.raw._conn.setlimit, sqlite3.SQLITE_LIMIT_LENGTH, LIMIT_BYTES)
        )


@asynccontextmanager
async def open_limited_engine(url: str, **members: Any) -> AsyncIterator[EngineHarness]:
    async with open_engine(url, build_workflow_module(**members)) as engine:
        await limit_sqlite(engine)
        yield engine


async def wait_until_all_end(run: ExecutorHarness, ids: list[int]) -> list[Status]:
    async def read_statuses() -> list[Status]:
        while True:
            found = await run.store.queries.get_many(ids)
            if all(instance.has_ended for instance in found.values()):
                return [found[id].status for id in ids]
            await run.store.clock.sleep(0.02)

    statuses: list[Status] = await wait_for(read_statuses())
    return statuses


async def test_variables_beyond_the_limit_fail_their_own_attempts_only(limited_url: str) -> None:
    async def grow(ctx: Context) -> str:
        ctx.vars["text"] = "x" * ctx.vars["length"]
        return "done"

    module = build_workflow_module(**build_single_state(grow, retry=Retry(limit=1, min="1ms", max="1ms")))
    async with run_executor(limited_url, module, slots=20) as run:
        await limit_sqlite(run)
        ids = [await run.create_instance(vars={"length": length}) for length in [10] * 9 + [TOO_LONG]]
        run.executor.wake()

        statuses = await wait_until_all_end(run, ids)

        assert statuses == [Status.FINISHED] * 9 + [Status.FAILED]
        errors = [line for line in await run.store.queries.read_history(ids[-1]) if line.kind is ActionKind.ERROR]
        assert [(line.attempt, line.detail) for line in errors] == [(1, None), (2, None)]
        assert all((line.text or "").startswith("TooLargeError: what is to be written has ") for line in errors)
        assert all("the database accepts at most 1,04" in (line.text or "") for line in errors)
        assert (await run.get_instance(ids[-1])).vars == {"length": TOO_LONG}


async def run_new_instance(engine: EngineHarness) -> int:
    """Create an instance, run its first activation, and return its id."""
    executor = await engine.add_executor()
    id = await engine.create_instance()
    await executor.run_due_instance(id)
    return id


@pytest.mark.parametrize("limited_url", ["mariadb"], indirect=True)  # the others accept all lines at once
async def test_the_lines_of_a_handler_are_kept_although_one_statement_cannot_carry_them(limited_url: str) -> None:
    async def talk(ctx: Context) -> str:
        for _ in range(200):
            ctx.log("\N{GRINNING FACE}" * 3_000)
        return "done"

    async with open_limited_engine(limited_url, **build_single_state(talk)) as engine:
        id = await run_new_instance(engine)

        lines = await engine.read_history(id, ActionKind.LOG)
        assert [len(line.text or "") for line in lines] == [3_000] * 200


@pytest.mark.parametrize("limited_url", ["sqlite", "mariadb"], indirect=True)
async def test_children_are_created_although_one_statement_cannot_carry_them(limited_url: str) -> None:
    @state(start=True, next=["done"])
    async def spawn() -> Next:
        return done.spawn(child("Orders", {"text": "x" * LONG}) for _ in range(20))

    done = end()
    async with open_limited_engine(limited_url, spawn=spawn, done=done) as engine:
        id = await run_new_instance(engine)

        assert len(await engine.store.queries.list_children(id)) == 20


@pytest.mark.parametrize("limited_url", ["sqlite", "mariadb"], indirect=True)
async def test_a_large_spawn_is_stored_and_made_although_one_statement_cannot_carry_it(limited_url: str) -> None:
    @state(start=True, next=["done"])
    async def spawn() -> Next:
        return done.spawn(child("Orders", {"text": "x" * 20_000}) for _ in range(201))

    done = end()
    async with open_limited_engine(limited_url, spawn=spawn, done=done) as engine:
        id = await run_new_instance(engine)
        while await make_part(engine.store.connections, id, now=engine.clock.now()):
            pass

        assert len(await engine.store.queries.list_children(id)) == 201


async def test_a_large_spawn_with_a_child_beyond_the_limit_fails_its_attempt_and_stores_nothing(
    limited_url: str,
) -> None:
    @state(start=True, next=["done"], retry=Retry(limit=0))
    async def spawn() -> Next:
        return done.spawn(child("Orders", {"text": "x" * (TOO_LONG if place == 99 else 1)}) for place in range(201))

    done = end()
    async with run_executor(limited_url, build_workflow_module(spawn=spawn, done=done)) as run:
        await limit_sqlite(run)
        id = await run.create_instance()
        run.executor.wake()

        assert await wait_until_all_end(run, [id]) == [Status.FAILED]
        failed = await run.get_instance(id)
        assert (failed.children, failed.open_children) == (0, 0)
        (line,) = [line for line in await run.store.queries.read_history(id) if line.kind is ActionKind.ERROR]
        assert (line.text or "").startswith("TooLargeError: what is to be written has ")
        assert await list_spawning(run.store.connections, limit=1) == []


async def test_a_batch_is_bounded_by_all_that_it_carries(limited_url: str) -> None:
    async def talk(ctx: Context) -> str:
        for _ in range(10):
            ctx.log("x" * 6_000)
        return "done"

    async with open_limited_engine(limited_url, **build_single_state(talk)) as engine:
        executor = await engine.add_executor()
        for _ in range(12):
            await engine.create_instance()
        transitions = [await executor.run_instance(instance) for instance in await executor.claim_due()]

        async with executor.open_committer() as committer:
            committed = await asyncio.gather(*map(committer.commit, transitions))

            assert committed == transitions
            limit = engine.store.instances.max_batch_length
            assert committer.totals.largest == max(1, min(12, limit // transitions[0].text_length))


async def test_a_create_beyond_the_limit_is_refused_and_those_beside_it_are_created(limited_url: str) -> None:
    async def check() -> str:
        return "done"

    async with open_limited_engine(limited_url, **build_single_state(check)) as engine:
        creates = CreateBatcher(engine.store)
        definition = engine.registry.get_definition("Orders")
        new = [
            definition.build_instance({"text": "x" * length}, now=engine.clock.now())
            for length in (10, TOO_LONG, LONG, LONG, LONG, LONG)
        ]

        results = await asyncio.gather(*map(creates.create, new), return_exceptions=True)
        await creates.close()

        refused = [result for result in results if isinstance(result, BaseException)]
        assert [type(result) for result in refused] == [TooLargeError]
        assert isinstance(results[1], TooLargeError)
        assert results[1].size is not None
        assert results[1].size > TOO_LONG
        assert results[1].limit is not None
        assert LIMIT_BYTES - 100 < results[1].limit <= LIMIT_BYTES


async def test_an_edit_beyond_the_limit_is_refused(limited_url: str) -> None:
    async def check() -> str:
        return "done"

    async with open_limited_engine(limited_url, **build_single_state(check)) as engine:
        id = await engine.create_instance(vars={"text": "short"})
        operations = Operations(engine.store, engine.registry)

        with pytest.raises(TooLargeError, match=r"[36],00.* bytes; the database accepts at most 1,04"):
            await operations.edit_variables(id, {"text": '"' * (TOO_LONG // 2)}, username="ada")

        assert (await engine.get_instance(id)).vars == {"text": "short"}


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
async def test_a_row_whose_connection_is_closed_each_time_fails_alone(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    async def check(ctx: Context) -> str:
        ctx.vars["text"] = "".join(["for", "bidden"]) if ctx.workflow.key == "5" else "short"
        return "done"

    url = normalize_database_url(request.getfixturevalue(fixture))
    module = build_workflow_module(**build_single_state(check))
    async with open_closing_proxy(url, b"forbidden") as way, open_engine(way, module) as engine:
        executor = await engine.add_executor()
        for place in range(8):
            await engine.create_instance(key=str(place))
        claimed = sorted(await executor.claim_due(), key=lambda instance: instance.key)
        transitions = [await executor.run_instance(instance) for instance in claimed]

        async with executor.open_committer() as committer:
            results = await wait_for(asyncio.gather(*map(committer.commit, transitions), return_exceptions=True))

        refused = results.pop(5)
        assert isinstance(refused, RejectedError)
        assert isinstance(refused.cause, ConnectionLossError)
        assert results == [transition for transition in transitions if transition.instance.key != "5"]
