"""An instance, which is one run of a workflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from flowlet.clock import to_datetime
from flowlet.instance.json_text import parse_optional_object, parse_shown_object
from flowlet.instance.record_maker import build_maker
from flowlet.instance.version_gate import GATE_PREFIX

__all__ = [
    "ENDED_STATUSES",
    "MICROSECONDS_PER_DAY",
    "PRIORITIES",
    "ROW_LENGTH",
    "SCHEDULED_STATUSES",
    "Instance",
    "Status",
    "make_instance",
]

MICROSECONDS_PER_DAY = 86_400_000_000
"""Microseconds in a day."""

ROW_LENGTH = 300
"""Characters that are counted for a row beside its long texts: names, numbers and times."""

PRIORITIES = range(10)
"""The priorities of an instance: 9 runs first, 0 is the default."""


class Status(StrEnum):
    """The status of an instance."""

    NEW = "NEW"
    """Created; no activation has begun."""
    EXECUTING = "EXECUTING"
    """Leased by an executor."""
    IN_PROGRESS = "IN_PROGRESS"
    """Between two activations: due, or waiting for a timer, a retry or its children."""
    WAITING = "WAITING"
    """In a manual state, waiting for an answer, or in a receive state, waiting for a message."""
    PAUSED = "PAUSED"
    """Held by an operator until it is resumed."""
    FINISHED = "FINISHED"
    """Ended in an end state."""
    FAILED = "FAILED"
    """Ended in an error state, or in any other state after its last attempt failed."""
    CANCELLED = "CANCELLED"
    """Ended by an operator."""


ENDED_STATUSES = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
SCHEDULED_STATUSES = (Status.NEW, Status.IN_PROGRESS, Status.WAITING)
"""The statuses in which an instance goes on, or waits: in these it may have a next activation."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a workflow.

    The fields are the stored columns: times in microseconds since 1970 UTC (``..._us``; None means never), JSON as
    text (``..._json``). The properties return the same values as datetimes in UTC and as Python objects.

    Attributes:
        id: Its id.
        type: The name of its workflow.
        definition_version: The version of the definition that it runs under.
        external_id: Unique over all instances; given by the caller, or generated.
        key: The business key, by which people find it; not unique.
        parent_id: The id of the instance that spawned it, or None.
        root_id: The id of the first of its ancestors, which nothing spawned; None if it is such an instance itself.
        group: The executor group: which executors may run it.
        priority: 0 to 9; of those that are due, the highest runs first.
        status: Its status.
        state: The name of the state it is in.
        vars_json: The variables, as JSON text of an object.
        next_activation_us: When it runs next; for WAITING, the deadline of the answer or of the message.
        attempt: How many attempts of this visit of the state have failed.
        visit: How many states it has entered after the first; part of the idempotency key.
        streak: How many transitions it has made without any wait; the loop guard's counter.
        crashes: How many executors in a row died while they held it.
        executor_id: The executor that holds it, or None.
        token: The fencing token of its latest lease.
        version: Incremented by each transition and each operation; ``expected_version`` is compared with it.
        children: How many children it has spawned.
        open_children: How many of them have not ended.
        wake_at_open_children: It becomes due when no more children than these are open, 0 for none; None if it does not
            wait for them.
        pause_requested: Whether it becomes PAUSED when the running activation commits.
        held_status: For PAUSED, the status that resuming restores.
        answer_json: The answer in a manual state, as JSON text ``{"choice", "form", "username"}``; None until answered.
        reason: The latest error, or what it waits for. Plain text, at most 2,000 characters.
        created_by: The user who created it; None for code.
        fingerprint: Equal for failures of the same kind; None unless it is FAILED or its last attempt failed.
        failed_us: When its last attempt failed; None without a fingerprint.
        gate: Why no executor claims it from the common queue although it is due; None if it is in that queue. It stays
            while the instance is leased, and after a failed attempt, until the instance enters another state.
        vars_version: The version of its variables: 0, or what the last migration of them has led to.
        unsnapped_characters: How much its variables have changed since the latest snapshot of them in its history.
        awaits_json: In a receive state, which messages it waits for, and until when, as JSON text of a ``MessageWait``;
            None in every other state, and until an activation has looked for a message.
        unread: How many messages that were sent to it have not been consumed, of whatever name.
        unread_seen: How many of them its state does not wait for, as far as that is known; 0 in every other state.
        message_id: The message that the attempts of this visit consume; None before the first of them has failed.
        claimed_us: When an executor last claimed it; None before the first claim.
    """

    id: int
    type: str
    definition_version: int
    external_id: str
    key: str
    parent_id: int | None
    root_id: int | None
    group: str
    priority: int
    status: Status
    state: str
    vars_json: str
    next_activation_us: int | None
    attempt: int
    visit: int
    streak: int
    crashes: int
    executor_id: str | None
    token: int
    version: int
    children: int
    open_children: int
    wake_at_open_children: int | None
    pause_requested: bool
    held_status: Status | None
    answer_json: str | None
    reason: str | None
    created_by: str | None
    created_us: int
    modified_us: int
    started_us: int | None
    ended_us: int | None
    fingerprint: str | None = None
    failed_us: int | None = None
    gate: str | None = None
    vars_version: int = 0
    unsnapped_characters: int = 0
    awaits_json: str | None = None
    unread: int = 0
    unread_seen: int = 0
    message_id: int | None = None
    claimed_us: int | None = None

    @property
    def is_asking(self) -> bool:
        """Whether it waits for a person, also while it is paused; False once the deadline's activation has begun."""
        status = self.held_status if self.status is Status.PAUSED else self.status
        return status is Status.WAITING and self.awaits_json is None

    @property
    def has_ended(self) -> bool:
        """Whether it is FINISHED, FAILED or CANCELLED."""
        return self.status in ENDED_STATUSES

    @property
    def succeeded(self) -> bool:
        """Whether it is FINISHED: it ended in an end state."""
        return self.status == Status.FINISHED

    @property
    def waits_for_children(self) -> bool:
        """Whether it becomes due when enough of its open children have ended."""
        return self.wake_at_open_children is not None

    @property
    def waits_for_version(self) -> bool:
        """Whether an executor's version of its workflow could not run it, and it waits for another one."""
        return self.status == Status.IN_PROGRESS and self.gate is not None and self.gate.startswith(GATE_PREFIX)

    @property
    def next_activation(self) -> datetime | None:
        """When it runs next; for WAITING, the deadline of the answer; None for never."""
        return _to_optional_datetime(self.next_activation_us)

    @property
    def created(self) -> datetime:
        """When it was created."""
        return to_datetime(self.created_us)

    @property
    def modified(self) -> datetime:
        """When a transition or an operation last changed it."""
        return to_datetime(self.modified_us)

    @property
    def started(self) -> datetime | None:
        """When its first activation began; None before."""
        return _to_optional_datetime(self.started_us)

    @property
    def ended(self) -> datetime | None:
        """When it became FINISHED, FAILED or CANCELLED; None before."""
        return _to_optional_datetime(self.ended_us)

    @property
    def failed(self) -> datetime | None:
        """When its last attempt failed; None without a fingerprint."""
        return _to_optional_datetime(self.failed_us)

    @property
    def claimed(self) -> datetime | None:
        """When an executor last claimed it; None before the first claim."""
        return _to_optional_datetime(self.claimed_us)

    @property
    def vars(self) -> dict[str, Any]:
        """The variables: a new dict at each access.

        If another program has written a text that is no JSON object: ``{"unreadable": its beginning}``.
        """
        return parse_shown_object(self.vars_json)

    @property
    def awaits(self) -> list[str]:
        """The names of the messages that it waits for in a receive state; empty in every other state."""
        names = (parse_optional_object(self.awaits_json) or {}).get("messages")
        return list(map(str, names)) if isinstance(names, list) else []

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer in a manual state, ``{"choice": ..., "form": {...}, "username": ...}``; None until answered."""
        return parse_optional_object(self.answer_json)


make_instance = build_maker(Instance)
"""Makes an ``Instance``, for each claim and each transition that keeps its lease."""


def _to_optional_datetime(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_datetime(microseconds)
