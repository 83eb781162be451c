"""Lines of an instance's history as its page tells them."""

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
"""How many characters the lines of a page have together, so that no history makes one of megabytes."""

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
    ActionKind.MOVED: "Moved by hand",
    ActionKind.FORCED: "Moved by force",
    ActionKind.PAUSED: "Paused",
    ActionKind.RESUMED: "Resumed",
    ActionKind.CANCELLED: "Cancelled",
    ActionKind.RETRIED: "Retried",
    ActionKind.WOKEN: "Run now",
    ActionKind.EDITED: "Variables edited",
    ActionKind.REPAIRED: "Taken from a lost executor",
    ActionKind.RELEASED: "Handed back by a stopping executor",
}
"""What happened, by a line's kind; one that is not here is a way from state to state."""
PROBLEM_KINDS = (ActionKind.ERROR, ActionKind.FAILED, ActionKind.CANCELLED, ActionKind.REPAIRED, ActionKind.RELEASED)
"""The kinds of lines that tell that something went wrong, or broke off."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A line of history.

    Attributes:
        tone: The colour of its dot.
        title: What happened, where that is more than a way from state to state.
        transition: The states it is about, as "check → review".
        text: What was said, without characters that turn a line's direction.
        detail: A traceback.
        changes: What became of variables.
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

    What a variable was before is told as far as these lines know it. Those after the first ``LETTERS_SHOWN``
    characters are left out.
    """
    told = list(_build_lines(actions[::-1]))[::-1]
    letters = 0
    for place, line in enumerate(told):
        letters += len(line.text) + len(line.detail) + len(line.action.changes_json or "")
        if letters > MAX_CHARACTERS_SHOWN and place:
            return told[:place]
    return told


def _build_lines(actions: Sequence[Action]) -> Iterator[HistoryLine]:
    known: dict[str, Any] = {}
    for action in actions:
        changed = describe_changes(action.changes_json, known)
        if action.changes_json:
            said = json.loads(action.changes_json)
            known |= said.get("set", {})
            for name in said.get("unset", ()):
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
