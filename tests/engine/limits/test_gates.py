"""Limits beside version gates, a handler's own transaction, and workflows that have none."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context
from flowlet.workflow.limits import Limit
from flowlet.workflow.states import end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.limits.limited_modules import Door, build_charges
from tests.engine.limits.limits_harness import open_limits


async def test_what_a_version_cannot_read_is_run_by_another_one_through_the_limit(database_url: str) -> None:
    door, unread = Door(), Door()
    async with open_limits(database_url) as seen:
        old = await seen.add_executor(build_charges(unread, limit=Limit(1)), slots=4)
        ids = await seen.create(["anna"] * 3)
        sql = "UPDATE flowlet_workflow SET vars = '{\"customer\"\\: [1]}' WHERE id = :id"
        await seen.store.connections.write(lambda session: session.execute(sql, {"id": ids[0]}))
        for _ in range(6):
            await old.claim()
            await old.worker.wait_until_idle()

        waiting = await seen.get(ids[0])
        assert (waiting.status, waiting.attempt, str(waiting.gate)[:8]) == (Status.IN_PROGRESS, 0, "version:")
        assert [(await seen.get(id)).status for id in ids[1:]] == [Status.FINISHED] * 2

        repaired = 'UPDATE flowlet_workflow SET vars = \'{"customer"\\: "bea"}\' WHERE id = :id'
        await seen.store.connections.write(lambda session: session.execute(repaired, {"id": ids[0]}))
        new = await seen.add_executor(build_charges(door, limit=Limit(1), version=2))
        for _ in range(6):
            await seen.claim_all()
            await seen.wait_until_idle()
        assert door.visits == ["bea"]
        assert new.worker.running == {}
        lines = Counter(line.kind for line in await seen.store.queries.read_history(ids[0]))
        assert lines[ActionKind.GATED] == 1
        await seen.check_all_ended()


async def test_what_no_live_version_can_run_goes_from_the_limit_behind_a_version_gate(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        old = await seen.add_executor(build_charges(door, limit=Limit(1)))
        new = await seen.add_executor(build_charges(door, limit=Limit(1), version=2))
        (id,) = await seen.create(["anna"])
        await seen.store.connections.write(
            lambda session: session.execute("UPDATE flowlet_workflow SET vars_version = 5")
        )

        assert await old.claim() == 0  # left to the newer one
        await seen.store.executors.deregister(new.id, now=seen.clock.now())
        assert await old.claim() == 1
        await seen.wait_until_idle()

        waiting = await seen.get(id)
        assert (waiting.status, str(waiting.gate)[:8], waiting.attempt) == (Status.IN_PROGRESS, "version:", 0)
        assert await old.claim() == 0


async def test_a_handlers_own_writes_are_committed_with_the_entry_of_a_limited_state(database_url: str) -> None:
    async def book(ctx: Context) -> None:
        async with ctx.transaction() as transaction:
            await transaction.execute("INSERT INTO booking (id) VALUES (7)")

    async def charge() -> None:
        pass

    module = build_workflow_module(
        book=state(start=True, next=["charge"])(book),
        charge=state(next=["done"], limit=Limit(1))(charge),
        done=end(),
    )
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(module)
        await seen.store.connections.write(lambda session: session.execute("CREATE TABLE booking (id integer)"))
        created = await one.operations.create("Orders")
        await seen.settle()

        assert (await seen.get(created.id)).status is Status.FINISHED
        rows = await seen.store.connections.read(lambda session: session.fetch_rows("SELECT id FROM booking"))
        assert rows == [(7,)]


async def test_an_executor_without_limits_sends_no_statement_more(sqlite_url: str) -> None:
    async with open_limits(sqlite_url) as seen:
        free = await seen.add_executor(build_charges(Door()))
        uses: list[str] = []
        connections: Any = seen.store.connections
        read, write = connections.read, connections.write

        async def read_noted(work: Any) -> Any:
            uses.append("read")
            return await read(work)

        async def write_noted(work: Any, **options: Any) -> Any:
            uses.append("write")
            return await write(work, **options)

        connections.read, connections.write = read_noted, write_noted
        free.parts.gates._versions._look_seconds = free.worker._pauses._look_seconds = 3600.0
        await free.claim()
        assert uses == ["read", "read"]  # the looks at the paused lanes and at the gates, four times a second
        uses.clear()
        await free.claim()
        assert uses == []
