"""A change of an instance outside an activation: by an operator, by a repair, or by an executor that stops."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flowlet.instance.action import Action
from flowlet.instance.inbox_entry import Assignment, InboxEntry, Vote
from flowlet.instance.instance import Instance, Status

__all__ = ["Change"]


@dataclass(frozen=True, slots=True)
class Change:
    """An instance before and after a change, and the lines of history that record it.

    Attributes:
        before: The instance before the change.
        after: The instance after it; the store sets its ``version``.
        actions: The lines of history.
        keeps_version: Whether the version stays the same, so that the running activation can still commit: True when a
            pause is requested or withdrawn. Every other change increments the version.
        inbox: The instance's entry in the inbox: a new one where it begins to wait for a person, or other texts of the
            one that it has; None for neither.
        assignment: The new assignment of its question; None for no change of it.
        vote: What a person has chosen in a state that several decide; None for no such choice.
        due_entry: Its entry in the inbox after a reminder or an escalation; None for neither.
    """

    before: Instance
    after: Instance
    actions: tuple[Action, ...]
    keeps_version: bool = False
    inbox: InboxEntry | None = None
    assignment: Assignment | None = None
    vote: Vote | None = None
    due_entry: InboxEntry | None = None

    @property
    def leaves_question(self) -> bool:
        """Whether an entry in the inbox that the instance may have is deleted."""
        before, after = self.before, self.after
        is_over = after.has_ended or after.visit != before.visit or (before.is_asking and not after.is_asking)
        # One whose deadline has passed is executing, or was handed back, and still has its entry.
        status = before.held_status if before.status is Status.PAUSED else before.status
        is_unanswered = before.answer_json is None and status in (Status.EXECUTING, Status.IN_PROGRESS)
        return is_over and (before.is_asking or is_unanswered)

    @property
    def withdraws_votes(self) -> bool:
        """Whether the choices made so far no longer count: they were made about other variables.

        Also of a question that is about to be asked again, such as one whose deadline a deploy has removed.
        """
        before, after = self.before, self.after
        is_undecided = before.answer_json is None and before.visit == after.visit
        return is_undecided and before.vars_json != after.vars_json

    @property
    def is_asking_again(self) -> bool:
        """Whether the instance begins to wait for a person, so that ``inbox`` is a new entry."""
        before, after = self.before, self.after
        return after.is_asking and not (before.is_asking and before.visit == after.visit)

    @property
    def stored_instance(self) -> Instance:
        """The instance as it is stored after the change."""
        return replace(self.after, version=self.before.version + (not self.keeps_version))
