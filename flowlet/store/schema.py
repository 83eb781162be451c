"""The tables, as numbered migrations for each database. JSON is text, times are microseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MIGRATIONS", "Migration"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of the tables: for each dialect's name its statements, each one a step."""

    number: int
    statements: dict[str, tuple[str, ...]]


_WORKFLOW = """
CREATE TABLE IF NOT EXISTS workflow (
    id {identity},
    workflow_type {name} NOT NULL,
    definition_version integer NOT NULL,
    external_id {key} NOT NULL UNIQUE,
    business_key {key} NOT NULL DEFAULT '',
    parent_id bigint,
    executor_group {name} NOT NULL,
    priority smallint NOT NULL DEFAULT 0,
    status {word} NOT NULL,
    state {name} NOT NULL,
    vars {text} NOT NULL,
    next_activation bigint,
    attempt integer NOT NULL DEFAULT 0,
    visit bigint NOT NULL DEFAULT 0,
    streak integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    executor_id {name},
    token bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    children integer NOT NULL DEFAULT 0,
    open_children integer NOT NULL DEFAULT 0,
    waits_for_children smallint NOT NULL DEFAULT 0,
    woken smallint NOT NULL DEFAULT 0,
    pause_requested smallint NOT NULL DEFAULT 0,
    held_status {word},
    answer {text},
    reason {text},
    created_by {name},
    created bigint NOT NULL,
    modified bigint NOT NULL,
    started bigint,
    ended bigint,
    fingerprint {word},
    failed bigint{extra}
){options}
"""
_ACTION = """
CREATE TABLE IF NOT EXISTS workflow_action (
    id {identity},
    workflow_id bigint NOT NULL,
    kind {word} NOT NULL,
    at bigint NOT NULL,
    from_state {name},
    to_state {name},
    text {text},
    attempt integer,
    duration_ms bigint,
    executor_id {name},
    username {name},
    detail {text},
    changes {text},
    definition_version integer{extra}
){options}
"""
_OTHER_TABLES = (
    """
CREATE TABLE IF NOT EXISTS workflow_definition (
    name {name} NOT NULL,
    version integer NOT NULL,
    digest {word} NOT NULL,
    definition {text} NOT NULL,
    created bigint NOT NULL,
    PRIMARY KEY (name, version, digest)
){options}
""",
    """
CREATE TABLE IF NOT EXISTS executor (
    id {name} NOT NULL PRIMARY KEY,
    name {name} NOT NULL,
    host {name} NOT NULL,
    pid integer NOT NULL,
    executor_groups {text} NOT NULL,
    workflow_types {text} NOT NULL,
    slots integer NOT NULL,
    status {word} NOT NULL,
    started bigint NOT NULL,
    beat bigint NOT NULL,
    lease_until bigint NOT NULL,
    claimed bigint
){options}
""",
    # Each connection counts in rows of its own, so that none waits for another's; readers add them up. Time is first in
    # the key: reports read what is of late, folding what is old, each as one range.
    """
CREATE TABLE IF NOT EXISTS workflow_tally (
    minutes integer NOT NULL,
    start bigint NOT NULL,
    writer bigint NOT NULL,
    workflow_type {name} NOT NULL,
    transitions bigint NOT NULL,
    failures bigint NOT NULL,
    finished bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    PRIMARY KEY (minutes, start, writer, workflow_type)
){options}
""",
)
# Ended and running instances are not in the due index: they cost it nothing.
_PARTIAL_INDEXES = (
    "CREATE INDEX IF NOT EXISTS workflow_due ON workflow (executor_group, priority, next_activation) "
    "WHERE status IN ('NEW', 'IN_PROGRESS', 'WAITING')",
    "CREATE INDEX IF NOT EXISTS workflow_held ON workflow (executor_id) WHERE executor_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS workflow_parent ON workflow (parent_id) WHERE parent_id IS NOT NULL",
    # For a search by time. The time of a change has no index: each transition would have to move its entry.
    "CREATE INDEX IF NOT EXISTS workflow_created ON workflow (created, id)",
    "CREATE INDEX IF NOT EXISTS workflow_key ON workflow (business_key) WHERE business_key <> ''",
    "CREATE INDEX IF NOT EXISTS workflow_status ON workflow (status, workflow_type) "
    "WHERE status NOT IN ('FINISHED', 'CANCELLED')",
    # Written when an instance is created; when it is cancelled; when it begins to retry, and when it has gone on.
    "CREATE INDEX IF NOT EXISTS workflow_of_type ON workflow (workflow_type, id)",
    "CREATE INDEX IF NOT EXISTS workflow_cancelled ON workflow (id) WHERE status = 'CANCELLED'",
    "CREATE INDEX IF NOT EXISTS workflow_retrying ON workflow (id) "
    "WHERE attempt > 0 AND status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')",
    # Only what has failed, and is FAILED or tries again: grouped without a look at any row.
    "CREATE INDEX IF NOT EXISTS workflow_failing ON workflow (fingerprint, failed, workflow_type, status, id) "
    "WHERE fingerprint IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS action_workflow ON workflow_action (workflow_id)",
)
# With the id the newest due are found without a look at the table, whose rows lie far apart. SQLite and MySQL keep the
# id in every index.
_POSTGRES_INDEXES = tuple(index.replace("next_activation)", "next_activation, id)") for index in _PARTIAL_INDEXES)
# MySQL has no partial index: a generated column that is NULL for whatever must not be found stands in for it.
_MYSQL_WORKFLOW_INDEXES = """,
    due bigint GENERATED ALWAYS AS
        (CASE WHEN status IN ('NEW', 'IN_PROGRESS', 'WAITING') THEN next_activation END) VIRTUAL,
    failing varchar(64) GENERATED ALWAYS AS (CASE WHEN fingerprint IS NOT NULL THEN status END) VIRTUAL,
    KEY workflow_due (executor_group, priority, due),
    KEY workflow_held (executor_id),
    KEY workflow_parent (parent_id),
    KEY workflow_created (created, id),
    KEY workflow_key (business_key),
    KEY workflow_status (status, workflow_type),
    KEY workflow_failing (fingerprint, failed, workflow_type, failing),
    KEY workflow_of_type (workflow_type, id)"""

_USER = """
CREATE TABLE IF NOT EXISTS user_account (
    id {identity},
    username {name} NOT NULL,
    username_key {name} NOT NULL UNIQUE,
    password_hash {name} NOT NULL,
    role {word} NOT NULL,
    disabled smallint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created bigint NOT NULL,
    created_by {name} NOT NULL,
    modified bigint NOT NULL,
    modified_by {name} NOT NULL,
    last_login bigint
){options}
"""
_SESSION = """
CREATE TABLE IF NOT EXISTS user_session (
    id {identity},
    token_hash {word} NOT NULL UNIQUE,
    user_id bigint NOT NULL,
    created bigint NOT NULL,
    last_seen bigint NOT NULL,
    expires bigint NOT NULL,
    user_agent {name} NOT NULL{extra}
){options}
"""
_API_KEY = """
CREATE TABLE IF NOT EXISTS api_key (
    id {word} NOT NULL PRIMARY KEY,
    key_hash {word} NOT NULL,
    name {name} NOT NULL,
    role {word} NOT NULL,
    user_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created bigint NOT NULL,
    created_by {name} NOT NULL,
    expires bigint,
    last_used bigint,
    revoked bigint,
    revoked_by {name}{extra}
){options}
"""
_USER_INDEXES = (
    "CREATE INDEX IF NOT EXISTS user_session_owner ON user_session (user_id)",
    "CREATE INDEX IF NOT EXISTS api_key_owner ON api_key (user_id)",
)

_SQLITE = {
    "identity": "integer PRIMARY KEY AUTOINCREMENT",
    "name": "text",
    "key": "text",
    "word": "text",
    "text": "text",
    "extra": "",
    "options": "",
}
# Names are found by their beginning: only letter by letter is an index sorted so that these stand together.
_POSTGRES = {
    **_SQLITE,
    "identity": "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    "key": 'text COLLATE "C"',
}
_MYSQL = {
    "identity": "bigint NOT NULL AUTO_INCREMENT PRIMARY KEY",
    "name": "varchar(255)",
    "key": "varchar(255)",
    "word": "varchar(64)",
    "text": "longtext",
    "extra": "",
    "options": " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC",
}
# A transition that goes straight on changes no indexed column: with room on the page the update stays on it (HOT).
_POSTGRES_WORKFLOW = {**_POSTGRES, "options": " WITH (fillfactor = 75)"}

MIGRATIONS = (
    Migration(
        1,
        {
            "sqlite": tuple(table.format(**_SQLITE) for table in (_WORKFLOW, _ACTION, *_OTHER_TABLES))
            + _PARTIAL_INDEXES,
            "postgresql": (
                _WORKFLOW.format(**_POSTGRES_WORKFLOW),
                *(table.format(**_POSTGRES) for table in (_ACTION, *_OTHER_TABLES)),
                *_POSTGRES_INDEXES,
            ),
            "mysql": (
                _WORKFLOW.format(**{**_MYSQL, "extra": _MYSQL_WORKFLOW_INDEXES}),
                _ACTION.format(**{**_MYSQL, "extra": ",\n    KEY action_workflow (workflow_id)"}),
                *(table.format(**_MYSQL) for table in _OTHER_TABLES),
            ),
        },
    ),
    Migration(
        2,
        {
            "sqlite": tuple(table.format(**_SQLITE) for table in (_USER, _SESSION, _API_KEY)) + _USER_INDEXES,
            "postgresql": tuple(table.format(**_POSTGRES) for table in (_USER, _SESSION, _API_KEY)) + _USER_INDEXES,
            "mysql": (
                _USER.format(**_MYSQL),
                _SESSION.format(**{**_MYSQL, "extra": ",\n    KEY user_session_owner (user_id)"}),
                _API_KEY.format(**{**_MYSQL, "extra": ",\n    KEY api_key_owner (user_id)"}),
            ),
        },
    ),
)
