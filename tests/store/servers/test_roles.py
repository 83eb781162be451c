"""An executor as a role of PostgreSQL that may create nothing: its handlers' search path, and rights that it loses."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from flowlet.instance.instance import Instance, Status
from flowlet.workflow.context import Context
from tests.databases import SCHEMA, WRITER
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import TIMEOUT_SECONDS, ExecutorHarness, GatedHandler, run_executor, wait_for

GIVE_SHOP = f"""
CREATE SCHEMA shop;
CREATE TABLE shop.ledger (note text);
CREATE TABLE shop.flowlet_action (note text);
GRANT USAGE ON SCHEMA shop TO {WRITER};
GRANT ALL ON ALL TABLES IN SCHEMA shop TO {WRITER};
"""


async def query_as_owner(url: str, sql: str) -> list[Any]:
    parts = urlsplit(url)
    connection = await asyncpg.connect(parts._replace(netloc=f"flowlet@{parts.netloc.rpartition('@')[2]}").geturl())
    try:
        rows: list[Any] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()


async def wait_until_ended(run: ExecutorHarness, id: int) -> Instance:
    """Read an instance until it has ended."""
    while not (instance := await run.get_instance(id)).has_ended:
        pass
    return instance


async def test_a_handler_finds_its_own_search_path_beside_flowlets_schema(schema_postgres_url: str) -> None:
    database = urlsplit(schema_postgres_url).path[1:]
    for sql in (*GIVE_SHOP.strip().split("\n"), f"ALTER ROLE {WRITER} IN DATABASE {database} SET search_path = shop"):
        await query_as_owner(schema_postgres_url, sql)
    found: list[Any] = []

    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            found.extend(tuple((await connection.fetch_all("SHOW search_path"))[0]._mapping.values()))
            await connection.execute("INSERT INTO ledger VALUES ('paid')")
            await connection.execute("INSERT INTO flowlet_action VALUES ('a table of the application')")
            await connection.execute("SET LOCAL search_path = pg_catalog")
        return "done"

    async with run_executor(schema_postgres_url, build_workflow_module(**build_single_state(check))) as run:
        ended: Instance = await wait_for(wait_until_ended(run, await run.create_and_wake()))

    assert (ended.status, found) == (Status.FINISHED, ["shop"])
    assert [tuple(row) for row in await query_as_owner(schema_postgres_url, "TABLE shop.ledger")] == [("paid",)]
    actions = await query_as_owner(schema_postgres_url, f'SELECT count(*) > 1 FROM "{SCHEMA}".flowlet_action')
    assert [tuple(row) for row in actions] == [(True,)]


async def test_an_executor_that_lost_a_right_waits_until_it_is_granted_again(
    schema_postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = GatedHandler()
    right = f'UPDATE ON "{SCHEMA}".flowlet_workflow'

    async with run_executor(schema_postgres_url, gate.build_module()) as run:
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())
        await query_as_owner(schema_postgres_url, f"REVOKE {right} FROM {WRITER}")
        gate.may_finish.set()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while "lacks UPDATE on flowlet_workflow" not in caplog.text:
                    held = await run.get_instance(id)
        finally:
            await query_as_owner(schema_postgres_url, f"GRANT {right} TO {WRITER}")
        ended = await wait_for(wait_until_ended(run, id))

    assert (held.status, ended.status, gate.run_count) == (Status.EXECUTING, Status.FINISHED, 1)
