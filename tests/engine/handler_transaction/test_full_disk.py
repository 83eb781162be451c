"""A disk without space refuses a handler's statement, for however long: no fault of the handler."""

from __future__ import annotations

import asyncio

import pytest

from flowlet.engine.handler_transaction import MAX_EXCUSES
from flowlet.errors import StoreUnavailableError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.opening import open_store
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.handler_transaction.ledger import open_ledger_harness, read_ledger, write_ledger

FULL_SQL = {
    "sqlite": (
        "PRAGMA max_page_count = 1",  # no more than there are
        "INSERT INTO ledger (note) SELECT hex(zeroblob(200000))",
    ),
    "postgresql": (
        "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
    ),
    "mysql": ("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table ''ledger'' is full'",),
}
"""Statements that the database refuses with its own error of a full disk."""
FREE_SQL = {"sqlite": "PRAGMA max_page_count = 1000000"}
FULL_MESSAGES = (
    (1021, "Disk got full writing '.(temporary)' (Errcode: 28 \"No space left on device\")"),
    (1026, "Error writing file 'binlog' (errno: 28 \"No space left on device\")"),
    (1030, 'Got error 28 "No space left on device" from storage engine InnoDB'),
    (3, "Error writing file 'binlog' (Errcode: 28 \"No space left on device\")"),
)


async def test_a_full_disk_is_never_a_failed_attempt(database_url: str) -> None:
    kind, runs = database_url.partition(":")[0], []

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        async with ctx.transaction() as connection:
            try:
                for statement in FULL_SQL[kind] if len(runs) <= MAX_EXCUSES + 2 else ():
                    await connection.execute(statement)
            finally:
                if kind in FREE_SQL:
                    await connection.execute(FREE_SQL[kind])
        await write_ledger(ctx, "paid")
        return "done"

    module = build_workflow_module(workflow=Workflow("Orders", retry=Retry(limit=0)), **build_single_state(check))
    async with open_ledger_harness(database_url, module) as flow, asyncio.timeout(30):
        id = await flow.start("Orders")
        await flow.run_to_end(id)

        assert (await flow.get(id)).status is Status.FINISHED
        assert await read_ledger(flow) == ["paid"]
        lines = await flow.store.queries.read_history(id)

    assert runs == [1] * (MAX_EXCUSES + 3)
    assert [line.kind for line in lines] == [
        ActionKind.CREATED,
        *[ActionKind.RELEASED] * (MAX_EXCUSES + 2),
        ActionKind.TRANSITION,
    ]


@pytest.mark.parametrize(("number", "message"), FULL_MESSAGES)
async def test_every_error_of_mariadb_without_space_is_one_of_a_full_disk(
    mariadb_url: str, number: int, message: str
) -> None:
    async with open_store(mariadb_url) as store:
        quoted = message.replace("'", "''")
        statement = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{quoted}'"

        with pytest.raises(StoreUnavailableError, match="No space left on device"):
            await store.connections.write(lambda session: session.execute(statement))
