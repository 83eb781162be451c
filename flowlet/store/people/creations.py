"""For whom an instance was created, in the first line of its history."""

from __future__ import annotations

from flowlet.instance.action import ActionKind
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import ACTION

__all__ = ["record_creator"]


async def record_creator(session: DatabaseSession, workflow_id: int, person: str) -> None:
    """Write the person for whom an API key has created an instance, in the transaction that creates it.

    Creates themselves have no such column: they are written by statements for whole batches.
    """
    sql = f"UPDATE {ACTION} SET on_behalf_of = :person WHERE workflow_id = :id AND kind = '{ActionKind.CREATED}'"
    await session.execute(sql, {"person": person, "id": workflow_id})
