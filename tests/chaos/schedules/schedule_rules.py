"""The rule about schedules: each time that has passed has exactly one instance, and no other time has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from tests.chaos.evidence import Evidence, ScheduleRow
from tests.chaos.findings import Fault
from tests.chaos.model import SCHEDULES

__all__ = ["check_schedules", "find_time_faults"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def check_schedules(evidence: Evidence) -> Iterator[Fault]:
    """Check the instances of every declared schedule."""
    rows = {row.name: row for row in evidence.schedules}
    for name in sorted(rows.keys() ^ SCHEDULES.keys()):
        yield f"schedule {name}", "it is declared, and has no row" if name in SCHEDULES else "it is not declared"
    external_ids = [workflow.external_id for workflow in evidence.workflows.values()]
    for name in sorted(rows.keys() & SCHEDULES.keys()):
        yield from find_time_faults(rows[name], SCHEDULES[name], external_ids)


def find_time_faults(row: ScheduleRow, interval: int, external_ids: Iterable[str]) -> Iterator[Fault]:
    """Yield each time of a schedule that has none or several instances, and each instance of another time.

    Args:
        row: The schedule, whose times are the multiples of its interval and which makes up for all of them.
        interval: In microseconds.
        external_ids: Those of all instances.
    """
    found = Counter(_read_time(id) for id in external_ids if id.startswith(f"{row.name}@"))
    expected = range(row.created - row.created % interval + interval, row.next_time, interval)
    subject = f"schedule {row.name}"
    for time in expected:
        if found[time] != 1:
            yield subject, f"{_format(time)} has passed, and has {found[time]} instances"
    for time in sorted(time for time in found if time not in expected):
        yield subject, f"{_format(time)} has {found[time]} instances, and is not among the times that have passed"


def _read_time(external_id: str) -> int:
    """Return the time that an external id names; what may follow it belongs to a break."""
    return (datetime.fromisoformat(external_id.partition("@")[2].partition("#")[0]) - EPOCH) // MICROSECOND


def _format(time: int) -> str:
    return (EPOCH + timedelta(microseconds=time)).isoformat()
