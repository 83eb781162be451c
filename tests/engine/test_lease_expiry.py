"""An executor that cannot renew its lease runs nothing beyond it, and leases are measured in time with contact."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from flowlet.clock import VirtualClock, to_microseconds
from flowlet.engine.outage import Contact
from flowlet.engine.worker_parts import build_worker_parts
from flowlet.instance.instance import Status
from flowlet.store.dialects.batch import LOCKED_MICROSECONDS
from flowlet.store.instances import ClaimedInstances
from tests.engine.executor_harness import GatedHandler, run_executor, wait_for
from tests.engine.lease_settings import EXECUTOR_SETTINGS, ORDERS_MODULE
from tests.engine.manual_executor import LEASE, EngineHarness, open_engine
from tests.engine.test_heartbeat import lock_executor_row

SECOND = 1_000_000
LEASE_SECONDS = 30
CONTACT_LEASE = timedelta(seconds=LEASE_SECONDS)


async def test_a_handler_is_cancelled_when_the_lease_has_run_out_and_its_instance_runs_again(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = GatedHandler()
    async with (
        run_executor(database_url, gate.build_module(), lease=timedelta(seconds=1)) as run,
        open_engine(database_url) as other,
    ):
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())

        async with lock_executor_row(other.store):
            await wait_for(gate.was_cancelled.wait())
        gate.may_finish.set()
        while (await run.get_instance(id)).status is not Status.FINISHED:
            run.executor.wake()

    assert gate.run_count == 2
    assert "has run out: 1 activations are cancelled" in caplog.text


class LateAnswers:
    """Claims whose answers arrive so many seconds after they were sent."""

    def __init__(self, engine: EngineHarness, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self._claim = engine.store.instances.claim
        self._clock, self._seconds = engine.clock, seconds
        self.count = 0
        monkeypatch.setattr(engine.store.instances, "claim", self.claim)

    async def claim(self, request: Any) -> ClaimedInstances:
        self.count += 1
        claimed = await self._claim(request)
        self._clock.advance(int(self._seconds * SECOND))
        return claimed


@pytest.mark.parametrize(("seconds", "count"), [(0.6 * LEASE_SECONDS, 1), (0.7 * LEASE_SECONDS, 0)])
async def test_a_claim_that_is_answered_too_late_is_not_run(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, seconds: float, count: int
) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as engine:
        id = await engine.create_instance()
        executor = await engine.add_executor("executor-a", lease=timedelta(days=1))
        parts = build_worker_parts(engine.store, engine.registry, EXECUTOR_SETTINGS, executor.id, random=Random(7))
        LateAnswers(engine, seconds, monkeypatch)

        claimed = await parts.worker.claim_due()
        await parts.worker.wait_until_idle()

        assert claimed.instance_count == count
        assert (parts.wakeup._due is None) == bool(count), "it looks again for what else is due"
        assert (await engine.get_instance(id)).status is (Status.FINISHED if count else Status.EXECUTING)
        await parts.committer.close()


async def test_without_a_lease_nothing_is_claimed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as engine:
        await engine.create_instance()
        executor = await engine.add_executor("executor-a", lease=timedelta(days=1))
        parts = build_worker_parts(engine.store, engine.registry, EXECUTOR_SETTINGS, executor.id, random=Random(7))
        answers = LateAnswers(engine, 0, monkeypatch)
        parts.lease_timer.renew(engine.clock.monotonic() - LEASE.total_seconds())

        claimed, now = await parts.worker.claim_due(), engine.clock.now()
        assert claimed == (0, now, False, now + LOCKED_MICROSECONDS), "it looks again soon"
        assert answers.count == 0
        await parts.committer.close()


class ContactHarness:
    """Contact with a store, and the age that a lease has to have to count as run out."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.contact = Contact(self.clock, CONTACT_LEASE)

    def pass_time(self, seconds: int) -> None:
        """Let time pass in which the store answers each second."""
        for _ in range(seconds):
            self.clock.advance(SECOND)
            self.contact.record_success()

    def pass_outage(self, seconds: int) -> None:
        """Let time pass in which the store answers nothing, until it does."""
        began = self.clock.now()
        for _ in range(seconds):
            self.clock.advance(SECOND)
            self.contact.record_running()
            self.contact.record_failure(began)
        self.contact.record_success()

    @property
    def lost_seconds(self) -> float | None:
        """How much longer than a lease a lease lasts; None if none can be judged yet."""
        before = self.contact.get_expired_before()
        return None if before is None else (self.clock.now() - before) / SECOND


def test_before_the_length_of_a_lease_no_lease_can_be_judged() -> None:
    at = ContactHarness()

    at.pass_time(LEASE_SECONDS - 1)
    assert at.lost_seconds is None
    at.pass_time(1)
    assert at.lost_seconds == 0


@pytest.mark.parametrize("outage", ["pass_outage", "stand_still"])
def test_time_without_contact_is_no_part_of_a_lease(outage: str) -> None:
    at = ContactHarness()
    at.pass_time(LEASE_SECONDS)

    if outage == "pass_outage":
        at.pass_outage(100)
    else:
        at.clock.advance(100 * SECOND)
        at.contact.record_running()

    assert at.lost_seconds == 100
    at.pass_time(LEASE_SECONDS - 1)
    assert at.lost_seconds == 100
    at.pass_time(1)
    assert at.lost_seconds == 0


def test_short_faults_without_end_delay_repairs_by_no_more_than_they_last() -> None:
    at = ContactHarness()
    at.pass_time(LEASE_SECONDS)
    for _ in range(1_000):
        at.pass_time(4)
        at.pass_outage(1)

    assert at.lost_seconds == pytest.approx(LEASE_SECONDS / 4, abs=1)
    assert to_microseconds(CONTACT_LEASE) == LEASE_SECONDS * SECOND


def test_an_outage_that_several_calls_see_is_one() -> None:
    at = ContactHarness()
    at.pass_time(LEASE_SECONDS)
    began = at.clock.now()
    at.clock.advance(20 * SECOND)
    at.contact.record_failure(began + 5 * SECOND)
    at.contact.record_success()
    at.contact.record_failure(began)
    at.contact.record_success()

    assert at.lost_seconds == 20
