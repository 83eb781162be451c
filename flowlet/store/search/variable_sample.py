"""A sample of stored variables: the names that the newest instances have."""

from __future__ import annotations

from typing import Any

from flowlet.instance.json_text import parse_shown_object
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import WORKFLOW

__all__ = ["read_variable_sample"]

MAX_SAMPLED = 50
MAX_SAMPLED_LENGTH = 50_000


async def read_variable_sample(session: DatabaseSession, workflow_type: str | None) -> list[Any]:
    """Return the variables of the newest 50 instances, of a type or of any; without those over 50,000 characters.

    One that cannot be read has the name ``unreadable``.
    """
    where = "WHERE workflow_type = :type" if workflow_type is not None else ""
    # Only ids are selected by the type. With the variables, PostgreSQL's plan for any type reads all instances to find
    # fifty of a rare one: 3.3 s of a million, instead of 23 ms.
    newest = f"SELECT id AS sampled FROM {WORKFLOW} {where} ORDER BY id DESC LIMIT {MAX_SAMPLED}"
    sql = (
        f"SELECT vars FROM {WORKFLOW} JOIN ({newest}) newest ON id = sampled WHERE LENGTH(vars) <= {MAX_SAMPLED_LENGTH}"
    )
    rows = await session.fetch_rows(sql, {} if workflow_type is None else {"type": workflow_type})
    return [parse_shown_object(text) for (text,) in rows]
