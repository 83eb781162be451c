"""A transition: everything that one commit writes for one instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flowlet.instance.instance import ENDED_STATUSES, Action, Instance, NewInstance, Status

__all__ = ["Transition"]

_IN_PROGRESS = Status.IN_PROGRESS  # each commit reads it, and an enum's attribute is slow to read


@dataclass(frozen=True, slots=True)
class Transition:
    """Everything that one commit writes for one instance. Times in microseconds since 1970 UTC.

    Attributes:
        instance: The instance as it was when the activation began: names the lease and the version expected.
        state: The state afterwards.
        status: EXECUTING keeps the lease; every other status gives it up.
        vars_json: The variables' JSON text, or None where they have not changed.
        next_activation_us: When it runs again, where the lease is given up.
        waits_for_children: Whether to wait for open children; the store lets it be due at once where none is open.
        actions: The lines of history, in order.
        children: The children to create.
        wakes_parent: Whether the parent becomes due at once.
        fingerprint: What is equal for failures of one kind, where the attempt failed; None where it did not.
        failed_us: When it failed.
        parsed_vars: The new variables as they read, for the next activation of the same lease; not stored.
    """

    instance: Instance
    state: str
    status: Status
    vars_json: str | None
    next_activation_us: int | None
    attempt: int
    visit: int
    streak: int
    answer_json: str | None
    reason: str | None
    at_us: int
    actions: tuple[Action, ...]
    held_status: Status | None = None
    children: tuple[NewInstance, ...] = field(default=())
    waits_for_children: bool = False
    wakes_parent: bool = False
    fingerprint: str | None = None
    failed_us: int | None = None
    parsed_vars: Any = field(default=None, compare=False, repr=False)

    @property
    def ended_us(self) -> int | None:
        """When the instance ends with this transition; None if it does not."""
        return self.at_us if self.status in ENDED_STATUSES else None

    @property
    def is_resting(self) -> bool:
        """Whether it leaves the instance between two activations, without a failed attempt."""
        return self.attempt == 0 and (self.status is _IN_PROGRESS or self.held_status is _IN_PROGRESS)
