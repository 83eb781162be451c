"""The table of executors: which are live, until when, and the repair of what dead ones held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.fingerprint import compute_fingerprint
from flowlet.instance.instance import Instance, Status
from flowlet.store.changes import apply_changes, build_select
from flowlet.store.columns import Expression, RowEncoder, RowReader
from flowlet.store.commits import UNKNOWN_COMMIT
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import EXECUTOR, WORKFLOW

__all__ = [
    "EXECUTOR_READER",
    "MAX_FREED_INSTANCES",
    "SELECT_EXECUTORS",
    "SUSPECT_CRASHES",
    "ExecutorRecord",
    "ExecutorStore",
    "read_live_versions",
    "read_served_types",
]

MAX_FREED_INSTANCES = 25
"""How many instances one transaction frees at most. 500 took one to three seconds, in which nothing else could be
written to SQLite."""

SUSPECT_CRASHES = 2
"""After how many crashes in a row an instance is a suspect: further ones are counted only where it ran alone. The first
one says little, because it hits all that ran there."""

STOP_REASON = "released: the executor stops"
LOST_CLAIM_REASON = "released: the answer to its claim was lost"

_LIVE = "status IN ('RUNNING', 'DRAINING')"
_ORPHANED = f"""executor_id IS NOT NULL AND executor_id NOT IN (SELECT id FROM {EXECUTOR} WHERE {_LIVE})
    ORDER BY id LIMIT :limit"""


@dataclass(frozen=True, slots=True)
class ExecutorRecord:
    """An executor. Times in microseconds since 1970 UTC.

    Attributes:
        name: The operator's name for it.
        groups: The executor groups whose instances it runs.
        types: The workflows that it has loaded.
        slots: How many activations it runs at once.
        status: RUNNING, DRAINING, STOPPED (it shut down in order) or LOST (its lease ran out).
        beat: When it last prolonged its lease.
        claimed: When it last asked for due instances, or was full, as of its last beat; None if never. Far behind the
            beat, something blocks it.
        versions: The version of each workflow that it has loaded.
        digest: The digest of all its definitions, as version gates list it.
        busy: How many instances it holds; the store counts them when it reads the record.
    """

    id: str
    name: str
    host: str
    pid: int
    groups: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    status: str
    started: int
    beat: int
    lease_until: int
    claimed: int | None = None
    versions: Mapping[str, int] = field(default_factory=dict, hash=False)
    digest: str = ""
    busy: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it may hold instances: RUNNING, or DRAINING."""
        return self.status in ("RUNNING", "DRAINING")


_ENCODER = RowEncoder(EXECUTOR.columns)
# What each one holds is counted by the index of held instances: at most as many as it has slots.
_BUSY = f"(SELECT COUNT(*) FROM {WORKFLOW} w WHERE w.executor_id = e.id)"
EXECUTOR_READER = RowReader(ExecutorRecord, {"e": EXECUTOR}, expressions={"busy": Expression(_BUSY)})
_LATEST_FIRST = f"CASE WHEN {_LIVE} THEN 0 ELSE 1 END, lease_until DESC, id"
SELECT_EXECUTORS = f"""
SELECT {EXECUTOR_READER.select_list} FROM (SELECT * FROM {EXECUTOR} ORDER BY {_LATEST_FIRST} LIMIT :limit) e
"""
"""Reads the live executors, and then those whose lease ended last, ``limit`` of them, in no order."""


class ExecutorStore:
    """The table of executors. One method is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def register(self, record: ExecutorRecord) -> None:
        """Add an executor."""
        row = _ENCODER.encode(record)
        await self._connections.write(lambda session: session.insert_many(EXECUTOR, EXECUTOR.columns, [row]))

    async def renew_lease(self, id: str, *, lease_microseconds: int, claimed_at: int | None = None) -> int | None:
        """Prolong the lease and return the store's time; None if the executor is not live: it was marked as LOST.

        Args:
            id: The executor's id.
            lease_microseconds: The lease's length.
            claimed_at: When it last asked for due instances, which is stored with it; None keeps the stored time.
        """
        return await self._connections.run_on_engine(
            lambda session: session.dialect.writes.renew_lease(session.raw, id, lease_microseconds, claimed_at)
        )

    async def mark_draining(self, id: str) -> None:
        """Mark an executor as DRAINING: it claims no more."""
        sql = f"UPDATE {EXECUTOR} SET status = 'DRAINING' WHERE id = :id AND status = 'RUNNING'"
        await self._connections.write(lambda session: session.execute(sql, {"id": id}))

    async def deregister(self, id: str, *, now: int, claimed_at: int | None = None) -> int:
        """Release the instances that an executor still holds, and mark it as STOPPED; return how many they were.

        The instances are released in transactions of 25 each. The executor must not claim any more.

        Args:
            id: The executor's id.
            now: The store's time, in microseconds since 1970 UTC.
            claimed_at: When it last asked for due instances, perhaps after its last heartbeat; None keeps that one's.
        """

        async def release_or_stop(session: DatabaseSession) -> int:
            sql = build_select("executor_id = :id ORDER BY id LIMIT :limit", lock=_get_lock(session))
            rows = await session.fetch_rows(sql, {"id": id, "limit": MAX_FREED_INSTANCES})
            held = INSTANCE_READER.parse_all(rows)
            await apply_changes(session, [_build_release(instance, now, STOP_REASON) for instance in held], now=now)
            if len(held) < MAX_FREED_INSTANCES:
                sql = f"UPDATE {EXECUTOR} SET status = 'STOPPED', claimed = COALESCE(:claimed, claimed) WHERE id = :id"
                await session.execute(sql, {"id": id, "claimed": claimed_at})
                session.pending_commit = UNKNOWN_COMMIT  # only this executor knew when its timers come
            return len(held)

        released = count = await self._connections.write(release_or_stop)
        while count == MAX_FREED_INSTANCES:
            count = await self._connections.write(release_or_stop)
            released += count
        return released

    async def release_instances(self, id: str, token_by_id: Mapping[int, int], *, now: int) -> None:
        """Release some of the instances that an executor holds, by id with the token of the lease, 25 at a time."""

        async def release_held(session: DatabaseSession, *, ids: Sequence[int]) -> None:
            binds, values = build_in_list("held", ids)
            sql = build_select(f"executor_id = :id AND id IN ({binds}) ORDER BY id", lock=_get_lock(session))
            found = INSTANCE_READER.parse_all(await session.fetch_rows(sql, {"id": id, **values}))
            changes = [_build_release(one, now, LOST_CLAIM_REASON) for one in found if token_by_id[one.id] == one.token]
            await apply_changes(session, changes, now=now)

        ids = sorted(token_by_id)
        for first in range(0, len(ids), MAX_FREED_INSTANCES):
            await self._connections.write(partial(release_held, ids=ids[first : first + MAX_FREED_INSTANCES]))

    async def repair_leases(self, *, now: int, expired_before: int, crash_limit: int) -> list[Change]:
        """Mark executors whose lease has run out as LOST, and free what they hold, at most 25 instances at a time.

        A freed instance is due at once, under a new token. Two crashes make it a suspect: from then on only those are
        counted in which it ran alone, and ``count_crash`` has done that. At ``crash_limit``, and at three at least, it
        becomes FAILED.

        Args:
            now: The time of the repair, in microseconds since 1970 UTC.
            expired_before: A lease that ended before this time has run out.
            crash_limit: How many executors in a row may die.
        """

        async def free_orphans(session: DatabaseSession) -> list[Change]:
            has_lost = await _mark_lost(session, expired_before)
            sql = build_select(_ORPHANED, lock=session.dialect.expressions.skip_locked_sql)
            rows = await session.fetch_rows(sql, {"limit": MAX_FREED_INSTANCES})
            orphans = INSTANCE_READER.parse_all(rows)
            changes = [_build_repair(instance, now, crash_limit) for instance in orphans]
            await apply_changes(session, changes, now=now)
            if has_lost:
                session.pending_commit = UNKNOWN_COMMIT  # only those executors knew when their timers come
            return changes

        return await self._connections.write(free_orphans)

    async def count_crash(self, executor_id: str, id: int, token: int) -> bool:
        """Count a crash for an instance in advance, because it begins to run alone; return whether it is leased still.

        Its next commit sets the count to zero, an orderly release to one.
        """
        where = "id = :id AND executor_id = :executor_id AND token = :token"
        values = {"id": id, "executor_id": executor_id, "token": token}

        async def count_if_held(session: DatabaseSession) -> bool:
            await session.execute(f"UPDATE {WORKFLOW} SET crashes = crashes + 1 WHERE {where}", values)
            return bool(await session.fetch_rows(f"SELECT 1 FROM {WORKFLOW} WHERE {where}", values))

        return await self._connections.write(count_if_held)

    async def find_first_expiry(self) -> int | None:
        """Return when the first lease of a live executor runs out, in microseconds since 1970 UTC; None if none lives.

        0 where an executor that is not live holds some instance.
        """
        # Held instances are found by their index; there are as many as executors have slots, at most.
        sql = (
            f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {WORKFLOW} WHERE executor_id IS NOT NULL "
            f"AND executor_id NOT IN (SELECT id FROM {EXECUTOR} WHERE {_LIVE})) THEN 0 "
            f"ELSE (SELECT MIN(lease_until) FROM {EXECUTOR} WHERE {_LIVE}) END"
        )
        ((first,),) = await self._connections.read(lambda session: session.fetch_rows(sql))
        return None if first is None else int(first)

    async def read_held_tokens(self, id: str) -> dict[int, int]:
        """Return the instances that an executor holds, with their tokens."""
        sql = f"SELECT id, token FROM {WORKFLOW} WHERE executor_id = :id"
        return dict(await self._connections.read(lambda session: session.fetch_rows(sql, {"id": id})))

    async def list_all(self, *, limit: int = 100) -> list[ExecutorRecord]:
        """Return the executors, the live ones first, then those whose lease ended last."""
        sql = f"{SELECT_EXECUTORS} ORDER BY {_LATEST_FIRST}"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
        return EXECUTOR_READER.parse_all(rows)

    async def delete_gone(self, *, before: int) -> None:
        """Delete executors that are not live and whose lease ended before the given time."""
        sql = f"DELETE FROM {EXECUTOR} WHERE NOT {_LIVE} AND lease_until < :before"
        await self._connections.write(lambda session: session.execute(sql, {"before": before}))


async def read_served_types(session: DatabaseSession) -> dict[str, set[str]]:
    """Return the workflows that live executors serve, by executor group."""
    rows = await session.fetch_rows(f"SELECT {EXECUTOR_READER.select_list} FROM {EXECUTOR} e WHERE {_LIVE}")
    served: dict[str, set[str]] = {}
    for record in EXECUTOR_READER.parse_all(rows):
        for group in record.groups:
            served.setdefault(group, set()).update(record.types)
    return served


async def read_live_versions(session: DatabaseSession, type: str) -> list[int]:
    """Return the versions of a workflow that live executors have loaded."""
    rows = await session.fetch_rows(f"SELECT {EXECUTOR_READER.select_list} FROM {EXECUTOR} e WHERE {_LIVE}")
    return [record.versions[type] for record in EXECUTOR_READER.parse_all(rows) if type in record.versions]


def _get_lock(session: DatabaseSession) -> str:
    return session.dialect.expressions.for_update_sql


async def _mark_lost(session: DatabaseSession, expired_before: int) -> bool:
    """Mark executors whose lease has run out as LOST, and return whether there were any."""
    skip_locked = session.dialect.expressions.skip_locked_sql
    sql = f"SELECT id FROM {EXECUTOR} WHERE {_LIVE} AND lease_until < :expired_before {skip_locked}"
    lost = await session.fetch_rows(sql, {"expired_before": expired_before})
    for (id,) in lost:
        await session.execute(f"UPDATE {EXECUTOR} SET status = 'LOST' WHERE id = :id", {"id": id})
    return bool(lost)


def _build_release(instance: Instance, now: int, release_reason: str) -> Change:
    action = Action(
        ActionKind.RELEASED,
        now,
        from_state=instance.state,
        text=release_reason,
        executor_id=instance.executor_id,
        version=instance.definition_version,
    )
    freed = replace(_free_instance(instance, now), crashes=min(instance.crashes, 1))  # this executor has not died
    return Change(instance, freed, (action,))


def _build_repair(instance: Instance, now: int, crash_limit: int) -> Change:
    # What the executor ran beside it may be the cause: so company makes suspects, and does not convict them.
    crashes = max(instance.crashes, min(instance.crashes + 1, SUSPECT_CRASHES))
    text = f"its executor's lease ran out ({crashes} in a row)"
    action = Action(
        ActionKind.REPAIRED,
        now,
        from_state=instance.state,
        text=text,
        executor_id=instance.executor_id,
        version=instance.definition_version,
    )
    freed = replace(_free_instance(instance, now), crashes=crashes)
    if crashes < max(crash_limit, SUSPECT_CRASHES + 1):
        return Change(instance, freed, (action,))
    reason = f"{crashes} executors in a row died while they ran it"
    failure = Action(ActionKind.FAILED, now, instance.state, text=reason, version=instance.definition_version)
    failed = replace(
        freed,
        status=Status.FAILED,
        gate=None,
        held_status=None,
        next_activation_us=None,
        pause_requested=False,
        reason=reason,
        ended_us=now,
        fingerprint=compute_fingerprint(instance.type, instance.state, reason),
        failed_us=now,
    )
    return Change(instance, failed, (action, failure))


def _free_instance(instance: Instance, now: int) -> Instance:
    pausing = instance.pause_requested
    return replace(
        instance,
        status=Status.PAUSED if pausing else Status.IN_PROGRESS,
        held_status=Status.IN_PROGRESS if pausing else None,
        pause_requested=False,
        next_activation_us=now,
        executor_id=None,
        token=instance.token + 1,
        modified_us=now,
    )
