"""Rates and breakers, on the virtual clock: when attempts begin, when none does, and who may change that."""

from __future__ import annotations

from dataclasses import replace

from flowlet.engine.release import build_release
from flowlet.instance.attempt_result import AttemptResult
from flowlet.instance.instance import Status
from flowlet.operations.limits import LimitOperations
from flowlet.store.dialects.batch import collect_followups
from flowlet.store.limits.survey import AdmissionRequest
from flowlet.workflow.limits import Breaker, Limit, Rate
from flowlet.workflow.retry import Retry
from tests.engine.limits.limited_modules import Door, build_charges
from tests.engine.limits.limits_harness import LimitsHarness, open_limits


async def test_a_rate_lets_attempts_begin_as_its_tokens_come_and_retries_count(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        module = build_charges(door, rate=Rate(3, per="30s"), limit=Limit(50, by="customer"))
        await seen.add_executor(module)
        await seen.add_executor(build_charges(door, rate=Rate(3, per="30s"), limit=Limit(50, by="customer")))
        door.faults = 1
        await seen.create([f"customer-{number}" for number in range(8)])

        counts = [await count_visits(seen, door, "0s")]
        counts += [await count_visits(seen, door, "5s") for _ in range(8)]

        # Three at once, then one each ten seconds; the failed one comes again after ten seconds, as one of these.
        assert counts == [3, 3, 4, 4, 5, 5, 6, 6, 7]
        next_due = await seen.executors[0].parts.gates.find_next_due(seen.clock.now())
        assert next_due == seen.clock.now() + 10_000_000
        await seen.advance("20s")
        assert len(door.visits) == 9
        await seen.check_all_ended()
        await seen.advance("1 hour")
        await seen.create(["late"] * 5)
        await seen.settle()
        assert len(door.visits) == 12  # no more than three have gathered


async def test_a_breaker_opens_tries_one_and_closes(database_url: str) -> None:
    door = Door()
    door.faults = 4
    retry = Retry(limit=5, min="1s", max="1s", backoff="linear")
    async with open_limits(database_url) as seen:
        for _ in range(2):
            await seen.add_executor(build_charges(door, breaker=Breaker(3, pause="1 minute"), retry=retry), slots=1)
        await seen.create(["anna"] * 6)

        for _ in range(3):
            await seen.executors[0].claim()
            await seen.wait_until_idle()
        opened = (await seen.read_limit()).record
        assert (opened.is_broken, opened.failures, opened.held_reason) == (
            True,
            3,
            "ConnectionError: the bank is closed",
        )
        await seen.advance("59s")
        assert len(door.visits) == 3

        await seen.advance("1s")
        tried = (await seen.read_limit()).record
        assert (len(door.visits), tried.is_broken, tried.held_at) == (4, True, seen.clock.now())

        await seen.advance("1 minute")
        closed = (await seen.read_limit()).record
        assert (closed.is_broken, closed.failures, closed.probe_id) == (False, 0, None)
        await seen.advance("1 minute")
        await seen.check_all_ended()
        assert len(door.visits) == 10


async def test_one_instance_is_tried_after_the_pause_and_another_one_if_its_executor_is_gone(
    database_url: str,
) -> None:
    door, closed = Door(), Door(is_open=False)
    door.faults = 1
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(door, breaker=Breaker(1, pause="1 minute")), slots=1)
        ids = await seen.create(["anna"] * 5)
        await one.claim()
        await seen.wait_until_idle()
        two = await seen.add_executor(build_charges(closed, breaker=Breaker(1, pause="1 minute")))
        seen.clock.advance(60_000_000)

        assert await two.claim() == 1
        assert await one.claim() == 0
        assert (await seen.read_limit()).record.probe_id in ids
        await seen.store.executors.deregister(two.id, now=seen.clock.now())
        two.worker.cancel_leases(list(two.worker.running.values()))
        await two.worker.wait_until_idle()
        assert await one.claim() == 1

        await one.worker.wait_until_idle()
        assert (await seen.read_limit()).record.held_at is None
        seen.clock.advance(10_000_000)
        while await one.claim():
            await one.worker.wait_until_idle()
        assert len(door.visits) == 6
        await seen.check_all_ended()


async def test_the_successes_of_one_batch_are_counted_by_one_statement(database_url: str) -> None:
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(Door(), breaker=Breaker(2, pause="1s")))
        ids = await seen.create(["anna"] * 7)
        scope = (await seen.read_limit()).record.scope
        request = AdmissionRequest(one.id, scope, "Charges", 1, None, ("default",), limit=9, now=seen.clock.now())
        leased = (await seen.store.admission.admit(request)).instances
        held = f"UPDATE flowlet_gate SET held = 1, failures = 2, probe_id = {ids[4]}"
        await seen.store.connections.write(lambda session: session.execute(held))

        transitions = [
            replace(
                build_release(each, now=seen.clock.now(), executor_id=one.id, reason=""),
                result=AttemptResult(scope, None),
            )
            for each in leased
        ]
        assert [len(each.workflow_ids) for each in collect_followups(transitions).results] == [7]
        await seen.store.instances.commit(one.id, transitions, now=seen.clock.now())

        record = (await seen.read_limit()).record
        assert (record.held_at, record.failures, record.probe_id) == (None, 0, None)


async def test_a_version_without_the_breaker_closes_it(database_url: str) -> None:
    door = Door()
    door.faults = 1
    async with open_limits(database_url) as seen:
        await seen.add_executor(build_charges(door, breaker=Breaker(1, pause="1 day")))
        (id,) = await seen.create(["anna"])
        await seen.settle()
        assert (await seen.read_limit()).record.is_broken

        await seen.add_executor(build_charges(door, limit=Limit(1), version=2))

        record = (await seen.read_limit()).record
        assert (record.held_at, record.held_reason, record.failures) == (None, None, 0)
        await seen.advance("10s")
        assert (await seen.get(id)).status is Status.FINISHED


async def test_a_person_holds_a_limit_and_releases_it(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        await seen.add_executor(build_charges(door, breaker=Breaker(2, pause="1s"), limit=Limit(5)))
        limits = LimitOperations(seen.store)
        await limits.hold("Charges", "charge", username="ada", reason="the bank moves")
        (id,) = await seen.create(["anna"])
        await seen.advance("1 hour")

        held = await seen.read_limit()
        assert (held.record.held_by, held.record.held_reason, held.waiting) == ("ada", "the bank moves", 1)
        assert (await seen.get(id)).status is Status.NEW

        await limits.release("Charges", "charge", username="ada")
        await seen.settle()
        await seen.check_all_ended()


async def count_visits(harness: LimitsHarness, door: Door, length: str) -> int:
    """Let time pass; return how many attempts have begun by then."""
    await harness.advance(length)
    return len(door.visits)
