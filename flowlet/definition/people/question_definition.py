"""The question of a manual state: what people are shown and who may answer, as a definition has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flowlet.clock import limit_time, to_microseconds
from flowlet.definition.people.title_template import render_template
from flowlet.instance.inbox_entry import InboxEntry
from flowlet.instance.json_text import parse_shown_object

__all__ = ["NO_QUESTION", "QuestionDefinition", "build_inbox_entry"]


@dataclass(frozen=True, slots=True)
class QuestionDefinition:
    """The question of a manual state.

    Attributes:
        title: The template of the question in one line; None for none.
        show: The paths of the variables that are shown with it; empty for all that are not lists or objects.
        summary: The workflow's template of an instance in one line; None for none.
        teams: The teams whose members may answer; empty for every operator.
        not_by: The path of the variable that names who must not answer; None for none.
        approvals: How many persons have to choose a state, where it is more than one.
        remind: How long to wait for an answer before each reminder; None for none.
        escalations: The teams that are added after some time without an answer, in the order of the times.
    """

    title: str | None = None
    show: tuple[str, ...] = ()
    summary: str | None = None
    teams: tuple[str, ...] = ()
    not_by: str | None = None
    approvals: tuple[tuple[str, int], ...] = ()
    remind: timedelta | None = None
    escalations: tuple[tuple[timedelta, tuple[str, ...]], ...] = ()

    @property
    def is_restricted(self) -> bool:
        """Whether it does not let every operator decide alone."""
        return bool(self.teams or self.not_by or self.approvals)

    def count_approvals(self, choice: str) -> int:
        """Return how many persons have to make a choice."""
        return dict(self.approvals).get(choice, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the question as plain JSON values."""
        return {
            "title": self.title,
            "show": list(self.show),
            "summary": self.summary,
            "teams": list(self.teams),
            "notBy": self.not_by,
            "approvals": dict(self.approvals),
            "remindSeconds": self.remind.total_seconds() if self.remind else None,
            "escalations": [
                {"afterSeconds": after.total_seconds(), "teams": list(teams)} for after, teams in self.escalations
            ],
        }

    @classmethod
    def restore(cls, document: Mapping[str, Any] | None) -> QuestionDefinition | None:
        """Return the question of a document from ``to_json``; None for None."""
        if document is None:
            return None
        return cls(
            document["title"],
            tuple(document["show"]),
            document["summary"],
            tuple(document["teams"]),
            document["notBy"],
            tuple(document["approvals"].items()),
            None if (seconds := document["remindSeconds"]) is None else timedelta(seconds=seconds),
            tuple((timedelta(seconds=step["afterSeconds"]), tuple(step["teams"])) for step in document["escalations"]),
        )


NO_QUESTION = QuestionDefinition()


def build_inbox_entry(
    question: QuestionDefinition | None, vars_json: str, *, visit: int, entered_us: int
) -> InboxEntry:
    """Return what the inbox keeps of an instance that begins to wait for a person.

    Args:
        question: The manual state's question; None for one without a title.
        vars_json: The instance's variables as it waits, as JSON text.
        visit: The instance's visit of the state.
        entered_us: When it enters the state, in microseconds since 1970 UTC.
    """
    asked = question or NO_QUESTION
    values = parse_shown_object(vars_json) if asked.title or asked.summary else {}
    remind_every = to_microseconds(asked.remind) if asked.remind else None
    escalations = tuple((limit_time(entered_us + to_microseconds(after)), teams) for after, teams in asked.escalations)
    return InboxEntry(
        visit=visit,
        title=render_template(asked.title, values) if asked.title else None,
        summary=render_template(asked.summary, values) if asked.summary else None,
        entered_us=entered_us,
        teams=asked.teams,
        remind_at_us=limit_time(entered_us + remind_every) if remind_every else None,
        remind_every_us=remind_every,
        escalate_at_us=escalations[0][0] if escalations else None,
        escalations=escalations,
    )
