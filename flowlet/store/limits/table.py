"""The tables of limits, a row for each scope, which admissions lock; and of the lanes that are paused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from flowlet.store.columns import Codec, Column, ColumnType, RowEncoder, RowReader, Table

__all__ = ["GATE", "LANE_PAUSE", "LIMIT_ENCODER", "LIMIT_READER", "TOKEN", "LaneKind", "LanePause", "LimitRecord"]

TOKEN = 1_000_000
"""A token of a rate: the columns count millionths."""
MAX_CATCH_UP = 1_000_000
"""How many microseconds of an opening may be made up for at once."""
MAX_CLOCK_DIFFERENCE = 60_000_000
"""By how many microseconds the clocks of two executors never differ: they are set by the store's."""

GATE = Table(
    "flowlet_gate",
    (
        Column("gate", ColumnType.KEY, "NOT NULL PRIMARY KEY", field="scope"),
        Column("workflow_type", ColumnType.NAME, field="type"),
        Column("state", ColumnType.NAME, ""),
        Column("capacity", ColumnType.INTEGER, ""),
        Column("key_variable", ColumnType.NAME, ""),
        Column("rate_count", ColumnType.INTEGER, ""),
        Column("rate_period", ColumnType.BIG, ""),
        Column("breaker_count", ColumnType.INTEGER, ""),
        Column("breaker_pause", ColumnType.BIG, ""),
        Column("breaker_interval", ColumnType.BIG, ""),
        Column("tokens", ColumnType.BIG, "NOT NULL DEFAULT 0"),
        Column("refilled", ColumnType.BIG, "NOT NULL DEFAULT 0"),
        Column("failures", ColumnType.INTEGER, "NOT NULL DEFAULT 0"),
        Column("held", ColumnType.BIG, "", field="held_at"),
        Column("held_by", ColumnType.NAME, ""),
        Column("held_reason", ColumnType.TEXT, ""),
        Column("probe_id", ColumnType.BIG, ""),
        Column("opened_interval", ColumnType.BIG, ""),
        Column("opened_due", ColumnType.BIG, ""),
        Column("opened_until", ColumnType.BIG, ""),
        Column("admissions", ColumnType.BIG, "NOT NULL DEFAULT 0"),
        Column("definition_version", ColumnType.INTEGER, field="version"),
    ),
)
"""The limits. The instances that wait or run behind one have its key, and more, in their own column ``gate``."""


class LaneKind(StrEnum):
    """What a paused lane is made of: all instances of one workflow, or of one executor group."""

    WORKFLOW = "workflow"
    GROUP = "group"


LANE_PAUSE = Table(
    "flowlet_lane_pause",
    (
        Column("kind", ColumnType.WORD, codec=Codec(decode=LaneKind)),
        Column("name", ColumnType.NAME),
        Column("paused", ColumnType.BIG, field="paused_at"),
        Column("paused_by", ColumnType.NAME),
        Column("reason", ColumnType.TEXT),
    ),
    primary_key=("kind", "name"),
)
"""The lanes that are paused, and no others. Executors read it before they claim."""


@dataclass(frozen=True, slots=True)
class LanePause:
    """A lane from which no executor claims.

    Attributes:
        kind: Whether it is a workflow or an executor group.
        name: Its name.
        paused_at: Since when, in microseconds since 1970 UTC.
        paused_by: The user who has paused it.
        reason: Why.
    """

    kind: LaneKind
    name: str
    paused_at: int
    paused_by: str
    reason: str

    def includes(self, type: str, group: str) -> bool:
        """Return whether instances of a workflow in an executor group are in the lane."""
        return self.name == (type if self.kind is LaneKind.WORKFLOW else group)


@dataclass(frozen=True, slots=True)
class LimitRecord:
    """The limits of a state, or of a whole workflow, as they are stored. Times in microseconds since 1970 UTC.

    Attributes:
        scope: How the gates of its instances begin.
        type: The name of the workflow.
        state: The state; None for the whole workflow.
        capacity: How many attempts of one key run at once; None for any number.
        key_variable: The variable whose values have the capacity each; None for one capacity for all.
        rate_count: How many attempts begin in ``rate_period``; None for any number.
        rate_period: In microseconds.
        breaker_count: After how many failures in a row no attempt begins; None for no such number.
        breaker_pause: How long none begins then, in microseconds.
        breaker_interval: How long after one attempt the next one begins once the breaker has closed, in microseconds;
            None for all at once.
        tokens: How many attempts could begin at once at ``refilled``, in millionths.
        refilled: When the tokens were counted.
        failures: How many attempts in a row have failed.
        held_at: Since when no attempt begins; None if it is not held.
        held_by: The user who holds it; None for the breaker.
        held_reason: Why it is held.
        probe_id: The instance that is tried after the breaker's pause; None for none.
        opened_interval: How long after one attempt the next one begins since the end of a hold, in microseconds; None
            for all at once.
        opened_due: When the next attempt may begin by it; None before the first admission since then.
        opened_until: When all that waited at that admission could have begun: the end of the opening.
        admissions: Changes with each admission at a node of a cluster.
        version: The version of the definition that these limits are from.
    """

    scope: str
    type: str
    state: str | None
    capacity: int | None
    key_variable: str | None
    rate_count: int | None
    rate_period: int | None
    breaker_count: int | None
    breaker_pause: int | None
    breaker_interval: int | None
    tokens: int
    refilled: int
    failures: int
    held_at: int | None
    held_by: str | None
    held_reason: str | None
    probe_id: int | None
    opened_interval: int | None
    opened_due: int | None
    opened_until: int | None
    admissions: int
    version: int

    @property
    def is_broken(self) -> bool:
        """Whether its breaker holds it."""
        return self.held_at is not None and self.held_by is None

    @property
    def probe_due(self) -> int | None:
        """When one instance is tried after the breaker's pause; None if it is not the breaker that holds it."""
        if self.held_at is None or self.held_by is not None:
            return None
        return self.held_at + (self.breaker_pause or 0)

    def count_tokens(self, now: int) -> int | None:
        """Return how many attempts the rate lets begin now, in millionths; None for any number."""
        if self.rate_count is None or not self.rate_period:
            return None
        if self._was_clock_set_back(now):
            return self.rate_count * TOKEN
        gained = max(now - self.refilled, 0) * self.rate_count * TOKEN // self.rate_period
        return min(self.tokens + gained, self.rate_count * TOKEN)

    def take_tokens(self, count: int, now: int) -> LimitRecord:
        """Return the limit after so many attempts have begun."""
        tokens = self.count_tokens(now)
        if tokens is None or not count:
            return self
        # Never back: an executor whose clock is behind would let the others count the same time twice.
        refilled = now if self._was_clock_set_back(now) else max(now, self.refilled)
        return replace(self, tokens=tokens - count * TOKEN, refilled=refilled)

    def begin_opening(self, now: int, waiting: int) -> LimitRecord:
        """Return the limit whose opening begins, with so many instances that wait, or is over; else the same one."""
        if self.opened_interval is None:
            return self
        if self.opened_until is None:
            return replace(self, opened_due=now, opened_until=now + waiting * self.opened_interval)
        return self.end_opening() if self.is_opening_over(now) else self

    def is_opening_over(self, now: int) -> bool:
        """Return whether all that waited at the beginning of an opening could have begun by now."""
        return self.opened_until is not None and now >= self.opened_until

    def end_opening(self) -> LimitRecord:
        """Return the limit without an opening."""
        return replace(self, opened_interval=None, opened_due=None, opened_until=None)

    def count_opened(self, now: int) -> int | None:
        """Return how many attempts may begin now by the interval of an opening; None for any number.

        What the time since the last attempt would have let begin may begin together, within a second: executors look
        four times in one.
        """
        if not self.opened_interval or self.is_opening_over(now):
            return None
        return max((now - self.find_next_opened(now)) // self.opened_interval + 1, 0)

    def find_next_opened(self, now: int) -> int:
        """Return when an opening lets the next attempt begin: at most a second before ``now`` if it does."""
        if not self.opened_interval or self.opened_due is None or self.is_opening_over(now):
            return now
        return max(self.opened_due, now - max(MAX_CATCH_UP - self.opened_interval, 0))

    def take_opened(self, count: int, now: int) -> LimitRecord:
        """Return the limit after so many attempts have begun by the interval of an opening."""
        if not count or self.count_opened(now) is None:
            return self
        return replace(self, opened_due=self.find_next_opened(now) + count * (self.opened_interval or 0))

    def _was_clock_set_back(self, now: int) -> bool:
        """Return whether the tokens were counted so late that the store's clock has been set back since."""
        return self.refilled - now > max(self.rate_period or 0, MAX_CLOCK_DIFFERENCE)

    def find_next_token(self, now: int) -> int:
        """Return when the rate lets the next attempt begin, in microseconds since 1970 UTC: ``now`` if it does."""
        tokens = self.count_tokens(now)
        if tokens is None or tokens >= TOKEN:
            return now
        missing = TOKEN - self.tokens
        return self.refilled + -(-missing * (self.rate_period or 0) // ((self.rate_count or 1) * TOKEN))


LIMIT_READER = RowReader(LimitRecord, {"": GATE})
LIMIT_ENCODER = RowEncoder(GATE.columns)
