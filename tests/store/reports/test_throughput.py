"""The report of what happened in each minute or hour."""

from __future__ import annotations

from flowlet.errors import Fail
from flowlet.store.reports.throughput import ThroughputInterval, read_throughput
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine
from tests.store.counter_totals import MINUTE_MICROSECONDS

HOUR_MICROSECONDS = 60 * MINUTE_MICROSECONDS


async def finish() -> str:
    return "done"


@state(start=True, next=["done"])
async def doomed() -> None:
    raise Fail("never")


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))
DOOMED_MODULE = build_workflow_module(workflow=Workflow("Doomed"), doomed=doomed, done=end())


async def run_to_end(engine: EngineHarness, executor: ManualExecutor, *names: str) -> None:
    """Take new instances of these workflows to their ends."""
    for name in names:
        await engine.create_instance(name)
    for instance in await executor.claim_due():
        await executor.commit_transitions(await executor.run_instance(instance))


async def read_reports(engine: EngineHarness) -> list[list[ThroughputInterval]]:
    """Return the reports of the last hour and the last day."""
    now, connections = engine.clock.now(), engine.store.connections
    return [
        await read_throughput(
            connections, since=now - 60 * MINUTE_MICROSECONDS, until=now, step_microseconds=MINUTE_MICROSECONDS
        ),
        await read_throughput(
            connections, since=now - 24 * HOUR_MICROSECONDS, until=now, step_microseconds=HOUR_MICROSECONDS
        ),
    ]


async def test_what_happened_is_told_by_the_minute_empty_ones_too(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE, DOOMED_MODULE) as hands:
        hand = await hands.add_executor()
        hands.clock.advance(MINUTE_MICROSECONDS - hands.clock.now() % MINUTE_MICROSECONDS)
        first = hands.clock.now()
        await run_to_end(hands, hand, "Orders", "Orders", "Doomed")
        hands.clock.advance(3 * MINUTE_MICROSECONDS)
        await run_to_end(hands, hand, "Orders")

        spans = await read_throughput(
            hands.store.connections,
            since=first - MINUTE_MICROSECONDS + 1,
            until=first + 4 * MINUTE_MICROSECONDS,
            step_microseconds=MINUTE_MICROSECONDS,
        )

        assert spans == [
            ThroughputInterval(first - MINUTE_MICROSECONDS, 0, 0, 0, 0, 0),
            ThroughputInterval(first, 2, 1, 2, 1, 0, opened=3),
            ThroughputInterval(first + MINUTE_MICROSECONDS, 0, 0, 0, 0, 0),
            ThroughputInterval(first + 2 * MINUTE_MICROSECONDS, 0, 0, 0, 0, 0),
            ThroughputInterval(first + 3 * MINUTE_MICROSECONDS, 1, 0, 1, 0, 0, opened=1),
        ]


async def test_only_what_a_type_did_is_told_where_one_is_named(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE, DOOMED_MODULE) as hands:
        await run_to_end(hands, await hands.add_executor(), "Orders", "Orders", "Doomed")
        since = hands.clock.now() - hands.clock.now() % HOUR_MICROSECONDS

        of_one, of_none = [
            await read_throughput(
                hands.store.connections,
                since=since,
                until=since + HOUR_MICROSECONDS,
                step_microseconds=HOUR_MICROSECONDS,
                type=type,
            )
            for type in ("Doomed", "Nothing")
        ]

        assert of_one == [ThroughputInterval(since, 0, 1, 0, 1, 0, opened=1)]
        assert of_none == [ThroughputInterval(since, 0, 0, 0, 0, 0)]


async def test_the_last_hour_and_the_last_day_say_the_same_before_and_after_folding(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE, DOOMED_MODULE) as hands:
        hand = await hands.add_executor()
        for _ in range(30):
            await run_to_end(hands, hand, "Orders", "Doomed")
            hands.clock.advance(48 * MINUTE_MICROSECONDS)
        before = await read_reports(hands)

        while await hands.store.counters.roll_up(now=hands.clock.now()):
            pass

        assert await read_reports(hands) == before
        assert [sum(span.finished for span in report) for report in before] == [1, 30]
        rows = await hands.fetch_rows("SELECT minutes FROM flowlet_counter WHERE minutes = 60")
        assert len(rows) > 20
