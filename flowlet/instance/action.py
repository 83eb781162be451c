"""The lines of an instance's history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from flowlet.clock import to_datetime
from flowlet.instance.json_text import parse_optional_object, parse_shown_changes
from flowlet.instance.path_changes import PathChange, build_path
from flowlet.instance.record_maker import build_maker

__all__ = ["ENTRY_KINDS", "Action", "ActionKind", "make_action"]


class ActionKind(StrEnum):
    """The kind of a line of history."""

    CREATED = "CREATED"
    """The instance was created."""
    TRANSITION = "TRANSITION"
    """An activation led to a next state."""
    LOG = "LOG"
    """A handler called ``ctx.log``."""
    ERROR = "ERROR"
    """An attempt failed; ``text`` is the error, ``detail`` the traceback."""
    FAILED = "FAILED"
    """The instance ended as FAILED in the state it was in; ``text`` is the reason."""
    ANSWERED = "ANSWERED"
    """A user answered a manual state."""
    VOTED = "VOTED"
    """A user voted on a manual state that needs several persons."""
    ASSIGNED = "ASSIGNED"
    """The question of a manual state was assigned to a user, or the assignment was taken back."""
    REMINDED = "REMINDED"
    """An executor reminded of an unanswered question."""
    ESCALATED = "ESCALATED"
    """An executor added teams to an unanswered question; ``text`` names them."""
    MESSAGE = "MESSAGE"
    """A message was sent to the instance; ``text`` names it, ``username`` is the sender."""
    EXPIRED = "EXPIRED"
    """A message was deleted unread, because its time was over; ``text`` names it."""
    MOVED = "MOVED"
    """An operator moved the instance along a transition of the graph."""
    FORCED = "FORCED"
    """An operator moved the instance to a state to which no transition leads from there."""
    PAUSED = "PAUSED"
    """An operator paused the instance."""
    RESUMED = "RESUMED"
    """An operator resumed it, or withdrew a requested pause."""
    CANCELLED = "CANCELLED"
    """An operator ended it."""
    RETRIED = "RETRIED"
    """An operator retried it."""
    WOKEN = "WOKEN"
    """An operator made the instance due now."""
    EDITED = "EDITED"
    """An operator changed its variables."""
    REPAIRED = "REPAIRED"
    """An executor released the instance from another one whose lease had expired."""
    RELEASED = "RELEASED"
    """An executor that was stopping handed the instance back."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """An operator closed the failure of a FAILED instance; ``text`` is the reason."""
    GATED = "GATED"
    """An executor whose version of the workflow cannot run the instance left it to another one."""


ENTRY_KINDS = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""The kinds of the lines that record the entry of a state."""


@dataclass(frozen=True, slots=True)
class Action:
    """One line of an instance's history.

    Attributes:
        kind: What happened.
        at_us: When it happened, in microseconds since 1970 UTC; ``at`` is the same as a datetime.
        from_state: The state the instance was in; None for its creation.
        to_state: The state that was entered or chosen; None if there was none.
        text: What happened, in words; None where ``kind`` says it all.
        attempt: The attempt of this visit of the state, counted from 1.
        duration_ms: How long the attempt took, in milliseconds; None where no handler ran.
        executor_id: The executor that wrote the line; None for an operation.
        username: The user who did it; None for code.
        detail: A traceback.
        changes_json: JSON text of the changes of variables, a list of ``PathChange``; None if none changed.
        version: The version of the definition.
        vars_json: The variables of the first line, as JSON text, or None; when a later line is written its snapshot.
        answer_json: The answer of an ANSWERED line, as JSON text ``{"choice", "form"}``, or of a VOTED one; else None.
        on_behalf_of: The person for whom the user's API key acted; None for the user.
        id: The id of the line, unique over all histories.
        workflow_id: The id of the instance.
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
    vars_json: str | None = None
    answer_json: str | None = None
    on_behalf_of: str | None = None
    id: int = 0
    workflow_id: int = 0

    @property
    def at(self) -> datetime:
        """When the line was written, in UTC."""
        return to_datetime(self.at_us)

    @property
    def vars(self) -> dict[str, Any] | None:
        """The variables of the first line: a new dict at each access; None if there were none, and for other lines."""
        return parse_optional_object(self.vars_json)

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer, ``{"choice": ..., "form": {...}}``; None unless the line is an ANSWERED or VOTED one."""
        return parse_optional_object(self.answer_json)

    @property
    def changes(self) -> list[PathChange] | None:
        """The changes of variables, in order; of the first line, each variable that was set. None if none changed."""
        if self.changes_json is not None:
            return parse_shown_changes(self.changes_json)
        given = self.vars if self.kind is ActionKind.CREATED else None
        if given is None:
            return None
        return [{"op": "set", "path": build_path("", name), "value": value} for name, value in given.items()]


make_action = build_maker(Action)
"""Makes an ``Action``, for each transition."""
