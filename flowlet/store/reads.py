"""What people and programs look up: instances, their history, counts. Nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.errors import UnknownInstanceError
from flowlet.instances import ENDED, ENTERING, Action, ActionKind, Instance
from flowlet.store.changes import LARGEST_ID, selected
from flowlet.store.connection import Connections
from flowlet.store.rows import ACTION_COLUMNS, action_from, instance_from
from flowlet.store.search import SearchQuery, SearchResult, search
from flowlet.store.tallies import TallyStore

__all__ = ["Reads", "Standing", "Way"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an instance stands, in short. ``mark`` is the last line of its history, where that was asked for."""

    id: int
    version: int
    has_ended: bool
    state: str
    mark: int | None


@dataclass(frozen=True, slots=True)
class Way:
    """A way from one state to another; ``source`` is None for the one that an instance began in.

    Attributes:
        last: When it was taken last, in microseconds since 1970 UTC.
    """

    source: str | None
    target: str
    count: int
    last: int


LONGEST_SHOWN = 100

# Said twice: SQLite uses a partial index only where its condition stands in the statement, and the list of what is
# asked for leads over the FAILED ones, which may be many.
_OPEN = """
SELECT workflow_type, status, COUNT(*) FROM workflow
WHERE status IN ('NEW', 'EXECUTING', 'IN_PROGRESS', 'WAITING', 'PAUSED') AND status NOT IN ('FINISHED', 'CANCELLED')
GROUP BY workflow_type, status
"""


class Reads:
    """Look-ups of instances and their history."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._tallies = TallyStore(connections)

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
        if text.isascii() and text.isdigit():
            if len(text.lstrip("0")) > len(str(LARGEST_ID)):  # Python refuses to read a number of thousands of digits
                raise UnknownInstanceError(f"no workflow has the id {text[:LONGEST_SHOWN]}")
            return await self.get(int(text))
        return await self.by_external_id(text)

    async def search(self, query: SearchQuery) -> SearchResult:
        """Return a page of the instances that fit, in the order asked for, and how many fit in all.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        return await self._connections.read(lambda session: search(session, query))

    async def children(self, id: int, *, limit: int | None = None) -> list[Instance]:
        """Return the children of an instance, the oldest first; not more than ``limit``, unless that is None."""
        if limit is None:
            return await self._instances("parent_id = :id", {"id": id}, "ORDER BY id")
        return await self._instances("parent_id = :id", {"id": id, "limit": limit}, "ORDER BY id LIMIT :limit")

    async def history(self, id: int) -> list[Action]:
        """Return the lines of an instance's history, the oldest first."""
        return await self._actions("ORDER BY id", {"id": id})

    async def latest(
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
        return await self._actions(
            " ".join([*parts, f"ORDER BY {self._connections.dialect.newest} LIMIT :limit"]), values
        )

    async def ways(self, id: int) -> list[Way]:
        """Return each way that an instance took from state to state, and how often; first into the one it began in."""
        kinds = ", ".join(f"'{kind}'" for kind in ENTERING)
        # Grouped by the database: an instance that runs in circles has many lines, and few ways.
        sql = (
            "SELECT from_state, to_state, COUNT(*), MAX(at) FROM workflow_action "
            f"WHERE workflow_id = :id AND kind IN ({kinds}) GROUP BY from_state, to_state ORDER BY MIN(id)"
        )
        rows = await self._connections.read(lambda session: session.rows(sql, {"id": id}))
        return [Way(row[0], row[1], int(row[2]), int(row[3])) for row in rows]

    async def several(self, ids: Sequence[int]) -> dict[int, Instance]:
        """Return the instances of these ids, by id; unknown ones are left out. At most 1,000 ids."""
        members, values = self._members(ids)
        return {instance.id: instance for instance in await self._instances(f"id IN ({members})", values)}

    async def standings(self, ids: Sequence[int]) -> list[Standing]:
        """Return where the instances of these ids stand; unknown ones are left out. At most 1,000 ids."""
        return await self._standings(ids, "NULL")

    async def marked_standings(self, ids: Sequence[int]) -> list[Standing]:
        """Return the same as ``standings``, with the last line of each one's history, read in one snapshot."""
        return await self._standings(ids, "(SELECT MAX(a.id) FROM workflow_action a WHERE a.workflow_id = w.id)")

    async def entries(self, ids: Sequence[int], *, after: int) -> list[tuple[int, int, str]]:
        """Return which states these instances have entered in lines of history beyond ``after``.

        Each is the instance's id, the line's id and the state's name. At most 1,000 ids.
        """
        members, values = self._members(ids)
        kinds = ", ".join(f"'{kind}'" for kind in ENTERING)
        sql = (
            "SELECT workflow_id, id, to_state FROM workflow_action "
            f"WHERE workflow_id IN ({members}) AND id > :after AND kind IN ({kinds})"
        )
        rows = await self._connections.read(lambda session: session.rows(sql, {**values, "after": after}))
        return [(row[0], row[1], row[2]) for row in rows]

    async def counts(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have each status. Ended ones come from ``workflow_tally``."""
        rows = await self._connections.read(lambda session: session.rows(_OPEN))
        found = {(name, status): int(count) for name, status, count in rows} | await self._tallies.ends()
        return {key: count for key, count in found.items() if count}

    async def _standings(self, ids: Sequence[int], mark: str) -> list[Standing]:
        members, values = self._members(ids)
        sql = f"SELECT w.id, w.version, w.status, w.state, {mark} AS mark FROM workflow w WHERE w.id IN ({members})"
        rows = await self._connections.read(lambda session: session.rows(sql, values))
        return [Standing(row[0], row[1], row[2] in ENDED, row[3], row[4]) for row in rows]

    def _members(self, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """Return what stands in ``IN (...)`` for a list of ids, and its only bind.

        With a bind for each id the library takes 15 ms to read a statement of 1,000.
        """
        dialect = self._connections.dialect
        return dialect.members("ids"), {"ids": dialect.members_value(ids)}

    async def _actions(self, tail: str, values: dict[str, Any]) -> list[Action]:
        columns = ", ".join(("id", *ACTION_COLUMNS))
        sql = f"SELECT {columns} FROM workflow_action WHERE workflow_id = :id {tail}"
        rows = await self._connections.read(lambda session: session.rows(sql, values))
        return [action_from(row) for row in rows]

    async def _instances(self, where: str, values: dict[str, Any], tail: str = "") -> list[Instance]:
        rows = await self._connections.read(lambda session: session.rows(f"{selected(where)} {tail}", values))
        return [instance_from(row) for row in rows]
