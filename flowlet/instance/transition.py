"""A transition: everything that one commit writes for one instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flowlet.instance.action import Action
from flowlet.instance.attempt_result import AttemptResult
from flowlet.instance.inbox_entry import InboxEffects
from flowlet.instance.instance import ENDED_STATUSES, ROW_LENGTH, Instance, Status
from flowlet.instance.message import MessageEffects
from flowlet.instance.new_instance import NewInstance
from flowlet.instance.record_maker import build_maker
from flowlet.instance.spawn_part import SpawnPart

__all__ = ["Transition", "make_transition"]

_EXECUTING, _IN_PROGRESS = Status.EXECUTING, Status.IN_PROGRESS  # each commit reads them, which is slow from an enum


@dataclass(slots=True)
class Transition:
    """Everything that one commit writes for one instance. Times in microseconds since 1970 UTC.

    It is never changed, but not frozen because each commit makes one: making a frozen one takes twice as long.

    Attributes:
        instance: The instance as it was when the activation began; its lease and its version are the expected ones.
        state: The state after the transition.
        status: The status after it; EXECUTING keeps the lease, every other status releases it.
        vars_json: The variables' JSON text; None if they have not changed.
        next_activation_us: When the instance runs next, if the lease is released.
        attempt: The number of failed attempts after the transition.
        visit: The number of states entered after the first.
        streak: The number of transitions without any wait.
        answer_json: The answer in a manual state, or None.
        reason: The reason after the transition.
        at_us: When the transition happened.
        actions: The lines of history, in order.
        held_status: For PAUSED, the status that resuming restores.
        children: The children to create in the same commit.
        spawn_parts: Those of a large spawn: the commit counts and stores them, and they are made later, part by part.
        wake_at_open_children: To wait until no more children than these are open; if no more are open already, the
            store makes the instance due now. None to wait for no children.
        wakes_parent: Whether the parent becomes due now.
        fingerprint: The fingerprint of the failure; None if the attempt did not fail.
        failed_us: When the attempt failed.
        gate: Why only some executors may run the instance next; None for no such gate.
        vars_version: The version of the variables; None if they have not been migrated.
        unsnapped_characters: The new value of the instance's; None if the variables have not changed.
        messages: What it does to the instance's messages and to its wait for one; None for nothing.
        inbox: What it does to the instance's entry in the inbox; None for nothing.
        result: The result of an attempt that a breaker counts; None for any other one.
        parsed_vars: The new variables as an object, for the next activation in the same lease; not stored.
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
    wake_at_open_children: int | None = None
    wakes_parent: bool = False
    fingerprint: str | None = None
    failed_us: int | None = None
    gate: str | None = None
    vars_version: int | None = None
    unsnapped_characters: int | None = None
    messages: MessageEffects | None = None
    inbox: InboxEffects | None = None
    result: AttemptResult | None = None
    spawn_parts: tuple[SpawnPart, ...] = ()
    parsed_vars: Any = field(default=None, compare=False, repr=False)
    _text_length: int | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def ended_us(self) -> int | None:
        """When the instance ends with this transition; None if it does not."""
        return self.at_us if self.status in ENDED_STATUSES else None

    @property
    def spawned(self) -> int:
        """How many children its commit adds to the instance's counts."""
        if not self.spawn_parts:
            return len(self.children)
        return len(self.children) + sum(len(part.external_ids) for part in self.spawn_parts)

    @property
    def text_length(self) -> int:
        """How many characters it writes, about: the instance's row, the history's lines and the children's rows."""
        if self._text_length is None:
            self._text_length = self._count_characters()
        return self._text_length

    def _count_characters(self) -> int:
        length = ROW_LENGTH
        for text in (self.vars_json, self.answer_json, self.reason):
            if text:
                length += len(text)
        for action in self.actions:
            length += ROW_LENGTH
            for text in (action.text, action.detail, action.changes_json, action.vars_json):
                if text:
                    length += len(text)
        for child in self.children:
            length += child.text_length
        for part in self.spawn_parts:
            length += part.text_length
        return length

    @property
    def is_step(self) -> bool:
        """Whether it only enters a state that runs at once, in the same lease: most of the row stays as it is."""
        before = self.instance
        return (
            self.status is _EXECUTING
            and self.attempt == before.attempt
            and self.next_activation_us == before.next_activation_us
            and not (before.pause_requested or self.children or self.spawn_parts)
            and self.answer_json is before.answer_json is None
            and self.reason is before.reason is None
            and self.fingerprint is before.fingerprint is None
            and self.failed_us is before.failed_us is None
            and self.held_status is before.held_status is None
            and self.wake_at_open_children is before.wake_at_open_children is None
            and self.gate is before.gate is None
        )

    @property
    def is_resting(self) -> bool:
        """Whether it leaves the instance between two activations, without a failed attempt."""
        return self.attempt == 0 and (self.status is _IN_PROGRESS or self.held_status is _IN_PROGRESS)


make_transition = build_maker(Transition)
"""Makes a ``Transition``, for each entry of a state."""
