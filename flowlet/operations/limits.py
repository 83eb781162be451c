"""The operations on limits that the API, the console and the command line share."""

from __future__ import annotations

import logging
from datetime import timedelta

from flowlet.clock import Duration, format_duration, parse_duration, to_datetime, to_microseconds
from flowlet.errors import DurationError, RefusedError
from flowlet.instance.instance import Instance, Status
from flowlet.instance.limit_gate import NO_VALUE, LimitGate
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LimitRecord
from flowlet.store.opening import Store
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_REASON_LENGTH, clean_text
from flowlet.workflow.limits import MAX_PERIOD, MIN_PERIOD

__all__ = [
    "LimitOperations",
    "check_interval",
    "describe_hold",
    "describe_limit",
    "describe_opening",
    "describe_wait",
]

logger = logging.getLogger(__name__)


class LimitOperations:
    """Lists, holds and releases limits. Every change is one transaction; the log and the audit name who made it.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_all(self, *, type: str | None = None) -> list[LimitUse]:
        """Return all limits, or those of a workflow, with what runs and waits, by workflow and state; 1,000 at most."""
        return await self._store.limits.list_all(now=self._store.clock.now(), type=type)

    async def list_held(self) -> list[LimitUse]:
        """Return the limits that a user or a breaker holds, with what runs and waits."""
        return await self._store.limits.list_all(now=self._store.clock.now(), is_held=True)

    async def hold(self, type: str, state: str | None, *, username: str, reason: str) -> LimitUse:
        """Let no attempt begin until the limit is released; what runs goes on.

        Args:
            type: The workflow.
            state: The state; None for the limits of the whole workflow.
            username: Who holds it.
            reason: Why; required, and shown wherever something waits for it.

        Raises:
            UnknownLimitError: If it has no limits.
            RefusedError: If there is no reason, or a user holds it already.
        """
        if not reason.strip():
            raise RefusedError("holding a limit needs a reason: it is shown where workflows wait")
        now = self._store.clock.now()
        by = clean_text(username, MAX_IDENTIFIER_LENGTH)
        text = clean_text(reason, MAX_REASON_LENGTH)
        held = await self._store.limits.hold(type, state, now=now, username=by, reason=text, check=_check_not_held)
        logger.warning("%s holds the limit of %s: %s", by, _format_scope(held), text)
        return await self._store.limits.get_use(type, state, now=now)

    async def release(
        self, type: str, state: str | None, *, username: str, interval: Duration | None = None
    ) -> LimitUse:
        """End a hold, of a user or of a breaker: attempts begin again.

        Args:
            type: The workflow.
            state: The state; None for the limits of the whole workflow.
            username: Who releases it.
            interval: How long after one attempt the next one begins, until all that waits now could have begun. None
                for the interval of the limit's breaker; without one all begin at once.

        Raises:
            UnknownLimitError: If it has no limits.
            RefusedError: If nothing holds it.
            DurationError: If ``interval`` is not a duration from a millisecond to 31 days.
        """
        length = None if interval is None else to_microseconds(check_interval(interval))
        now = self._store.clock.now()
        by = clean_text(username, MAX_IDENTIFIER_LENGTH)
        released = await self._store.limits.release(
            type, state, now=now, username=by, interval=length, check=_check_held
        )
        logger.info("%s has released the limit of %s", by, _format_scope(released))
        return await self._store.limits.get_use(type, state, now=now)

    async def explain_wait(self, instance: Instance) -> str | None:
        """Return what an instance waits for behind a limit, in one sentence; None if it does not wait there."""
        gate, now = LimitGate.parse(instance.gate), self._store.clock.now()
        is_due = instance.next_activation_us is not None and instance.next_activation_us <= now
        if gate is None or instance.status not in (Status.NEW, Status.IN_PROGRESS) or not is_due:
            return None
        use = await self._store.limits.find_use(gate.scope, now=now)
        if use is None:
            return "It waits for a slot of a limit that no executor has stored: start one that knows the workflow."
        running = await self._store.limits.count_running(str(instance.gate))
        return describe_wait(use.record, running, gate.key)


def check_interval(value: Duration) -> timedelta:
    """Return the interval at which a limit opens.

    Raises:
        DurationError: If it is not a duration from a millisecond to 31 days.
    """
    interval = parse_duration(value)
    if not MIN_PERIOD <= interval <= MAX_PERIOD:
        raise DurationError(f"the interval {format_duration(interval)} is not from a millisecond to 31 days")
    return interval


def describe_limit(record: LimitRecord) -> str:
    """Return the numbers of a limit in words: "10 at once by customer, 100 per minute"."""
    parts = []
    if record.capacity is not None:
        by = f" by {record.key_variable}" if record.key_variable else ""
        parts.append(f"{record.capacity:,} at once{by}")
    if record.rate_count is not None:
        parts.append(f"{record.rate_count:,} per {_format(record.rate_period)}")
    if record.breaker_count is not None:
        parts.append(f"a pause of {_format(record.breaker_pause)} after {record.breaker_count:,} failures in a row")
    if record.breaker_interval is not None:
        parts.append(f"then one each {_format(record.breaker_interval)}")
    return ", ".join(parts) or "none in the present version"


def describe_hold(record: LimitRecord) -> str | None:
    """Return who or what holds a limit, since when, and why; None if nothing does."""
    if record.held_at is None:
        return None
    since = f"{to_datetime(record.held_at):%Y-%m-%d %H:%M:%S} UTC"
    if record.held_by is not None:
        return f"held by {record.held_by} since {since}: {record.held_reason}"
    return f"held by its breaker since {since}, after {record.failures:,} failures in a row: {record.held_reason}"


def describe_opening(record: LimitRecord) -> str | None:
    """Return at which interval attempts begin since the end of a hold; None if they begin at once."""
    if record.opened_interval is None or record.held_at is not None:
        return None
    until = "" if record.opened_until is None else f" until {to_datetime(record.opened_until):%Y-%m-%d %H:%M:%S} UTC"
    return f"letting one attempt begin each {_format(record.opened_interval)}{until}"


def describe_wait(record: LimitRecord, running: int, key: str) -> str:
    """Return what an instance behind a limit waits for.

    Args:
        record: The limit.
        running: How many instances of its key run.
        key: Its key; empty if the limit counts all together.
    """
    subject = f"the limit of {_format_scope(record)}"
    if hold := describe_hold(record):
        return f"It waits for {subject}, which is {hold}."
    if record.capacity is not None and running >= record.capacity:
        of = f" {_format_key(record.key_variable, key)}" if record.key_variable else ""
        return f"It waits for a slot of {subject} ({running:,} of {record.capacity:,} in use{of})."
    if opening := describe_opening(record):
        return f"It waits for {subject}, which is {opening}."
    if record.rate_count is not None:
        return f"It waits for {subject}: {record.rate_count:,} attempts begin per {_format(record.rate_period)}."
    return f"It waits for a slot of {subject}, and is about to run."


def _format_key(variable: str, key: str) -> str:
    return f"without {variable}" if key == NO_VALUE else f"for {variable} {key!r}"


def _check_not_held(record: LimitRecord) -> None:
    if record.held_by is not None:
        raise RefusedError(f"the limit of {_format_scope(record)} is held already by {record.held_by!r}")


def _check_held(record: LimitRecord) -> None:
    if record.held_at is None:
        raise RefusedError(f"the limit of {_format_scope(record)} is not held")


def _format_scope(record: LimitRecord) -> str:
    return f"{record.type} in state {record.state!r}" if record.state else f"{record.type} as a whole"


def _format(microseconds: int | None) -> str:
    return format_duration(timedelta(microseconds=microseconds or 0))
