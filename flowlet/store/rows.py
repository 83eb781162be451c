"""How an instance, an action and a transition become rows, and rows become them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowlet.instance.instance import ENDED_STATUSES, Action, ActionKind, Instance, NewInstance, Status
from flowlet.instance.transition import Transition

__all__ = [
    "ACTION_COLUMNS",
    "COMMIT_COLUMNS",
    "INSTANCE_COLUMNS",
    "NEW_INSTANCE_COLUMNS",
    "encode_action_row",
    "encode_commit_row",
    "encode_created_action_row",
    "encode_instance_row",
    "encode_new_instance_row",
    "parse_action_row",
    "parse_instance_row",
]

INSTANCE_COLUMNS = (
    "id",
    "workflow_type",
    "definition_version",
    "external_id",
    "business_key",
    "parent_id",
    "executor_group",
    "priority",
    "status",
    "state",
    "vars",
    "next_activation",
    "attempt",
    "visit",
    "streak",
    "crashes",
    "executor_id",
    "token",
    "version",
    "children",
    "open_children",
    "waits_for_children",
    "pause_requested",
    "held_status",
    "answer",
    "reason",
    "created_by",
    "created",
    "modified",
    "started",
    "ended",
    "fingerprint",
    "failed",
)
"""The columns of ``workflow``, in the order of the fields of ``Instance``."""

NEW_INSTANCE_COLUMNS = (
    "workflow_type",
    "definition_version",
    "external_id",
    "business_key",
    "parent_id",
    "executor_group",
    "priority",
    "status",
    "state",
    "vars",
    "next_activation",
    "created_by",
    "created",
    "modified",
)
"""The columns that a create writes; the others have defaults."""

ACTION_COLUMNS = (
    "workflow_id",
    "kind",
    "at",
    "from_state",
    "to_state",
    "text",
    "attempt",
    "duration_ms",
    "executor_id",
    "username",
    "detail",
    "changes",
    "definition_version",
)

COMMIT_COLUMNS = (
    "id",
    "token",
    "version",
    "pausing",
    "status",
    "state",
    "vars",
    "next_activation",
    "attempt",
    "visit",
    "streak",
    "held_status",
    "answer",
    "reason",
    "at",
    "spawned",
    "waits",
    "rests",
    "ended",
    "fingerprint",
    "failed",
)
"""One transition in a batch: the fence (the first four), then what it writes."""


def parse_instance_row(row: Sequence[Any]) -> Instance:
    """Return the instance of a row that has ``INSTANCE_COLUMNS``."""
    values = list(row)
    values[8] = Status(row[8])
    values[21] = bool(row[21])
    values[22] = bool(row[22])
    values[23] = Status(row[23]) if row[23] else None
    return Instance(*values)


def encode_instance_row(instance: Instance) -> dict[str, Any]:
    """Return the values of an instance by column; booleans as 0 and 1."""
    values: dict[str, Any] = dict(
        zip(INSTANCE_COLUMNS, (getattr(instance, name) for name in Instance.__slots__), strict=True)
    )
    values["status"] = instance.status.value
    values["held_status"] = instance.held_status.value if instance.held_status else None
    values["waits_for_children"] = int(instance.waits_for_children)
    values["pause_requested"] = int(instance.pause_requested)
    return values


def encode_new_instance_row(new: NewInstance, now: int) -> tuple[Any, ...]:
    """Return the values of a new instance in the order of ``NEW_COLUMNS``."""
    return (
        new.type,
        new.definition_version,
        new.external_id,
        new.key,
        new.parent_id,
        new.group,
        new.priority,
        new.status.value,
        new.state,
        new.vars_json,
        new.next_activation_us,
        new.username,
        now,
        now,
    )


def encode_created_action_row(workflow_id: int, new: NewInstance, now: int) -> tuple[Any, ...]:
    """Return the first line of a new instance's history, in the order of ``ACTION_COLUMNS``."""
    text = None if new.parent_id is None else f"child of {new.parent_id}"
    changes = None if new.vars_json == "{}" else '{"set":' + new.vars_json + ',"unset":[]}'
    version = new.definition_version
    kind = ActionKind.CREATED.value
    return (workflow_id, kind, now, None, new.state, text, None, None, None, new.username, None, changes, version)


def encode_action_row(workflow_id: int, action: Action) -> tuple[Any, ...]:
    """Return the values of a line of history in the order of ``ACTION_COLUMNS``."""
    return (
        workflow_id,
        action.kind.value,
        action.at_us,
        action.from_state,
        action.to_state,
        action.text,
        action.attempt,
        action.duration_ms,
        action.executor_id,
        action.username,
        action.detail,
        action.changes_json,
        action.version,
    )


def parse_action_row(row: Sequence[Any]) -> Action:
    """Return the action of a row that has ``id`` and then ``ACTION_COLUMNS``."""
    values = [ActionKind(row[2]), *row[3:], row[0], row[1]]
    return Action(*values)


def encode_commit_row(transition: Transition) -> tuple[Any, ...]:
    """Return the values of a transition in the order of ``COMMIT_COLUMNS``."""
    instance = transition.instance
    status = transition.status
    return (
        instance.id,
        instance.token,
        instance.version,
        int(instance.pause_requested),
        status.value,
        transition.state,
        transition.vars_json,
        transition.next_activation_us,
        transition.attempt,
        transition.visit,
        transition.streak,
        transition.held_status.value if transition.held_status else None,
        transition.answer_json,
        transition.reason,
        transition.at_us,
        len(transition.children),
        int(transition.waits_for_children),
        int(Status.IN_PROGRESS in (status, transition.held_status) and transition.attempt == 0),
        transition.at_us if status in ENDED_STATUSES else None,
        transition.fingerprint,
        transition.failed_us,
    )


def encode_action_rows(transitions: Iterable[Transition]) -> list[tuple[Any, ...]]:
    """Return the rows of every line of history of these transitions, in order."""
    return [encode_action_row(t.instance.id, action) for t in transitions for action in t.actions]
