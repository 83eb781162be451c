"""The tables about people: the inbox, teams, the audit and saved views; and the indexes of the instances that wait."""

from __future__ import annotations

import orjson

from flowlet.store.columns import Codec, Column, ColumnType, Index, Table
from flowlet.text import MAX_INTEGER

__all__ = [
    "ASKING_INDEX",
    "AUDIT",
    "DEADLINE",
    "INBOX",
    "IS_ASKING",
    "IS_RECEIVING",
    "PEOPLE_TABLES",
    "RECEIVING_INDEX",
    "TEAM",
    "TEAM_MEMBER",
    "VIEW",
    "VOTE",
    "build_team_pattern",
]

ESCALATIONS_CODEC = Codec(
    lambda steps: orjson.dumps(steps).decode(),
    lambda text: tuple((at, tuple(teams)) for at, teams in orjson.loads(text)),
)
FLAG_CODEC = Codec(int, bool)
NAMES_CODEC = Codec(lambda names: orjson.dumps(names).decode(), lambda text: tuple(orjson.loads(text)))

IS_ASKING, IS_RECEIVING = (f"status = 'WAITING' AND awaits IS {one}" for one in ("NULL", "NOT NULL"))
"""What waits for a person, and what waits for a message."""
DEADLINE = f"COALESCE(next_activation, {MAX_INTEGER})"
"""What they are sorted by: those without a deadline come last."""
# Only what waits is in them, in the order of the inbox: an entry is written when an instance begins to wait, and no
# other transition writes one. Pages of the inbox and its counts read no rows beyond their own.
ASKING_INDEX, RECEIVING_INDEX = (
    Index(f"flowlet_workflow_{name}", (f"({DEADLINE})", "id", "workflow_type"), where)
    for name, where in (("asking", IS_ASKING), ("receiving", IS_RECEIVING))
)

INBOX = Table(
    "flowlet_inbox",
    (
        Column("workflow_id", ColumnType.BIG),
        Column("visit", ColumnType.BIG),
        Column("title", ColumnType.TEXT, ""),
        Column("summary", ColumnType.TEXT, ""),
        Column("entered", ColumnType.BIG, field="entered_us"),
        Column("teams", ColumnType.TEXT, codec=NAMES_CODEC),
        Column("assignee", ColumnType.NAME, ""),
        Column("remind_at", ColumnType.BIG, "", field="remind_at_us"),
        Column("remind_every", ColumnType.BIG, "", field="remind_every_us"),
        Column("reminders", ColumnType.INTEGER, field="reminder_count"),
        Column("escalate_at", ColumnType.BIG, "", field="escalate_at_us"),
        Column("escalations", ColumnType.TEXT, codec=ESCALATIONS_CODEC),
        Column("escalated_to", ColumnType.TEXT, codec=NAMES_CODEC),
    ),
    primary_key=("workflow_id",),
    indexes=(
        *(
            Index(f"flowlet_inbox_{name}", (name,), f"{name} IS NOT NULL")
            for name in ("assignee", "remind_at", "escalate_at")
        ),
        Index("flowlet_inbox_entered", ("entered", "workflow_id")),
    ),
)
"""The instances that wait for a person, from the commit that enters a manual state to the one that leaves it."""

VOTE = Table(
    "flowlet_vote",
    (
        Column("workflow_id", ColumnType.BIG),
        Column("visit", ColumnType.BIG),
        Column("person", ColumnType.KEY),
        Column("choice", ColumnType.NAME),
        Column("form", ColumnType.TEXT, field="form_json"),
        Column("at", ColumnType.BIG, field="at_us"),
    ),
    primary_key=("workflow_id", "visit", "person"),
)
"""What each person has chosen in a state that several persons decide; kept as long as the instance."""

TEAM = Table(
    "flowlet_team",
    (
        Column("name", ColumnType.KEY, "NOT NULL PRIMARY KEY"),
        Column("version", ColumnType.BIG, "NOT NULL DEFAULT 1"),
        Column("created", ColumnType.BIG),
        Column("created_by", ColumnType.NAME),
        Column("modified", ColumnType.BIG),
        Column("modified_by", ColumnType.NAME),
    ),
)
"""The teams."""

TEAM_MEMBER = Table(
    "flowlet_team_member",
    (Column("team", ColumnType.KEY), Column("user_id", ColumnType.BIG)),
    primary_key=("team", "user_id"),
    indexes=(Index("flowlet_team_member_user", ("user_id",)),),
)
"""The members of teams."""

AUDIT = Table(
    "flowlet_audit",
    (
        Column("id", ColumnType.IDENTITY, ""),
        Column("at", ColumnType.BIG),
        Column("actor", ColumnType.NAME),
        Column("on_behalf_of", ColumnType.NAME, ""),
        Column("via", ColumnType.WORD),
        Column("action", ColumnType.WORD),
        Column("subject", ColumnType.NAME),
        Column("detail", ColumnType.TEXT, ""),
    ),
    # A person's rows, those of an action and all of them are read from the newest one; old ones are deleted by time.
    indexes=tuple(
        Index(f"flowlet_audit_{columns[0]}", columns)
        for columns in (("at",), ("actor", "id"), ("on_behalf_of", "id"), ("action", "id"))
    ),
)
"""Who did what: the operations of people, logins, and changes of users, keys, teams, schedules and limits."""

VIEW = Table(
    "flowlet_view",
    (
        Column("id", ColumnType.IDENTITY, ""),
        Column("owner_id", ColumnType.BIG),
        Column("name", ColumnType.NAME),
        Column("name_key", ColumnType.KEY),
        Column("address", ColumnType.TEXT),
        Column("is_default", ColumnType.FLAG, codec=FLAG_CODEC),
        Column("version", ColumnType.BIG),
        Column("created", ColumnType.BIG),
        Column("created_by", ColumnType.NAME),
        Column("modified", ColumnType.BIG),
        Column("modified_by", ColumnType.NAME),
    ),
    # The owner 0 is everybody: a unique index takes NULLs for different.
    indexes=(Index("flowlet_view_name", ("owner_id", "name_key"), is_unique=True),),
)
"""The saved views of the workflow list: those of each user, and those that all users share."""

PEOPLE_TABLES = (INBOX, VOTE, TEAM, TEAM_MEMBER, AUDIT, VIEW)


def build_team_pattern(name: str) -> str:
    """Return the operand of LIKE that finds a team in ``teams``; no team's name has a wildcard or a quote."""
    return f'%"{name}"%'
