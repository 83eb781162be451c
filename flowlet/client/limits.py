"""Limits, as the API returns them."""

from __future__ import annotations

from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = ["LimitUse"]


class LimitUse(ResponseModel):
    """The limits of a state, or of a whole workflow, as they were when the server responded.

    Attributes:
        workflow_type: The workflow.
        state: The state; None for the whole workflow.
        capacity: How many attempts run at once, of each key; None for any number.
        key_variable: The variable whose values have the capacity each; None for one capacity for all.
        rate_count: How many attempts begin in ``rate_period_seconds``; None for any number.
        breaker_count: After how many failed attempts in a row none begins for ``breaker_pause_seconds``.
        breaker_interval_seconds: How long after one attempt the next one begins once the breaker has closed; None for
            all at once.
        failures: How many attempts in a row have failed, if there is a breaker.
        held: Since when no attempt begins; None if it is not held.
        held_by: The user who holds it; None if its breaker does.
        opened_interval_seconds: How long after one attempt the next one begins since the end of a hold; None for all
            at once.
        opened_until: Until when; None before an executor has looked how many wait.
        running: How many workflows run in it.
        waiting: How many are due and wait behind it.
    """

    workflow_type: str
    state: str | None
    capacity: int | None
    key_variable: str | None
    rate_count: int | None
    rate_period_seconds: float | None
    breaker_count: int | None
    breaker_pause_seconds: float | None
    breaker_interval_seconds: float | None
    failures: int
    held: UtcDatetime | None
    held_by: str | None
    held_reason: str | None
    opened_interval_seconds: float | None
    opened_until: UtcDatetime | None
    running: int
    waiting: int
    definition_version: int
