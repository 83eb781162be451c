"""An instance: one run of a workflow, and the lines of its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from flowlet.clock import to_datetime

__all__ = [
    "ENDED_STATUSES",
    "ENTRY_KINDS",
    "MICROSECONDS_PER_DAY",
    "PRIORITIES",
    "Action",
    "ActionKind",
    "Instance",
    "NewInstance",
    "Status",
]

MICROSECONDS_PER_DAY = 86_400_000_000
"""Microseconds of a day."""

PRIORITIES = range(10)
"""The priorities an instance may have; 9 is served first, 0 is the default."""


class Status(StrEnum):
    """Where an instance stands."""

    NEW = "NEW"
    """Created, no activation yet."""
    EXECUTING = "EXECUTING"
    """Leased by an executor."""
    IN_PROGRESS = "IN_PROGRESS"
    """Between two activations: due, or waiting for a timer, a retry or its children."""
    WAITING = "WAITING"
    """In a manual state, until a person or the API answers."""
    PAUSED = "PAUSED"
    """Held by an operator."""
    FINISHED = "FINISHED"
    """Ended in an end state."""
    FAILED = "FAILED"
    """Ended in an error state, or out of attempts in any other."""
    CANCELLED = "CANCELLED"
    """Ended by an operator."""


ENDED_STATUSES = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})


class ActionKind(StrEnum):
    """What a line of an instance's history tells."""

    CREATED = "CREATED"
    TRANSITION = "TRANSITION"
    """Moved along an edge of the graph."""
    LOG = "LOG"
    """A handler's own line."""
    ERROR = "ERROR"
    """An attempt failed; ``text`` is the error, ``detail`` its traceback."""
    FAILED = "FAILED"
    """Ended as FAILED in the state it was in; ``text`` says why."""
    ANSWERED = "ANSWERED"
    """A person or the API chose in a manual state."""
    MOVED = "MOVED"
    """An operator moved it along an edge of the graph."""
    FORCED = "FORCED"
    """An operator moved it to a state that the graph does not allow from there."""
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    CANCELLED = "CANCELLED"
    RETRIED = "RETRIED"
    WOKEN = "WOKEN"
    """An operator made it due at once."""
    EDITED = "EDITED"
    """An operator changed variables."""
    REPAIRED = "REPAIRED"
    """Taken from an executor whose lease had run out."""
    RELEASED = "RELEASED"
    """Handed back unfinished by an executor that was stopping."""


ENTRY_KINDS = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""Which lines of history tell that a state was entered."""


@dataclass(frozen=True, slots=True)
class Action:
    """One line of an instance's history.

    Attributes:
        at_us: When it was written, in microseconds since 1970 UTC; ``at`` is the same as a datetime.
        changes_json: JSON text of the variables that this line changed: ``{"set": {name: value}, "unset": [name]}``.
        detail: A traceback.
        attempt: Which attempt of this visit of the state, counted from 1.
        version: The definition's version it happened under.
    """

    kind: ActionKind
    at_us: int
    from_state: str | None = None
    to_state: str | None = None
    text: str | None = None
    attempt: int | None = None
    duration_ms: int | None = None
    executor_id: str | None = None
    username: str | None = None
    detail: str | None = None
    changes_json: str | None = None
    version: int | None = None
    id: int = 0
    workflow_id: int = 0

    @property
    def at(self) -> datetime:
        """When the line was written, in UTC."""
        return to_datetime(self.at_us)

    @property
    def changes(self) -> dict[str, Any] | None:
        """The changed variables, ``{"set": {name: value}, "unset": [name]}``; None where none changed."""
        changes: dict[str, Any] | None = None if self.changes_json is None else orjson.loads(self.changes_json)
        return changes


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a workflow.

    The fields are the stored columns: times in microseconds since 1970 UTC (``..._us``, None means never), JSON as text
    (``..._json``). The properties give the same as datetimes in UTC and as Python values.

    Attributes:
        type: The definition's name.
        definition_version: Which version of the definition it runs under.
        vars_json: The variables, as JSON text of an object.
        next_activation_us: When it runs again; for WAITING, the deadline of the answer.
        attempt: How many attempts of this visit of the state have failed.
        visit: How many states it has entered after the first; part of the idempotency key.
        streak: Transitions since it last had to wait for anything; the loop guard's count.
        crashes: Executors that died in a row while they held it.
        token: The fencing token of its latest lease.
        version: Raised by each transition and each operation: a write names the version it expects.
        children: How many it has spawned.
        open_children: How many of these have not ended.
        waits_for_children: Whether the last open child's end makes it due.
        pause_requested: Whether the commit of the activation in flight has to leave it PAUSED.
        held_status: For PAUSED, the status that resuming gives back.
        answer_json: For a manual state, JSON text ``{"choice", "form", "username"}`` of the answer; None until answered.
        reason: Why it is where it is: the latest error, or what it waits for. Plain text, at most 2,000 characters.
        created_by: Who created it: a user, an API key, or None for code.
        fingerprint: What is equal for failures of one kind; None unless it is FAILED or its last attempt failed.
        failed_us: When it failed last, while there is a fingerprint.
    """

    id: int
    type: str
    definition_version: int
    external_id: str
    key: str
    parent_id: int | None
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
    waits_for_children: bool
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

    @property
    def has_ended(self) -> bool:
        """Whether it is FINISHED, FAILED or CANCELLED."""
        return self.status in ENDED_STATUSES

    @property
    def succeeded(self) -> bool:
        """Whether it ended in an end state."""
        return self.status == Status.FINISHED

    @property
    def next_activation(self) -> datetime | None:
        """When it runs again; for WAITING, the deadline of the answer."""
        return _to_optional_datetime(self.next_activation_us)

    @property
    def created(self) -> datetime:
        """When it was created."""
        return to_datetime(self.created_us)

    @property
    def modified(self) -> datetime:
        """When it was changed last, by a transition or an operation."""
        return to_datetime(self.modified_us)

    @property
    def started(self) -> datetime | None:
        """When its first activation began."""
        return _to_optional_datetime(self.started_us)

    @property
    def ended(self) -> datetime | None:
        """When it became FINISHED, FAILED or CANCELLED."""
        return _to_optional_datetime(self.ended_us)

    @property
    def failed(self) -> datetime | None:
        """When it failed last, while it has a fingerprint."""
        return _to_optional_datetime(self.failed_us)

    @property
    def vars(self) -> dict[str, Any]:
        """The variables, read from their JSON text: a new dict each time."""
        value: dict[str, Any] = orjson.loads(self.vars_json)
        return value


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to be created, checked against its definition. Times in microseconds since 1970 UTC.

    ``status`` is NEW, or WAITING where the start state is a manual one; then ``next_activation_us`` is its deadline.
    """

    type: str
    definition_version: int
    external_id: str
    key: str
    group: str
    priority: int
    state: str
    status: Status
    vars_json: str
    next_activation_us: int | None
    parent_id: int | None = None
    username: str | None = None


def _to_optional_datetime(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_datetime(microseconds)
