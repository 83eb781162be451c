"""The report of what happened in each minute or hour."""

from __future__ import annotations

from flowlet.errors import Fail
from flowlet.states import Workflow, end, state
from flowlet.store.reports.throughput import Span, throughput
from tests.engine.hands import Hand, Hands, opened
from tests.engine.making import one_state, workflow_module
from tests.store.tallying import MINUTE

HOUR = 60 * MINUTE


async def finishing() -> str:
    return "done"


@state(start=True, next=["done"])
async def doomed() -> None:
    raise Fail("never")


ORDERS = workflow_module(**one_state(finishing))
DOOMED = workflow_module(workflow=Workflow("Doomed"), doomed=doomed, done=end())


async def run(hands: Hands, hand: Hand, *names: str) -> None:
    """Take new instances of these workflows to their ends."""
    for name in names:
        await hands.create(name)
    for instance in await hand.claim():
        await hand.commit(await hand.run(instance))


async def reports(hands: Hands) -> list[list[Span]]:
    """Return the reports of the last hour and the last day."""
    now, connections = hands.clock.now(), hands.store.connections
    return [
        await throughput(connections, since=now - 60 * MINUTE, until=now, step=MINUTE),
        await throughput(connections, since=now - 24 * HOUR, until=now, step=HOUR),
    ]


async def test_what_happened_is_told_by_the_minute_empty_ones_too(database_url: str) -> None:
    async with opened(database_url, ORDERS, DOOMED) as hands:
        hand = await hands.hand()
        hands.clock.advance(MINUTE - hands.clock.now() % MINUTE)
        first = hands.clock.now()
        await run(hands, hand, "Orders", "Orders", "Doomed")
        hands.clock.advance(3 * MINUTE)
        await run(hands, hand, "Orders")

        spans = await throughput(
            hands.store.connections, since=first - MINUTE + 1, until=first + 4 * MINUTE, step=MINUTE
        )

        assert spans == [
            Span(first - MINUTE, 0, 0, 0, 0, 0),
            Span(first, 2, 1, 2, 1, 0),
            Span(first + MINUTE, 0, 0, 0, 0, 0),
            Span(first + 2 * MINUTE, 0, 0, 0, 0, 0),
            Span(first + 3 * MINUTE, 1, 0, 1, 0, 0),
        ]


async def test_only_what_a_type_did_is_told_where_one_is_named(database_url: str) -> None:
    async with opened(database_url, ORDERS, DOOMED) as hands:
        await run(hands, await hands.hand(), "Orders", "Orders", "Doomed")
        since = hands.clock.now() - hands.clock.now() % HOUR

        of_one, of_none = [
            await throughput(hands.store.connections, since=since, until=since + HOUR, step=HOUR, type=type)
            for type in ("Doomed", "Nothing")
        ]

        assert of_one == [Span(since, 0, 1, 0, 1, 0)]
        assert of_none == [Span(since, 0, 0, 0, 0, 0)]


async def test_the_last_hour_and_the_last_day_say_the_same_before_and_after_folding(database_url: str) -> None:
    async with opened(database_url, ORDERS, DOOMED) as hands:
        hand = await hands.hand()
        for _ in range(30):
            await run(hands, hand, "Orders", "Doomed")
            hands.clock.advance(48 * MINUTE)
        before = await reports(hands)

        while await hands.store.tallies.fold(now=hands.clock.now()):
            pass

        assert await reports(hands) == before
        assert [sum(span.finished for span in report) for report in before] == [1, 30]
        rows = await hands.rows("SELECT minutes FROM workflow_tally WHERE minutes = 60")
        assert len(rows) > 20
