"""What people and programs look up: instances, their history, counts. Nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.errors import UnknownInstanceError
from flowlet.instance.instance import ENDED_STATUSES, ENTRY_KINDS, Action, ActionKind, Instance
from flowlet.store.changes import build_select
from flowlet.store.connection import Connections
from flowlet.store.counters import CounterStore
from flowlet.store.rows import ACTION_COLUMNS, parse_action_row, parse_instance_row
from flowlet.store.search.query import SearchQuery, SearchResult, search_instances
from flowlet.text import MAX_INTEGER

__all__ = ["InstancePosition", "InstanceQueries", "TransitionCount"]


@dataclass(frozen=True, slots=True)
class InstancePosition:
    """Where an instance stands, in short. ``last_action_id`` is the last line of its history, where that was asked for."""

    id: int
    version: int
    has_ended: bool
    state: str
    last_action_id: int | None


@dataclass(frozen=True, slots=True)
class TransitionCount:
    """A way from one state to another; ``source`` is None for the one that an instance began in.

    Attributes:
        last_at: When it was taken last, in microseconds since 1970 UTC.
    """

    source: str | None
    target: str
    count: int
    last_at: int


MAX_SHOWN_DIGITS = 100

# Said twice: SQLite uses a partial index only where its condition stands in the statement, and the list of what is
# asked for leads over the FAILED ones, which may be many.
_COUNT_OPEN = """
SELECT workflow_type, status, COUNT(*) FROM workflow
WHERE status IN ('NEW', 'EXECUTING', 'IN_PROGRESS', 'WAITING', 'PAUSED') AND status NOT IN ('FINISHED', 'CANCELLED')
GROUP BY workflow_type, status
"""


class InstanceQueries:
    """Look-ups of instances and their history."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._counters = CounterStore(connections)

    async def get(self, id: int) -> Instance:
        """Return the instance of an id.

        Raises:
            UnknownInstanceError: If there is none.
        """
        found = await self._read_instances("id = :id", {"id": id}) if 0 < id <= MAX_INTEGER else []
        if not found:
            raise UnknownInstanceError(f"no workflow has the id {id}")
        return found[0]

    async def get_by_external_id(self, external_id: str) -> Instance:
        """Return the instance of an external id.

        Raises:
            UnknownInstanceError: If there is none.
        """
        found = await self._read_instances("external_id = :external_id", {"external_id": external_id})
        if not found:
            raise UnknownInstanceError(f"no workflow has the external id {external_id!r}")
        return found[0]

    async def find(self, text: str) -> Instance:
        """Return the instance that a person names: a number is an id, anything else an external id.

        Raises:
            UnknownInstanceError: If there is none.
        """
        if text.isascii() and text.isdigit():
            if len(text.lstrip("0")) > len(str(MAX_INTEGER)):  # Python refuses to read a number of thousands of digits
                raise UnknownInstanceError(f"no workflow has the id {text[:MAX_SHOWN_DIGITS]}")
            return await self.get(int(text))
        return await self.get_by_external_id(text)

    async def search(self, query: SearchQuery) -> SearchResult:
        """Return a page of the instances that fit, in the order asked for, and how many fit in all.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        return await self._connections.read(lambda session: search_instances(session, query))

    async def list_children(self, id: int, *, limit: int | None = None) -> list[Instance]:
        """Return the children of an instance, the oldest first; not more than ``limit``, unless that is None."""
        if limit is None:
            return await self._read_instances("parent_id = :id", {"id": id}, "ORDER BY id")
        return await self._read_instances("parent_id = :id", {"id": id, "limit": limit}, "ORDER BY id LIMIT :limit")

    async def read_history(self, id: int) -> list[Action]:
        """Return the lines of an instance's history, the oldest first."""
        return await self._read_actions("ORDER BY id", {"id": id})

    async def read_latest_actions(
        self, id: int, *, limit: int, before: int | None = None, kinds: Sequence[ActionKind] = ()
    ) -> list[Action]:
        """Return the last lines of an instance's history, the newest first.

        Args:
            id: Whose.
            limit: How many at most.
            before: Only those before this line, by its id; None for no such bound.
            kinds: Only those of these kinds; all if there is none.
        """
        parts = ["AND id < :before"] if before is not None else []
        if kinds:
            members = ", ".join(f"'{kind}'" for kind in kinds)
            parts.append(f"AND kind IN ({members})")
        values = {"id": id, "limit": limit} if before is None else {"id": id, "limit": limit, "before": before}
        return await self._read_actions(
            " ".join([*parts, f"ORDER BY {self._connections.dialect.newest_first_sql} LIMIT :limit"]), values
        )

    async def count_transitions(self, id: int) -> list[TransitionCount]:
        """Return each way that an instance took from state to state, and how often; first into the one it began in."""
        kinds = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)
        # Grouped by the database: an instance that runs in circles has many lines, and few ways.
        sql = (
            "SELECT from_state, to_state, COUNT(*), MAX(at) FROM workflow_action "
            f"WHERE workflow_id = :id AND kind IN ({kinds}) GROUP BY from_state, to_state ORDER BY MIN(id)"
        )
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {"id": id}))
        return [TransitionCount(row[0], row[1], int(row[2]), int(row[3])) for row in rows]

    async def get_many(self, ids: Sequence[int]) -> dict[int, Instance]:
        """Return the instances of these ids, by id; unknown ones are left out. At most 1,000 ids."""
        members, values = self._bind_ids(ids)
        return {instance.id: instance for instance in await self._read_instances(f"id IN ({members})", values)}

    async def read_positions(self, ids: Sequence[int]) -> list[InstancePosition]:
        """Return where the instances of these ids stand; unknown ones are left out. At most 1,000 ids."""
        return await self._read_positions(ids, "NULL")

    async def read_positions_with_last_action(self, ids: Sequence[int]) -> list[InstancePosition]:
        """Return the same as ``standings``, with the last line of each one's history, read in one snapshot."""
        return await self._read_positions(ids, "(SELECT MAX(a.id) FROM workflow_action a WHERE a.workflow_id = w.id)")

    async def read_entered_states(self, ids: Sequence[int], *, after: int) -> list[tuple[int, int, str]]:
        """Return which states these instances have entered in lines of history beyond ``after``.

        Each is the instance's id, the line's id and the state's name. At most 1,000 ids.
        """
        members, values = self._bind_ids(ids)
        kinds = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)
        sql = (
            "SELECT workflow_id, id, to_state FROM workflow_action "
            f"WHERE workflow_id IN ({members}) AND id > :after AND kind IN ({kinds})"
        )
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {**values, "after": after}))
        return [(row[0], row[1], row[2]) for row in rows]

    async def count_by_type_and_status(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have each status. Ended ones come from ``workflow_tally``."""
        rows = await self._connections.read(lambda session: session.fetch_rows(_COUNT_OPEN))
        found = {
            (name, status): int(count) for name, status, count in rows
        } | await self._counters.count_ended_instances()
        return {key: count for key, count in found.items() if count}

    async def _read_positions(self, ids: Sequence[int], mark: str) -> list[InstancePosition]:
        members, values = self._bind_ids(ids)
        sql = f"SELECT w.id, w.version, w.status, w.state, {mark} AS mark FROM workflow w WHERE w.id IN ({members})"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return [InstancePosition(row[0], row[1], row[2] in ENDED_STATUSES, row[3], row[4]) for row in rows]

    def _bind_ids(self, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """Return what stands in ``IN (...)`` for a list of ids, and its only bind.

        With a bind for each id the library takes 15 ms to read a statement of 1,000.
        """
        dialect = self._connections.dialect
        return dialect.build_ids_sql("ids"), {"ids": dialect.encode_ids(ids)}

    async def _read_actions(self, tail: str, values: dict[str, Any]) -> list[Action]:
        columns = ", ".join(("id", *ACTION_COLUMNS))
        sql = f"SELECT {columns} FROM workflow_action WHERE workflow_id = :id {tail}"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return [parse_action_row(row) for row in rows]

    async def _read_instances(self, where: str, values: dict[str, Any], tail: str = "") -> list[Instance]:
        rows = await self._connections.read(lambda session: session.fetch_rows(f"{build_select(where)} {tail}", values))
        return [parse_instance_row(row) for row in rows]
