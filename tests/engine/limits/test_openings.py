"""What has waited begins one after another, at an interval, once a breaker has closed or a person has released it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowlet.errors import DurationError
from flowlet.operations.limits import LimitOperations, describe_opening
from flowlet.workflow.limits import Breaker, Limit
from flowlet.workflow.retry import Retry
from tests.engine.limits.limited_modules import Door, build_charges
from tests.engine.limits.limits_harness import LimitsHarness, open_limits

RETRY = Retry(limit=5, min="1s", max="1s", backoff="linear")


async def test_a_breaker_that_closes_lets_what_has_waited_begin_at_its_interval(database_url: str) -> None:
    door = Door()
    door.faults = 1
    breaker = Breaker(1, pause="1 minute", interval="10s")
    async with open_limits(database_url) as seen:
        for _ in range(2):
            await seen.add_executor(build_charges(door, breaker=breaker, retry=RETRY))
        await seen.create(["anna"])
        await seen.settle()
        await seen.create(["anna"] * 4)

        await seen.advance("59s")
        counts = [await count_visits(seen, door, "1s")]
        counts += [await count_visits(seen, door, "5s") for _ in range(6)]

        # The probe, and with it the first of the others; then one each ten seconds.
        assert counts == [3, 3, 4, 4, 5, 5, 6]
        await seen.check_all_ended()


async def test_a_release_at_an_interval_ends_when_all_that_had_waited_could_have_begun(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        await seen.add_executor(build_charges(door, limit=Limit(50)))
        await seen.add_executor(build_charges(door, limit=Limit(50)))
        limits = LimitOperations(seen.store)
        await limits.hold("Charges", "charge", username="ada", reason="the bank moves")
        await seen.create(["anna"] * 4)

        await limits.release("Charges", "charge", username="ada", interval="100ms")
        counts = [await count_visits(seen, door, "0s")]
        await seen.create(["late"] * 5)
        counts += [await count_visits(seen, door, "100ms")]
        opening = await seen.read_limit()
        assert opening.record.opened_interval == 100_000
        assert describe_opening(opening.record) == (
            "letting one attempt begin each 100 milliseconds until 2030-01-01 00:00:00 UTC"
        )
        counts += [await count_visits(seen, door, "200ms")]
        counts += [await count_visits(seen, door, "100ms")]

        assert counts == [1, 2, 4, 9]
        closed = await seen.read_limit()
        assert (closed.record.opened_interval, describe_opening(closed.record)) == (None, None)
        await seen.check_all_ended()


async def test_executors_sleep_until_the_next_attempt_may_begin(database_url: str) -> None:
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(Door(), limit=Limit(50)))
        limits = LimitOperations(seen.store)
        await limits.hold("Charges", "charge", username="ada", reason="the bank moves")
        await seen.create(["anna"] * 3)
        await limits.release("Charges", "charge", username="ada", interval=timedelta(seconds=30))
        await seen.settle()

        assert await one.parts.gates.find_next_due(seen.clock.now()) == seen.clock.now() + 30_000_000


async def test_another_hold_ends_an_opening_and_an_interval_out_of_range_is_refused(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        await seen.add_executor(build_charges(door, limit=Limit(50)))
        limits = LimitOperations(seen.store)
        await limits.hold("Charges", "charge", username="ada", reason="the bank moves")
        await seen.create(["anna"] * 3)

        for interval in ("0s", "32 days"):
            with pytest.raises(DurationError, match="from a millisecond to 31 days"):
                await limits.release("Charges", "charge", username="ada", interval=interval)
        assert (await seen.read_limit()).record.held_by == "ada"
        await limits.release("Charges", "charge", username="ada", interval="1 day")
        await seen.settle()
        await limits.hold("Charges", "charge", username="bob", reason="once more")
        await limits.release("Charges", "charge", username="bob")
        await seen.settle()

        assert len(door.visits) == 3
        await seen.check_all_ended()


async def count_visits(harness: LimitsHarness, door: Door, length: str) -> int:
    """Let time pass; return how many attempts have begun by then."""
    await harness.advance(length)
    return len(door.visits)
