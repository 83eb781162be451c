"""Lines of an instance's history as its page shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.diagram.text_metrics import clean_lines
from flowlet.instance.instance import Action, ActionKind
from flowlet.web.console.values import VariableChange, describe_changes

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
}
_PERSON_TONE = "info"
TITLES = {
    ActionKind.CREATED: "Created",
    ActionKind.LOG: "Log",
    ActionKind.ERROR: "Attempt failed",
    ActionKind.FAILED: "Failed",
    ActionKind.ANSWERED: "Answered",
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
}
"""The title of each kind of line; a plain transition has none."""
PROBLEM_KINDS = (ActionKind.ERROR, ActionKind.FAILED, ActionKind.CANCELLED, ActionKind.REPAIRED, ActionKind.RELEASED)
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
        changes: The changed variables.
    """

    action: Action
    tone: str
    title: str
    transition: str
    text: str
    detail: str
    changes: Sequence[VariableChange]


def build_history_lines(actions: Sequence[Action]) -> list[HistoryLine]:
    """Return lines of history as they are shown, in the order given: the newest first.

    The value of a variable before a change is shown if an earlier one of these lines has it. Lines beyond
    ``MAX_CHARACTERS_SHOWN`` characters are left out.
    """
    lines = list(_build_lines(actions[::-1]))[::-1]
    characters = 0
    for position, line in enumerate(lines):
        characters += len(line.text) + len(line.detail) + len(line.action.changes_json or "")
        if characters > MAX_CHARACTERS_SHOWN and position:
            return lines[:position]
    return lines


def _build_lines(actions: Sequence[Action]) -> Iterator[HistoryLine]:
    known: dict[str, Any] = {}
    for action in actions:
        changed = describe_changes(action.changes_json, known)
        if action.changes_json:
            document = json.loads(action.changes_json)
            known |= document.get("set", {})
            for name in document.get("unset", ()):
                known.pop(name, None)
        yield HistoryLine(
            action=action,
            tone=_TONES.get(action.kind, _PERSON_TONE),
            title=TITLES.get(action.kind, ""),
            transition=clean_lines(" → ".join(filter(None, (action.from_state, action.to_state)))),
            text=clean_lines(action.text or ""),
            detail=clean_lines(action.detail or ""),
            changes=changed,
        )
