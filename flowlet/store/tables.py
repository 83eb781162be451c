"""The tables of Flowlet: each one's name and columns, written once.

Statements, rows, migrations and dialects take names, types and codecs from here. JSON is text, times are microseconds
since 1970 UTC.
"""

from __future__ import annotations

import orjson

from flowlet.accounts.roles import Role
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.json_text import parse_json
from flowlet.store.children.table import SPAWN
from flowlet.store.columns import Codec, Column, ColumnType, Index, Table
from flowlet.store.limits.table import GATE, LANE_PAUSE
from flowlet.store.messages.table import MESSAGE
from flowlet.store.people.tables import ASKING_INDEX, INBOX, PEOPLE_TABLES, RECEIVING_INDEX, VOTE
from flowlet.store.schedules.table import SCHEDULE

__all__ = [
    "ACTION",
    "API_KEY",
    "CANCELLED_INDEX",
    "CLAIMED_REASON",
    "COUNTER",
    "DEFINITION",
    "DUE_INDEX",
    "ENDED_INDEX",
    "EXECUTOR",
    "EXTERNAL_ID",
    "FAILING_INDEX",
    "FLAG_CODEC",
    "GATE",
    "GATE_INDEX",
    "HAS_BUSINESS_KEY",
    "INSTANCE_TABLES",
    "IS_CANCELLED",
    "IS_ENDED_ROOT",
    "IS_FAILING",
    "IS_GATED",
    "IS_NOT_DONE",
    "IS_QUEUED",
    "IS_READY",
    "IS_RETRYING",
    "LANE_PAUSE",
    "MESSAGE",
    "PERSONAL_ACTION_COLUMNS",
    "RETENTION",
    "RETRYING_INDEX",
    "SCHEMA_VERSION",
    "SESSION",
    "SPAWN",
    "STATUS_CODEC",
    "TABLES",
    "UNSERVED_REASON",
    "USER",
    "WORKFLOW",
]

IDENTITY, NAME, KEY, WORD, TEXT, FLAG, SMALL, INTEGER, BIG = ColumnType
OPTIONAL, ZERO = "", "NOT NULL DEFAULT 0"
"""Constraints: of what may be NULL, and of what starts at 0."""

# Looked up in a dict, which takes a fifth of the time of a call of the enum: each commit and each claim does it.
_STATUS_VALUES: dict[Status | None, str | None] = {None: None, **{status: status.value for status in Status}}
_STATUSES: dict[str | None, Status | None] = {None: None, **{status.value: status for status in Status}}
STATUS_CODEC = Codec(_STATUS_VALUES.__getitem__, _STATUSES.__getitem__)
KIND_CODEC = Codec(
    {kind: kind.value for kind in ActionKind}.__getitem__, {kind.value: kind for kind in ActionKind}.__getitem__
)
FLAG_CODEC = Codec(int, bool)
ROLE_CODEC = Codec(lambda role: role.value, Role)
VERSIONS_CODEC = Codec(lambda versions: orjson.dumps(dict(versions)).decode(), orjson.loads)
NAMES_CODEC = Codec(lambda names: orjson.dumps(names).decode(), lambda text: tuple(orjson.loads(text)))

UNSERVED_REASON = "no running executor "
"""How the reason of a due instance begins that no executor serves."""
CLAIMED_REASON = f"CASE WHEN SUBSTR(reason, 1, {len(UNSERVED_REASON)}) <> '{UNSERVED_REASON}' THEN reason END"
"""The reason of an instance that is claimed: an error stays until the next attempt has ended."""

# The conditions of the partial indexes. A database uses such an index only where a statement says the same words.
IS_READY = "status IN ('NEW', 'IN_PROGRESS', 'WAITING')"
IS_QUEUED = f"gate IS NULL AND {IS_READY}"
IS_GATED = "gate IS NOT NULL"
IS_NOT_DONE = "status NOT IN ('FINISHED', 'CANCELLED')"
IS_CANCELLED = "status = 'CANCELLED'"
IS_RETRYING = "attempt > 0 AND status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
IS_FAILING = "fingerprint IS NOT NULL"
IS_ENDED_ROOT = "ended IS NOT NULL AND root_id IS NULL"
HAS_BUSINESS_KEY = "business_key <> ''"

# Ended, running and gated instances are not in the due index: they cost it nothing. A lane is a group, a type and a
# priority: an executor reads its own lanes only. The state is in no index, so that a transition moves no entry.
DUE_INDEX = Index("flowlet_workflow_due", ("executor_group", "workflow_type", "priority", "next_activation"), IS_QUEUED)
# What is due behind a gate, and what is leased through it, is one range each.
GATE_INDEX = Index("flowlet_workflow_gate", ("gate", "status", "priority", "next_activation"), IS_GATED)
# An instance is written to these when it is cancelled; when it starts to retry, and when it has succeeded.
CANCELLED_INDEX = Index("flowlet_workflow_cancelled", ("id",), IS_CANCELLED)
RETRYING_INDEX = Index("flowlet_workflow_retrying", ("id",), IS_RETRYING)
# Only what has failed, and is FAILED or tries again: grouped without reading any row.
FAILING_INDEX = Index(
    "flowlet_workflow_failing", ("fingerprint", "failed", "workflow_type", "status", "id"), IS_FAILING
)
# Only roots that have ended, for their deletion: one entry is written when one ends, and none by any other transition.
ENDED_INDEX = Index("flowlet_workflow_ended", ("status", "workflow_type", "ended"), IS_ENDED_ROOT)

WORKFLOW = Table(
    "flowlet_workflow",
    (
        Column("id", IDENTITY, ""),
        Column("workflow_type", NAME, field="type"),
        Column("definition_version", INTEGER),
        Column("external_id", KEY, "NOT NULL UNIQUE"),
        Column("business_key", KEY, "NOT NULL DEFAULT ''", field="key"),
        Column("parent_id", BIG, OPTIONAL),
        Column("root_id", BIG, OPTIONAL),
        Column("executor_group", NAME, field="group"),
        Column("priority", SMALL, ZERO),
        Column("status", WORD, codec=STATUS_CODEC),
        Column("state", NAME),
        Column("vars", TEXT, field="vars_json"),
        Column("next_activation", BIG, OPTIONAL, field="next_activation_us"),
        Column("attempt", INTEGER, ZERO),
        Column("visit", BIG, ZERO),
        Column("streak", INTEGER, ZERO),
        Column("crashes", INTEGER, ZERO),
        Column("executor_id", NAME, OPTIONAL),
        Column("token", BIG, ZERO),
        Column("version", BIG, ZERO),
        Column("children", INTEGER, ZERO),
        Column("open_children", INTEGER, ZERO),
        Column("wake_at_open_children", INTEGER, OPTIONAL),
        Column("woken", FLAG, ZERO, codec=FLAG_CODEC),
        Column("pause_requested", FLAG, ZERO, codec=FLAG_CODEC),
        Column("held_status", WORD, OPTIONAL, codec=STATUS_CODEC),
        Column("answer", TEXT, OPTIONAL, field="answer_json"),
        Column("reason", TEXT, OPTIONAL),
        Column("created_by", NAME, OPTIONAL),
        Column("created", BIG, field="created_us"),
        Column("modified", BIG, field="modified_us"),
        Column("started", BIG, OPTIONAL, field="started_us"),
        Column("ended", BIG, OPTIONAL, field="ended_us"),
        Column("fingerprint", WORD, OPTIONAL),
        Column("failed", BIG, OPTIONAL, field="failed_us"),
        Column("gate", KEY, OPTIONAL),
        Column("vars_version", INTEGER, ZERO),
        Column("awaits", TEXT, OPTIONAL, field="awaits_json"),
        Column("unread", INTEGER, ZERO),
        Column("unread_seen", INTEGER, ZERO),
        Column("message_id", BIG, OPTIONAL),
        Column("unsnapped_characters", BIG, ZERO),
        Column("claimed", BIG, OPTIONAL, field="claimed_us"),
    ),
    indexes=(
        DUE_INDEX,
        GATE_INDEX,
        Index("flowlet_workflow_held", ("executor_id",), "executor_id IS NOT NULL"),
        Index("flowlet_workflow_parent", ("parent_id",), "parent_id IS NOT NULL"),
        # For a search by time. The time of a change has no index: each transition would have to move its entry.
        Index("flowlet_workflow_created", ("created", "id")),
        Index("flowlet_workflow_key", ("business_key",), HAS_BUSINESS_KEY),
        Index("flowlet_workflow_status", ("status", "workflow_type"), IS_NOT_DONE),
        Index("flowlet_workflow_type", ("workflow_type", "id")),
        CANCELLED_INDEX,
        RETRYING_INDEX,
        FAILING_INDEX,
        ENDED_INDEX,
        ASKING_INDEX,
        RECEIVING_INDEX,
    ),
)
"""The instances."""

ACTION = Table(
    "flowlet_action",
    (
        Column("id", IDENTITY, ""),
        Column("workflow_id", BIG),
        Column("kind", WORD, codec=KIND_CODEC),
        Column("at", BIG, field="at_us"),
        Column("from_state", NAME, OPTIONAL),
        Column("to_state", NAME, OPTIONAL),
        Column("text", TEXT, OPTIONAL),
        Column("attempt", INTEGER, OPTIONAL),
        Column("duration_ms", BIG, OPTIONAL),
        Column("executor_id", NAME, OPTIONAL),
        Column("username", NAME, OPTIONAL),
        Column("detail", TEXT, OPTIONAL),
        Column("changes", TEXT, OPTIONAL, field="changes_json"),
        Column("definition_version", INTEGER, OPTIONAL, field="version"),
        Column("vars", TEXT, OPTIONAL, field="vars_json"),
        Column("answer", TEXT, OPTIONAL, field="answer_json"),
        Column("on_behalf_of", NAME, OPTIONAL),
    ),
    indexes=(Index("flowlet_action_workflow", ("workflow_id",)),),
)
"""The history of all instances."""

PERSONAL_ACTION_COLUMNS = ("on_behalf_of",)
"""The column of a line that only operations write, and neither creates nor the commits of executors."""

DEFINITION = Table(
    "flowlet_definition",
    (
        Column("name", NAME),
        Column("version", INTEGER),
        Column("digest", WORD),
        Column("definition", TEXT, field="document", codec=Codec(decode=parse_json)),
        Column("created", BIG),
    ),
    primary_key=("name", "version", "digest"),
)
"""The definitions, in each shape that an executor has served."""

EXECUTOR = Table(
    "flowlet_executor",
    (
        Column("id", NAME, "NOT NULL PRIMARY KEY"),
        Column("name", NAME),
        Column("host", NAME),
        Column("pid", INTEGER),
        Column("executor_groups", TEXT, field="groups", codec=NAMES_CODEC),
        Column("workflow_types", TEXT, field="types", codec=NAMES_CODEC),
        Column("slots", INTEGER),
        Column("status", WORD),
        Column("started", BIG),
        Column("beat", BIG),
        Column("lease_until", BIG),
        Column("claimed", BIG, OPTIONAL),
        Column("workflow_versions", TEXT, field="versions", codec=VERSIONS_CODEC),
        Column("digest", WORD),
    ),
)
"""The executors: the live ones, and those of the last days."""

COUNTER = Table(
    "flowlet_counter",
    (
        Column("minutes", INTEGER),
        Column("start", BIG),
        Column("writer", BIG),
        Column("workflow_type", NAME, field="type"),
        Column("transitions", BIG),
        Column("failures", BIG),
        Column("finished", BIG),
        Column("failed", BIG),
        Column("cancelled", BIG),
        Column("opened", BIG),
    ),
    # Time is first in the key: reports read what is recent, the roll-up what is old, each as one range.
    primary_key=("minutes", "start", "writer", "workflow_type"),
)
"""How much happened, by minute, later by hour and day. Each connection counts in rows of its own, so that none waits
for another one's; readers add them up."""

USER = Table(
    "flowlet_user",
    (
        Column("id", IDENTITY, ""),
        Column("username", NAME),
        Column("username_key", NAME, "NOT NULL UNIQUE"),
        Column("password_hash", NAME),
        Column("role", WORD, codec=ROLE_CODEC),
        Column("disabled", FLAG, ZERO, field="is_disabled", codec=FLAG_CODEC),
        Column("version", BIG, "NOT NULL DEFAULT 1"),
        Column("created", BIG),
        Column("created_by", NAME),
        Column("modified", BIG),
        Column("modified_by", NAME),
        Column("last_login", BIG, OPTIONAL),
    ),
)
"""The users."""

SESSION = Table(
    "flowlet_session",
    (
        Column("id", IDENTITY, ""),
        Column("token_hash", WORD, "NOT NULL UNIQUE"),
        Column("user_id", BIG),
        Column("created", BIG),
        Column("last_seen", BIG),
        Column("expires", BIG),
        Column("user_agent", NAME),
    ),
    indexes=(Index("flowlet_session_user", ("user_id",)),),
)
"""The sessions of the console."""

API_KEY = Table(
    "flowlet_api_key",
    (
        Column("id", WORD, "NOT NULL PRIMARY KEY"),
        Column("key_hash", WORD),
        Column("name", NAME),
        Column("role", WORD, codec=ROLE_CODEC),
        Column("user_id", BIG),
        Column("may_act_on_behalf", FLAG, ZERO, codec=FLAG_CODEC),
        Column("version", BIG, "NOT NULL DEFAULT 1"),
        Column("created", BIG),
        Column("created_by", NAME),
        Column("expires", BIG, OPTIONAL),
        Column("last_used", BIG, OPTIONAL),
        Column("revoked", BIG, OPTIONAL),
        Column("revoked_by", NAME, OPTIONAL),
    ),
    indexes=(Index("flowlet_api_key_user", ("user_id",)),),
)
"""The API keys."""

EXTERNAL_ID = Table(
    "flowlet_external_id",
    (
        Column("external_id", KEY, "NOT NULL PRIMARY KEY"),
        Column("workflow_id", BIG),
        Column("workflow_type", NAME),
        Column("pruned", BIG),
    ),
    indexes=tuple(Index(f"flowlet_external_id_{name}", (name,)) for name in ("workflow_id", "pruned")),
)
"""The external ids of instances that were deleted: no second instance is created under one of them."""

RETENTION = Table("flowlet_retention", (Column("name", WORD, "NOT NULL PRIMARY KEY"), Column("value", BIG)))
"""Numbers about what was deleted, one row each."""

SCHEMA_VERSION = Table(
    "flowlet_schema_version",
    (Column("migration", INTEGER), Column("step", INTEGER), Column("applied", BIG, OPTIONAL)),
    primary_key=("migration", "step"),
)
"""Which steps of which migrations were begun, and when each was applied."""

TABLES = (
    *(WORKFLOW, ACTION, MESSAGE, DEFINITION, EXECUTOR, COUNTER, USER, SESSION, API_KEY, SCHEDULE),
    *(EXTERNAL_ID, RETENTION, *PEOPLE_TABLES, GATE, LANE_PAUSE, SPAWN),
)
"""The tables that migrations create, in their order; the table of the schema's version comes before them."""

INSTANCE_TABLES = (INBOX, VOTE, SPAWN)
"""The tables whose rows belong to an instance, and are deleted and exported with it, besides history and messages."""
