"""What people and programs look up: instances, their history, counts. Nothing here writes."""

from __future__ import annotations

from typing import Any

from flowlet.errors import UnknownInstanceError
from flowlet.instances import Action, Instance
from flowlet.store.changes import LARGEST_ID, selected
from flowlet.store.connection import Connections
from flowlet.store.rows import ACTION_COLUMNS, action_from, instance_from

__all__ = ["Reads"]


DIGITS = 19
"""As many as the largest id has."""


class Reads:
    """Look-ups of instances and their history."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, id: int) -> Instance:
        """Return the instance of an id.

        Raises:
            UnknownInstanceError: If there is none.
        """
        found = await self._instances("id = :id", {"id": id}) if 0 < id <= LARGEST_ID else []
        if not found:
            raise UnknownInstanceError(f"no workflow has the id {id}")
        return found[0]

    async def by_external_id(self, external_id: str) -> Instance:
        """Return the instance of an external id.

        Raises:
            UnknownInstanceError: If there is none.
        """
        found = await self._instances("external_id = :external_id", {"external_id": external_id})
        if not found:
            raise UnknownInstanceError(f"no workflow has the external id {external_id!r}")
        return found[0]

    async def find(self, text: str) -> Instance:
        """Return the instance that a person names: a number is an id, anything else an external id.

        Raises:
            UnknownInstanceError: If there is none.
        """
        if text.isascii() and text.isdigit() and len(text) <= DIGITS:
            return await self.get(int(text))
        return await self.by_external_id(text)

    async def search(
        self,
        *,
        type: str | None = None,
        status: str | None = None,
        state: str | None = None,
        key: str | None = None,
        group: str | None = None,
        limit: int = 50,
        before_id: int | None = None,
    ) -> list[Instance]:
        """Return instances that fit every given condition, the newest first, at most ``limit``.

        ``before_id`` is a cursor: only instances with a smaller id.
        """
        wanted = {
            "workflow_type": type,
            "status": status,
            "state": state,
            "business_key": key,
            "executor_group": group,
        }
        values: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        conditions = [f"{name} = :{name}" for name in values] + ["id < :before_id"]
        values["before_id"] = LARGEST_ID if before_id is None else before_id
        values["limit"] = limit
        return await self._instances(" AND ".join(conditions), values, "ORDER BY id DESC LIMIT :limit")

    async def children(self, id: int) -> list[Instance]:
        """Return the children of an instance, the oldest first."""
        return await self._instances("parent_id = :id", {"id": id}, "ORDER BY id")

    async def history(self, id: int) -> list[Action]:
        """Return the lines of an instance's history, the oldest first."""
        columns = ", ".join(("id", *ACTION_COLUMNS))
        sql = f"SELECT {columns} FROM workflow_action WHERE workflow_id = :id ORDER BY id"
        rows = await self._connections.read(lambda session: session.rows(sql, {"id": id}))
        return [action_from(row) for row in rows]

    async def counts(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have each status. Ended ones come from the counts of executors."""
        open_sql = (
            "SELECT workflow_type, status, COUNT(*) FROM workflow "
            "WHERE status IN ('NEW', 'EXECUTING', 'IN_PROGRESS', 'WAITING', 'PAUSED') GROUP BY workflow_type, status"
        )
        ended_sql = "SELECT workflow_type, status, SUM(ended) FROM workflow_tally GROUP BY workflow_type, status"
        found: dict[tuple[str, str], int] = {}
        for sql in (open_sql, ended_sql):
            for name, status, count in await self._connections.read(lambda session, sql=sql: session.rows(sql)):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                found[name, status] = int(count)
        return {key: count for key, count in found.items() if count}

    async def _instances(self, where: str, values: dict[str, Any], tail: str = "") -> list[Instance]:
        rows = await self._connections.read(lambda session: session.rows(f"{selected(where)} {tail}", values))
        return [instance_from(row) for row in rows]
