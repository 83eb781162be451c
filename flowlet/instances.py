"""An instance: one run of a workflow, and the lines of its history."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

__all__ = ["DAY", "ENDED", "ENTERING", "LEVELS", "Action", "ActionKind", "Instance", "NewInstance", "Status"]

DAY = 86_400_000_000
"""Microseconds of a day."""

LEVELS = range(10)
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


ENDED = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})


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


ENTERING = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""Which lines of history tell that a state was entered."""


@dataclass(frozen=True, slots=True)
class Action:
    """One line of an instance's history. ``at`` is in microseconds since 1970 UTC.

    Attributes:
        changes: JSON text of the variables that this line changed: ``{"set": {name: value}, "unset": [name]}``.
        detail: A traceback.
        attempt: Which attempt of this visit of the state, counted from 1.
        version: The definition's version it happened under.
    """

    kind: ActionKind
    at: int
    from_state: str | None = None
    to_state: str | None = None
    text: str | None = None
    attempt: int | None = None
    duration_ms: int | None = None
    executor_id: str | None = None
    username: str | None = None
    detail: str | None = None
    changes: str | None = None
    version: int | None = None
    id: int = 0
    workflow_id: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a workflow as the store holds it. Times are in microseconds since 1970 UTC; None means never.

    Attributes:
        type: The definition's name.
        definition_version: Which version of the definition it runs under.
        vars: The variables, as JSON text of an object.
        next_activation: When it runs again; for WAITING, the deadline of the answer.
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
        answer: For a manual state, JSON text ``{"choice", "form", "username"}`` of the answer; None until answered.
        reason: Why it is where it is: the latest error, or what it waits for. Plain text, at most 2,000 characters.
        created_by: Who created it: a user, an API key, or None for code.
        fingerprint: What is equal for failures of one kind; None unless it is FAILED or its last attempt failed.
        failed: When it failed last, while there is a fingerprint.
    """

    id: int
    type: str
    definition_version: int
    external_id: str
    business_key: str
    parent_id: int | None
    executor_group: str
    priority: int
    status: Status
    state: str
    vars: str
    next_activation: int | None
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
    answer: str | None
    reason: str | None
    created_by: str | None
    created: int
    modified: int
    started: int | None
    ended: int | None
    fingerprint: str | None = None
    failed: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is FINISHED, FAILED or CANCELLED."""
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it ended in an end state."""
        return self.status == Status.FINISHED

    @property
    def variables(self) -> dict[str, Any]:
        """The variables, read from their JSON text: a new dict each time."""
        value: dict[str, Any] = orjson.loads(self.vars)
        return value


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to be created, checked against its definition. Times in microseconds since 1970 UTC.

    ``status`` is NEW, or WAITING where the start state is a manual one; then ``next_activation`` is its deadline.
    """

    type: str
    definition_version: int
    external_id: str
    business_key: str
    executor_group: str
    priority: int
    state: str
    status: Status
    vars: str
    next_activation: int | None
    parent_id: int | None = None
    username: str | None = None
