"""Rows of instances, of their history and of batches: how records become rows, and rows become records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance, Status, make_instance
from flowlet.instance.new_instance import NewInstance
from flowlet.instance.transition import Transition
from flowlet.store.columns import Column, ColumnType, Expression, RowEncoder, RowReader, Table
from flowlet.store.tables import ACTION, FLAG_CODEC, PERSONAL_ACTION_COLUMNS, WORKFLOW

__all__ = [
    "ACTION_COLUMNS",
    "ACTION_READER",
    "INSTANCE_READER",
    "NEW_INSTANCE_ENCODER",
    "NEW_ROW_NAMES",
    "OPERATION_ACTION_COLUMNS",
    "TRANSITION_ENCODER",
    "build_new_values_sql",
    "encode_action_row",
    "encode_action_rows",
    "encode_created_action_row",
    "encode_new_row",
    "encode_operation_action_row",
]

INSTANCE_READER = RowReader(Instance, {"": WORKFLOW}, make=make_instance)
ACTION_READER = RowReader(
    Action, {"": ACTION}, expressions={"vars_json": Expression("CASE WHEN kind = 'CREATED' THEN vars END")}
)
"""Reads lines of history, without the snapshots of later variables: these may be long, and repeat what changed."""

NEW_INSTANCE_ENCODER = RowEncoder(
    WORKFLOW.get_columns(
        *("workflow_type", "definition_version", "external_id", "business_key", "parent_id", "root_id"),
        *("executor_group", "priority", "status", "state", "vars", "next_activation", "created_by", "vars_version"),
        *("gate", "executor_id"),
    ),
    fields={"created_by": "username"},
)
"""Encodes a ``NewInstance``: what a create writes beside the times; the other columns have defaults."""

NEW_ROW_NAMES = (*NEW_INSTANCE_ENCODER.names, "created", "modified", "token", "started", "claimed")
"""The columns that a create sets."""

ACTION_COLUMNS = ACTION.omit_columns("id", *PERSONAL_ACTION_COLUMNS)
"""The columns of a new line of history; the first is the instance's id, which the line itself does not know."""

OPERATION_ACTION_COLUMNS = ACTION.omit_columns("id")
"""The columns of a line that an operation writes."""

_ACTION_ENCODER = RowEncoder(ACTION_COLUMNS[1:])
_OPERATION_ACTION_ENCODER = RowEncoder(OPERATION_ACTION_COLUMNS[1:])

TRANSITION_ENCODER = RowEncoder(
    (
        Column("id", ColumnType.BIG, field="instance.id"),
        Column("token", ColumnType.BIG, field="instance.token"),
        Column("version", ColumnType.BIG, field="instance.version"),
        Column("pausing", ColumnType.FLAG, field="instance.pause_requested", codec=FLAG_CODEC),
        *WORKFLOW.get_columns("status", "state", "vars", "next_activation", "attempt", "visit", "streak"),
        *WORKFLOW.get_columns("held_status", "answer", "reason"),
        Column("at", ColumnType.BIG, field="at_us"),
        Column("spawned", ColumnType.INTEGER),
        WORKFLOW["wake_at_open_children"],
        Column("rests", ColumnType.FLAG, field="is_resting", codec=FLAG_CODEC),
        *WORKFLOW.get_columns("ended", "fingerprint", "failed", "unsnapped_characters"),
        *WORKFLOW.get_columns("gate", "vars_version"),
    )
)
"""Encodes a transition as a row of a batch: the fence (the first four columns), then what the commit writes."""


def build_new_values_sql(now: str, lane_pause: Table) -> str:
    """Return the values of ``NEW_ROW_NAMES`` for a row ``b`` of what the encoder writes.

    An instance that names an executor is leased by it, unless a lane is paused: then it waits for a claim, which knows
    the lanes.

    Args:
        now: The bind of the store's time.
        lane_pause: The table of paused lanes.
    """
    may_lease = f"NOT EXISTS (SELECT 1 FROM {lane_pause})"
    is_leased = f"b.executor_id IS NOT NULL AND {may_lease}"
    values = {
        "status": f"CASE WHEN {is_leased} THEN 'EXECUTING' ELSE b.status END",
        "executor_id": f"CASE WHEN {may_lease} THEN b.executor_id END",
        **dict.fromkeys(("created", "modified"), now),
        "token": f"CASE WHEN {is_leased} THEN 1 ELSE 0 END",
        **dict.fromkeys(("started", "claimed"), f"CASE WHEN {is_leased} THEN {now} END"),
    }
    return ", ".join(values.get(name, f"b.{name}") for name in NEW_ROW_NAMES)


def encode_new_row(new: NewInstance, now: int) -> list[Any]:
    """Return the values of ``NEW_ROW_NAMES``: of an instance that is leased, if it names an executor."""
    if new.executor_id is None:
        return [*NEW_INSTANCE_ENCODER.encode(new), now, now, 0, None, None]
    return [*NEW_INSTANCE_ENCODER.encode(replace(new, status=Status.EXECUTING)), now, now, 1, now, now]


def encode_action_row(workflow_id: int, action: Action) -> list[Any]:
    """Return the values of a line of history, in the order of ``ACTION_COLUMNS``."""
    return [workflow_id, *_ACTION_ENCODER.encode(action)]


def encode_operation_action_row(workflow_id: int, action: Action) -> list[Any]:
    """Return the values of a line of history, in the order of ``OPERATION_ACTION_COLUMNS``."""
    return [workflow_id, *_OPERATION_ACTION_ENCODER.encode(action)]


def encode_action_rows(transitions: Iterable[Transition]) -> list[list[Any]]:
    """Return the rows of every line of history of these transitions, in order."""
    return [encode_action_row(t.instance.id, action) for t in transitions for action in t.actions]


def encode_created_action_row(workflow_id: int, new: NewInstance, now: int) -> list[Any]:
    """Return the row of the first line of a new instance's history; it names the executor that has leased it."""
    created = Action(
        ActionKind.CREATED,
        now,
        to_state=new.state,
        text=None if new.parent_id is None else f"child of {new.parent_id}",
        executor_id=new.executor_id,
        username=new.username,
        version=new.definition_version,
        vars_json=None if new.vars_json == "{}" else new.vars_json,
    )
    return encode_action_row(workflow_id, created)
