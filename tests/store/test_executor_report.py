"""The report of executors: who is live, how busy each one is, and when it last claimed."""

from __future__ import annotations

from flowlet.clock import microseconds
from flowlet.store.opening import Store
from flowlet.store.reports.executors import ExecutorReport, executors
from tests.engine.hands import LEASE, Hands, opened
from tests.engine.making import SECOND, one_state, workflow_module


async def finishing() -> str:
    return "done"


ORDERS = workflow_module(**one_state(finishing))


async def reported(hands: Hands) -> dict[str, ExecutorReport]:
    """Return the executors by their ids, in the report's order."""
    found = await executors(hands.store.connections, now=hands.clock.now())
    return {one.id: one for one in found}


async def test_it_is_busy_with_what_it_holds(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        for _ in range(3):
            await hands.create()
        await (await hands.hand("executor-a")).claim(2)
        await hands.hand("executor-b")

        found = await reported(hands)

    assert {id: (one.busy, one.slots) for id, one in found.items()} == {"executor-a": (2, 10), "executor-b": (0, 10)}
    one = found["executor-a"]
    assert (one.name, one.host, one.pid, one.groups, one.types) == (
        "executor-a",
        "here",
        1,
        ("default",),
        ("Orders",),
    )
    assert (one.status, one.is_live, one.claimed) == ("RUNNING", True, None)


async def test_the_live_ones_come_first_then_the_last_heard_of(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        await hands.hand("a-long-gone")
        hands.clock.advance(5 * SECOND)
        await hands.hand("b-gone")
        for id in ("a-long-gone", "b-gone"):
            await hands.store.executors.leave(id, now=hands.clock.now())
        hands.clock.advance(5 * SECOND)
        await hands.hand("z-live")
        await hands.hand("y-draining")
        await hands.store.executors.drain("y-draining")

        found = await reported(hands)

    assert [(id, one.status) for id, one in found.items()] == [
        ("y-draining", "DRAINING"),
        ("z-live", "RUNNING"),
        ("b-gone", "STOPPED"),
        ("a-long-gone", "STOPPED"),
    ]


async def test_one_whose_lease_ran_out_is_lost_before_anybody_noticed(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        await hands.hand("executor-a")
        hands.clock.advance(microseconds(LEASE) + SECOND)

        found = await reported(hands)

        (record,) = await hands.store.executors.all()

    assert (found["executor-a"].status, found["executor-a"].is_live, record.status) == ("LOST", False, "RUNNING")


async def test_a_beat_notes_the_last_claim_and_one_without_keeps_it(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        await hands.hand("executor-a")
        await hands.hand("executor-b")
        claims = [await beaten(hands.store, claimed) for claimed in (None, 7 * SECOND, None, 9 * SECOND)]

        found = await reported(hands)

    assert claims == [None, 7 * SECOND, 7 * SECOND, 9 * SECOND]
    assert found["executor-b"].claimed is None


async def beaten(store: Store, claimed: int | None) -> int | None:
    """Beat, and return which claim is noted."""
    await store.executors.beat("executor-a", lease_microseconds=60 * SECOND, claimed=claimed)
    found = await executors(store.connections, now=0)
    return next(one.claimed for one in found if one.id == "executor-a")
