"""Why a schedule needs attention, in words: for the doctor and for the dashboard."""

from __future__ import annotations

from collections.abc import Iterable

from flowlet.clock import to_datetime
from flowlet.operations.schedule_times import describe_schedule
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store
from flowlet.store.reports.schedules import read_troubled_schedules
from flowlet.store.schedules.table import ScheduleRecord

__all__ = ["describe_troubled_schedule", "find_unfired_schedules"]


async def find_unfired_schedules(store: Store, executors: Iterable[ExecutorRecord]) -> list[tuple[int, str]]:
    """Return the last instance, or 0, and the message of each schedule that is due and does not fire.

    Args:
        store: The database.
        executors: The live executors.

    Raises:
        StoreUnavailableError: If the database cannot be reached.
    """
    now = await store.read_clock()
    live = list(executors)
    late = [one for one in await read_troubled_schedules(store.connections, now=now) if one.paused is None]
    texts = [f"{describe_schedule(one)} of {one.type!r}: {describe_troubled_schedule(one, live)}." for one in late]
    return [(one.last_workflow_id or 0, text) for one, text in zip(late, texts, strict=True)]


def describe_troubled_schedule(record: ScheduleRecord, executors: Iterable[ExecutorRecord]) -> str:
    """Return why a schedule needs attention, and the cure, without a full stop.

    Args:
        record: The schedule, which is late, cannot be fired, or has been paused for long.
        executors: The live executors.
    """
    if record.paused is not None:
        reason = f": {record.paused_reason}" if record.paused_reason else ""
        return f"paused by {record.paused_by} since {to_datetime(record.paused):%Y-%m-%d}{reason}. Resume or delete it"
    if record.fault is not None:
        return f"it cannot create its instance: {record.fault}"
    versions = [one.versions[record.type] for one in executors if record.type in one.versions]
    if not versions:
        return "it is late, and no live executor has loaded the workflow. Start one: flowlet serve"
    if max(versions) < record.definition_version:
        return (
            f"it is late: version {record.definition_version} of the workflow wrote it, and the live executors have "
            f"version {max(versions)}. Deploy that version or a higher one"
        )
    return "it is late, although live executors have loaded the workflow. Look into their logs"
