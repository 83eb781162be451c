"""Retrying while the store is away: growing delays, one warning for all, and an end that is logged."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from flowlet.engine.outage import DELAYS_SECONDS, Backoff, Contact, retry_while_away
from flowlet.errors import StoreUnavailableError
from flowlet.log_setup import OutageLog
from tests.engine.clocks import RecordingClock


class UnreliableStore:
    """Answers after so many failures."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error

    async def read(self) -> str:
        if self.failures:
            self.failures -= 1
            raise self.error
        return "answer"


AWAY = StoreUnavailableError("the database is away")


async def test_a_call_is_repeated_until_the_store_answers_with_growing_delays() -> None:
    clock, store = RecordingClock(), UnreliableStore(len(DELAYS_SECONDS) + 1, AWAY)

    assert await retry_while_away(store.read, clock, "reading") == "answer"

    assert clock.recorded_sleeps == [*DELAYS_SECONDS, DELAYS_SECONDS[-1]]


async def test_any_other_error_is_raised() -> None:
    with pytest.raises(ValueError, match="no such row"):
        await retry_while_away(UnreliableStore(1, ValueError("no such row")).read, RecordingClock(), "reading")


async def test_an_outage_is_one_warning_and_its_end_one_line_for_all_activities(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage = OutageLog()
    claiming, maintenance = (Backoff(name, outage_log=outage) for name in ("claiming", "maintenance"))

    for backoff in (claiming, maintenance, claiming):
        backoff.next_delay(AWAY)
    for backoff in (maintenance, claiming):
        backoff.reset()

    assert [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records] == [
        ("WARNING", "the store is away"),
        ("INFO", "the store is back"),
    ]


async def test_each_failed_attempt_is_a_debug_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "flowlet.engine.outage")

    await retry_while_away(UnreliableStore(1, AWAY).read, RecordingClock(), "reading a row")

    assert [(record.levelname, record.getMessage()) for record in caplog.records if "row" in record.getMessage()] == [
        ("DEBUG", "reading a row: the store is away, next attempt in 0.05 s: the database is away"),
        ("DEBUG", "reading a row: succeeded after 1 failed attempts"),
    ]


def test_an_unexpected_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    backoff = Backoff("claiming")

    delays = [backoff.next_delay(ValueError("no")), backoff.next_delay(ValueError("no"))]

    assert delays == list(DELAYS_SECONDS[:2])
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "claiming: unexpected error, next attempt in 0.05 s"
    assert record.exc_info is not None


def test_a_success_begins_the_delays_anew() -> None:
    backoff = Backoff("claiming")
    backoff.next_delay(AWAY)
    backoff.reset()

    assert backoff.next_delay(AWAY) == DELAYS_SECONDS[0]


async def test_a_heartbeat_ends_an_outage_whose_last_interrupted_activity_was_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock, outage = RecordingClock(), OutageLog()
    contact = Contact(clock, timedelta(seconds=3), outage_log=outage)

    with Backoff("committing", outage_log=outage) as commit:
        commit.next_delay(AWAY)
        contact.record_success()
        assert len(caplog.records) == 1
    contact.record_success()

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the store is away",
        "the store is back",
    ]
