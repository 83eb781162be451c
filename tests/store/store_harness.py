"""A database, and instances put into it as a test wants them."""

from __future__ import annotations

from typing import Any

from flowlet.clock import VirtualClock
from flowlet.instance.instance import Status
from flowlet.instance.json_text import write_json
from flowlet.instance.new_instance import NewInstance
from flowlet.store.opening import Store
from flowlet.store.search.query import SearchQuery, SearchResult

__all__ = ["NOW", "StoreHarness"]

NOW = VirtualClock().now()


class StoreHarness:
    """A database, and instances put into it as a test wants them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._instance_count = 0

    async def create_instance(self, *, vars: dict[str, Any] | None = None, **columns: Any) -> int:
        """Create an instance with these columns and return its id."""
        later = {name: columns.pop(name) for name in list(columns) if _find_field(name) not in NewInstance.__slots__}
        new = self.build_new_instance(vars=vars, **columns)
        (created,) = await self.store.instances.create([new], now=NOW)
        for column, value in later.items():
            await self.execute_sql(
                f"UPDATE flowlet_workflow SET {column} = :value WHERE id = :id", value=value, id=created.id
            )
        return created.id

    def build_new_instance(self, *, vars: dict[str, Any] | None = None, **columns: Any) -> NewInstance:
        """Return an instance to be created."""
        self._instance_count += 1
        given = {
            "type": "Orders",
            "definition_version": 1,
            "external_id": f"order-{self._instance_count}",
            "key": "",
            "group": "default",
            "priority": 0,
            "state": "check",
            "status": Status.NEW,
            "next_activation_us": NOW,
        }
        fields = {_find_field(name): value for name, value in columns.items()}
        return NewInstance(**{**given, **fields, "vars_json": write_json(vars or {})})

    async def execute_sql(self, sql: str, **values: Any) -> None:
        await self.store.connections.write(lambda session: session.execute(sql, values))

    async def search_instances(self, **query: Any) -> SearchResult:
        return await self.store.queries.search(SearchQuery(**query))

    async def search_ids(self, **query: Any) -> list[int]:
        """Return the ids that a search finds, in its order."""
        return [instance.id for instance in (await self.search_instances(**query)).instances]

    async def search_external_ids(self, **query: Any) -> set[str]:
        """Return the external ids that a search finds."""
        return {instance.external_id for instance in (await self.search_instances(**query)).instances}


def _find_field(column: str) -> str:
    """Return the field of an instance that holds a column."""
    fields = {"business_key": "key", "executor_group": "group", "next_activation": "next_activation_us"}
    return fields.get(column, column)
