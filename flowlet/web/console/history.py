"""Lines of an instance's history as its page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.diagram.text_metrics import clean_lines
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.path_changes import PathChange, apply_path_changes
from flowlet.web.console.values import VariableChange, describe_changes, format_json

__all__ = ["LINES_SHOWN", "PROBLEM_KINDS", "TITLES", "HistoryLine", "build_history_lines"]

LINES_SHOWN = 500
MAX_CHARACTERS_SHOWN = 500_000
"""Characters of all lines of a page together, so that no history makes a page of megabytes."""

_TONES = {
    ActionKind.CREATED: "accent",
    ActionKind.TRANSITION: "accent",
    ActionKind.LOG: "idle",
    ActionKind.ERROR: "warn",
    ActionKind.FAILED: "err",
    ActionKind.CANCELLED: "err",
    ActionKind.REPAIRED: "warn",
    ActionKind.RELEASED: "idle",
    ActionKind.GATED: "warn",
    ActionKind.EXPIRED: "warn",
}
_PERSON_TONE = "info"
TITLES = {
    ActionKind.CREATED: "Created",
    ActionKind.LOG: "Log",
    ActionKind.ERROR: "Attempt failed",
    ActionKind.FAILED: "Failed",
    ActionKind.ANSWERED: "Answered",
    ActionKind.VOTED: "Voted",
    ActionKind.ASSIGNED: "Assigned",
    ActionKind.REMINDED: "Reminded",
    ActionKind.ESCALATED: "Escalated",
    ActionKind.MESSAGE: "Message sent",
    ActionKind.EXPIRED: "Message expired unread",
    ActionKind.MOVED: "Moved manually",
    ActionKind.FORCED: "Forced move",
    ActionKind.PAUSED: "Paused",
    ActionKind.RESUMED: "Resumed",
    ActionKind.CANCELLED: "Cancelled",
    ActionKind.RETRIED: "Retried",
    ActionKind.WOKEN: "Run now requested",
    ActionKind.EDITED: "Variables edited",
    ActionKind.REPAIRED: "Recovered from a lost executor",
    ActionKind.RELEASED: "Released by a stopping executor",
    ActionKind.ACKNOWLEDGED: "Failure closed",
    ActionKind.GATED: "Left to another version",
}
"""The title of each kind of line; a plain transition has none."""
PROBLEM_KINDS = (
    ActionKind.ERROR,
    ActionKind.FAILED,
    ActionKind.CANCELLED,
    ActionKind.REPAIRED,
    ActionKind.RELEASED,
    ActionKind.GATED,
)
"""The kinds of lines about failures and interruptions."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A line of history.

    Attributes:
        tone: The colour of its dot.
        title: What happened, unless it is a plain transition.
        transition: The states, as "check → review".
        text: The message, without characters that change the direction of text.
        detail: A traceback.
        changes: The changes of variables.
        form: The values of an answer's form, each as JSON.
    """

    action: Action
    tone: str
    title: str
    transition: str
    text: str
    detail: str
    changes: Sequence[VariableChange]
    form: Sequence[tuple[str, str]]


def build_history_lines(
    actions: Sequence[Action], *, variables_before: dict[str, Any] | None = None
) -> list[HistoryLine]:
    """Return lines of history as they are shown, in the order given: the newest first.

    Lines beyond ``MAX_CHARACTERS_SHOWN`` characters are left out.

    Args:
        actions: Lines of history, the newest first.
        variables_before: The instance's variables before the oldest of them, to show what a value was; modified. None
            where they are unknown, or the lines do not follow each other: then only old values that a line keeps are
            shown.
    """
    lines = list(_build_lines(actions[::-1], variables_before))[::-1]
    characters = 0
    for position, line in enumerate(lines):
        characters += len(line.text) + len(line.detail)
        characters += sum(len(value) for _, value in line.form)
        characters += sum(len(change.before or "") + len(change.after or "") for change in line.changes)
        if characters > MAX_CHARACTERS_SHOWN and position:
            return lines[:position]
    return lines


def _build_lines(actions: Sequence[Action], variables: Any) -> Iterator[HistoryLine]:
    for action in actions:
        changes = action.changes or []
        described = describe_changes(changes, variables)
        if variables is not None and changes:
            variables = _apply_changes(variables, changes)
        yield HistoryLine(
            action=action,
            tone=_TONES.get(action.kind, _PERSON_TONE),
            title=TITLES.get(action.kind, ""),
            transition=clean_lines(" → ".join(filter(None, (action.from_state, action.to_state)))),
            text=clean_lines(action.text or ""),
            detail=clean_lines(action.detail or ""),
            changes=described,
            form=[(clean_lines(name), format_json(value)) for name, value in _get_form(action).items()],
        )


def _get_form(action: Action) -> dict[str, Any]:
    form: dict[str, Any] = (action.answer or {}).get("form") or {}
    return form


def _apply_changes(variables: Any, changes: Sequence[PathChange]) -> Any:
    """Return the variables after a line; None if it was changed from outside and does not fit them."""
    try:
        return apply_path_changes(variables, changes)
    except ValueError:
        return None
