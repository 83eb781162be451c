"""Firing: the instances of a schedule's times, and its next time, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowlet.accounts.audit import AuditEntry
from flowlet.instance.new_instance import Created, NewInstance
from flowlet.store.commits import Commit
from flowlet.store.database_session import DatabaseSession
from flowlet.store.schedules.statements import (
    ScheduleScope,
    find_schedules,
    read_running,
    report_change,
    update_schedule,
)
from flowlet.store.schedules.table import SCHEDULE, ScheduleRecord
from flowlet.store.tables import WORKFLOW

__all__ = [
    "FiredSchedule",
    "PlannedFiring",
    "ScheduleChange",
    "ScheduleLook",
    "create_instances",
    "fire_schedules",
    "look_at_schedules",
]

_HAS_ENDED = (
    f"NOT EXISTS (SELECT 1 FROM {WORKFLOW} w WHERE w.id = last_workflow_id "
    "AND w.status NOT IN ('FINISHED', 'FAILED', 'CANCELLED'))"
)
_WAITS = "pending IS NOT NULL AND paused IS NULL AND disabled = 0"
_MAY_TRY = "(fault IS NULL OR next_fire <= :now)"
"""After a fault, a time that has waited for its predecessor's end is tried again when the schedule is due again."""


@dataclass(frozen=True, slots=True)
class ScheduleLook:
    """What an executor has to fire.

    Attributes:
        next_fire: When the first schedule of each workflow is due, in microseconds since 1970 UTC.
        awaited: The instances whose end times wait for.
        ready: The workflows of times that wait no more, because the instance has ended.
    """

    next_fire: Mapping[str, int]
    awaited: frozenset[int] = frozenset()
    ready: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlannedFiring:
    """What is to become of a schedule that is due.

    Attributes:
        record: The schedule afterwards, but for the instance that it created last.
        instances: The instances to create, in the order of their times.
        due: When each of them was to be created, in microseconds since 1970 UTC.
    """

    record: ScheduleRecord
    instances: tuple[NewInstance, ...] = ()
    due: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """What a person makes of a schedule.

    Attributes:
        record: The schedule afterwards.
        instances: The instances to create.
        is_firing: Whether the last of them becomes the instance that the schedule has created last: a backfill leaves
            that as it is.
        audit: What the audit records of it.
    """

    record: ScheduleRecord
    audit: AuditEntry
    instances: Sequence[NewInstance] = ()
    is_firing: bool = False


@dataclass(frozen=True, slots=True)
class FiredSchedule:
    """What has become of it: the instances are in the order of ``planned``; one may have existed already."""

    planned: PlannedFiring
    created: tuple[Created, ...] = field(default=())


async def look_at_schedules(session: DatabaseSession, scope: ScheduleScope, *, now: int) -> ScheduleLook:
    """Return when schedules of these workflows are due, and which times wait for the end of an instance."""
    condition, values = scope.build_condition()
    # Each workflow's first entry of the index; the few of a higher version are read too.
    rows = await session.fetch_rows(
        f"SELECT workflow_type, MIN(next_fire) FROM {SCHEDULE} WHERE next_fire IS NOT NULL AND {condition} "
        "GROUP BY workflow_type",
        values,
    )
    waiting = await session.fetch_rows(
        f"SELECT workflow_type, last_workflow_id, CASE WHEN {_HAS_ENDED} AND {_MAY_TRY} THEN 1 ELSE 0 END "
        f"FROM {SCHEDULE} WHERE {_WAITS} AND {condition}",
        {**values, "now": now},
    )
    return ScheduleLook(
        dict(rows),
        frozenset(id for _, id, is_ready in waiting if not is_ready and id is not None),
        frozenset(type for type, _, is_ready in waiting if is_ready),
    )


async def fire_schedules(
    session: DatabaseSession,
    scope: ScheduleScope,
    plan: Callable[[ScheduleRecord, bool, int], PlannedFiring],
    *,
    now: int,
    limit: int,
    max_instances: int,
) -> list[FiredSchedule]:
    """Fire schedules that are due, without those that others have locked, and return what has become of them.

    Args:
        session: The transaction.
        scope: The workflow; its rows are found in the order of the index, so that no more are locked than are fired.
        plan: Returns what is to become of a schedule, given whether its last instance runs, and how many instances it
            may create.
        now: The store's time, in microseconds since 1970 UTC.
        limit: How many schedules to fire at most.
        max_instances: How many instances to create at most.
    """
    planned: list[PlannedFiring] = []
    left = max_instances
    locked = await _lock_due(session, scope, now=now, limit=limit)
    running = await read_running(session, locked)
    for record in locked:
        if left > 0:
            planned.append(made := plan(record, record.last_workflow_id in running, left))
            left -= len(made.instances)
    new_instances = [new for one in planned for new in one.instances]
    created = await create_instances(session, new_instances, now=now)
    fired = []
    for one in planned:
        own = tuple(created[new.external_id] for new in one.instances)
        record = replace(one.record, last_workflow_id=own[-1].id) if own else one.record
        await update_schedule(session, record)
        fired.append(FiredSchedule(one, own))
    groups = {new.group for new in new_instances}
    if any(one.record.pending is not None for one in planned):
        report_change(session, groups=groups)  # others have to watch for the end of an instance, too
    elif groups:
        session.pending_commit = Commit(frozenset(groups), ())
    return fired


async def _lock_due(
    session: DatabaseSession, scope: ScheduleScope, *, now: int, limit: int
) -> Sequence[ScheduleRecord]:
    """Lock the schedules that are due the longest, and those of which a time waits no more."""
    condition, values = scope.build_condition()
    lock = session.dialect.expressions.skip_locked_sql
    binds = {**values, "now": now, "limit": limit}
    due = f"{condition} AND next_fire <= :now ORDER BY next_fire LIMIT :limit"
    found = {one.id: one for one in await find_schedules(session, due, binds, lock=lock)}
    if len(found) < limit:
        ready = f"{_WAITS} AND {condition} AND {_HAS_ENDED} AND {_MAY_TRY} ORDER BY pending LIMIT :limit"
        found |= {one.id: one for one in await find_schedules(session, ready, binds, lock=lock)}
    return list(found.values())[:limit]


async def create_instances(
    session: DatabaseSession, new_instances: Sequence[NewInstance], *, now: int
) -> dict[str, Created]:
    """Create instances in the caller's transaction, and return them by external id; one may exist already."""
    if not new_instances:
        return {}
    found = await session.dialect.writes.create(session.raw, new_instances, now, in_transaction=True)
    return {
        new.external_id: Created(row.id, new.external_id, row.is_new, row.is_pruned)
        for new, row in zip(new_instances, found, strict=True)
    }
