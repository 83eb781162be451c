"""The report of executors: who is live, how busy each one is, and when it last claimed."""

from __future__ import annotations

import os
import socket

from flowlet.clock import to_microseconds
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store
from flowlet.store.reports.executors import read_executors
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_single_state, build_workflow_module
from tests.engine.manual_executor import LEASE, EngineHarness, open_engine


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


async def read_reports(engine: EngineHarness) -> dict[str, ExecutorRecord]:
    """Return the executors by their ids, in the report's order."""
    found = await read_executors(engine.store.connections, now=engine.clock.now())
    return {one.id: one for one in found}


async def test_it_is_busy_with_what_it_holds(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        for _ in range(3):
            await hands.create_instance()
        await (await hands.add_executor("executor-a")).claim_due(2)
        await hands.add_executor("executor-b")

        found = await read_reports(hands)

    assert {id: (one.busy, one.slots) for id, one in found.items()} == {"executor-a": (2, 10), "executor-b": (0, 10)}
    one = found["executor-a"]
    assert (one.name, one.host, one.pid, one.groups, one.types) == (
        "executor-a",
        socket.gethostname(),
        os.getpid(),
        ("default",),
        ("Orders",),
    )
    assert (one.status, one.is_live, one.claimed) == ("RUNNING", True, None)


async def test_the_live_ones_come_first_then_the_last_heard_of(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        await hands.add_executor("a-long-gone")
        hands.clock.advance(5 * SECOND_MICROSECONDS)
        await hands.add_executor("b-gone")
        for id in ("a-long-gone", "b-gone"):
            await hands.store.executors.deregister(id, now=hands.clock.now())
        hands.clock.advance(5 * SECOND_MICROSECONDS)
        await hands.add_executor("z-live")
        await hands.add_executor("y-draining")
        await hands.store.executors.mark_draining("y-draining")

        found = await read_reports(hands)

    assert [(id, one.status) for id, one in found.items()] == [
        ("y-draining", "DRAINING"),
        ("z-live", "RUNNING"),
        ("b-gone", "STOPPED"),
        ("a-long-gone", "STOPPED"),
    ]


async def test_one_whose_lease_ran_out_is_lost_before_anybody_noticed(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        await hands.add_executor("executor-a")
        hands.clock.advance(to_microseconds(LEASE) + SECOND_MICROSECONDS)

        found = await read_reports(hands)

        (record,) = await hands.store.executors.list_all()

    assert (found["executor-a"].status, found["executor-a"].is_live, record.status) == ("LOST", False, "RUNNING")


async def test_a_beat_notes_the_last_claim_and_one_without_keeps_it(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        await hands.add_executor("executor-a")
        await hands.add_executor("executor-b")
        claims = [
            await record_beat(hands.store, claimed)
            for claimed in (None, 7 * SECOND_MICROSECONDS, None, 9 * SECOND_MICROSECONDS)
        ]

        found = await read_reports(hands)

    assert claims == [None, 7 * SECOND_MICROSECONDS, 7 * SECOND_MICROSECONDS, 9 * SECOND_MICROSECONDS]
    assert found["executor-b"].claimed is None


async def record_beat(store: Store, claimed: int | None) -> int | None:
    """Beat, and return which claim is noted."""
    await store.executors.renew_lease("executor-a", lease_microseconds=60 * SECOND_MICROSECONDS, claimed_at=claimed)
    found = await read_executors(store.connections, now=0)
    return next(one.claimed for one in found if one.id == "executor-a")
