"""Queries of instances, their history and counts. Nothing here writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from flowlet.clock import Clock, to_datetime
from flowlet.definition.versions.state_names import NO_RENAMES
from flowlet.errors import PrunedInstanceError, UnknownInstanceError
from flowlet.instance.action import ENTRY_KINDS, Action, ActionKind
from flowlet.instance.instance import ENDED_STATUSES, Instance
from flowlet.store.changes import build_select
from flowlet.store.connection import Connections
from flowlet.store.database_session import build_in_list
from flowlet.store.reports.status_counts import StatusCounts
from flowlet.store.retention.external_ids import (
    PrunedInstance,
    find_pruned_by_external_id,
    find_pruned_by_id,
)
from flowlet.store.rows import ACTION_READER, INSTANCE_READER
from flowlet.store.search.page import is_scanning_search, search_instances
from flowlet.store.search.query import SearchQuery, SearchResult
from flowlet.store.search.state_names import StateNameStore
from flowlet.store.search.variable_sample import read_variable_sample
from flowlet.store.tables import ACTION, WORKFLOW
from flowlet.text import MAX_INTEGER, parse_number

__all__ = ["InstancePosition", "InstanceQueries", "TransitionCount"]


@dataclass(frozen=True, slots=True)
class InstancePosition:
    """An instance's state in short; ``last_action_id`` is None unless the caller asked for it."""

    id: int
    type: str
    version: int
    has_ended: bool
    state: str
    last_action_id: int | None


@dataclass(frozen=True, slots=True)
class TransitionCount:
    """How often an instance went from one state to another; ``source`` is None for the entry into its first state.

    Attributes:
        last_at: When it did so last, in microseconds since 1970 UTC.
    """

    source: str | None
    target: str
    count: int
    last_at: int


MAX_SHOWN_DIGITS = 100
MAX_CONCURRENT_SCANS = 2
"""How many searches without an index run at once; on SQLite, where all reads share one connection, one."""


class InstanceQueries:
    """Reads instances and their history.

    Args:
        connections: The database's.
        state_names: The names of states: a search by one of them finds all of the state.
        clock: Tells how old counts are.
    """

    def __init__(self, connections: Connections, state_names: StateNameStore, clock: Clock) -> None:
        self._connections = connections
        self._state_names = state_names
        self._status_counts = StatusCounts(connections, clock)
        # A read by a key waits for one scan at most, and not for all that were there before it.
        has_pool = connections.dialect.connections.has_pool
        self._scan_turns = asyncio.Semaphore(MAX_CONCURRENT_SCANS if has_pool else 1)

    async def get(self, id: int) -> Instance:
        """Return the instance of an id.

        Raises:
            PrunedInstanceError: If it was deleted, and its external id is kept.
            UnknownInstanceError: If there is none.
        """
        is_possible = 0 < id <= MAX_INTEGER
        found = await self._read_instances("id = :id", {"id": id}) if is_possible else []
        if not found:
            if is_possible and (pruned := await find_pruned_by_id(self._connections, id)):
                raise _build_pruned_error(pruned)
            raise UnknownInstanceError(f"no workflow has the id {id}")
        return found[0]

    async def get_by_external_id(self, external_id: str) -> Instance:
        """Return the instance of an external id.

        Raises:
            PrunedInstanceError: If it was deleted, and its external id is kept.
            UnknownInstanceError: If there is none.
        """
        found = await self._read_instances("external_id = :external_id", {"external_id": external_id})
        if not found:
            if pruned := await find_pruned_by_external_id(self._connections, external_id):
                raise _build_pruned_error(pruned)
            raise UnknownInstanceError(f"no workflow has the external id {external_id!r}")
        return found[0]

    async def find(self, text: str) -> Instance:
        """Return the instance that a text names: one with this id if the text is a number, else this external id.

        Every door reads a name so: paths with ``{id}``, pages, and the command line. A number that begins with zeros is
        no id.

        Raises:
            PrunedInstanceError: If it was deleted, and its external id is kept.
            UnknownInstanceError: If there is none.
        """
        number = parse_number(text)
        id = number if str(number) == text else None
        if id is not None and (found := await self._read_instances("id = :id", {"id": id})):
            return found[0]
        try:
            return await self.get_by_external_id(text)
        except UnknownInstanceError:
            if id is not None and (pruned := await find_pruned_by_id(self._connections, id)):
                raise _build_pruned_error(pruned) from None
            if text.isascii() and text.isdigit():
                shown = text[:MAX_SHOWN_DIGITS]
                raise UnknownInstanceError(f"no workflow has the id {shown}, or this external id") from None
            raise

    async def search(self, query: SearchQuery) -> SearchResult:
        """Return a page of the matching instances, in the query's order, and how many match in all.

        A state's former names and its present one find the same instances, and so the errors that failed under them.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        has_states = query.state is not None or query.fingerprint is not None
        names = await self._state_names.read() if has_states else NO_RENAMES
        turn = self._scan_turns if is_scanning_search(query) else nullcontext()
        async with turn:
            return await self._connections.read(lambda session: search_instances(session, query, names))

    async def sample_variables(self, type: str | None = None) -> list[Any]:
        """Return the variables of the newest 50 instances, of a type or of any, as JSON values."""
        return await self._connections.read(lambda session: read_variable_sample(session, type))

    async def list_children(self, id: int, *, limit: int | None = None) -> list[Instance]:
        """Return the children of an instance, the oldest first; not more than ``limit``, unless that is None."""
        if limit is None:
            return await self._read_instances("parent_id = :id", {"id": id}, "ORDER BY id")
        return await self._read_instances("parent_id = :id", {"id": id, "limit": limit}, "ORDER BY id LIMIT :limit")

    async def list_children_of(self, ids: Sequence[int]) -> list[Instance]:
        """Return the children of several instances, the oldest first. At most 1,000 ids."""
        binds, values = build_in_list("id", ids)
        return await self._read_instances(f"parent_id IN ({binds})", values, "ORDER BY id")

    async def read_history(self, id: int) -> list[Action]:
        """Return the lines of an instance's history, the oldest first."""
        return await self._read_actions("ORDER BY id", {"id": id})

    async def read_latest_actions(
        self, id: int, *, limit: int, before: int | None = None, kinds: Sequence[ActionKind] = ()
    ) -> list[Action]:
        """Return the last lines of an instance's history, the newest first.

        Args:
            id: The instance's id.
            limit: How many lines at most.
            before: Only lines with a lower id than this; None for no such bound.
            kinds: Only lines of these kinds; empty for all kinds.
        """
        parts = ["AND id < :before"] if before is not None else []
        if kinds:
            members = ", ".join(f"'{kind}'" for kind in kinds)
            parts.append(f"AND kind IN ({members})")
        values = {"id": id, "limit": limit} if before is None else {"id": id, "limit": limit, "before": before}
        return await self._read_actions(
            " ".join([*parts, f"ORDER BY {self._connections.dialect.expressions.newest_first_sql} LIMIT :limit"]),
            values,
        )

    async def find_entry_error(self, id: int) -> Action | None:
        """Return the ERROR line of the attempt after which ``on_error`` led an instance to its state; None for none.

        The transition of ``on_error`` is the only one that an attempt makes which has failed: both lines are of the
        same attempt and of the same time.
        """
        entries = await self.read_latest_actions(id, limit=1, kinds=ENTRY_KINDS)
        if not entries or entries[0].kind is not ActionKind.TRANSITION:
            return None
        entry = entries[0]
        errors = await self.read_latest_actions(id, limit=1, before=entry.id, kinds=(ActionKind.ERROR,))
        is_same = errors and _get_attempt_key(errors[0]) == _get_attempt_key(entry)
        return errors[0] if is_same else None

    async def count_failed_attempts(self, id: int) -> int:
        """Return how many attempts of an instance have failed in its whole life."""
        sql = f"SELECT COUNT(*) FROM {ACTION} WHERE workflow_id = :id AND kind = '{ActionKind.ERROR}'"
        ((count,),) = await self._connections.read(lambda session: session.fetch_rows(sql, {"id": id}))
        return int(count)

    async def count_transitions(self, id: int) -> list[TransitionCount]:
        """Return how often an instance went from state to state, beginning with the entry into its first state."""
        kinds = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)
        # Grouped by the database: an instance that runs in circles has many lines, and few pairs of states.
        sql = (
            f"SELECT from_state, to_state, COUNT(*), MAX(at) FROM {ACTION} "
            f"WHERE workflow_id = :id AND kind IN ({kinds}) GROUP BY from_state, to_state ORDER BY MIN(id)"
        )
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {"id": id}))
        return [TransitionCount(source, target, int(count), int(last_at)) for source, target, count, last_at in rows]

    async def get_many(self, ids: Sequence[int]) -> dict[int, Instance]:
        """Return the instances of these ids, by id; unknown ones are left out. At most 1,000 ids."""
        members, values = self._bind_ids(ids)
        return {instance.id: instance for instance in await self._read_instances(f"id IN ({members})", values)}

    async def read_positions(self, ids: Sequence[int]) -> list[InstancePosition]:
        """Return the positions of these instances; unknown ones are left out. At most 1,000 ids."""
        return await self._read_positions(ids, "NULL")

    async def read_positions_with_last_action(self, ids: Sequence[int]) -> list[InstancePosition]:
        """Return the same as ``read_positions``, with the last line of each one's history, read in one snapshot."""
        return await self._read_positions(ids, f"(SELECT MAX(a.id) FROM {ACTION} a WHERE a.workflow_id = w.id)")

    async def read_entered_states(self, ids: Sequence[int], *, after: int) -> list[tuple[int, int, str]]:
        """Return which states these instances have entered in lines of history after ``after``.

        Each is the instance's id, the line's id and the state's name. At most 1,000 ids.
        """
        members, values = self._bind_ids(ids)
        kinds = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)
        sql = (
            f"SELECT workflow_id, id, to_state FROM {ACTION} "
            f"WHERE workflow_id IN ({members}) AND id > :after AND kind IN ({kinds})"
        )
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {**values, "after": after}))
        return [(workflow_id, id, state) for workflow_id, id, state in rows]

    async def count_by_type_and_status(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have each status. Ended ones come from the counters.

        Where more than 100,000 are open, they are counted again after 5 s.
        """
        return await self._status_counts.read()

    async def _read_positions(self, ids: Sequence[int], mark: str) -> list[InstancePosition]:
        members, values = self._bind_ids(ids)
        columns = f"w.id, w.workflow_type, w.version, w.status, w.state, {mark} AS mark"
        sql = f"SELECT {columns} FROM {WORKFLOW} w WHERE w.id IN ({members})"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return [
            InstancePosition(id, type, version, status in ENDED_STATUSES, state, last_action_id)
            for id, type, version, status, state, last_action_id in rows
        ]

    def _bind_ids(self, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """Return the operand of ``IN (...)`` for a list of ids, and its only bind.

        With a bind for each id the library takes 15 ms to read a statement of 1,000.
        """
        expressions = self._connections.dialect.expressions
        return expressions.build_ids_sql("ids"), {"ids": expressions.encode_ids(ids)}

    async def _read_actions(self, tail: str, values: dict[str, Any]) -> list[Action]:
        sql = f"SELECT {ACTION_READER.select_list} FROM {ACTION} WHERE workflow_id = :id {tail}"
        return ACTION_READER.parse_all(await self._connections.read(lambda session: session.fetch_rows(sql, values)))

    async def _read_instances(self, where: str, values: dict[str, Any], tail: str = "") -> list[Instance]:
        rows = await self._connections.read(lambda session: session.fetch_rows(f"{build_select(where)} {tail}", values))
        return INSTANCE_READER.parse_all(rows)


def _build_pruned_error(pruned: PrunedInstance) -> PrunedInstanceError:
    at = to_datetime(pruned.pruned).isoformat(timespec="seconds")
    return PrunedInstanceError(
        f"{pruned.workflow_type} {pruned.workflow_id} with the external id {pruned.external_id!r} has ended, and was "
        f"deleted at {at}"
    )


def _get_attempt_key(action: Action) -> tuple[str | None, int | None, int]:
    return action.from_state, action.attempt, action.at_us
