"""What the inbox keeps of an instance that waits for a person."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Assignment", "Escalation", "InboxEffects", "InboxEntry", "Vote"]


Escalation = tuple[int, tuple[str, ...]]
"""Teams that are to be added to a question, and when: in microseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """An instance's entry in the inbox. It exists from the commit that enters a manual state to the one that leaves it.

    Attributes:
        visit: The instance's visit of the state.
        title: The question in one line; None for none.
        summary: The instance in one line; None for none.
        entered_us: When the instance entered the state, in microseconds since 1970 UTC.
        teams: The teams whose members may answer; empty for every operator.
        assignee: The user whom it is assigned to; None for none.
        remind_at_us: When an executor reminds of it next, in microseconds since 1970 UTC; None for never.
        remind_every_us: How long after that it does so again, in microseconds; None where it never does.
        reminder_count: How often it was reminded of.
        escalate_at_us: When the next teams are added to it, in microseconds since 1970 UTC; None for never.
        escalations: The teams that are to be added, each with the time; the first is that of ``escalate_at_us``.
        escalated_to: The teams that were added.
    """

    visit: int
    title: str | None
    summary: str | None
    entered_us: int
    teams: tuple[str, ...] = ()
    assignee: str | None = None
    remind_at_us: int | None = None
    remind_every_us: int | None = None
    reminder_count: int = 0
    escalate_at_us: int | None = None
    escalations: tuple[Escalation, ...] = ()
    escalated_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InboxEffects:
    """What a commit does to an instance's entry: it replaces it, or deletes it where ``entry`` is None."""

    entry: InboxEntry | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """The assignment of a question to a user, by name; to nobody in particular where ``assignee`` is None."""

    assignee: str | None


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's choice in a state that several persons decide.

    Attributes:
        visit: The instance's visit of the state.
        person: Who has chosen.
        choice: The chosen state.
        form_json: The values of the form, as JSON text.
        at_us: When, in microseconds since 1970 UTC.
    """

    visit: int
    person: str
    choice: str
    form_json: str
    at_us: int
