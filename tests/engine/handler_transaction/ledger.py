"""A table of the application's own, and handlers that write it in their transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module

__all__ = ["build_orders_module", "open_ledger_harness", "read_ledger", "write_ledger"]


async def write_ledger(ctx: Context, note: str) -> None:
    """Write a line of the application's own table."""
    async with ctx.transaction() as connection:
        await connection.execute("INSERT INTO ledger (note) VALUES (:note)", {"note": note})


@asynccontextmanager
async def open_ledger_harness(database_url: str, *modules: ModuleType) -> AsyncIterator[Harness]:
    """Open a harness on a database that has a table of the application's own."""
    async with Harness(modules, database_url=database_url) as flow:
        table = "CREATE TABLE ledger (note varchar(50) NOT NULL)"
        await flow.store.connections.write(lambda session: session.execute(table))
        yield flow


async def read_ledger(flow: Harness) -> list[str]:
    rows = await flow.store.connections.read(
        lambda session: session.fetch_rows("SELECT note FROM ledger ORDER BY note")
    )
    return [row[0] for row in rows]


def build_orders_module(check: object) -> ModuleType:
    workflow = Workflow("Orders", retry=Retry(limit=1, min="1m", max="1m"))
    return build_workflow_module(workflow=workflow, **build_single_state(check))
